"""What services with sagas of their own share: streams of facts, turns, one inbox, who waits."""

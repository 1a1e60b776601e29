"""Gifting's rules, pure: no clock, no network, no disk. Start with `gift`."""

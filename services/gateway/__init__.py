"""The gateway: shows the right person the right thing, soon after it happened."""

"""The kernel that every service speaks; no business words beyond the contracts."""

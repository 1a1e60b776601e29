"""Runs the bank: its processes, its databases, its command line."""

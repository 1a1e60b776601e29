"""Kinds of tasks: what they are, when they are done, and what that earns."""

"""Gifting: a gift arrives, or its sender has it back."""

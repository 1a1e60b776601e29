"""The rules of tasks and partners: pure, no clock, no database."""

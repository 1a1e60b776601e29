"""Runs a whole bank on one machine: state folder, database, processes."""

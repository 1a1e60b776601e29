"""The command line `databank`."""

"""The services of the bank; none imports another."""

"""The ledger: owns accounts, lots and rules; no byte appears, vanishes or is used twice."""

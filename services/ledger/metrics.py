"""What the ledger measures: once a batch, or when Prometheus asks."""

SAGAS = "sagas"

"""`python -m services.ledger worker`: what the ledger does besides answering HTTP."""

from services.ledger.bootstrap import run_worker
from shared.worker import main

if __name__ == "__main__":
    raise SystemExit(main("ledger", run_worker))

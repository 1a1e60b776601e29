"""`python -m services.gateway worker`: what the gateway does besides answering HTTP."""

from services.gateway.bootstrap import run_worker
from shared.worker import main

if __name__ == "__main__":
    raise SystemExit(main("gateway", run_worker))

"""`python -m services.gifting worker`: what gifting does besides answering HTTP."""

from services.gifting.bootstrap import run_worker
from shared.worker import main

if __name__ == "__main__":
    raise SystemExit(main("gifting", run_worker))

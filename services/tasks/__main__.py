"""`python -m services.tasks worker`: what tasks does besides answering HTTP."""

from services.tasks.bootstrap import run_worker
from shared.worker import main

if __name__ == "__main__":
    raise SystemExit(main("tasks", run_worker))

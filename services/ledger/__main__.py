"""`python -m services.ledger worker`: relay, inbox and jobs of the ledger."""

import signal
import sys
from threading import Event

from services.ledger.bootstrap import run_worker


def main() -> int:
    """Run the worker until it is told to stop."""
    if sys.argv[1:] != ["worker"]:
        print("usage: python -m services.ledger worker", file=sys.stderr)
        return 2
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run_worker(stop)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs a service's worker as a process: until it is told to stop."""

import signal
import sys
from collections.abc import Callable
from threading import Event


def main(service: str, run: Callable[[Event], None]) -> int:
    """Run `python -m services.<service> worker` until TERM or INT; return the exit code."""
    if sys.argv[1:] != ["worker"]:
        sys.stderr.write(f"usage: python -m services.{service} worker\n")
        return 2
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(stop)
    return 0

"""Bank time: wall time plus an offset that an operator may set in a sandbox."""

import json
import time
from pathlib import Path


class BankClock:
    """Tells bank time in milliseconds UTC.

    The offset lives in a file so that every process of a bank sees a change at its next reading;
    without a file (outside a sandbox) bank time is wall time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._offset_ms = 0

    def now(self) -> int:
        """Return bank time now."""
        return time.time_ns() // 1_000_000 + self.offset_ms()

    def offset_ms(self) -> int:
        """Return the offset to wall time, re-read when the file has changed."""
        if self._path is None:
            return 0
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return 0
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            self._offset_ms = int(json.loads(self._path.read_text())["offset_ms"])
            self._seen = seen
        return self._offset_ms


class FixedClock(BankClock):
    """A clock for tests and simulations that stands where it was put."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        """Return the instant that was put."""
        return self.at

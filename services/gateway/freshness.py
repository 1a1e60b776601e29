"""How fresh an answer is: waiting for a view, and saying how far it was."""

import time
from typing import Any

from services.gateway import store
from services.gateway.catalogue import VIEWS
from services.gateway.metrics import count_read
from services.gateway.store import Sequences, Store
from shared.calendar import Calendar
from shared.contracts.envelope import log_of, source_of
from shared.positions import Positions, format_token, parse_token

WAIT_S = 2.0
POLL_S = 0.02


class Freshness:
    """Knows the logs of one bank and how far its views are. Threads may share it."""

    def __init__(self, store_: Store, calendar: Calendar, *, bank_id: str, epoch: int) -> None:
        self._store = store_
        self._calendar = calendar
        self._bank_id = bank_id
        self._epoch = epoch

    def wait(self, view: str, at_least: str | None) -> Sequences:
        """Wait up to 2 s until a view has what is wanted; return what that is, by source.

        What a token says of logs that the view does not follow is nothing to wait for.
        """
        if at_least is None:
            return {}
        logs = parse_token(at_least, self._epoch)
        wanted = {
            source_of(self._bank_id, self._epoch, log): at
            for log, at in logs.items()
            if log.rpartition("_")[0] == VIEWS[view].service
        }
        self.wait_until(view, wanted)
        return wanted

    def wait_until(self, view: str, wanted: Sequences) -> None:
        """Wait up to 2 s until a view is so far."""
        deadline = time.monotonic() + WAIT_S
        while True:
            with self._store.cursor() as cursor:
                reached = store.positions(cursor, view)
            if has(reached, wanted) or time.monotonic() >= deadline:
                return
            time.sleep(POLL_S)

    def meta(self, reached: Sequences, wanted: Sequences, now: int) -> dict[str, Any]:
        """Return what an answer says of itself: its instant, how far its view was, if stale."""
        stale = not has(reached, wanted)
        count_read(stale=stale)
        return {"as_of": self._calendar.text(now), "position": self.token(reached), "stale": stale}

    def token(self, reached: Sequences) -> str:
        """Return a position token of the logs of this bank in its present epoch."""
        here: Positions = {
            log_of(source): at
            for source, at in reached.items()
            if source == source_of(self._bank_id, self._epoch, log_of(source))
        }
        return format_token(self._epoch, here)


def has(reached: Sequences, wanted: Sequences) -> bool:
    """Say whether a view is as far as is wanted."""
    return all(reached.get(source, 0) >= at for source, at in wanted.items())

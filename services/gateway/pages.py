"""Stretches of the ledger's logs, page by page, read ahead while the last page is being folded."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from services.gateway.store import LANE, Sequences
from shared.bus.types import LogReader
from shared.contracts.envelope import Batch
from shared.errors import DatabankError

# Two pages on their way keep the ledger busy; more would only wait in memory.
READERS = 2


class LogTooShortError(DatabankError):
    """A log ends before the position that a view has of it."""

    code = "log_too_short"


def heads(reader: LogReader) -> Sequences:
    """Return the head of every log. Raises UnavailableError."""
    return {source: reader.head(source, LANE) for source in reader.sources()}


def read_logs(reader: LogReader, after: Sequences, until: Sequences) -> Iterator[Batch]:
    """Yield each log's events behind its `after` up to its `until` (both sequences), in order.

    Raises LogTooShortError, NotFoundError for a log that is gone, UnavailableError.
    """
    left = [source for source, end in until.items() if after.get(source, 0) < end]
    with ThreadPoolExecutor(READERS, thread_name_prefix="pages") as pool:
        pending: dict[str, Future[Batch]] = {}
        try:
            for source in left[:READERS]:
                pending[source] = pool.submit(reader.read, source, LANE, after.get(source, 0))
            waiting = left[READERS:]
            while pending:
                source = next(iter(pending))
                batch = pending.pop(source).result()
                if not batch.events:
                    raise LogTooShortError(
                        f"{source} has no event behind {batch.sequence}, {until[source]} is known",
                        source=source, head=batch.sequence, position=until[source],
                    )  # fmt: skip
                if batch.sequence < until[source]:
                    pending[source] = pool.submit(reader.read, source, LANE, batch.sequence)
                elif waiting:
                    following = waiting.pop(0)
                    start = after.get(following, 0)
                    pending[following] = pool.submit(reader.read, following, LANE, start)
                yield _cut(batch, until[source])
        finally:
            for future in pending.values():
                future.cancel()


def _cut(batch: Batch, end: int) -> Batch:
    if batch.sequence <= end:
        return batch
    events = [event for event in batch.events if int(event.sequence) <= end]
    last = int(events[-1].sequence) if events else batch.previous
    return msgspec.structs.replace(batch, events=events, sequence=last)

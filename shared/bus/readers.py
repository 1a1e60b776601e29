"""Several producers' logs behind one reader, for consumers that follow more than one service."""

from shared.bus.types import LogReader
from shared.contracts.envelope import Batch, Decode
from shared.errors import NotFoundError, UnavailableError


class Readers:
    """A LogReader over the logs of several, all read alike; one that is away hides nobody else's.

    So that one that was away from the start is followed too, its reader should know its sources
    beforehand (`HttpLogReader(sources=…)`).
    """

    def __init__(self, *readers: LogReader) -> None:
        self.decode: Decode = readers[0].decode
        self._readers = readers

    def sources(self) -> list[str]:
        """Return the sources of all that are known. Raises UnavailableError when none is."""
        found = [source for reader in self._readers for source in _sources(reader)]
        if not found:
            raise UnavailableError("no log is reachable")
        return found

    def read(self, source: str, lane: str, after: int, *, wait_s: float = 0.0) -> Batch:
        """Read the next events of a lane of the reader that has the source."""
        return self._of(source).read(source, lane, after, wait_s=wait_s)

    def head(self, source: str, lane: str) -> int:
        """Return the sequence of the lane's last event."""
        return self._of(source).head(source, lane)

    def _of(self, source: str) -> LogReader:
        for reader in self._readers:
            if source in _sources(reader):
                return reader
        raise NotFoundError(f"there is no log {source} here")


def _sources(reader: LogReader) -> list[str]:
    try:
        return reader.sources()
    except UnavailableError:
        return []

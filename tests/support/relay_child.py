"""A relay in a process of its own that kills itself (SIGKILL) between confirm and position store.

Environment: AMQP_URL, BANK_ID, EVENTS, POSITIONS (file), KILL_AT (which store, 0 for none).
"""

import json
import os
import signal
from pathlib import Path
from threading import Event, Thread

from shared.bus.rabbit import RabbitPublisher
from shared.bus.relay import Relay
from shared.bus.topology import bank_topology
from tests.support.bus import MemoryLog, wait_for


class FileState:
    """Positions in a file, and the kill."""

    def __init__(self, path: Path, kill_at: int) -> None:
        self._path = path
        self._kill_at = kill_at
        self.positions: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def hold(self) -> bool:
        """Nobody else runs."""
        return True

    def get(self, lane: str) -> int:
        """Return the stored position."""
        return self.positions.get(lane, 0)

    def set(self, lane: str, sequence: int) -> None:
        """Store the position, or die in its place."""
        self._kill_at -= 1
        if self._kill_at == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.positions[lane] = sequence
        self._path.write_text(json.dumps(self.positions))

    def close(self) -> None:
        """Nothing to let go."""


def main() -> None:
    """Publish the whole log, unless killed."""
    log = MemoryLog(os.environ["BANK_ID"])
    log.fill(int(os.environ["EVENTS"]))
    state = FileState(Path(os.environ["POSITIONS"]), int(os.environ["KILL_AT"]))
    publisher = RabbitPublisher(os.environ["AMQP_URL"], bank_topology(os.environ["BANK_ID"], 1))
    stop = Event()
    thread = Thread(target=Relay(log, state, publisher, stop).run)
    thread.start()
    heads = {lane: log.head(lane) for lane in ("all", "sagas")}
    done = wait_for(lambda: state.positions == heads, 60)
    stop.set()
    thread.join()
    raise SystemExit(0 if done else 1)


if __name__ == "__main__":
    main()

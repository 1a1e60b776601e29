"""Ledgers in processes of their own: `python -m tests.support.ledger_children PROGRAM ARGUMENTS`.

The database is that of LEDGER_DATABASE_URL.
"""

import hashlib
import signal
import sys
from collections.abc import Callable

from services.ledger.codec import decode_event, encode
from services.ledger.domain.account import Account
from services.ledger.domain.commands import Buy
from services.ledger.domain.evolving import evolve
from shared.clock import BankClock
from shared.config import load_settings
from shared.contracts.ledger import WITHOUT_ACCOUNT
from shared.logs import configure_logs
from tests.support.ledger import RealLedger
from tests.support.ledger_story import tell
from tests.support.memory import MemoryBank


class StoppingClock(BankClock):
    """A clock that stops its process (SIGSTOP) when it is read, as a batch does under its lock."""

    def now(self) -> int:
        """Stop, and tell the time once resumed."""
        say("stopped")
        # This thread stops here and now; `os.kill` lets it run on for a while.
        signal.raise_signal(signal.SIGSTOP)
        return super().now()


def write(name: str, batches: str, accounts: str) -> None:
    """Buy for some accounts, one pack each a batch; every batch reaches every partition."""
    ledger = RealLedger(url())
    say("ready")
    sys.stdin.readline()
    for number in range(int(batches)):
        commands = [
            Buy(key=f"{name}-{number}", account=account, bytes=1) for account in accounts.split(",")
        ]
        outcomes = ledger.do(*commands)
        assert all(outcome.status == "done" for outcome in outcomes)
    ledger.close()


def stop_in_a_batch(key: str, account: str) -> None:
    """Stop in the middle of a batch, holding the partition's lock; print the outcome if resumed."""
    ledger = RealLedger(url(), StoppingClock())
    (outcome,) = ledger.do(Buy(key=key, account=account, bytes=1))
    say(outcome.status)
    ledger.close()


def replay() -> None:
    """Print the hash of every state as the stored events make it, and of a life begun anew."""
    ledger = RealLedger(url())
    total = hashlib.sha256()
    for number in range(len(ledger.partitions)):
        accounts: dict[bytes, Account] = {}
        for stream, topic, state in ledger.rows(
            number,
            "SELECT originator_id, topic, state FROM stored_events ORDER BY notification_id",
        ):
            event = decode_event(topic, state)
            if not isinstance(event, WITHOUT_ACCOUNT):
                accounts[stream.bytes] = evolve(accounts.get(stream.bytes), event)
        for key in sorted(accounts):
            total.update(key + encode(accounts[key]))
    ledger.close()
    say(total.hexdigest(), live_again())


def live_again() -> str:
    """Return the hash of the log that a fixed story makes in memory."""
    memory = MemoryBank(2)
    for at, commands in tell():
        memory.clock.at = at
        memory.do(*commands)
        memory.settle()
    total = hashlib.sha256()
    for partition in memory.partitions:
        for stream, version, topic, state in partition.log:
            total.update(stream + f"{version}{topic}".encode() + state)
    return total.hexdigest()


def url() -> str:
    """Return the database's URL."""
    return str(load_settings().ledger_database_url)


def say(*words: str) -> None:
    """Tell the parent."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


PROGRAMS: dict[str, Callable[..., None]] = {
    "write": write,
    "stop_in_a_batch": stop_in_a_batch,
    "replay": replay,
}

if __name__ == "__main__":
    configure_logs("test")  # To stderr: stdout is for the parent.
    PROGRAMS[sys.argv[1]](*sys.argv[2:])

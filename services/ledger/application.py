"""The ledger's use cases: execute commands and usage, close months, read accounts."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import cached_property
from itertools import islice

from psycopg.rows import tuple_row

from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    AnyCommand,
    Close,
    Touch,
    Usage,
)
from services.ledger.domain.context import Meta, known
from services.ledger.items import Item
from services.ledger.month_ends import MonthEnd
from services.ledger.outcomes import Outcome, UsageOutcome
from services.ledger.partition import Partition
from services.ledger.undoing import UNDOING, resolved
from services.ledger.writer import Writer
from shared.bus.positions import InboxPosition
from shared.calendar import add_months
from shared.errors import RefusedError, UnavailableError
from shared.ids import partition_of
from shared.positions import Positions

ANSWER_TIMEOUT_S = 60
SCAN_BATCH = 1_000
# The next batch of a partition waits for its writer, not the writer for it.
BATCHES_AHEAD = 2


class Ledger:
    """Every partition that this process serves, behind one door."""

    def __init__(self, partitions: list[Partition]) -> None:
        self.partitions = partitions

    @cached_property
    def writers(self) -> list[Writer]:
        """Return the partitions' writers, started at first use (after a server's fork)."""
        return [Writer(partition) for partition in self.partitions]

    def partition_for(self, account: str) -> Partition:
        """Return the partition where an account lives."""
        return self.partitions[partition_of(account, len(self.partitions))]

    def execute(
        self, commands: Sequence[AnyCommand | Usage], caller: str, meta: Meta
    ) -> tuple[list[Outcome | UsageOutcome], Positions]:
        """Execute commands and usage; each gets its own outcome, in order.

        Commands of one partition share a transaction. Raises BusyError, UnavailableError: then
        some may be stored, and a repeat with the same keys is safe.
        """
        items = [
            Item(self.resolved(command) if isinstance(command, UNDOING) else command, caller, meta)
            for command in commands
        ]
        waiting = self._submitted(items)
        positions = {name: wait_for(future) for name, future in waiting.items()}
        return [answered(item) for item in items], positions

    def _submitted(self, items: list[Item]) -> dict[str, Future[int]]:
        """Hand items to their partitions' writers; return what each will answer, by log."""
        return {
            writer.partition.name: writer.submit(share) for writer, share in self._shares(items)
        }

    def _shares(self, items: list[Item]) -> list[tuple[Writer, list[Item]]]:
        """Return each writer that has something to do, with its items in their order."""
        shares: dict[int, list[Item]] = {}
        for item in items:
            number = partition_of(item.what.account, len(self.partitions))
            shares.setdefault(number, []).append(item)
        return [(self.writers[number], share) for number, share in shares.items()]

    async def execute_soon(
        self, commands: Sequence[AnyCommand], caller: str, meta: Meta
    ) -> tuple[list[Outcome | UsageOutcome], Positions]:
        """Execute commands as `execute` does, on an event loop, which goes on meanwhile.

        Raises BusyError, UnavailableError: then some may be stored, and a repeat with the same keys
        is safe.
        """
        if any(isinstance(command, UNDOING) for command in commands):
            return await asyncio.to_thread(self.execute, commands, caller, meta)
        items = [Item(command, caller, meta) for command in commands]
        shares = self._shares(items)
        waiting = [writer.submit_soon(share) for writer, share in shares]
        # Cheaper than asyncio's timeout and gather, which cost a single command a twentieth.
        late = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, give_up, waiting)
        try:
            answers = [await waiting[0]] if len(waiting) == 1 else await asyncio.gather(*waiting)
        finally:
            late.cancel()
        names = [writer.partition.name for writer, _ in shares]
        return [answered(item) for item in items], dict(zip(names, answers, strict=True))

    def rehearse(
        self, commands: Sequence[AnyCommand | Usage], caller: str, meta: Meta
    ) -> list[Outcome | UsageOutcome]:
        """Return the outcomes that `execute` would have now; nothing is stored, no key is bound.

        Raises BusyError, UnavailableError.
        """
        items = [Item(self.resolved(command), caller, meta) for command in commands]
        for partition in self.partitions:
            share = [item for item in items if self.partition_for(item.what.account) is partition]
            if share:
                partition.rehearse(share)
        return [answered(item) for item in items]

    def resolved(self, command: AnyCommand | Usage) -> AnyCommand | Usage:
        """Return a command with what it undoes, as the log has it; others unchanged."""
        if not isinstance(command, UNDOING):
            return command
        return resolved(command, self.partition_for(command.account).events_by_key)

    def apply(self, partition: Partition, items: list[Item], position: InboxPosition) -> None:
        """Execute what a batch of events asks of one partition, and move its position, together."""
        wait_for(self.begin(partition, items, position))

    def begin(
        self, partition: Partition, items: list[Item], position: InboxPosition
    ) -> Future[int]:
        """Begin to do `apply`; the future ends once it is durable."""
        return self.writers[partition.number].submit(items, [position])

    def account(self, account_id: str) -> tuple[Account, int]:
        """Return an account's state and version. Raises RefusedError account_not_found."""
        found = self.partition_for(account_id).account(account_id)
        return known(found[0] if found else None, account_id), found[1] if found else 0

    def close_month(
        self, month: str, meta: Meta, partitions: Sequence[Partition] | None = None
    ) -> Iterator[MonthEnd]:
        """Close a month for every account, or some partitions' ones, in batches.

        Yields what it has come to after each, and at last once more. An account that refuses is
        told with its code, and left as it is. Repeating it does nothing more. Raises RefusedError
        month_running.
        """
        running = self.partitions[0].calendar.month_of(self.partitions[0].clock.now())
        if month >= running:
            raise RefusedError(
                "month_running", f"{month} has not ended", latest=add_months(running, -1)
            )
        chosen = self.partitions if partitions is None else partitions
        end = MonthEnd(of=sum(count_accounts(partition) for partition in chosen))
        for log, items in self._for_every_account(
            lambda name: close_item(name, month, meta), chosen
        ):
            end.add(log, items)
            yield end
        yield end

    def _for_every_account(
        self, item_of: Callable[[str], Item], partitions: Sequence[Partition]
    ) -> Iterator[tuple[str, list[Item]]]:
        """Execute something for every account of some partitions, in batches.

        Yields each batch, with its log, when it is durable. All partitions are worked on at once,
        so that one decides while another one commits.
        """
        lanes = [
            (writer, scan_names(writer.partition), deque[tuple[Future[int], list[Item]]]())
            for writer in self.writers
            if writer.partition in partitions
        ]
        while lanes:
            for writer, batches, waiting in lanes:
                for names in islice(batches, BATCHES_AHEAD - len(waiting)):
                    items = [item_of(name) for name in names]
                    waiting.append((writer.submit(items), items))
            lanes = [lane for lane in lanes if lane[2]]
            for writer, _, waiting in lanes:
                future, items = waiting.popleft()
                wait_for(future)
                yield writer.partition.name, items

    def grant_cycle(self, partition: Partition, month: str, meta: Meta) -> Iterator[int]:
        """Grant the plan lots of the running month to accounts that nobody touched yet."""
        for _, states in scan_accounts(partition):
            items = [
                Item(Touch(key=f"cycle:{month}", account=account.account), "ledger", meta)
                for account in states
                if account.plan is not None and (account.granted_through or "") < month
            ]
            if items:
                wait_for(self.writers[partition.number].submit(items))
            yield len(items)


def give_up(waiting: "list[asyncio.Future[int]]") -> None:
    """Let those who still wait have no answer: what they wait for may be stored yet."""
    for future in waiting:
        if not future.done():
            future.set_exception(UnavailableError(TOO_LATE))


TOO_LATE = (
    "the database did not answer in time; what was asked may still be done, so repeat it with the"
    " same keys"
)


def wait_for(future: Future[int]) -> int:
    """Return what a writer answers. Raises UnavailableError when it takes too long."""
    try:
        return future.result(ANSWER_TIMEOUT_S)
    except TimeoutError as error:
        raise UnavailableError(TOO_LATE) from error


def close_item(account: str, month: str, meta: Meta) -> Item:
    """Return the item that closes a month of an account."""
    return Item(Close(key=f"close:{month}", account=account, month=month), "ledger", meta)


def answered(item: Item) -> Outcome | UsageOutcome:
    """Return an item's outcome (a batch that returned has given each one)."""
    assert item.outcome is not None
    return item.outcome


def count_accounts(partition: Partition) -> int:
    """Return how many accounts a partition has."""
    with partition.connection() as conn:
        row = (
            conn.cursor(row_factory=tuple_row)
            .execute("SELECT count(*) FROM account_state")
            .fetchone()
        )
    return int(row[0]) if row else 0


def scan_accounts(partition: Partition) -> Iterator[tuple[int, list[Account]]]:
    """Yield the partition's accounts in batches, by name, each with its state when it was read.

    An account that waits for a newer version is counted and left out.
    """
    after = ""
    while True:
        with partition.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(
                "SELECT account, uuid_send(id), format, state FROM account_state WHERE account > %s"
                " ORDER BY account LIMIT %s",
                (after, SCAN_BATCH), binary=True,
            ).fetchall()  # fmt: skip
            read = [partition.load_state(conn, *row[1:]) for row in rows]
        if not rows:
            return
        after = rows[-1][0]
        yield len(rows), [state for state in read if state is not None]


def scan_names(partition: Partition, batch: int = SCAN_BATCH) -> Iterator[list[str]]:
    """Yield the names of the partition's accounts in batches."""
    after: str | None = ""
    while after is not None:
        with partition.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(
                "SELECT account FROM account_state WHERE account > %s ORDER BY account LIMIT %s",
                (after, batch),
            ).fetchall()  # fmt: skip
        names = [row[0] for row in rows]
        after = names[-1] if names else None
        if names:
            yield names

"""Sends rows of usage files to the ledger: in batches, a few at a time, each row counted once."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from infra.cli.client import Answer, Service
from infra.cli.output import CliError, Report
from infra.cli.rejects import Rejects
from infra.cli.usage_file import HOST, DamagedFileError, Reject, UsageFile, UsageRow

BATCH_LINES = 5_000
OPENING_BATCH = 1_000
IN_FLIGHT_MAX = 3
# Forgetting who was opened costs a repeated command each, remembering costs memory.
REMEMBERED_MAX = 500_000
REPORT_EVERY = 1_000
# A record waits while its sponsor's share is refilled: how long, and with which pauses (seconds).
RETRY = "retry"
WAITS_S_MAX = 120.0
PAUSE_S, PAUSE_S_MAX = 0.05, 1.0
ALREADY_OPEN = ("account_exists", "conflict")


@dataclass
class Counts:
    """What became of the rows; `rows` = accepted + duplicates + rejected at the end."""

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    used_bytes: int = 0
    spent_bytes: int = 0
    unfunded_bytes: int = 0
    sponsored_bytes: int = 0
    accounts_opened: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the counts by name, the time in seconds to a millisecond."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Opening:
    """How accounts of unseen subscribers are opened."""

    plan: str
    active_from: str

    def command(self, subscriber: str) -> dict[str, str]:
        """Return the command; its key follows from the subscriber, so a repeat does nothing."""
        return {
            "key": f"open-{subscriber}",
            "type": "open_account",
            "account": subscriber,
            "plan": self.plan,
            "active_from": self.active_from,
        }


@dataclass(frozen=True)
class _Batch:
    file: Path
    rows: dict[str, UsageRow]


@dataclass(frozen=True)
class _Delivery:
    subscribers: list[str]
    opened: int
    usage: Answer


class Loader:
    """Loads files into a ledger and counts what became of every row."""

    def __init__(
        self, ledger: Service, timezone: str, rejects: Rejects, opening: Opening | None
    ) -> None:
        self.counts = Counts()
        self._ledger = ledger
        self._zone = ZoneInfo(timezone)
        self._rejects = rejects
        self._opening = opening
        self._opened: set[str] = set()
        self._in_flight: deque[tuple[_Batch, Future[_Delivery]]] = deque()

    def load(self, files: list[UsageFile], report: Report) -> CliError | None:
        """Load the files in turn; returns what ended it early. Everything counted is kept."""
        started = time.monotonic()
        failure = None
        try:
            with ThreadPoolExecutor(IN_FLIGHT_MAX) as pool:
                failure = self._load_all(files, pool, report)
        finally:
            self.counts.seconds = time.monotonic() - started
        return failure

    def _load_all(
        self, files: list[UsageFile], pool: ThreadPoolExecutor, report: Report
    ) -> CliError | None:
        failures: list[CliError] = []
        behind = 0
        for file in files:
            moved = partial(self._report, report, file, behind)
            self._guarded(failures, partial(self._load_file, file, pool, moved))
            if failures:
                break
            behind += file.size
        while self._in_flight:
            self._guarded(failures, self._settle)
        self._guarded(failures, self._rejects.close)
        return self._with_counts(failures[0]) if failures else None

    def _report(self, report: Report, file: UsageFile, behind: int) -> None:
        report(behind + file.position(), None)

    def _guarded(self, failures: list[CliError], step: Callable[[], None]) -> None:
        try:
            step()
        except CliError as error:
            failures.append(error)

    def _load_file(
        self, file: UsageFile, pool: ThreadPoolExecutor, report: Callable[[], None]
    ) -> None:
        batch = _Batch(file.path, {})
        damage = None
        try:
            for row in file.rows(self._zone):
                self._take(batch, row)
                if self.counts.rows % REPORT_EVERY == 0:
                    report()
                if len(batch.rows) >= BATCH_LINES:
                    self._send(batch, pool)
                    batch = _Batch(file.path, {})
        except DamagedFileError as error:
            damage = CliError("file_damaged", f"{file.path}: {error}")
        if batch.rows:
            self._send(batch, pool)
        report()
        if damage is not None:
            raise damage

    def _take(self, batch: _Batch, row: UsageRow | Reject) -> None:
        self.counts.rows += 1
        if isinstance(row, Reject):
            self._reject(batch.file, row.number, row.reason, row.columns)
        elif row.usage_id in batch.rows:
            self.counts.duplicates += 1
        else:
            batch.rows[row.usage_id] = row

    def _send(self, batch: _Batch, pool: ThreadPoolExecutor) -> None:
        while len(self._in_flight) >= IN_FLIGHT_MAX:
            self._settle()
        unseen = [] if self._opening is None else self._unseen(batch)
        self._in_flight.append((batch, pool.submit(self._deliver, batch, unseen)))

    def _unseen(self, batch: _Batch) -> list[str]:
        subscribers = dict.fromkeys(row.subscriber for row in batch.rows.values())
        return [subscriber for subscriber in subscribers if subscriber not in self._opened]

    def _deliver(self, batch: _Batch, unseen: list[str]) -> _Delivery:
        opened = self._open_accounts(self._opening, unseen) if self._opening else 0
        lines = [
            {
                "usage_id": key,
                "account": row.subscriber,
                "bytes": row.bytes,
                "occurred_at": row.occurred_at,
                "host": row.columns[HOST] or None,
            }
            for key, row in batch.rows.items()
        ]
        return _Delivery(unseen, opened, charge(self._ledger, lines))

    def _open_accounts(self, opening: Opening, subscribers: list[str]) -> int:
        opened = 0
        for start in range(0, len(subscribers), OPENING_BATCH):
            commands = [
                opening.command(each) for each in subscribers[start : start + OPENING_BATCH]
            ]
            answer = self._ledger.post("/v1/commands", {"commands": commands})
            for outcome in answer.body["outcomes"]:
                if outcome["status"] == "done":
                    opened += _first(outcome, answer)
                elif outcome["code"] not in ALREADY_OPEN:
                    raise CliError(
                        outcome["code"], f"cannot open {outcome['account']}: {outcome['detail']}"
                    )
        return opened

    def _remember(self, subscribers: list[str]) -> None:
        if len(self._opened) > REMEMBERED_MAX:
            self._opened.clear()
        self._opened.update(subscribers)

    def _settle(self) -> None:
        batch, future = self._in_flight.popleft()
        delivery = future.result()
        answer = delivery.usage
        self._remember(delivery.subscribers)
        self.counts.accounts_opened += delivery.opened
        counts = self.counts
        for row, outcome in zip(batch.rows.values(), answer.body["outcomes"], strict=True):
            if outcome["status"] != "done":
                self._reject(batch.file, row.number, outcome["code"], row.columns)
            elif _first(outcome, answer):
                counts.accepted += 1
                counts.used_bytes += row.bytes
                counts.spent_bytes += outcome.get("spent_bytes", 0)
                counts.unfunded_bytes += outcome.get("unfunded_bytes", 0)
                counts.sponsored_bytes += outcome.get("sponsored_bytes", 0)
            else:
                counts.duplicates += 1

    def _reject(self, file: Path, number: int, reason: str, columns: list[str]) -> None:
        self.counts.rejected += 1
        self._rejects.write(file, number, reason, columns)

    def _with_counts(self, failure: CliError) -> CliError:
        counts = self.counts
        return CliError(
            failure.code,
            f"{failure.detail}; {counts.accepted:,} rows were loaded before that"
            f" ({counts.duplicates:,} were known, {counts.rejected:,} rejected); repeating is safe",
            **failure.extra,
        )


def charge(ledger: Service, lines: list[dict[str, Any]]) -> Answer:
    """Charge records; what waits for its sponsor's share is sent again until it is decided."""
    answer = ledger.post("/v1/usage", {"lines": lines})
    outcomes = answer.body["outcomes"]
    waited_s = 0.0
    while waiting := [n for n, each in enumerate(outcomes) if each["status"] == RETRY]:
        if waited_s > WAITS_S_MAX:
            raise CliError("quota_refilling", "a campaign's share did not come; repeat it")
        pause_s = min(PAUSE_S_MAX, max(PAUSE_S, waited_s / 4))
        time.sleep(pause_s)
        waited_s += pause_s
        again = ledger.post("/v1/usage", {"lines": [lines[n] for n in waiting]})
        for place, outcome in zip(waiting, again.body["outcomes"], strict=True):
            outcomes[place] = outcome | {"first": _first(outcome, again)}
    return answer


def _first(outcome: dict[str, Any], answer: Answer) -> bool:
    """Say whether this request did it: at once, or at a first try whose answer was lost."""
    if "first" in outcome:
        return bool(outcome["first"])
    return not outcome.get("repeated") or outcome["request_id"] == answer.request_id

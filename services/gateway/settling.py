"""Checks a settlement against the ledger: the day counted again, from the other side of each event.

The view counts sponsored traffic where a quota paid it; here it is what the subscribers' own lines
say. Awards and packs are what arrived.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from services.gateway.integration import Spent, ViewEvent, decode_event
from services.gateway.pages import heads, read_logs
from services.gateway.projections import sponsored_bytes
from services.gateway.spend import AWARD, PACK, SPONSORED
from shared.bus.types import LogReader
from shared.calendar import Calendar
from shared.contracts.ledger import AccountOpened, DataClawedBack, DataReceived, UsageReversed
from shared.ids import QUOTA

Group = tuple[str, str, str]
Document = dict[str, Any]


class LedgerDay:
    """What the ledger's events of one bank day say that a partner's campaigns delivered."""

    def __init__(self, partner: str, day: str, calendar: Calendar) -> None:
        self._partner = partner
        self._starts = calendar.parse(day)
        self._ends = calendar.day_end(self._starts)
        self._campaigns = {"": partner}
        self._sums: dict[Group, list[int]] = defaultdict(lambda: [0, 0])

    def add(self, event: ViewEvent) -> None:
        """Add an event of any day and account."""
        if isinstance(event, AccountOpened) and event.partner is not None:
            self._campaigns[event.account] = event.partner
        if not self._starts <= event.recorded_at < self._ends or event.account.startswith(QUOTA):
            return
        match event:
            case Spent():
                for line in event.lines:
                    if line.sponsored is not None:
                        group = (line.sponsored.campaign, SPONSORED, line.rating_group or "")
                        self._count(group, line.sponsored.bytes, 1)
            case UsageReversed() if event.sponsored is not None:
                group = (event.sponsored.campaign, SPONSORED, event.rating_group or "")
                self._count(group, -sponsored_bytes(event), 0)
            case DataReceived() if event.purpose in (AWARD, PACK) and self._is_own(event):
                is_pack = any(lot.kind == PACK for lot in event.lots)
                group = (event.campaign or "", PACK if is_pack else event.purpose, "")
                self._count(group, sum(lot.granted for lot in event.lots), 1)
            case DataClawedBack() if event.purpose in (AWARD, PACK) and self._is_own(event):
                back = sum(leg.bytes for leg in event.legs)
                self._count((event.campaign or "", event.purpose, ""), -back, 0)

    def _is_own(self, event: DataReceived | DataClawedBack) -> bool:
        return event.partner == self._partner

    def _count(self, group: Group, amount: int, count: int) -> None:
        sums = self._sums[group]
        sums[0] += amount
        sums[1] += count

    def groups(self) -> dict[Group, tuple[int, int]]:
        """Return bytes and count of each of the partner's line groups."""
        return {
            group: (sums[0], sums[1])
            for group, sums in self._sums.items()
            if self._campaigns.get(group[0]) == self._partner
        }


def check_settlement(
    document: Document, reader: LogReader, calendar: Calendar
) -> Iterator[Document]:
    """Yield progress `{done, of}`, then `{"result": …}`: whether a settlement is the ledger's sum.

    Raises UnavailableError.
    """
    day = LedgerDay(document["partner"], document["day"], calendar)
    until = heads(reader)
    done, of = 0, sum(until.values())
    for batch in read_logs(reader, {}, until):
        for envelope in batch.events:
            day.add(decode_event(envelope))
        done += len(batch.events)
        yield {"done": done, "of": max(done, of)}
    yield {"result": compared(document, day.groups())}


def compared(document: Document, ledger: dict[Group, tuple[int, int]]) -> Document:
    """Return whether a settlement's lines are the ledger's, and the first that is not."""
    settled = {
        (line["campaign"], line["kind"], line["rating_group"]): (line["bytes"], line["count"])
        for line in document["lines"]
    }
    differs = sorted(
        group for group in {**settled, **ledger} if settled.get(group) != ledger.get(group)
    )
    first = None
    if differs:
        group = differs[0]
        first = {"line": list(group), "settled": settled.get(group), "ledger": ledger.get(group)}
    return {
        "ok": not differs, "partner": document["partner"], "day": document["day"],
        "settled_bytes": document["total_bytes"],
        "ledger_bytes": sum(amount for amount, _ in ledger.values()),
        "settled_count": document["total_count"],
        "ledger_count": sum(count for _, count in ledger.values()), "first_difference": first,
    }  # fmt: skip

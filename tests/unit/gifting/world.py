"""A ledger of one sender in memory, as gifting sees it: what it is asked, and what it answers.

It keeps the promises of the real one: it acts on gifting's facts in their order, each once, never
gives more than there is, and answers a transfer by an arrival or a return. When its answers are
heard, in what order and how often, is the test's choice.
"""

from collections import Counter
from typing import Any
from uuid import uuid4

from services.gifting.domain.gift import Gift, Wish
from shared.calendar import Calendar
from shared.contracts.gifting import (
    GiftAccepted,
    GiftCancelled,
    GiftDeclined,
    GiftOffered,
    RedPacketOffered,
    ShareClaimed,
)
from shared.contracts.ledger import (
    FEES_ACCOUNT,
    ArrivalRefused,
    DataClawedBack,
    DataHeld,
    DataReceived,
    DataTransferred,
    Event,
    HoldRefused,
    HoldReleased,
    Leg,
    LotTerms,
    Slice,
    Source,
    TransferRefused,
    TransferReturned,
)
from shared.sagas.aggregate import Aggregate, Meta, encode, event_of, rebuild

MIB = 1 << 20
HOUR_MS = 3_600_000
CALENDAR = Calendar("Asia/Shanghai")
NOW = CALENDAR.parse("2015-09-10T12:00:00")
DEADLINE = NOW + 72 * HOUR_MS
PLAN = "plan:2015-09"
SOURCE = Source(type="plan")


def meta(now: int = NOW, actor: str = "gateway") -> Meta:
    return Meta(now=now, actor=actor, rule_version=1)


def a_gift(amount: int = 10 * MIB, *, waits: bool = False, **more: Any) -> Gift:
    wish = Wish(
        gift_id=uuid4().hex, sender="ann", receiver="bob", bytes=amount, waits=waits,
        deadline=DEADLINE if waits else 0, **more,
    )  # fmt: skip
    return Gift.request(wish, meta())


def a_clawback(saga: str, taken: int, shortfall: int = 0) -> DataClawedBack:
    """Return what the ledger says once an operator took back what was left of a gift or share."""
    leg = Leg(lot_id=PLAN, bytes=taken, kind="plan", valid_from=0, expires_at=1, source=SOURCE)
    return DataClawedBack(
        account="ann", recorded_at=NOW, actor="operator", reason="hijacked", transfer_id="c",
        undoes=f"t-{saga}", sender="bob", purpose="gift", legs=[leg], shortfall_bytes=shortfall,
        undone_correlation_id=saga,
    )  # fmt: skip


def said(aggregate: Aggregate) -> list[Any]:
    """Return the facts that are pending, in order."""
    return [event.data for event in aggregate.pending_events]  # type: ignore[attr-defined]


def facts_of(aggregate: Aggregate) -> list[str]:
    """Return the names of the facts that are pending, in order."""
    return [type(fact).__name__ for fact in said(aggregate)]


def stored_and_read(aggregate: Aggregate) -> Aggregate:
    """Return the aggregate as it comes out of its stored events."""
    stream = aggregate.id
    return rebuild(  # type: ignore[no-any-return]
        event_of(stream, version, fact.TYPE, encode(fact))
        for version, fact in enumerate(said(aggregate), start=1)
    )


def state_of(aggregate: Aggregate) -> dict[str, object]:
    return {name: value for name, value in vars(aggregate).items() if name != "_pending_events"}


class Ledger:
    """Ann's account, and whoever she gives to; `closed` receivers refuse arrivals."""

    def __init__(self, have: int, closed: tuple[str, ...] = (), now: int = NOW) -> None:
        self.have = self.free = have
        self.closed = closed
        self.now = now
        self.holds: dict[str, tuple[int, int]] = {}
        self.transit: list[DataTransferred] = []
        self.arrived: Counter[str] = Counter()
        self.returned = 0
        self.told: list[Event] = []

    @property
    def held(self) -> int:
        return sum(amount for amount, _ in self.holds.values())

    @property
    def on_the_way(self) -> int:
        return sum(leg.bytes for moved in self.transit for leg in moved.legs)

    def take(self, fact: Event) -> None:
        """Do what a fact of gifting asks for."""
        name = fact.correlation_id
        match fact:
            case GiftOffered(waits=True):
                on_top = fact.fee_bytes if fact.fee_payer == "sender" else 0
                self._hold(name, fact.bytes + on_top, fact.deadline, "gift")
            case RedPacketOffered():
                self._hold(name, fact.bytes + fact.fee_bytes, fact.deadline, "red_packet")
            case GiftOffered():
                on_top = fact.fee_bytes if fact.fee_payer == "sender" else 0
                if fact.bytes + on_top > self.free:
                    self._refuse_transfer(name, fact.receiver, "insufficient_data")
                    return
                self.free -= fact.bytes + on_top
                self._depart(name, fact.receiver, fact.bytes + on_top, fact.fee_bytes)
            case GiftAccepted():
                self._post(name, name, fact.receiver, None, fact.fee_bytes)
            case ShareClaimed():
                amount = fact.bytes + fact.fee_bytes
                self._post(fact.packet_id, name, fact.receiver, amount, fact.fee_bytes)
            case GiftDeclined() | GiftCancelled():
                self._release(name, "released")

    def time_out(self) -> None:
        for name in [name for name, (_, until) in self.holds.items() if until <= self.now]:
            self._release(name, "timed_out")

    def close(self) -> None:
        """Close the sender's account: its holds go free."""
        for name in list(self.holds):
            self._release(name, "released")

    def arrive(self) -> None:
        """Let the first transfer on its way arrive, or come back."""
        if not self.transit:
            return
        moved = self.transit.pop(0)
        common = {"correlation_id": moved.correlation_id, "transfer_id": moved.transfer_id}
        legs = moved.legs
        if moved.to in self.closed:
            self._tell(ArrivalRefused, **common, to=moved.to, code="account_closed")
            self._tell(
                TransferReturned, **common, to=moved.to, purpose="gift", legs=legs,
                code="account_closed",
            )  # fmt: skip
            self.free += sum(leg.bytes for leg in legs)
            self.returned += sum(leg.bytes for leg in legs)
            return
        for account, part in ((moved.to, [legs[0]]), (FEES_ACCOUNT, legs[1:])):
            if part:
                amount = part[0].bytes
                self.arrived[account] += amount
                purpose = "fee" if account == FEES_ACCOUNT else "gift"
                lot = LotTerms(
                    lot_id=f"gift:{moved.transfer_id}:0", kind="gift", granted=amount,
                    valid_from=0, expires_at=1, source=SOURCE,
                )  # fmt: skip
                self._tell(
                    DataReceived, **common, account=account, sender="ann", purpose=purpose,
                    lots=[lot],
                )  # fmt: skip

    def _hold(self, name: str, amount: int, until: int, purpose: str) -> None:
        common = {"correlation_id": name, "hold_id": f"hold-{name}"}
        if amount > self.free or until <= self.now:
            self._tell(HoldRefused, **common, code="insufficient_data", detail="too little")
            return
        self.free -= amount
        self.holds[name] = (amount, until)
        slices = [Slice(PLAN, amount)]
        self._tell(DataHeld, **common, purpose=purpose, deadline=until, slices=slices)

    def _post(self, hold: str, name: str, to: str, amount: int | None, fee: int) -> None:
        self.time_out()
        have, until = self.holds.get(hold, (0, 0))
        amount = have if amount is None else amount
        if not have or amount > have:
            self._refuse_transfer(name, to, "hold_not_found")
            return
        self.holds[hold] = (have - amount, until)
        if have == amount:
            del self.holds[hold]
        self._depart(name, to, amount, fee)

    def _depart(self, name: str, to: str, amount: int, fee: int) -> None:
        parts = [(amount - fee, None)] + ([(fee, FEES_ACCOUNT)] if fee else [])
        legs = [
            Leg(lot_id=PLAN, bytes=part, kind="plan", valid_from=0, expires_at=1, source=SOURCE,
                to=where)
            for part, where in parts
        ]  # fmt: skip
        self._tell(
            DataTransferred, correlation_id=name, transfer_id=f"t-{name}", to=to, purpose="gift",
            legs=legs,
        )  # fmt: skip
        moved = self.told[-1]
        assert isinstance(moved, DataTransferred)
        self.transit.append(moved)

    def _release(self, name: str, cause: str) -> None:
        if name not in self.holds:
            return
        amount, _ = self.holds.pop(name)
        self.free += amount
        self._tell(
            HoldReleased, correlation_id=name, hold_id=f"hold-{name}", cause=cause,
            slices=[Slice(PLAN, amount)],
        )  # fmt: skip

    def _refuse_transfer(self, name: str, to: str, code: str) -> None:
        self._tell(
            TransferRefused, correlation_id=name, transfer_id=f"t-{name}", to=to, code=code,
            detail="the ledger says no",
        )  # fmt: skip

    def _tell(self, kind: type[Event], **fields: Any) -> None:
        fields = {"account": "ann", "recorded_at": self.now, "actor": "gifting", **fields}
        self.told.append(kind(**fields))

    def check(self) -> None:
        """Assert that no byte appeared or vanished."""
        everywhere = self.free + self.held + self.on_the_way + sum(self.arrived.values())
        assert self.have == everywhere

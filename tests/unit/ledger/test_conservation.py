"""No byte appears, vanishes or is used twice, whatever the commands, clocks and crashes.

Gifts, red packets and their fees are asked as gifting does, by its events, which come again too.
"""

from contextlib import suppress
from typing import Any, ClassVar, Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from services.ledger.codec import encode
from services.ledger.domain.commands import (
    PUBLIC,
    Adjust,
    AnyCommand,
    Award,
    AwardOnTerms,
    Buy,
    ChangePlan,
    ClawBack,
    CloseAccount,
    CloseMonth,
    Fund,
    Hold,
    OpenAccount,
    Post,
    Release,
    Resume,
    Reverse,
    SetThresholds,
    Suspend,
    Touch,
    Transfer,
    Usage,
)
from services.ledger.domain.rules import CarryOver, GivenThresholds
from services.ledger.outcomes import Outcome, UsageOutcome
from shared.calendar import add_months
from shared.contracts.gifting import (
    FeePayer,
    GiftAccepted,
    GiftCancelled,
    GiftDeclined,
    GiftOffered,
    RedPacketOffered,
    ShareClaimed,
)
from shared.contracts.ledger import (
    FEES_ACCOUNT,
    DataClawedBack,
    DataHeld,
    DataReceived,
    DataSpent,
    DataTransferred,
    Event,
    HoldRefused,
    HoldReleased,
    TransferRefused,
    TransferReturned,
)
from shared.contracts.offers import Hours, RewardTerms
from shared.ids import digest
from tests.support.carrying import HOURS, SCOPES, check_carried
from tests.support.memory import CALENDAR, CrashError, MemoryBank, carrying

PEOPLE = ["ann", "bob", "cat", "dan"]
STRANGERS = ["nobody", "noone"]
AMOUNTS = st.integers(1, 40 << 20)
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CRASHES = st.sampled_from(["", "", "", "before", "after"])


CARRY_OVERS = [
    CarryOver(mode="auto_extend"),
    CarryOver(mode="auto_extend", cap_bytes=20 << 20, months=3),
    CarryOver(mode="convert_to_voucher", share_percent=67, cap_bytes=12 << 20),
]


def at_first(outcome: Outcome | UsageOutcome) -> Outcome | UsageOutcome:
    """Return an outcome as it was when it was new."""
    return replace(outcome, repeated=False)


def as_told(outcome: Outcome) -> Outcome:
    """Return what is the same each time that a saga asks: a refusal's event has no `extra`."""
    return replace(outcome, repeated=False, extra={})


def saga_of(event: GiftOffered | ShareClaimed) -> str:
    """Return the id that all events of an offer's or a claim's saga have."""
    return event.gift_id if isinstance(event, GiftOffered) else event.claim_id


class BankMachine(RuleBasedStateMachine):
    """Random commands on a bank whose processes die and whose messages repeat, swap, get lost."""

    # Every kind of command that was ever asked, each after a dry run of it.
    asked_kinds: ClassVar[set[type]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.keys = 0
        self.used: dict[str, int] = {}
        self.holds: list[tuple[str, str]] = []
        self.offers: list[GiftOffered] = []
        self.packets: list[RedPacketOffered] = []
        self.claims: list[ShareClaimed] = []

    @initialize(partitions=st.sampled_from([1, 2, 4]), carry_over=st.sampled_from(CARRY_OVERS))
    def open_bank(self, partitions: int, carry_over: CarryOver) -> None:
        self.carry_over = carry_over
        self.bank = MemoryBank(partitions, now="2015-08-28T12:00:00", rulebook=carrying(carry_over))
        self.do(
            *(
                OpenAccount(key="o", account=name, plan="std-30mb", active_from="2015-08")
                for name in PEOPLE
            ),
            OpenAccount(key="o", account="partner:didi"),
            OpenAccount(key="o", account="campaign:ride", partner="partner:didi"),
            Buy(key="b", account="partner:didi", bytes=100 << 20),
            Fund(key="f", account="partner:didi", campaign="campaign:ride", bytes=80 << 20),
        )
        self.bank.settle()

    def key(self) -> str:
        self.keys += 1
        return f"k{self.keys}"

    def do(self, *commands: AnyCommand | Usage, crash: str = "") -> None:
        """Do it as a client does: after a crash, the same again until there is an answer.

        A dry run just before says what will happen, to the last id.
        """
        self.asked_kinds.update(map(type, commands))
        rehearsed = self.bank.rehearse(*commands)
        if crash:
            with suppress(CrashError):
                self.bank.do(*commands, crash=crash)
        done = self.bank.do(*commands)
        assert crash or done == rehearsed
        assert list(map(at_first, done)) == list(map(at_first, rehearsed))

    @rule(
        who=st.sampled_from(PEOPLE),
        amount=AMOUNTS,
        back_days=st.integers(0, 70),
        group=st.sampled_from([None, "didi", "taxi"]),
        crash=CRASHES,
    )
    def use(
        self, who: str, amount: int, back_days: int, group: str | None, crash: str
    ) -> None:  # fmt: skip
        name = self.key()
        at = self.bank.clock.at - back_days * DAY_MS
        usage = Usage(usage_id=name, account=who, bytes=amount, occurred_at=at, rating_group=group)
        self.do(usage, crash=crash)
        if self.bank.account(who).status == "active":
            self.used[name] = amount

    @rule(
        who=st.sampled_from([*PEOPLE, "partner:didi"]),
        amount=AMOUNTS,
        days=st.integers(0, 50),
        crash=CRASHES,
    )
    def buy(self, who: str, amount: int, days: int, crash: str) -> None:
        until = CALENDAR.text(self.bank.clock.at + days * DAY_MS) if days else None
        self.do(Buy(key=self.key(), account=who, bytes=amount, expires_at=until), crash=crash)

    @rule(
        giver=st.sampled_from(PEOPLE),
        to=st.sampled_from(PEOPLE + STRANGERS),
        amount=AMOUNTS,
        crash=CRASHES,
    )
    def give(self, giver: str, to: str, amount: int, crash: str) -> None:
        self.do(Transfer(key=self.key(), account=giver, to=to, bytes=amount), crash=crash)

    @rule(amount=AMOUNTS, to=st.sampled_from(["campaign:ride", "campaign:none"]))
    def fund(self, amount: int, to: str) -> None:
        self.do(Fund(key=self.key(), account="partner:didi", campaign=to, bytes=amount))

    @rule(amount=AMOUNTS, to=st.sampled_from(PEOPLE + STRANGERS), crash=CRASHES)
    def award(self, amount: int, to: str, crash: str) -> None:
        self.do(
            Award(key=self.key(), account="campaign:ride", subscriber=to, bytes=amount), crash=crash
        )

    @rule(
        to=st.sampled_from(PEOPLE + STRANGERS),
        amount=AMOUNTS,
        days=st.integers(0, 40),
        scope=st.sampled_from(SCOPES),
        hours=st.sampled_from([None, None, *HOURS]),
        giftable=st.booleans(),
        carries=st.booleans(),
        delivered=st.booleans(),
    )
    def award_on_terms(
        self, to: str, amount: int, days: int, scope: str | list[str], hours: Hours | None, *,
        giftable: bool, carries: bool, delivered: bool,
    ) -> None:  # fmt: skip
        begins = CALENDAR.month_start(CALENDAR.month_of(self.bank.clock.at))
        terms = RewardTerms(
            kind="pack" if carries else "award", valid_from=begins,
            expires_at=CALENDAR.month_end(CALENDAR.month_of(begins + days * DAY_MS)),
            scope=scope, hours=hours, giftable=giftable, carries=carries,
        )  # fmt: skip
        self.do(
            AwardOnTerms(
                key=self.key(), account="campaign:ride", subscriber=to, bytes=amount, terms=terms
            )
        )
        if delivered:
            self.bank.settle()

    @rule(who=st.sampled_from(PEOPLE), amount=AMOUNTS, hours=st.integers(1, 700), crash=CRASHES)
    def hold(self, who: str, amount: int, hours: int, crash: str) -> None:
        deadline = CALENDAR.text(self.bank.clock.at + hours * HOUR_MS)
        key = self.key()
        self.do(Hold(key=key, account=who, bytes=amount, deadline=deadline), crash=crash)
        self.holds.append((who, digest("operator", who, key).hex()))

    @rule(data=st.data(), to=st.sampled_from(PEOPLE + STRANGERS), amount=st.none() | AMOUNTS)
    def post(self, data: st.DataObject, to: str, amount: int | None) -> None:
        if self.holds:
            who, name = data.draw(st.sampled_from(self.holds))
            crash = data.draw(CRASHES)
            post = Post(key=self.key(), account=who, hold_id=name, to=to, bytes=amount)
            self.do(post, crash=crash)

    @rule(data=st.data(), crash=CRASHES)
    def release(self, data: st.DataObject, crash: str) -> None:
        if self.holds:
            who, name = data.draw(st.sampled_from(self.holds))
            self.do(Release(key=self.key(), account=who, hold_id=name), crash=crash)

    def hear(self, event: Event, crash: str = "") -> None:
        """Let the ledger hear of gifting's event, once more than once."""
        if crash:
            with suppress(CrashError):
                self.bank.hear(event, crash=crash)
        first = self.bank.hear(event)
        assert list(map(as_told, self.bank.hear(event))) == list(map(as_told, first))

    @rule(
        giver=st.sampled_from(PEOPLE),
        to=st.sampled_from(PEOPLE + STRANGERS),
        amount=AMOUNTS,
        fee=st.sampled_from([0, 0, 1, 1 << 20]),
        payer=st.sampled_from(["sender", "receiver"]),
        hours=st.none() | st.integers(1, 700),
    )
    def offer(
        self, giver: str, to: str, amount: int, fee: int, payer: FeePayer, hours: int | None
    ) -> None:  # fmt: skip
        deadline = 0 if hours is None else self.bank.clock.at + hours * HOUR_MS
        event = GiftOffered(
            account=giver, recorded_at=0, actor="gifting", gift_id=self.key(), receiver=to,
            bytes=amount, waits=hours is not None, deadline=deadline, fee_bytes=fee,
            fee_payer=payer,
        )  # fmt: skip
        self.offers.append(event)
        self.hear(event, "after")

    @rule(data=st.data(), crash=CRASHES)
    def answer_an_offer(self, data: st.DataObject, crash: str) -> None:
        waiting = [offer for offer in self.offers if offer.waits]
        if not waiting:
            return
        offer = data.draw(st.sampled_from(waiting))
        kind = data.draw(st.sampled_from([GiftAccepted, GiftAccepted, GiftDeclined, GiftCancelled]))
        told: dict[str, Any] = {"receiver": offer.receiver, "fee_bytes": offer.fee_bytes,
                                "fee_payer": offer.fee_payer}  # fmt: skip
        self.hear(
            kind(
                account=offer.account, recorded_at=0, actor="gifting", gift_id=offer.gift_id,
                hold_id="", **(told if kind is GiftAccepted else {}),
            ),
            crash,
        )  # fmt: skip

    @rule(
        giver=st.sampled_from(PEOPLE),
        amount=AMOUNTS,
        fee=st.sampled_from([0, 100]),
        hours=st.integers(1, 72),
        crash=CRASHES,
    )
    def wrap(self, giver: str, amount: int, fee: int, hours: int, crash: str) -> None:
        event = RedPacketOffered(
            account=giver, recorded_at=0, actor="gifting", packet_id=self.key(), bytes=amount,
            deadline=self.bank.clock.at + hours * HOUR_MS, fee_bytes=fee,
        )  # fmt: skip
        self.packets.append(event)
        self.hear(event, crash)

    @rule(data=st.data(), to=st.sampled_from(PEOPLE + STRANGERS), crash=CRASHES)
    def claim(self, data: st.DataObject, to: str, crash: str) -> None:
        if not self.packets:
            return
        packet = data.draw(st.sampled_from(self.packets))
        amount = data.draw(st.integers(1, packet.bytes))
        event = ShareClaimed(
            account=packet.account, recorded_at=0, actor="gifting", claim_id=self.key(),
            packet_id=packet.packet_id, hold_id="", receiver=to, position=0, bytes=amount,
            fee_bytes=packet.fee_bytes // 2,
        )  # fmt: skip
        self.claims.append(event)
        self.hear(event, crash)

    @rule(who=st.sampled_from(PEOPLE))
    def look_at(self, who: str) -> None:
        self.do(Touch(key="touch", account=who))

    @rule(
        who=st.sampled_from(PEOPLE),
        give=st.booleans(),
        amount=AMOUNTS,
        crash=CRASHES,
    )
    def adjust(self, who: str, *, give: bool, amount: int, crash: str) -> None:
        direction: Literal["give", "take"] = "give" if give else "take"
        adjustment = Adjust(
            key=self.key(), account=who, direction=direction, bytes=amount, reason="test"
        )
        self.do(adjustment, crash=crash)

    @rule(data=st.data(), crash=CRASHES)
    def reverse(self, data: st.DataObject, crash: str) -> None:
        lines = [
            (event.account, line)
            for partition in self.bank.partitions
            for event in partition.events()
            if isinstance(event, DataSpent)
            for line in event.lines
        ]
        if lines:
            account, line = data.draw(st.sampled_from(lines))
            # Reversing again, with another key, is refused and must change nothing.
            undo = Reverse(key=self.key(), account=account, usage_id=line.usage_id, reason="test")
            self.do(undo, crash=crash)

    @rule(data=st.data(), crash=CRASHES)
    def claw_back(self, data: st.DataObject, crash: str) -> None:
        arrived = [
            (event.account, event.transfer_id)
            for partition in self.bank.partitions
            for event in partition.events()
            if isinstance(event, DataReceived)
        ]
        if arrived:
            account, transfer_id = data.draw(st.sampled_from(arrived))
            # Again, with another key, is refused and must change nothing.
            self.do(
                ClawBack(key=self.key(), account=account, transfer_id=transfer_id, reason="test"),
                crash=crash,
            )

    @rule(
        who=st.sampled_from(PEOPLE),
        percents=st.lists(st.integers(1, 100), max_size=2, unique=True),
        low=st.none() | AMOUNTS,
        days=st.lists(st.integers(1, 40), max_size=2, unique=True),
        own=st.booleans(),
        crash=CRASHES,
    )
    def set_thresholds(
        self, who: str, percents: list[int], low: int | None, days: list[int], *, own: bool,
        crash: str,
    ) -> None:  # fmt: skip
        given = GivenThresholds(
            plan_used_percent=percents, low_balance_bytes=low, expiring_days=days
        )
        command = SetThresholds(key=self.key(), account=who, thresholds=given if own else None)
        self.do(command, crash=crash)

    @rule(who=st.sampled_from(PEOPLE), what=st.sampled_from([Suspend, Resume, Resume]))
    def suspend_or_resume(self, who: str, what: type[Suspend | Resume]) -> None:
        self.do(what(key=self.key(), account=who))

    @rule(who=st.sampled_from(PEOPLE), plan=st.sampled_from(["std-100mb", "basic-10mb"]))
    def change_plan(self, who: str, plan: str) -> None:
        self.do(ChangePlan(key=self.key(), account=who, plan=plan))

    @rule(chance=st.integers(0, 9))
    def end_an_account(self, chance: int) -> None:
        if chance == 0:
            self.do(CloseAccount(key=self.key(), account="dan"))

    @rule(days=st.integers(0, 40))
    def time_passes(self, days: int) -> None:
        self.bank.clock.at += days * DAY_MS

    @rule(back=st.integers(0, 3), crash=CRASHES)
    def close(self, back: int, crash: str) -> None:
        month = add_months(CALENDAR.month_of(self.bank.clock.at), -back)
        accounts = [*PEOPLE, "partner:didi", "campaign:ride"]
        self.do(
            *(CloseMonth(key=f"c{month}", account=name, month=month) for name in accounts),
            crash=crash,
        )

    @rule(delivered=st.booleans(), crash=CRASHES)
    def a_month_ends(self, *, delivered: bool, crash: str) -> None:
        if delivered:
            self.bank.settle()
        month = CALENDAR.month_of(self.bank.clock.at)
        self.bank.clock.at = CALENDAR.month_end(month) + 12 * HOUR_MS
        self.close(1, crash)

    @rule(data=st.data(), crash=CRASHES)
    def deliver_something(self, data: st.DataObject, crash: str) -> None:
        """Any event, early, late or again: what lies between is pulled, what is old is dropped."""
        numbers = st.integers(0, len(self.bank.partitions) - 1)
        source, target = data.draw(numbers), data.draw(numbers)
        length = len(self.bank.partitions[source].log)
        if length == 0:
            return
        index = length - 1 - data.draw(st.integers(0, length - 1))
        try:
            self.bank.deliver(target, source, index, crash)
        except CrashError:
            self.bank.deliver(target, source, index)

    @rule()
    def deliver_everything(self) -> None:
        self.bank.settle()

    @invariant()
    def every_account_balances(self) -> None:
        for partition in self.bank.partitions:
            for stream, account in partition.refolded().items():
                assert account.balances(), account
                assert encode(account) == partition.states[stream][1]

    @invariant()
    def bytes_stay_what_they_are_for_and_never_more_than_the_cap_is_carried(self) -> None:
        """Whatever closes them, holds them over their end, or brings them back."""
        for partition in self.bank.partitions:
            check_carried(partition.events(), self.carry_over)

    @invariant()
    def every_record_is_charged_once(self) -> None:
        lines = [
            (
                line.usage_id,
                line.bytes,
                sum(part.bytes for part in line.slices) + line.unfunded_bytes,
            )
            for partition in self.bank.partitions
            for event in partition.events()
            if isinstance(event, DataSpent)
            for line in event.lines
        ]
        assert {name: charged for name, _, charged in lines} == self.used
        assert len(lines) == len(self.used)

    @invariant()
    def every_transfer_is_clawed_back_once_and_by_no_more_than_arrived(self) -> None:
        events = [event for partition in self.bank.partitions for event in partition.events()]
        came = {
            event.transfer_id: sum(lot.granted for lot in event.lots)
            for event in events
            # The arrival of a fee has its transfer's id, too.
            if isinstance(event, DataReceived) and event.account != FEES_ACCOUNT
        }
        clawed = [
            (event.undoes, sum(leg.bytes for leg in event.legs) + event.shortfall_bytes)
            for event in events
            if isinstance(event, DataTransferred) and event.undoes is not None
        ]
        assert all(came[name] == amount for name, amount in clawed)
        assert len({name for name, _ in clawed}) == len(clawed)
        put_back = [event.undoes for event in events if isinstance(event, DataClawedBack)]
        assert len(set(put_back)) == len(put_back) <= len(clawed)

    def teardown(self) -> None:
        """In the end everything that departed has arrived or is back, and every saga has ended."""
        if hasattr(self, "bank"):
            assert self.bank.in_transit() >= 0
            self.bank.settle()
            assert self.bank.in_transit() == 0
            self.bank.clock.at += 31 * DAY_MS
            self.do(*(Touch(key="due", account=name) for name in PEOPLE))
            self.bank.settle()
            self.every_account_balances()
            self.every_saga_has_one_end()
            self.fees_are_what_arrived_transfers_paid()

    def asked(self) -> list[GiftOffered | ShareClaimed]:
        return [*self.offers, *self.claims]

    def every_saga_has_one_end(self) -> None:
        for event in self.asked():
            ends = self.ends_of(saga_of(event), event.receiver)
            # A post that comes after the hold's end is refused beside it.
            told = ends - {"TransferRefused"} or ends
            assert len(told) == 1, (event, ends)
        for packet in self.packets:
            held = {h.hold_id: h for h in self.bank.told(DataHeld, packet.packet_id)}
            gone = sum(leg.bytes for t in self.bank.told(DataTransferred) if t.hold_id in held
                       for leg in t.legs)  # fmt: skip
            back = sum(part.bytes for r in self.bank.told(HoldReleased) if r.hold_id in held
                       for part in r.slices)  # fmt: skip
            assert gone + back == sum(p.bytes for h in held.values() for p in h.slices)

    def ends_of(self, saga: str, receiver: str) -> set[str]:
        kinds = (HoldRefused, HoldReleased, TransferRefused, TransferReturned, DataReceived)
        found = [event for kind in kinds for event in self.bank.told(kind, saga)]
        ends = [e for e in found if not isinstance(e, DataReceived) or e.account == receiver]
        names = [type(event).__name__ for event in ends]
        assert len(names) == len(set(names)), ends
        return set(names)

    def fees_are_what_arrived_transfers_paid(self) -> None:
        paid = sum(
            event.fee_bytes
            for event in self.asked()
            if "DataReceived" in self.ends_of(saga_of(event), event.receiver)
        )
        fees = self.bank.of(FEES_ACCOUNT).account(FEES_ACCOUNT)
        assert paid == (fees.received if fees is not None else 0)


class TestConservation(BankMachine.TestCase):  # type: ignore[valid-type, misc]
    """The machine, run."""

    def runTest(self) -> None:  # noqa: N802 The name is unittest's.
        """Run it; every public command must have been among what it did."""
        super().runTest()
        assert set(PUBLIC) <= BankMachine.asked_kinds


TestConservation.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

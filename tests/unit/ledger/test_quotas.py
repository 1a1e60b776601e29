"""A budget is never exceeded and never left unused, however its quotas' events are interleaved."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.ledger.codec import encode
from services.ledger.domain.commands import (
    Adjust,
    Award,
    Buy,
    ClawBack,
    EndCampaign,
    Fund,
    OpenAccount,
    Resume,
    Reverse,
    Suspend,
    Usage,
)
from shared.contracts.ledger import DataReceived
from shared.contracts.offers import Caps, Offer
from tests.support.memory import CALENDAR, CrashError, MemoryBank

PARTNER, RIDES = "partner:didi", "campaign:rides"
PEOPLE = [f"p{n}" for n in range(6)]
PLAN_BYTES = 30 << 20
DAY_MS = 86_400_000
AMOUNTS = st.integers(1, 4_000)
CRASHES = st.sampled_from(["", "", "", "before", "after"])


class Charging(RuleBasedStateMachine):
    """Records, refills, recalls and crashes over three partitions."""

    def open(self, budget: int, per_day: int | None) -> None:
        """Open a bank with a campaign of this budget, and of this for each day."""
        self.bank = MemoryBank(partitions=3)
        self.number = 0
        self.sent: dict[str, Usage] = {}
        self.done: dict[str, Any] = {}
        self.per_day = per_day
        self.bank.do(
            *(OpenAccount(key="o", account=name, plan="std-30mb") for name in PEOPLE),
            OpenAccount(key="o", account=PARTNER),
            OpenAccount(key="o", account=RIDES, partner=PARTNER),
            Buy(key="b", account=PARTNER, bytes=10_000_000),
            Fund(key="f", account=PARTNER, campaign=RIDES, bytes=budget),
        )
        self.bank.settle()
        self.budget = budget
        caps = Caps(per_day_bytes=per_day)
        self.bank.sponsor(
            Offer(
                campaign=RIDES, version=1, partner=PARTNER, sponsor_id="s", asp_id="a",
                rating_group="didi", starts_at=0, caps=caps,
            )
        )  # fmt: skip

    def _name(self) -> str:
        self.number += 1
        return f"n{self.number}"

    def _charge(self, records: list[Usage], crash: str = "") -> None:
        try:
            outcomes = self.bank.do(*records, crash=crash)
        except CrashError:
            return
        for one, outcome in zip(records, outcomes, strict=True):
            if outcome.status == "done":
                self.done[one.usage_id] = outcome

    @rule(who=st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=5), amount=AMOUNTS,
          crash=CRASHES)  # fmt: skip
    def use(self, who: list[str], amount: int, crash: str) -> None:
        records = [
            Usage(usage_id=self._name(), account=name, bytes=amount, rating_group="didi",
                  occurred_at=self.bank.clock.now())
            for name in who
        ]  # fmt: skip
        self.sent |= {one.usage_id: one for one in records}
        self._charge(records, crash)

    @rule(ms=st.integers(1, 20_000))
    def wait(self, ms: int) -> None:
        """Let time pass, and the ledger do what is due by then."""
        self.bank.clock.at += ms
        self.bank.do_due()

    @rule()
    def send_again(self) -> None:
        self._charge([one for name, one in self.sent.items() if name not in self.done])

    @rule(into=st.integers(0, 2), source=st.integers(0, 2), part=st.floats(0, 1), crash=CRASHES)
    def deliver(self, into: int, source: int, part: float, crash: str) -> None:
        log = self.bank.partitions[source].log
        if not log:
            return
        try:
            self.bank.deliver(into, source, int(part * (len(log) - 1)), crash)
        except CrashError:
            return

    @invariant()
    def no_byte_is_lost_and_no_budget_exceeded(self) -> None:
        if not hasattr(self, "bank"):
            return
        sums: Counter[str] = Counter()
        for partition in self.bank.partitions:
            for stream, account in partition.refolded().items():
                assert account.balances()
                assert encode(account) == partition.states[stream][1]
                if account.kind in ("quota", "campaign"):
                    sums["spent"] += account.spent
                    sums["there"] += sum(lot.remaining for lot in account.lots.values())
        assert sums["spent"] <= self.budget
        assert sums["spent"] + sums["there"] <= self.budget
        assert self.bank.in_transit() >= 0

    def _send_until_done(self) -> None:
        """Send records again, as importers do, until every one is charged."""
        for _ in range(40):
            self.send_again()
            if len(self.done) == len(self.sent):
                break
            self.bank.settle()
            self.wait(3_000)
        assert len(self.done) == len(self.sent), "some records are put off for ever"
        self.bank.settle()

    def _left(self) -> int:
        accounts = [a for p in self.bank.partitions for a in p.refolded().values()]
        return sum(
            lot.remaining for account in accounts if account.kind in ("quota", "campaign")
            for lot in account.lots.values()
        )  # fmt: skip


class Exact(Charging):
    """Nothing but records: what they ask for is charged to the last byte that there is."""

    @initialize(budget=st.integers(1, 20_000))
    def begin(self, budget: int) -> None:
        self.open(budget, None)

    def teardown(self) -> None:
        """Once every record was charged, users paid for nothing while the campaign had bytes."""
        if not hasattr(self, "bank"):
            return
        self._send_until_done()
        asked = sum(one.bytes for one in self.sent.values())
        assert self._left() == max(0, self.budget - asked)


class Quotas(Charging):
    """Awards, reversals, clawbacks, new funds, suspensions and days among them."""

    @initialize(budget=st.integers(1, 20_000), per_day=st.none() | st.integers(500, 20_000))
    def begin(self, budget: int, per_day: int | None) -> None:
        self.open(budget, per_day)

    @rule(amount=AMOUNTS)
    def fund(self, amount: int) -> None:
        self.bank.do(Fund(key=self._name(), account=PARTNER, campaign=RIDES, bytes=amount))
        self.budget += amount

    @rule(who=st.sampled_from(PEOPLE), amount=AMOUNTS)
    def award(self, who: str, amount: int) -> None:
        self.bank.do(Award(key=self._name(), account=RIDES, subscriber=who, bytes=amount))

    @rule(data=st.data())
    def claw_back(self, data: st.DataObject) -> None:
        """Claw back whatever has arrived anywhere; what may not be must be refused."""
        arrived = self.bank.told(DataReceived)
        if arrived:
            one = data.draw(st.sampled_from(arrived))
            self.bank.do(
                ClawBack(key=self._name(), account=one.account, transfer_id=one.transfer_id,
                         reason="x")
            )  # fmt: skip

    @rule(amount=AMOUNTS)
    def give_by_hand(self, amount: int) -> None:
        self.bank.do(
            Adjust(key=self._name(), account=RIDES, direction="give", bytes=amount, reason="x",
                   expires_at="2016-08-01T00:00:00")
        )  # fmt: skip
        self.budget += amount

    @rule(what=st.sampled_from([Suspend, Resume, Resume]))
    def suspend_or_resume(self, what: type[Suspend | Resume]) -> None:
        self.bank.do(what(key=self._name(), account=RIDES))

    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        if self.done:
            name = data.draw(st.sampled_from(sorted(self.done)))
            who = self.sent[name].account
            self.bank.do(Reverse(key=self._name(), account=who, usage_id=name, reason="x"))

    @rule()
    def a_day_later(self) -> None:
        self.bank.clock.at += DAY_MS

    def teardown(self) -> None:
        """Whatever happened before: what is asked for long enough is charged to the last byte."""
        if not hasattr(self, "bank"):
            return
        self.bank.do(Resume(key=self._name(), account=RIDES))
        # What is on its way at midnight comes back too late for the new day's first asks.
        self.bank.settle()
        self.bank.clock.at += DAY_MS
        day = CALENDAR.day_of(self.bank.clock.now())
        self._exhaust()
        left = self._left()
        if self.per_day is None:
            assert left == 0
        else:
            assert CALENDAR.day_of(self.bank.clock.now()) == day
            paid_today = self._paid_on(day)
            assert paid_today <= self.per_day
            assert left == 0 or paid_today == self.per_day
        self._end()

    def _exhaust(self) -> None:
        """Ask for more than there is, as importers do, until every record is charged."""
        for name in PEOPLE:
            for _ in range(3):
                one = Usage(usage_id=self._name(), account=name, bytes=150_000,
                            rating_group="didi", occurred_at=self.bank.clock.now())  # fmt: skip
                self.sent[one.usage_id] = one
        self._send_until_done()

    def _paid_on(self, day: str) -> int:
        return sum(
            line.bytes
            for partition in self.bank.partitions for event in partition.events()
            if getattr(event, "campaign", None) == RIDES and hasattr(event, "lines")
            and CALENDAR.day_of(event.recorded_at) == day
            for line in event.lines
        )  # fmt: skip

    def _end(self) -> None:
        """What is left when a campaign ends is the partner's again, and nothing is on its way."""
        self.bank.sponsor()
        before = self._left()
        had = sum(lot.remaining for lot in self.bank.account(PARTNER).lots.values())
        self.bank.do(EndCampaign(key="end", account=RIDES))
        self.bank.settle()
        # What comes back to a quota after the end goes on at once, too.
        paid = [name for name in self.done if self.done[name].sponsored_bytes]
        for name in paid[:2]:
            who = self.sent[name].account
            undone = self.bank.do(Reverse(key="late", account=who, usage_id=name, reason="x"))
            before += self.done[name].sponsored_bytes * (undone[0].status == "done")
        self.bank.settle()
        assert self._left() == 0
        assert self.bank.in_transit() == 0
        self._claw_back_what_came_back()
        has = sum(lot.remaining for lot in self.bank.account(PARTNER).lots.values())
        assert has == had + before

    def _claw_back_what_came_back(self) -> None:
        """What only moved within the campaign is nobody's to claw back."""
        for one in self.bank.told(DataReceived):
            if one.purpose in ("refill", "give_back", "refund"):
                undo = ClawBack(
                    key=self._name(), account=one.account, transfer_id=one.transfer_id, reason="x"
                )
                assert self.bank.do(undo)[0].code == "transfer_not_found"


Exact.TestCase.settings = Quotas.TestCase.settings = settings(
    max_examples=120, stateful_step_count=25, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestExact = Exact.TestCase
TestQuotas = Quotas.TestCase

"""The job that looks at what is due: each crossing is told once, and the job comes to an end."""

from threading import Event

import msgspec
import pytest

from services.ledger import jobs
from services.ledger.bank import Bank
from services.ledger.domain.commands import Buy, Hold, OpenAccount, SetThresholds, Usage
from services.ledger.domain.rules import GivenThresholds, RuleBook
from services.ledger.jobs import look_at_due
from shared.bus.doorbell import Doorbell
from shared.contracts.ledger import ThresholdCrossed
from tests.support.ledger import MIB, RealLedger
from tests.support.memory import CALENDAR, RULEBOOK

PEOPLE = [f"p{number}" for number in range(8)]


@pytest.fixture
def bank(ledger: RealLedger) -> Bank:
    return bank_of(ledger)


def bank_of(ledger: RealLedger) -> Bank:
    return Bank(
        bank_id="bank", epoch=1, sandbox=True, close_at="1 06:00", calendar=CALENDAR,
        clock=ledger.clock, ledger=ledger.ledger, logs=ledger.logs, consumers=ledger.consumers,
        doorbell=Doorbell(ledger.url),
    )  # fmt: skip


def told(ledger: RealLedger) -> list[tuple[str, str]]:
    rows = [
        row
        for number in range(len(ledger.partitions))
        for row in ledger.rows(number, "SELECT topic, state FROM stored_events ORDER BY 1, 2")
    ]
    events = [
        msgspec.json.decode(bytes(state), type=ThresholdCrossed)
        for topic, state in rows
        if topic == ThresholdCrossed.TYPE
    ]
    return sorted((event.account, event.name) for event in events)


def test_the_clock_alone_tells_what_expires_once(ledger, bank):
    until = "2015-08-28T00:00:00"
    for name in PEOPLE:
        ledger.do(OpenAccount(key="o", account=name, plan="std-30mb"))
        ledger.do(Buy(key="b", account=name, bytes=MIB, expires_at=until))
    for at, names in [
        ("2015-08-20T12:00:00", []),
        ("2015-08-21T00:00:00", ["expiring:7"]),
        ("2015-08-24T00:00:00", ["expiring:7"]),
        ("2015-08-25T00:00:00", ["expiring:3", "expiring:7"]),
        ("2015-09-05T00:00:00", ["expiring:3", "expiring:7"]),
    ]:
        ledger.at(at)
        look_at_due(bank, Event())
        look_at_due(bank, Event())
        assert told(ledger) == sorted((who, name) for who in PEOPLE for name in names)
        assert not any(each.accounts_due(ledger.clock.now(), 10) for each in ledger.partitions)
    ledger.verified()


def test_where_a_lot_ended_untold_the_job_comes_to_an_end_too(ledger, bank):
    ledger.do(OpenAccount(key="o", account="p0", plan="std-30mb"))
    ledger.do(Buy(key="b", account="p0", bytes=MIB, expires_at="2015-08-28T00:00:00"))
    ledger.do(Hold(key="h", account="p0", bytes=MIB, deadline="2015-08-20T00:00:00"))
    ledger.at("2015-09-20T00:00:00")
    look_at_due(bank, Event())
    assert told(ledger) == []
    assert not any(each.accounts_due(ledger.clock.now(), 10) for each in ledger.partitions)
    ledger.verified()


@pytest.mark.parametrize("at_once", [1, 1_000])
def test_an_account_for_which_nothing_can_be_done_holds_nobody_else_up(
    ledger, make_ledger, bank, monkeypatch, at_once
):
    """Whatever touches it is refused: the rules have lost its plan."""
    monkeypatch.setattr(jobs, "DUE_BATCH", at_once)
    for name in PEOPLE:
        plan = "std-100mb" if name in PEOPLE[:2] else "std-30mb"
        ledger.do(OpenAccount(key="o", account=name, plan=plan))
        ledger.do(Hold(key="h", account=name, bytes=MIB, deadline="2015-08-31T00:00:00"))
    ledger.at("2015-09-01T00:00:00")
    rules = RULEBOOK.latest()
    plans = {name: plan for name, plan in rules.plans.items() if name != "std-100mb"}
    book = RuleBook([(0, msgspec.structs.replace(rules, plans=plans))])
    broken = make_ledger(ledger.clock, rulebook=book)
    look_at_due(bank_of(broken), Event())
    holding = {name for name in PEOPLE if broken.ledger.account(name)[0].holds}
    assert holding == set(PEOPLE[:2])
    look_at_due(bank, Event())
    assert not any(ledger.ledger.account(name)[0].holds for name in PEOPLE)


def test_thresholds_of_its_own_are_followed_by_the_job(ledger, bank):
    ledger.do(OpenAccount(key="o", account="p0", plan="std-30mb"))
    ledger.do(SetThresholds(key="s", account="p0", thresholds=GivenThresholds(expiring_days=[1])))
    ledger.do(Buy(key="b", account="p0", bytes=MIB, expires_at="2015-08-28T00:00:00"))
    ledger.at("2015-08-26T00:00:00")
    look_at_due(bank, Event())
    assert told(ledger) == []
    ledger.at("2015-08-27T00:00:00")
    look_at_due(bank, Event())
    assert told(ledger) == [("p0", "expiring:1")]


def test_a_repeated_command_answers_without_the_crossings_that_it_caused(ledger):
    ledger.do(OpenAccount(key="o", account="p0", plan="std-30mb"))
    record = Usage(usage_id="u", account="p0", bytes=25 * MIB, occurred_at=ledger.clock.now())
    ledger.do(record)
    pack = Buy(key="b", account="p0", bytes=MIB, expires_at="2015-08-12T00:00:00")
    first, again = ledger.do(pack)[0], ledger.do(pack)[0]
    assert first.events == again.events
    assert [event.type for event in first.events] == ["bank.ledger.data_earned.v1"]
    assert ("p0", "expiring:3") in told(ledger)
    ledger.verified()

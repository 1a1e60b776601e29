"""What the ledger does by itself when time passes, and by which version of the rules."""

import json
import subprocess
import sys
from threading import Event
from typing import Any

import pytest

from infra.runtime.programs import ROOT
from services.ledger.bank import Bank
from services.ledger.bootstrap import make_bank
from services.ledger.domain.commands import Buy, OpenAccount, Transfer, Usage
from services.ledger.domain.rules import RuleBook
from services.ledger.jobs import (
    CLOSE_AGAIN_S,
    close_last_month,
    grant_cycles,
    parse_close_at,
    wait_s,
)
from services.ledger.rules import BUILT_IN, load_rules
from shared.bus.doorbell import Doorbell
from shared.config import Settings
from shared.errors import InvalidError
from tests.support.bank import wait_until
from tests.support.ledger import MIB, NOON, RealLedger, environment, sandbox_clock
from tests.support.memory import CALENDAR

PEOPLE = [f"person-{n}" for n in range(7)]
FOREVER = Event()
WORKER_S = 60


def bank_of(ledger: RealLedger) -> Bank:
    """Return the parts that the jobs know."""
    return Bank(
        bank_id="bank", epoch=1, sandbox=False, close_at="1 06:00", calendar=CALENDAR,
        clock=ledger.clock, ledger=ledger.ledger, logs=ledger.logs, consumers=ledger.consumers,
        doorbell=Doorbell(ledger.url),
    )  # fmt: skip


@pytest.fixture
def bank(ledger):
    """A bank with subscribers, a partner and a campaign."""
    ledger.do(
        *(OpenAccount(key="o", account=name, plan="std-30mb") for name in PEOPLE),
        OpenAccount(key="o", account="partner:didi"),
        OpenAccount(key="o", account="campaign:ride", partner="partner:didi"),
    )
    return bank_of(ledger)


def earned(ledger: Any) -> list[int]:
    return [ledger.ledger.account(name)[0].earned // MIB for name in PEOPLE]


def returned(ledger: Any) -> list[int]:
    return [ledger.ledger.account(name)[0].returned for name in PEOPLE]


def events(ledger: Any) -> int:
    return int(ledger.verified()["events"])


def test_a_new_month_grants_everybodys_plan_lot_once(bank, ledger):
    grant_cycles(bank, FOREVER)
    assert earned(ledger) == [30] * 7
    before = events(ledger)

    ledger.at("2015-09-01T00:00:00+08:00")
    ledger.do(Usage(usage_id="u", account=PEOPLE[0], bytes=1, occurred_at=ledger.clock.now()))
    for _ in range(3):
        grant_cycles(bank, FOREVER)
    assert earned(ledger) == [60] * 7
    assert events(ledger) == before + 7 + 1

    ledger.at("2015-12-31T23:59:59+08:00")
    grant_cycles(bank, FOREVER)
    assert earned(ledger) == [150] * 7
    assert set(ledger.ledger.account(PEOPLE[3])[0].lots) == {
        f"plan:2015-{m:02}" for m in range(8, 13)
    }


def test_a_cycle_that_was_broken_off_goes_on_where_it_was(bank, ledger):
    ledger.at("2015-09-01T00:00:00+08:00")
    stopped = Event()
    stopped.set()
    grant_cycles(bank, stopped)
    assert sum(earned(ledger)) < 60 * 7

    grant_cycles(bank, FOREVER)
    assert earned(ledger) == [60] * 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 06:00", (1, 360)), ("28 23:59", (28, 1439)), ("3 0:05", (3, 5)), ("1 00:00", (1, 0))],
)
def test_the_day_and_time_of_closing_are_read(text, expected):
    assert parse_close_at(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1", "06:00", "1 06", "0 06:00", "29 06:00", "1 24:00", "1 06:60", "1 -1:30", "x 06:00",
     "1 06:00:00", "1 06:-5", "1  06:00 pm"],
)  # fmt: skip
def test_a_day_or_time_that_is_none_is_refused(text):
    with pytest.raises(InvalidError, match="BANK_CLOSE_AT"):
        parse_close_at(text)


def test_a_process_with_no_time_of_closing_does_not_start():
    with pytest.raises(InvalidError, match="BANK_CLOSE_AT"):
        make_bank(Settings(bank_close_at="tomorrow"))


def test_the_last_month_is_closed_at_its_hour_and_once(bank, ledger):
    ledger.at("2015-09-03T05:59:59+08:00")
    close_last_month(bank, 3, 360)
    assert {ledger.ledger.account(name)[0].closed_through for name in PEOPLE} == {None}

    ledger.at("2015-09-03T06:00:00+08:00")
    close_last_month(bank, 3, 360)
    closed = ledger.ledger.account("campaign:ride")[0].closed_through
    states = [ledger.ledger.account(name)[0] for name in PEOPLE]
    assert closed == "2015-08"
    assert {state.closed_through for state in states} == {"2015-08"}
    assert all(state.lots["carry:2015-08:any"].remaining == 30 * MIB for state in states)
    before = events(ledger)

    ledger.at("2015-09-30T23:00:00+08:00")
    close_last_month(bank, 3, 360)
    assert events(ledger) == before


def test_after_a_refused_close_the_next_one_waits_ten_times_as_long_as_it_took() -> None:
    assert wait_s(refused=0, took_s=500.0) == 0
    assert wait_s(refused=1, took_s=0.1) == CLOSE_AGAIN_S
    assert wait_s(refused=1, took_s=30.0) == 300


def test_a_close_that_was_missed_is_made_up_for_with_the_next_one(bank, ledger):
    ledger.at("2015-11-01T06:00:00+08:00")
    close_last_month(bank, 1, 360)
    state = ledger.ledger.account(PEOPLE[0])[0]
    assert state.closed_through == "2015-10"
    assert state.expired == 2 * 30 * MIB
    ledger.verified()


def versions(**second: Any) -> list[dict[str, Any]]:
    """Return the built-in rules and a second version that differs, in force from mid-month on."""
    first = json.loads(BUILT_IN.read_bytes())[0]
    return [first, {**first, "version": 2, "effective_from": "2015-08-20T00:00:00", **second}]


def rulebook(path: Any, content: Any) -> RuleBook:
    path.write_text(json.dumps(content))
    return load_rules(path, CALENDAR)


def test_the_order_of_use_is_that_in_force_at_the_decision(tmp_path, make_ledger):
    order = {"by": ["kind"], "kinds": ["plan", "pack"]}
    book = rulebook(tmp_path / "rules.json", versions(order_of_use=order))
    ledger = make_ledger(rulebook=book)
    ledger.do(
        OpenAccount(key="o", account="ann", plan="std-30mb"),
        Buy(key="b", account="ann", bytes=MIB, expires_at="2015-08-28T00:00:00"),
    )
    for number, day in enumerate(("19", "21")):
        ledger.at(f"2015-08-{day}T00:00:00+08:00")
        # Both records are of one time; what counts is when they are charged.
        at = CALENDAR.parse("2015-08-18T00:00:00")
        ledger.do(Usage(usage_id=f"u{number}", account="ann", bytes=10, occurred_at=at))

    stored = ledger.ledger.partition_for("ann").account_events("ann", 0, 10)
    spent = [json.loads(state) for _, kind, state in stored if "data_spent" in kind]
    assert [event["rule_version"] for event in spent] == [1, 2]
    used = [event["lines"][0]["slices"][0]["lot_id"].partition(":")[0] for event in spent]
    assert used == ["pack", "plan"]
    ledger.verified()


def test_a_close_follows_the_rules_of_the_months_last_instant(tmp_path, make_ledger):
    first, second = versions()
    half = {"mode": "auto_extend", "share_percent": 50, "cap_bytes": None}
    second["plans"] = second["plans"] | {"std-30mb": {"bytes_per_month": 7, "carry_over": half}}
    second["effective_from"] = "2015-08-31T23:59:59.999"
    third = {**first, "version": 3, "effective_from": "2015-09-01T00:00:00"}
    ledger = make_ledger(rulebook=rulebook(tmp_path / "rules.json", [first, second, third]))
    ledger.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    ledger.at("2015-10-02T00:00:00+08:00")
    close_last_month(bank_of(ledger), 1, 360)

    stored = ledger.ledger.partition_for("ann").account_events("ann", 0, 20)
    closes = [json.loads(s) for _, kind, s in stored if "carried" in kind or "expired" in kind]
    assert [(each["month"], each["rule_version"]) for each in closes] == [
        ("2015-08", 2), ("2015-08", 2), ("2015-09", 3), ("2015-09", 3),
    ]  # fmt: skip
    assert closes[0]["lot"]["granted"] == 15 * MIB
    assert closes[2]["lot"]["granted"] == 30 * MIB
    ledger.verified()


def changed(path: str, value: Any) -> list[dict[str, Any]]:
    """Return rules of two versions in which one value differs, `del` where it is missing."""
    rules: Any = json.loads(json.dumps(versions()))
    *folders, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place = rules
    for part in folders:
        place = place[part]
    if value == "del":
        del place[last]
    else:
        place[last] = value
    return list(rules)


MISTAKES = [
    (b"", "truncated"),
    (b"{}", "Expected `array`"),
    (b"[]", "at least one"),
    (b"\xff", "utf-8|malformed"),
    (changed("0/version", 0), "version"),
    (changed("0/version", 2), "rising"),
    (changed("0/version", 3), "rising"),
    (changed("1/effective_from", "soon"), "soon"),
    (changed("1/effective_from", "1999-12-31T00:00:00"), "effective_from"),
    (changed("1/effective_from", "2000-01-01T00:00:00"), "effective_from"),
    (changed("0/plans", "del"), "plans"),
    (changed("0/colour", "red"), "colour"),
    (changed("0/plans/std-30mb/bytes_per_month", 0), r"bytes_per_month|\[\.\.\.\]"),
    (changed("0/plans/std-30mb/bytes_per_month", 1.5), "float"),
    (changed("0/plans/std-30mb/bytes_per_month", 2**53), "9007199254740991"),
    (changed("0/plans/std-30mb/carry_over/mode", "always"), "always"),
    (changed("0/plans/std-30mb/carry_over/share_percent", 101), "100"),
    (changed("0/plans/std-30mb/carry_over/cap_bytes", -1), "int"),
    (changed("1/plans/std-30mb", "del"), "std-30mb"),
    (changed("0/order_of_use/by", ["luck"]), "luck"),
    (changed("0/order_of_use/kinds", "plan"), "array"),
    (changed("0/purchase_valid_months", 0), "purchase_valid_months"),
]


@pytest.mark.parametrize(("content", "says"), MISTAKES, ids=lambda each: str(each)[-30:])
def test_a_rules_file_with_a_mistake_is_refused_and_the_mistake_named(tmp_path, content, says):
    path = tmp_path / "rules.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(InvalidError, match=says) as refused:
        load_rules(path, CALENDAR)
    assert str(path) in str(refused.value)


def test_a_process_with_bad_rules_does_not_start_and_says_why(tmp_path, ledger_url):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(changed("0/order_of_use/by", ["luck"])))
    for bad in (str(path), str(tmp_path / "none.json")):
        with pytest.raises(InvalidError, match="rules file"):
            make_bank(Settings(ledger_rules_file=bad))
        ended = subprocess.run(
            [sys.executable, "-m", "services.ledger", "worker"], cwd=ROOT, capture_output=True,
            env=environment(ledger_url, LEDGER_RULES_FILE=bad), text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode != 0
        assert f"the rules file {bad} can't be used" in ended.stderr


def test_the_built_in_rules_are_good():
    book = load_rules(BUILT_IN, CALENDAR)
    plan = book.latest().plans["std-30mb"]
    rule = plan.carry_over
    assert plan.bytes_per_month == 30 * MIB
    assert (rule.mode, rule.share_percent, rule.cap_bytes) == ("auto_extend", 100, None)


def test_the_worker_grants_and_settles_by_itself(ledger, ledger_url, tmp_path):
    ledger.do(
        *(OpenAccount(key="o", account=name, plan="std-30mb") for name in PEOPLE),
        *(Transfer(key="g", account=name, to="nobody", bytes=1) for name in PEOPLE[:3]),
        *(Transfer(key="g", account=name, to=PEOPLE[0], bytes=1) for name in PEOPLE[3:]),
    )
    settings = sandbox_clock(tmp_path, NOON.replace("-08-", "-09-"))
    worker = subprocess.Popen(
        [sys.executable, "-m", "services.ledger", "worker"], cwd=ROOT,
        env=environment(ledger_url, **settings), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: earned(ledger) == [60] * 7, WORKER_S, "every plan lot is granted")
        wait_until(lambda: returned(ledger) == [1, 1, 1, 0, 0, 0, 0], WORKER_S, "all comes back")
        states = [ledger.ledger.account(name)[0] for name in PEOPLE]
        wait_until(lambda: ledger.ledger.account(PEOPLE[0])[0].received == 4, WORKER_S, "arrives")
        assert {state.closed_through for state in states} == {None}
    finally:
        worker.terminate()
        assert worker.wait(10) == 0
    ledger.verified()

"""On the way back from a newer version its accounts wait, alone, and lose nothing."""

from collections.abc import Iterator, MutableMapping
from threading import Event
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.ledger.domain.commands import Buy, Hold, OpenAccount, Suspend, Transfer, Usage
from services.ledger.jobs import close_last_month, grant_cycles, is_done, look_at_due
from services.ledger.metrics import CLOSE_REFUSED
from shared.errors import RefusedError
from shared.ids import partition_of, stream_id
from tests.integration.ledger.test_jobs_and_rules import bank_of
from tests.support.ledger import MIB, RealLedger, as_admin, kept
from tests.support.memory import CALENDAR

NAMES = [f"p{number}" for number in range(6)]
NEWER = "p0"
NUMBER = partition_of(NEWER, 2)
TOPIC = "bank.ledger.account_suspended.v1"


@pytest.fixture
def back(ledger: RealLedger, admin_url: str) -> Iterator[RealLedger]:
    """A ledger in which an account's second event and its state are as a newer version's."""
    ledger.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in NAMES))
    ledger.do(Hold(key="h", account=NEWER, bytes=MIB, deadline="2015-08-20T00:00:00"))
    ledger.do(Suspend(key="s", account=NEWER))
    rename(admin_url, TOPIC, "bank.ledger.account_paused.v7")
    as_admin(admin_url, f"UPDATE ledger_0{NUMBER}.account_state SET format = 99"
             f" WHERE account = '{NEWER}'")  # fmt: skip
    yield ledger
    rename(admin_url, "bank.ledger.account_paused.v7", TOPIC)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Return what is logged meanwhile."""
    with capture_logs() as lines:
        yield lines


def rename(url: str, before: str, after: str) -> None:
    """Let an event be one that this version does, or does not, know."""
    where = f"originator_id = '{stream_id(NEWER).hex()}' AND topic = '{before}'"
    as_admin(url, f"UPDATE ledger_0{NUMBER}.stored_events SET topic = '{after}' WHERE {where}")


def test_its_commands_are_refused_alone_and_bind_no_key(back: RealLedger) -> None:
    at = back.clock.now()
    outcomes = back.do(
        *(Buy(key="b", account=name, bytes=MIB) for name in NAMES),
        *(Usage(usage_id="u", account=name, bytes=1, occurred_at=at) for name in NAMES),
        Suspend(key="s", account=NEWER),
    )
    codes = [outcome.code for outcome in outcomes]
    assert codes == ["newer_version", *[None] * 5] * 2 + ["newer_version"]
    with pytest.raises(RefusedError) as refused:
        back.ledger.account(NEWER)
    assert (refused.value.code, refused.value.status) == ("newer_version", 503)


def test_what_arrives_waits_parked_and_is_there_once_the_newer_version_is_back(
    back: RealLedger, admin_url: str, make_ledger
) -> None:
    gifts = [Transfer(key="t", account=name, to=NEWER, bytes=MIB) for name in NAMES[1:]]
    back.do(*gifts)
    back.settle()
    waiting = [row["account"] for part in back.partitions for row in part.parked()]
    assert waiting == [NEWER] * 5
    back.do(Transfer(key="t2", account="p1", to="p2", bytes=MIB))
    back.settle()
    assert back.ledger.account("p2")[0].received == MIB

    rename(admin_url, "bank.ledger.account_paused.v7", TOPIC)
    newer = make_ledger(back.clock)
    newer.consumers[NUMBER].retry_parked()
    newer.settle()
    assert newer.ledger.account(NEWER)[0].received == 5 * MIB
    (again,) = newer.do(Suspend(key="s", account=NEWER))
    assert (again.repeated, kept(again)[3]) == (True, "done")
    newer.verified()


def test_jobs_and_closes_step_over_it(back: RealLedger) -> None:
    bank = bank_of(back)
    back.at("2015-09-02T07:00:00")
    look_at_due(bank, Event())
    grant_cycles(bank, Event())
    assert close_last_month(bank, 1, 360).refused == 1
    others = [back.ledger.account(name)[0] for name in NAMES[1:]]
    assert {each.closed_through for each in others} == {"2015-08"}
    assert {each.granted_through for each in others} == {"2015-09"}
    assert back.clock.now() == CALENDAR.parse("2015-09-02T07:00:00")


def test_a_close_that_an_account_refuses_is_told_and_made_up_for_once_it_can_be(
    back: RealLedger, admin_url: str, make_ledger, logged: list[MutableMapping[str, Any]]
) -> None:
    back.at("2015-09-02T07:00:00")
    for _ in range(2):
        close_last_month(bank_of(back), 1, 360)
        assert refusing() == {"newer_version": 1, "plan_unknown": 0}
    told = [each for each in logged if each["event"] == "close_refused"]
    assert [(each["log_level"], each["month"], each["refused"]) for each in told] == [
        ("error", "2015-08", 1)
    ] * 2
    assert told[0]["accounts"] == [f"{NEWER}: newer_version"]
    # The partition that nobody waits in is not looked at again.
    assert [is_done(part, "close:2015-08") for part in back.partitions] == [
        part.number != NUMBER for part in back.partitions
    ]
    assert closing(logged)[-1]["of"] == len([n for n in NAMES if partition_of(n, 2) == NUMBER])

    rename(admin_url, "bank.ledger.account_paused.v7", TOPIC)
    newer = make_ledger(back.clock)
    assert close_last_month(bank_of(newer), 1, 360).refused == 0
    assert newer.ledger.account(NEWER)[0].closed_through == "2015-08"
    assert all(is_done(part, "close:2015-08") for part in newer.partitions)
    assert refusing() == {"newer_version": 0, "plan_unknown": 0}
    assert close_last_month(bank_of(newer), 1, 360).refused == 0
    newer.verified()


def closing(logged: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Return what was logged as the close went on."""
    return [each for each in logged if each["event"] == "closing"]


def refusing() -> dict[str, float]:
    """Return the metric of accounts that refused the last close, by code."""
    (family,) = CLOSE_REFUSED.collect()
    return {sample.labels["code"]: sample.value for sample in family.samples}

"""Gifting's events on a real ledger: done once, in batches, whatever comes again or dies."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from msgspec.structs import replace

from infra.runtime.programs import ROOT
from services.ledger.checks import GiftCheck, check_gifts
from services.ledger.domain.commands import Buy, Fee, Hold, OpenAccount, Suspend, Transfer
from services.ledger.domain.rules import Arriving
from services.ledger.jobs import DUE_BATCH, look_at_due
from shared.bus.inbox import Inbox
from shared.bus.readers import Readers
from shared.contracts.gifting import (
    GiftAccepted,
    GiftCancelled,
    GiftDeclined,
    GiftOffered,
    RedPacketOffered,
    ShareClaimed,
)
from shared.contracts.ledger import FEES_ACCOUNT, HoldReleased
from shared.errors import UnavailableError
from tests.integration.ledger.test_jobs_and_rules import WORKER_S, bank_of
from tests.support.bank import free_port, wait_until
from tests.support.gifting import SOURCE, GiftingLog, served
from tests.support.ledger import (
    MIB,
    NOON,
    TOKENS,
    RealLedger,
    client,
    environment,
    sandbox_clock,
)
from tests.support.memory import CALENDAR, RULEBOOK

PEOPLE = [f"p{number}" for number in range(40)]
SOON = CALENDAR.parse("2015-08-12T12:00:00")


@pytest.fixture
def gifts() -> GiftingLog:
    """Gifting's log."""
    return GiftingLog()


@pytest.fixture
def people(ledger: RealLedger, gifts: GiftingLog) -> RealLedger:
    """A ledger with subscribers of 30 MiB each, that follows gifting's log."""
    ledger.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in PEOPLE))
    follow(ledger, gifts)
    return ledger


def follow(ledger: RealLedger, gifts: GiftingLog) -> None:
    """Begin anew to follow gifting's log, as a process that was just started does."""
    reader = Readers(ledger.reader, gifts)
    for consumer in ledger.consumers:
        consumer._reached.forget()
    ledger.inboxes = [Inbox([each], reader, pause_s=0.001) for each in ledger.consumers]


def hear(ledger: RealLedger) -> None:
    """Let every partition catch up with gifting, and all that follows arrive."""
    for inbox in ledger.inboxes:
        inbox.catch_up(SOURCE)
    ledger.settle()


def told(account: str, **fields: Any) -> dict[str, Any]:
    return {"account": account, "recorded_at": 1, "actor": "gifting", **fields}


def offered(number: int, sender: str, to: str, **more: Any) -> GiftOffered:
    return GiftOffered(**told(sender, gift_id=f"g{number}", receiver=to, **{"bytes": MIB, **more}))


def types(ledger: RealLedger) -> Counter[str]:
    """Return how many events of each type the logs have."""
    rows = [row for n in range(2) for row in ledger.rows(n, "SELECT topic FROM stored_events")]
    return Counter(row[0].split(".")[2] for row in rows)


def received(ledger: RealLedger, name: str) -> int:
    found = ledger.ledger.partition_for(name).account(name)
    return found[0].received if found else 0


def a_bit_of_everything(gifts: GiftingLog) -> None:
    gifts.add(
        *(offered(n, PEOPLE[n], PEOPLE[n + 1], fee_bytes=1000) for n in range(20)),
        offered(20, PEOPLE[20], "nobody", fee_bytes=1000),
        offered(21, PEOPLE[21], PEOPLE[0], bytes=31 * MIB),
        offered(22, PEOPLE[22], PEOPLE[0], waits=True, deadline=SOON, fee_bytes=7),
        offered(23, PEOPLE[23], PEOPLE[0], waits=True, deadline=SOON),
        offered(24, PEOPLE[24], PEOPLE[0], waits=True, deadline=SOON),
        offered(25, PEOPLE[25], PEOPLE[0], waits=True, deadline=SOON, bytes=31 * MIB),
        GiftAccepted(
            **told(PEOPLE[22], gift_id="g22", receiver=PEOPLE[0], hold_id="", fee_bytes=7)
        ),
        GiftDeclined(**told(PEOPLE[23], gift_id="g23", hold_id="")),
        GiftCancelled(**told(PEOPLE[24], gift_id="g24", hold_id="")),
        RedPacketOffered(**told(PEOPLE[30], packet_id="r", bytes=3 * MIB, deadline=SOON)),
        *(
            ShareClaimed(
                **told(PEOPLE[30], claim_id=f"c{n}", packet_id="r", hold_id="",
                       receiver=PEOPLE[31 + n], position=n, bytes=MIB)
            )
            for n in range(2)
        ),
    )  # fmt: skip


def test_what_gifting_asks_is_done_once_however_often_it_is_heard(
    people: RealLedger, gifts: GiftingLog
) -> None:
    a_bit_of_everything(gifts)
    hear(people)
    before = types(people)
    assert before["data_received"] == 20 + 1 + 2 + 21
    assert (before["transfer_refused"], before["hold_refused"]) == (1, 1)
    assert (before["hold_released"], before["transfer_returned"]) == (2, 1)
    assert received(people, FEES_ACCOUNT) == 20 * 1000 + 7
    assert received(people, PEOPLE[0]) == MIB

    for number in range(2):
        with people.partitions[number].connection() as conn:
            conn.execute("DELETE FROM inbox_positions WHERE source = %s", (SOURCE,))
    follow(people, gifts)
    hear(people)
    assert types(people) == before
    assert sum(len(people.ledger.account(name)[0].holds) for name in PEOPLE) == 1
    people.verified()


def test_many_gifts_share_a_transaction_with_the_inboxs_position(
    people: RealLedger, gifts: GiftingLog
) -> None:
    gifts.add(*(offered(n, PEOPLE[n % 40], PEOPLE[(n + 1) % 40], bytes=1000) for n in range(400)))
    for inbox in people.inboxes:
        inbox.catch_up(SOURCE)
    for number in range(2):
        (row,) = people.rows(
            number,
            "SELECT count(DISTINCT xmin::text), count(*) FROM stored_events"
            " WHERE topic = 'bank.ledger.data_transferred.v1'",
        )
        assert row[0] == 1
        assert row[1] > 100
        (position,) = people.rows(
            number, f"SELECT sequence, xmin::text FROM inbox_positions WHERE source = '{SOURCE}'"
        )
        assert position[0] == 400
    people.settle()
    assert sum(received(people, name) for name in PEOPLE) == 400_000


def test_an_event_that_no_command_takes_is_put_aside_with_its_sender(
    people: RealLedger, gifts: GiftingLog
) -> None:
    gifts.add(
        offered(1, "p1", "p2", bytes=0),
        offered(2, "p1", "p2"),
        offered(3, "p3", "p2"),
    )
    hear(people)
    parked = [row for each in people.partitions for row in each.parked()]
    assert [(row["account"], row["attempts"]) for row in parked] == [("p1", 5), ("p1", 0)]
    assert received(people, "p2") == MIB


def test_a_gifting_that_is_away_holds_up_no_saga_of_the_ledger(
    people: RealLedger, gifts: GiftingLog
) -> None:
    gifts.away = True
    people.do(Transfer(key="t", account="p1", to="p2", bytes=MIB))
    for inbox in people.inboxes:
        with pytest.raises(UnavailableError):
            inbox.level()
    assert received(people, "p2") == MIB


def test_a_worker_is_ready_without_gifting_and_does_what_it_asks_once_it_is_there(
    people: RealLedger, gifts: GiftingLog, ledger_url: str, tmp_path: Path
) -> None:
    gifting_port, port = free_port(), free_port()
    settings = sandbox_clock(tmp_path, NOON) | {
        "GIFTING_URL": f"http://127.0.0.1:{gifting_port}", "LEDGER_WORKER_PORT": str(port),
    }  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-m", "services.ledger", "worker"], cwd=ROOT,
        env=environment(ledger_url, **settings), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        people.do(Transfer(key="t", account="p1", to="p2", bytes=MIB))
        wait_until(lambda: received(people, "p2") == MIB, WORKER_S, "the ledger's own has arrived")
        with client(f"http://127.0.0.1:{port}") as face:
            assert face.get("/ready").json()["ready"] is True
            a_bit_of_everything(gifts)
            with served(gifts, gifting_port):
                wait_until(lambda: received(people, FEES_ACCOUNT) == 20_007, WORKER_S, "all fees")
                lag = 'databank_inbox_lag_events{consumer="ledger_00",log="gifting_00"} 0.0'
                wait_until(lambda: lag in face.get("/metrics").text, WORKER_S, "nothing lags")
            assert face.get("/ready").json()["ready"] is True
            assert 'log="ledger_00"' in face.get("/metrics").text
    finally:
        worker.terminate()
        assert worker.wait(10) == 0
    people.verified()


def test_ten_thousand_holds_that_are_due_at_once_are_let_go_in_batches(
    make_ledger: Any,
) -> None:
    ledger = make_ledger()
    names = [f"q{number}" for number in range(2_500)]
    deadline = "2015-08-11T00:00:00+08:00"
    for start in range(0, 2_500, 500):
        share = names[start : start + 500]
        ledger.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in share))
        ledger.do(
            *(
                Hold(key=f"h{n}", account=name, bytes=1000 + n, deadline=deadline)
                for name in share
                for n in range(4)
            )
        )
    ledger.at(deadline)
    look_at_due(bank_of(ledger), Event())

    released = types(ledger)["hold_released"]
    assert released == 10_000
    assert all(not ledger.ledger.account(name)[0].holds for name in names[::100])
    for number in range(2):
        (row,) = ledger.rows(
            number,
            "SELECT count(DISTINCT xmin::text) FROM stored_events"
            f" WHERE topic = '{HoldReleased.TYPE}'",
        )
        assert 1 < row[0] <= 2_500 // DUE_BATCH + 1
    look_at_due(bank_of(ledger), Event())
    assert types(ledger)["hold_released"] == released
    ledger.verified()


def check(ledger: RealLedger, account: str, **fields: Any) -> dict[str, Any]:
    gift = GiftCheck(account=account, **{"bytes": MIB, **fields})
    return check_gifts(ledger.ledger, [gift])[0]


def test_a_check_tells_what_a_gift_would_take_and_who_is_who(people: RealLedger) -> None:
    deadline = "2015-08-20T00:00:00"
    people.do(
        Hold(key="h", account="p2", bytes=10 * MIB, deadline=deadline),
        Buy(key="b", account="p2", bytes=MIB, expires_at="2015-08-20T00:00:00+08:00"),
        Suspend(key="s", account="p4"),
    )
    found = check(people, "p2", to="p3", bytes=3 * MIB, fee=Fee(bytes=MIB))
    august, end = CALENDAR.month_start("2015-08"), CALENDAR.month_end("2015-08")
    assert found["sender"] == {
        "account": "p2", "kind": "subscriber", "status": "active", "plan": "std-30mb",
        "plan_bytes": 30 * MIB, "opened_at": august, "last_used_at": 0,
        "available_bytes": 21 * MIB, "giftable_bytes": 21 * MIB, "received_bytes": 0,
    }  # fmt: skip
    assert found["receiver"]["account"] == "p3"
    # The pack ends first: the fee takes it.
    assert found["legs"] == [
        {
            "lot_id": "plan:2015-08", "kind": "plan", "bytes": 3 * MIB, "expires_at": end,
            "arrives_from": august, "arrives_until": end,
        }
    ]  # fmt: skip
    assert (found["fee_bytes"], found["code"]) == (MIB, None)
    assert check(people, "p4", to="p3")["code"] == "account_suspended"
    assert check(people, "p1", to="nobody")["receiver"] is None
    assert check(people, "nobody", to="p1")["code"] == "account_not_found"
    refused = check(people, "p2", to="p3", bytes=22 * MIB)
    assert (refused["code"], refused["extra"]) == (
        "insufficient_data", {"available_bytes": 21 * MIB},
    )  # fmt: skip


def test_a_check_grants_and_frees_what_is_due_and_stores_nothing(people: RealLedger) -> None:
    people.do(Hold(key="h", account="p2", bytes=30 * MIB, deadline="2015-08-31T00:00:00"))
    before = types(people)
    people.at("2015-09-02T00:00:00+08:00")
    found = check(people, "p2", to="p3")
    assert found["sender"]["available_bytes"] == 30 * MIB
    assert found["legs"][0]["lot_id"] == "plan:2015-09"
    assert types(people) == before


def test_a_packets_check_has_the_terms_of_a_packet(make_ledger: Any) -> None:
    rules = RULEBOOK.latest()
    arriving: Any = {"red_packet": Arriving("fixed", 7), "gift": Arriving("end_of_month")}
    newer = replace(rules, version=rules.version + 1, arriving=arriving)
    ledger = make_ledger(rulebook=RULEBOOK.with_versions([(0, newer)]))
    ledger.do(OpenAccount(key="o", account="p2", plan="std-30mb"))
    (leg,) = check(ledger, "p2", purpose="red_packet")["legs"]
    assert leg["arrives_until"] == ledger.clock.now() + 7 * 86_400_000
    (leg,) = check(ledger, "p2", to="nobody")["legs"]
    assert leg["arrives_until"] == CALENDAR.month_end("2015-08")


def test_gift_checks_are_for_gifting_and_the_operator(
    people: RealLedger, make_web: Any, tmp_path: Any
) -> None:
    web = make_web(**sandbox_clock(tmp_path, NOON))
    body = {"gifts": [{"account": "p1", "to": "p2", "bytes": MIB}] * 3}
    with client(web.base, TOKENS["gifting"]) as gifting:
        answer = gifting.post("/v1/gift-checks", json=body)
        assert answer.status_code == 200, answer.text
        assert [one["receiver"]["account"] for one in answer.json()["checks"]] == ["p2"] * 3
        bad = gifting.post("/v1/gift-checks", json={"gifts": [{"account": "p1", "bytes": 0}]})
        assert (bad.status_code, bad.json()["pointer"]) == (422, "$.gifts[0].bytes")
    with client(web.base, TOKENS["gateway"]) as gateway:
        assert gateway.post("/v1/gift-checks", json=body).status_code == 403

"""An event that can't be handled is put aside; its account waits in order, the others go on."""

import json
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import msgspec
import psycopg
import pytest

from services.ledger.domain.commands import Buy, OpenAccount, Transfer, Usage
from services.ledger.domain.rules import RuleBook
from services.ledger.integration import PartitionConsumer
from shared.bus.parking import Parked
from shared.contracts.envelope import Envelope
from shared.contracts.ledger import ArrivalRefused, DataTransferred
from shared.errors import UnavailableError
from shared.ids import partition_of, stream_id
from tests.support.ledger import MIB, TOKENS, client
from tests.support.memory import CALENDAR, OPERATOR, RULEBOOK

PLAN = "std-100mb"
GIVER, OTHER = "giver", "other"


def without_the_plan() -> RuleBook:
    """Return rules that lack the plan of the account that can't be handled."""
    rules = RULEBOOK.latest()
    plans = {name: plan for name, plan in rules.plans.items() if name != PLAN}
    return RuleBook([(0, msgspec.structs.replace(rules, plans=plans))])


@pytest.fixture
def whole(make_ledger):
    """A ledger with all its rules, on 2015-08-31; its accounts get a new plan lot tomorrow."""
    ledger = make_ledger()
    ledger.at("2015-08-31T23:00:00+08:00")
    ledger.do(
        OpenAccount(key="o", account=GIVER, plan="std-1gb"),
        OpenAccount(key="o", account=OTHER, plan="std-30mb"),
        OpenAccount(key="o", account="sick", plan=PLAN),
    )
    ledger.at("2015-09-01T01:00:00+08:00")
    return ledger


@pytest.fixture
def broken(make_ledger, whole):
    """The same ledger, whose rules lack a plan: whatever touches that account fails."""
    ledger = make_ledger(whole.clock, rulebook=without_the_plan())
    for to in ("sick", OTHER, "sick", OTHER, "sick"):
        count = ledger.ledger.account(GIVER)[1]
        ledger.do(Transfer(key=f"k{count}", account=GIVER, to=to, bytes=count))
    return ledger


def parked(ledger: Any) -> list[dict[str, Any]]:
    return [row for partition in ledger.partitions for row in partition.parked()]


def test_an_event_that_fails_five_times_is_parked_and_only_its_account_waits(broken):
    broken.settle()

    rows = parked(broken)
    assert [row["account"] for row in rows] == ["sick"] * 3
    assert [row["attempts"] for row in rows] == [5, 0, 0]
    assert "the plan std-100mb" in rows[0]["error"]
    assert all("waits behind" in row["error"] for row in rows[1:])
    assert rows[0]["type"] == DataTransferred.TYPE
    assert broken.ledger.account(OTHER)[0].received > 0
    assert broken.ledger.account("sick")[0].received == 0
    broken.settle()
    assert parked(broken) == rows
    broken.verified()


def test_an_account_whose_plan_is_gone_is_refused_alone(broken):
    at = broken.clock.now()
    outcomes = broken.do(
        Buy(key="b", account="sick", bytes=1),
        Buy(key="b", account=OTHER, bytes=1),
        Usage(usage_id="u", account="sick", bytes=1, occurred_at=at),
        Usage(usage_id="u", account=OTHER, bytes=1, occurred_at=at),
    )
    assert [outcome.code for outcome in outcomes] == ["plan_unknown", None, "plan_unknown", None]
    for partition in broken.partitions:
        list(broken.ledger.grant_cycle(partition, "2015-09", OPERATOR))
    assert broken.ledger.account(OTHER)[0].granted_through == "2015-09"
    result = list(broken.ledger.close_month("2015-08", OPERATOR))[-1]
    assert (result.done, result.sums.accounts, result.sums.refused) == (3, 2, 1)
    assert result.sums.refused_by_code == {"plan_unknown": 1}
    assert [(each.account, each.code) for each in result.sums.refused_accounts] == [
        ("sick", "plan_unknown")
    ]


def test_a_retry_that_fails_again_keeps_everything_parked_in_order(broken):
    broken.settle()
    number = partition_of("sick", 2)
    assert broken.consumers[number].retry_parked() == {"applied": 0, "still_parked": 3}

    assert [row["attempts"] for row in parked(broken)] == [6, 0, 0]
    assert broken.ledger.account("sick")[0].received == 0


def test_a_retry_applies_what_waited_in_order_and_the_account_goes_on(broken, whole):
    broken.settle()
    number = partition_of("sick", 2)
    waiting = [row["sequence"] for row in parked(broken)]
    assert whole.consumers[number].retry_parked() == {"applied": 3, "still_parked": 0}

    assert parked(whole) == []
    events = whole.ledger.partition_for("sick").account_events("sick", 0, 20)
    received = [json.loads(state) for _, kind, state in events if "data_received" in kind]
    causes = [event["causation_id"].rpartition("/")[2] for event in received]
    assert causes == [str(sequence) for sequence in waiting]
    whole.do(Transfer(key="last", account=GIVER, to="sick", bytes=MIB))
    whole.settle()
    assert (
        whole.ledger.account("sick")[0].received
        == sum(lot["granted"] for event in received for lot in event["lots"]) + MIB
    )
    assert parked(whole) == []
    whole.verified()


def test_a_retry_after_a_crash_before_the_row_was_deleted_applies_once(broken, whole, admin_url):
    broken.settle()
    number = partition_of("sick", 2)
    with psycopg.connect(admin_url) as conn:
        conn.execute(f"CREATE TABLE kept AS SELECT * FROM ledger_0{number}.parked")
    whole.consumers[number].retry_parked()
    before = whole.ledger.account("sick")
    with psycopg.connect(admin_url) as conn:
        conn.execute(f"INSERT INTO ledger_0{number}.parked SELECT * FROM kept")

    assert whole.consumers[number].retry_parked() == {"applied": 3, "still_parked": 0}
    assert whole.ledger.account("sick") == before


def insert_event(url: str, number: int, topic: str, state: dict[str, Any]) -> None:
    """Append an event that no version of this code has written."""
    with psycopg.connect(url) as conn:
        conn.execute(
            f"INSERT INTO ledger_0{number}.stored_events"
            " (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, %s, %s)",
            (topic, json.dumps(state).encode()),
        )


FACTS = {"account": GIVER, "recorded_at": CALENDAR.parse("2015-09-01T00:30:00"), "actor": "test"}


@pytest.mark.parametrize(
    "data",
    [{}, {"to": OTHER}, {"to": OTHER, "legs": 5}, {"to": 7}, {"to": None}],
    ids=str,
)
def test_an_event_that_cannot_be_read_holds_nobody_else_up(whole, ledger_url, data):
    number = partition_of(GIVER, 2)
    insert_event(ledger_url, number, DataTransferred.TYPE, FACTS | data)
    whole.do(Transfer(key="after", account=GIVER, to="sick", bytes=1))
    whole.settle()

    assert whole.ledger.account("sick")[0].received == 1
    assert {row["attempts"] for row in parked(whole)} == {5}


def test_a_refusal_that_cannot_be_handled_makes_the_giver_wait(whole, ledger_url):
    refusal = {"transfer_id": "00" * 16, "to": OTHER, "code": "account_not_found"}
    insert_event(ledger_url, 0, ArrivalRefused.TYPE, FACTS | refusal)
    whole.do(Transfer(key="t", account=GIVER, to="nobody", bytes=1))
    whole.settle()

    rows = parked(whole)
    assert {row["account"] for row in rows} == {GIVER}
    assert "no transfer" in rows[0]["error"]
    assert whole.ledger.account(OTHER)[0].lots


def test_a_command_of_the_inbox_that_is_refused_is_parked_and_never_dropped(whole, ledger_url):
    """Its key is bound to other terms, as after a restore that was done wrong."""
    whole.do(Transfer(key="t", account=GIVER, to=OTHER, bytes=1))
    moved = transfer_of(whole)
    whole.settle()
    changed = msgspec.to_builtins(moved) | {"reason": "other terms"}
    insert_event(ledger_url, 0, DataTransferred.TYPE, changed)
    whole.settle()

    assert [row["account"] for row in parked(whole)] == [OTHER]
    assert "used before with other terms" in parked(whole)[0]["error"]
    assert whole.ledger.account(OTHER)[0].received == 1


def transfer_of(ledger: Any) -> DataTransferred:
    number = partition_of(GIVER, 2)
    where = f"originator_id = '{stream_id(GIVER).hex()}' AND topic = '{DataTransferred.TYPE}'"
    ((state,),) = ledger.rows(number, f"SELECT state FROM stored_events WHERE {where}")
    return msgspec.json.decode(state, type=DataTransferred)


def test_a_database_that_is_away_parks_nothing(whole, make_ledger, ledger_url):
    whole.do(Transfer(key="t", account=GIVER, to=OTHER, bytes=1))
    away = make_ledger(whole.clock, url=ledger_url.replace("dbname=", "dbname=no_"))
    with pytest.raises(UnavailableError):
        PartitionConsumer(away.ledger, away.partitions[0]).position("x")
    assert parked(whole) == []
    whole.settle()
    assert whole.ledger.account(OTHER)[0].received == 1


def test_the_operator_lists_and_retries_over_http(broken, make_web):
    broken.settle()
    web = make_web()
    rows = web.client.get("/v1/parked").json()["parked"]
    assert [row["account"] for row in rows] == ["sick"] * 3
    answer = web.client.post("/v1/parked:retry").json()["partitions"]
    assert sum(each["applied"] for each in answer.values()) == 3
    assert web.client.get("/v1/parked").json()["parked"] == []
    with client(web.base, TOKENS["gateway"]) as gateway:
        assert gateway.get("/v1/parked").status_code == 403


def sick_events(ledger: Any) -> list[str]:
    """Return what caused the arrivals at the account that waited, in order."""
    events = ledger.ledger.partition_for("sick").account_events("sick", 0, 1_000)
    received = [json.loads(state) for _, kind, state in events if "data_received" in kind]
    return [event["causation_id"].rpartition("/")[2] for event in received]


def give(ledger: Any, key: str) -> None:
    ledger.do(Transfer(key=key, account=GIVER, to="sick", bytes=1))


def follow(ledger: Any, number: int) -> None:
    """Let one partition's inbox apply what is there."""
    for log in ledger.logs:
        ledger.inboxes[number].catch_up(log.source)


def sagas_to_sick(ledger: Any) -> list[str]:
    """Return the sequences of the transfers to the account that waited, in order."""
    log = ledger.logs[partition_of(GIVER, 2)]
    batch = ledger.reader.read(log.source, "sagas", 0)
    moved = [each for each in batch.events if each.type == DataTransferred.TYPE]
    return [each.sequence for each in moved if each.data["to"] == "sick"]


def test_what_the_inbox_parks_while_a_retry_runs_is_retried_too(broken, whole, monkeypatch):
    """The inbox sees the account wait, the retry applies what it waits for: nobody is left over."""
    broken.settle()
    number = partition_of("sick", 2)
    consumer = whole.consumers[number]
    unpark = consumer._unpark
    joined: list[int] = []

    def join_before(event: Parked) -> None:
        if not joined:
            joined.append(event.sequence)
            give(whole, "late")
            follow(whole, number)
        unpark(event)

    monkeypatch.setattr(consumer, "_unpark", join_before)
    assert consumer.retry_parked() == {"applied": 4, "still_parked": 0}
    assert parked(whole) == []
    assert sick_events(whole) == sagas_to_sick(whole)


def test_an_inbox_that_saw_an_account_wait_looks_again_when_a_retry_was_faster(
    broken, whole, monkeypatch
):
    broken.settle()
    number = partition_of("sick", 2)
    consumer = whole.consumers[number]
    waiting = consumer._waiting
    seen: list[set[str]] = []

    def be_overtaken(conn: Any) -> set[str]:
        found: set[str] = waiting(conn)
        if not seen:
            seen.append(found)
            whole_2.retry_parked()
        return found

    whole_2 = PartitionConsumer(whole.ledger, whole.partitions[number])
    give(whole, "late")
    monkeypatch.setattr(consumer, "_waiting", be_overtaken)
    follow(whole, number)
    assert seen == [{"sick"}]
    assert parked(whole) == []
    assert sick_events(whole) == sagas_to_sick(whole)


def test_retries_and_inboxes_at_once_apply_each_event_once_and_in_order(
    broken, whole, make_ledger, monkeypatch
):
    broken.settle()
    number = partition_of("sick", 2)
    other = make_ledger(whole.clock)
    dice, item_of = Random(5), whole.consumers[number].item_of

    def fail_often(envelope: Envelope) -> Any:
        if envelope.type == DataTransferred.TYPE and dice.random() < 0.8:
            raise ValueError("not now")
        return item_of(envelope)

    monkeypatch.setattr(whole.consumers[number], "item_of", fail_often)
    gifts = [Transfer(key=f"g{n}", account=GIVER, to="sick", bytes=1) for n in range(60)]

    def give_all() -> None:
        for gift in gifts:
            whole.do(gift)
            follow(whole, number)

    def retry_all() -> None:
        while not given.done():
            other.consumers[number].retry_parked()

    with ThreadPoolExecutor(3) as pool:
        given = pool.submit(give_all)
        retried = [pool.submit(retry_all) for _ in range(2)]
        for future in (given, *retried):
            future.result(60)
    other.consumers[number].retry_parked()
    assert parked(whole) == []
    causes = sick_events(whole)
    assert len(causes) == len(set(causes)) == 3 + len(gifts)
    assert causes == sagas_to_sick(whole)
    whole.verified()

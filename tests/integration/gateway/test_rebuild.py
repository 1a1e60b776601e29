"""A rebuild: beside the old view, while the world goes on, and never half done."""

import time
from threading import Event, Thread, Timer
from typing import Any

import psycopg
import pytest

from services.gateway.application import Gateway
from services.gateway.catalogue import VIEWS
from services.gateway.consumers import ViewConsumer, fold
from services.gateway.store import Store
from services.gateway.views import BalancesView
from services.ledger.domain.commands import Usage
from shared.bus.inbox import Inbox
from shared.errors import BusyError, NotFoundError, UnavailableError
from tests.support.gateway import (
    MIB,
    TABLES,
    BankReader,
    last,
    lived_bank,
    make_gateway,
    opened_bank,
    stored_rows,
)
from tests.support.memory import CALENDAR

SPENDERS = ("ann", "bob", "cat", "dan")


def level(gateway: Gateway, reader: BankReader) -> None:
    Inbox(gateway.consumers, reader, stop=Event(), pause_s=0.001).level()


def sql(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    options = "-c search_path=gateway"
    with psycopg.connect(url, autocommit=True, options=options) as conn:
        cursor = conn.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def shadow_rows(url: str) -> int:
    counts = [sql(url, f"SELECT count(*) FROM {table}_shadow")[0][0] for table in TABLES]
    parked = sql(url, "SELECT count(*) FROM parked WHERE consumer LIKE %s", "%:shadow")
    positions = sql(url, "SELECT count(*) FROM inbox_positions WHERE consumer LIKE %s", "%:shadow")
    return int(sum(counts) + parked[0][0] + positions[0][0])


def test_a_rebuild_repairs_what_was_changed_by_hand_and_leaves_nothing_behind(
    gateway_of, databases
) -> None:
    reader = BankReader(lived_bank(3))
    gateway = gateway_of(reader)
    level(gateway, reader)
    sql(databases.gateway_url, "UPDATE lots SET remaining = remaining + 1")
    sql(databases.gateway_url, "DELETE FROM partner_subscribers")
    sql(databases.gateway_url, "INSERT INTO transfers_in_transit VALUES ('invented', 5)")
    assert last(gateway.verify())["ok"] is False
    steps = list(gateway.rebuild("all"))
    assert all(0 <= step["done"] <= step["of"] for step in steps[:-1])
    assert {step["view"] for step in steps[:-1]} == set(VIEWS)
    result = steps[-1]["result"]
    assert set(result) == set(VIEWS)
    assert {"events", "usage_lines", "seconds", "positions"} <= set(result["balances"])
    assert last(gateway.verify())["ok"] is True
    assert shadow_rows(databases.gateway_url) == 0


def test_one_view_is_rebuilt_without_touching_the_others(gateway_of, databases) -> None:
    reader = BankReader(opened_bank())
    gateway = gateway_of(reader)
    level(gateway, reader)
    sql(databases.gateway_url, "UPDATE trial_balance SET accounts = accounts + 1")
    assert set(last(gateway.rebuild("balances"))) == {"balances"}
    difference = last(gateway.verify())["first_difference"]
    assert (difference["view"], difference["field"]) == ("trial_balance", "accounts")


def test_views_that_were_never_filled_can_be_rebuilt(gateway_of) -> None:
    reader = BankReader(lived_bank(4), page=5)
    gateway = gateway_of(reader)
    last(gateway.rebuild("all"))
    verified = last(gateway.verify())
    assert verified["ok"]
    assert verified["events"] == len(reader.all_events())


def test_live_events_go_on_during_a_rebuild_and_none_is_lost(gateway_of) -> None:
    bank = opened_bank(2)
    reader = BankReader(bank, page=3)
    gateway = gateway_of(reader)
    level(gateway, reader)
    reader.before_read = lambda *_: time.sleep(0.005)
    done = Event()

    def live_on() -> None:
        for step in range(200):
            who = SPENDERS[step % 4]
            bank.do(Usage(usage_id=f"m{step}", account=who, bytes=5, occurred_at=bank.clock.at))
            level(gateway, reader)
            if done.is_set():
                return

    living = Thread(target=live_on)
    living.start()
    for _ in range(3):
        last(gateway.rebuild("balances"))
    done.set()
    living.join()
    reader.before_read = lambda *_: None
    level(gateway, reader)
    assert last(gateway.verify())["ok"]
    delta = BalancesView(CALENDAR).new_delta()
    fold(delta, reader.all_events())
    assert stored_rows(gateway, BalancesView(CALENDAR)) == delta.rows()


def test_a_rebuild_that_ends_in_the_middle_leaves_the_old_view_and_no_rows(
    gateway_of, databases
) -> None:
    reader = BankReader(lived_bank(5), page=2)
    gateway = gateway_of(reader)
    level(gateway, reader)
    before = stored_rows(gateway, BalancesView(CALENDAR))
    running = gateway.rebuild("balances")
    next(running)
    running.close()
    assert stored_rows(gateway, BalancesView(CALENDAR)) == before
    assert shadow_rows(databases.gateway_url) == 0

    def ledger_dies(_source: str, after: int) -> None:
        reader.away = after > 10

    reader.before_read = ledger_dies
    with pytest.raises(UnavailableError):
        last(gateway.rebuild("all"))
    reader.before_read, reader.away = lambda *_: None, False
    assert last(gateway.verify())["ok"]
    assert shadow_rows(databases.gateway_url) == 0


def test_what_a_killed_rebuild_left_is_removed_at_the_next_start(gateway_of, databases) -> None:
    reader = BankReader(lived_bank(6))
    gateway = gateway_of(reader)
    level(gateway, reader)
    rebuild = gateway.make_rebuild("balances")
    rebuild._begin()
    list(rebuild._catch_up())
    assert shadow_rows(databases.gateway_url) > 0
    next_start = make_gateway(databases.gateway_url, reader)
    for view in VIEWS:
        next_start.make_rebuild(view).clean_up()
    next_start.store.close()
    assert shadow_rows(databases.gateway_url) == 0
    assert last(gateway.verify())["ok"]


def test_a_view_is_rebuilt_by_one_at_a_time_and_not_while_it_is_checked(
    gateway_of, databases
) -> None:
    reader = BankReader(opened_bank())
    gateway = gateway_of(reader)
    level(gateway, reader)
    other = Store(databases.gateway_url)
    with other.maintenance("balances"):
        with pytest.raises(BusyError):
            gateway.rebuild("all")
        with pytest.raises(BusyError):
            gateway.verify()
        gateway.make_rebuild("balances").clean_up()
    checking = gateway.verify()
    next(checking)
    with pytest.raises(BusyError):
        gateway.rebuild("balances")
    checking.close()
    last(gateway.rebuild("balances"))
    other.close()


def test_a_reader_that_keeps_the_old_tables_delays_the_swap_only(gateway_of, databases) -> None:
    reader = BankReader(opened_bank())
    gateway = gateway_of(reader)
    level(gateway, reader)
    slow = psycopg.connect(databases.gateway_url, options="-c search_path=gateway")
    slow.execute("SELECT count(*) FROM lots").fetchone()
    leaving = Timer(1.5, slow.rollback)
    leaving.start()
    assert set(last(gateway.rebuild("balances"))) == {"balances"}
    leaving.join()
    slow.close()
    assert last(gateway.verify())["ok"]


class FussyView(BalancesView):
    def write(self, cursor, delta) -> None:
        if any(account == "ann" for account, _ in delta.lots):
            raise ZeroDivisionError("cannot stand ann")
        super().write(cursor, delta)


def test_a_rebuild_carries_over_what_was_put_aside_and_does_not_apply_it(gateway_of) -> None:
    bank = opened_bank(2)
    reader = BankReader(bank, page=3)
    gateway = gateway_of(reader)
    level(gateway, reader)
    bank.do(
        *(Usage(usage_id=f"u{who}", account=who, bytes=MIB, occurred_at=bank.clock.at)
          for who in SPENDERS)
    )  # fmt: skip
    gateway.consumers[0] = ViewConsumer(FussyView(CALENDAR), gateway.store, gateway.clock)
    level(gateway, reader)
    assert gateway.balance("ann")["available_bytes"] == 30 * MIB
    parked, _ = gateway.parked()
    assert len(parked) == 1

    bank.do(Usage(usage_id="later", account="ann", bytes=MIB, occurred_at=bank.clock.at))
    last(gateway.rebuild("balances"))
    assert gateway.balance("ann")["available_bytes"] == 30 * MIB
    assert gateway.balance("bob")["available_bytes"] == 29 * MIB
    rows, _ = gateway.parked()
    assert rows[0] == parked[0]
    assert len(rows) == 2
    assert "behind" in rows[1]["error"]
    assert last(gateway.verify())["views"]["balances"]["ok"]

    gateway.consumers[0] = ViewConsumer(BalancesView(CALENDAR), gateway.store, gateway.clock)
    assert gateway.retry_parked()["balances"] == {"applied": 2, "still_parked": 0}
    assert gateway.balance("ann")["available_bytes"] == 28 * MIB


@pytest.mark.parametrize("kind", ["unreadable", "overdrawn"])
def test_a_rebuild_that_meets_poison_puts_it_aside_and_goes_on(gateway_of, kind: str) -> None:
    bank = opened_bank(2)
    for step, who in enumerate([*SPENDERS, "ann"]):
        bank.do(Usage(usage_id=f"u{step}", account=who, bytes=MIB, occurred_at=bank.clock.at))
    reader = BankReader(bank, page=3)
    spent = [event for event in reader.all_events() if event.type.endswith("spent.v1")]
    first = next(event for event in spent if event.subject == "ann")
    reader.spoiled[first.id] = {
        "unreadable": lambda data: data.pop("lines"),
        "overdrawn": lambda data: data["lines"][0]["slices"][0].update(bytes=31 * MIB),
    }[kind]
    gateway = gateway_of(reader)
    last(gateway.rebuild("balances"))
    assert [row["account"] for row in gateway.parked()[0]] == ["ann", "ann"]
    assert gateway.balance("ann")["available_bytes"] == 30 * MIB
    assert gateway.balance("dan")["available_bytes"] == 29 * MIB
    assert last(gateway.verify())["views"]["balances"]["ok"]


def test_an_unknown_view_is_refused(gateway_of) -> None:
    with pytest.raises(NotFoundError):
        gateway_of(BankReader(opened_bank())).rebuild("sums")

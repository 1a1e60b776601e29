"""The views on a real database: what arrives how often and in what order makes no difference."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.application import Gateway
from services.gateway.catalogue import VIEWS
from services.gateway.consumers import ViewConsumer, fold
from services.gateway.views import BalancesView
from services.ledger.domain.commands import Transfer, Usage
from shared.bus.inbox import Inbox
from shared.contracts.envelope import Batch, Envelope
from shared.errors import UnavailableError
from tests.support.gateway import (
    MIB,
    BankReader,
    batch_of,
    empty_views,
    last,
    lived_bank,
    make_gateway,
    opened_bank,
    stored_rows,
)
from tests.support.memory import CALENDAR

SEEDS = st.integers(0, 10_000)


def inbox_of(gateway: Gateway, reader: BankReader) -> Inbox:
    own = [each for each in gateway.consumers if each.view.service == "ledger"]
    return Inbox(own, reader, stop=Event(), pause_s=0.001)


def assert_views_are_the_logs(gateway: Gateway, reader: BankReader) -> None:
    for make in VIEWS.values():
        delta = make(CALENDAR).new_delta()
        fold(delta, reader.all_events())
        assert stored_rows(gateway, make(CALENDAR)) == delta.rows()
    verified = last(gateway.verify())
    assert verified["ok"], verified["first_difference"]
    assert verified["events"] == len(reader.all_events())


def messy_deliveries(dice: random.Random, events: list[Envelope]) -> list[list[Envelope]]:
    """Cut a log into messages, lose some, send some twice and swap neighbours."""
    messages, at = [], 0
    while at < len(events):
        size = dice.randint(1, 7)
        messages.append(events[at : at + size])
        at += size
    messages = [message for message in messages for _ in range(dice.choice([0, 1, 1, 1, 2]))]
    for index in range(len(messages) - 1):
        if dice.random() < 0.3:
            messages[index : index + 2] = reversed(messages[index : index + 2])
    return messages


@given(seed=SEEDS)
@settings(
    max_examples=8, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_lost_doubled_and_swapped_messages_leave_the_same_rows_and_a_rebuild_too(
    gateway_of, databases, seed: int
) -> None:
    empty_views(databases.gateway_url)
    dice = random.Random(seed)
    reader = BankReader(lived_bank(seed), page=dice.choice([1, 3, 500]))
    gateway = gateway_of(reader)
    inbox = inbox_of(gateway, reader)
    for source in reader.sources():
        for events in messy_deliveries(dice, reader.events(source)):
            if not inbox.receive(batch_of(source, events)):
                inbox.catch_up(source)
    inbox.level()
    assert_views_are_the_logs(gateway, reader)
    live = gateway.positions()
    result = last(gateway.rebuild("all"))
    others = [name for name, view in VIEWS.items() if view.service != "ledger"]
    assert {result.pop(name)["events"] for name in others} == {0}
    assert {each["events"] for each in result.values()} == {len(reader.all_events())}
    assert gateway.positions() == live
    assert_views_are_the_logs(gateway, reader)
    gateway.store.close()


def test_a_message_that_skips_something_is_not_applied(gateway_of) -> None:
    reader = BankReader(opened_bank(1))
    (source,) = reader.sources()
    events = reader.events(source)
    consumer = gateway_of(reader).consumers[0]
    consumer.apply(batch_of(source, events[:2]))
    with pytest.raises(UnavailableError):
        consumer.apply(batch_of(source, events[3:]))
    assert consumer.position(source) == int(events[1].sequence)


def test_two_processes_that_follow_at_once_apply_each_event_once(gateway_of) -> None:
    reader = BankReader(lived_bank(7), page=2)
    gateways = [gateway_of(reader), gateway_of(reader)]
    inboxes = [inbox_of(gateway, reader) for gateway in gateways]

    def follow(inbox: Inbox) -> None:
        for source in reader.sources():
            for event in reader.events(source):
                try:
                    if not inbox.receive(batch_of(source, [event])):
                        inbox.catch_up(source)
                except UnavailableError:
                    inbox.catch_up(source)

    threads = [Thread(target=follow, args=[inbox]) for inbox in inboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_views_are_the_logs(gateways[0], reader)


class FussyView(BalancesView):
    """A view with a bug: it cannot stand one account."""

    fails_for: str | None = "ann"

    def write(self, cursor, delta) -> None:
        if any(account == self.fails_for for account, _ in delta.lots):
            msg = f"cannot stand {self.fails_for}"
            raise ZeroDivisionError(msg)
        super().write(cursor, delta)


def with_bug(gateway: Gateway) -> FussyView:
    view = FussyView(CALENDAR)
    gateway.consumers[0] = ViewConsumer(view, gateway.store, gateway.clock)
    return view


def test_poison_in_one_view_stops_neither_other_views_nor_other_accounts(gateway_of) -> None:
    bank = opened_bank(2)
    for step, who in enumerate(["ann", "bob", "ann", "cat"]):
        bank.do(Usage(usage_id=f"u{step}", account=who, bytes=MIB, occurred_at=bank.clock.at))
    reader = BankReader(bank)
    gateway = gateway_of(reader)
    view = with_bug(gateway)
    inbox_of(gateway, reader).level()

    parked, _ = gateway.parked()
    assert {row["account"] for row in parked} == {"ann"}
    assert {row["consumer"] for row in parked} == {"balances"}
    assert [row["type"].split(".")[2] for row in parked] == [
        "data_earned", "data_spent", "data_spent",
    ]  # fmt: skip
    assert "cannot stand ann" in parked[0]["error"]
    assert gateway.balance("bob")["available_bytes"] == 29 * MIB
    assert gateway.balance("ann")["lots"] == []
    assert gateway.trial_balance()["spent"] == 4 * MIB
    verified = last(gateway.verify())
    assert verified["ok"], "what waits is missing from the fold too"
    assert verified["views"]["balances"]["accounts_waiting"] == 1

    assert gateway.retry_parked()["balances"] == {"applied": 0, "still_parked": 3}
    assert gateway.parked()[0][0]["attempts"] == 6
    view.fails_for = None
    assert gateway.retry_parked()["balances"] == {"applied": 3, "still_parked": 0}
    assert gateway.balance("ann")["available_bytes"] == 28 * MIB
    assert_views_are_the_logs(gateway, reader)


def test_an_event_that_comes_while_a_retry_is_under_way_waits_for_it(
    gateway_of, monkeypatch
) -> None:
    bank = opened_bank(1)
    for number in range(3):
        use = Usage(usage_id=f"u{number}", account="ann", bytes=MIB, occurred_at=bank.clock.at)
        bank.do(use)
    reader = BankReader(bank)
    (source,) = reader.sources()
    *first, last_one = reader.events(source)
    gateway, other = gateway_of(reader), gateway_of(reader)
    view = with_bug(gateway)
    inbox = inbox_of(gateway, reader)
    assert inbox.receive(batch_of(source, first))
    view.fails_for = None
    consumer, write = other.consumers[0], other.consumers[0].write_events
    with ThreadPoolExecutor(1) as pool:
        coming: list[Any] = []

        def let_one_come(cursor: Any, events: list[Envelope]) -> None:
            if not coming:
                coming.append(pool.submit(inbox.receive, batch_of(source, [last_one])))
                with pytest.raises(TimeoutError):
                    coming[0].result(0.3)
            write(cursor, events)

        monkeypatch.setattr(consumer, "write_events", let_one_come)
        assert consumer.retry_parked() == {"applied": 3, "still_parked": 0}
        assert coming[0].result(30)
    assert gateway.parked() == ([], None)
    assert_views_are_the_logs(gateway, reader)


@pytest.mark.parametrize("name", ["balances", "history"])
def test_retries_while_events_come_leave_each_applied_once_and_in_order(
    gateway_of, monkeypatch, name: str
) -> None:
    reader = BankReader(lived_bank(7))
    following, retrying = gateway_of(reader), gateway_of(reader)
    mine, others = (
        next(each for each in gateway.consumers if each.name == name)
        for gateway in (following, retrying)
    )
    dice, write = random.Random(7), mine.write_events

    def fail_often(cursor: Any, events: list[Envelope]) -> None:
        if events and events[0].subject in ("ann", "bob") and dice.random() < 0.8:
            raise ValueError("not now")
        write(cursor, events)

    monkeypatch.setattr(mine, "write_events", fail_often)
    inbox = inbox_of(following, reader)

    def follow() -> None:
        for source in reader.sources():
            for event in reader.events(source):
                assert inbox.receive(batch_of(source, [event]))

    def retry() -> None:
        while not followed.done():
            others.retry_parked()

    with ThreadPoolExecutor(3) as pool:
        followed = pool.submit(follow)
        retried = [pool.submit(retry) for _ in range(2)]
        for future in (followed, *retried):
            future.result(60)
    assert inbox.counts.parked > 0
    others.retry_parked()
    assert following.parked() == ([], None)
    assert_views_are_the_logs(following, reader)


def test_an_event_that_overdraws_a_lot_is_put_aside(gateway_of) -> None:
    bank = opened_bank(1)
    bank.do(Usage(usage_id="u", account="ann", bytes=MIB, occurred_at=bank.clock.at))
    reader = BankReader(bank)
    event = reader.all_events()[-1]
    reader.spoiled[event.id] = lambda data: data["lines"][0]["slices"][0].update(bytes=31 * MIB)
    gateway = gateway_of(reader)
    inbox_of(gateway, reader).level()
    (parked,), _ = gateway.parked()
    assert (parked["consumer"], parked["account"]) == ("balances", "ann")
    assert "CheckViolation" in parked["error"]
    assert gateway.balance("ann")["available_bytes"] == 30 * MIB


def test_a_consumer_without_its_database_says_unavailable_and_not_poison() -> None:
    reader = BankReader(opened_bank(1))
    gateway = make_gateway("host=127.0.0.1 port=1 dbname=none", reader)
    with pytest.raises(UnavailableError):
        gateway.consumers[0].apply(batch_of(reader.sources()[0], reader.all_events()))
    gateway.store.close()


def test_a_transfer_is_in_transit_until_it_has_arrived_or_is_back(gateway_of) -> None:
    bank = opened_bank(2)
    bank.do(Transfer(key="t1", account="ann", to="bob", bytes=2 * MIB))
    bank.do(Transfer(key="t2", account="ann", to="nobody", bytes=3 * MIB))
    reader = BankReader(bank)
    gateway = gateway_of(reader)
    inbox_of(gateway, reader).level()
    assert gateway.trial_balance()["in_transit"] == 5 * MIB
    bank.settle()
    inbox_of(gateway, reader).level()
    totals = gateway.trial_balance()
    assert (totals["in_transit"], totals["transfers_in_transit"]) == (0, 0)
    assert (totals["received"], totals["returned"]) == (2 * MIB, 3 * MIB)
    assert totals["balanced"]
    assert_views_are_the_logs(gateway, reader)


def test_heads_alone_move_nothing(gateway_of) -> None:
    reader = BankReader(opened_bank(1))
    gateway = gateway_of(reader)
    source = reader.sources()[0]
    assert inbox_of(gateway, reader).receive(Batch(source, "all", 9, 9, [])) is False
    assert gateway.positions()["balances"] == "1/"

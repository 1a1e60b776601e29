"""Verify: any changed row is found and named, and so is a log that lost its end."""

from threading import Event

import psycopg
import pytest

from services.ledger.domain.commands import Buy
from shared.bus.inbox import Inbox
from shared.errors import UnavailableError
from tests.support.gateway import BankReader, last, lived_bank

CHANGES = {
    "UPDATE lots SET remaining = remaining - 1 WHERE remaining > 0": ("balances", "remaining"),
    'UPDATE lots SET source = \'{"type": "gift"}\'': ("balances", "source"),
    "DELETE FROM lots": ("balances", "row"),
    "UPDATE balances SET plan = 'gold' WHERE account = 'ann'": ("balances", "plan"),
    "INSERT INTO spend_partners VALUES ('partner:nobody')": ("partner_spend", "row"),
    "UPDATE spend_lines SET subscribers = subscribers + 1": ("partner_spend", "subscribers"),
    "UPDATE trial_balance SET expired = expired + 1": ("trial_balance", "expired"),
    "UPDATE trial_remaining SET held = 1": ("trial_balance", "held"),
    "UPDATE history SET reason = 'mine' WHERE entry = 2 AND account = 'ann'": ("history", "digest"),
    "DELETE FROM history WHERE entry = 1": ("history", "digest"),
    "UPDATE history_ends SET balance = balance + 1": ("history", "balance"),
    "INSERT INTO transfers_in_transit VALUES ('f00', 7)": ("trial_balance", "row"),
}


@pytest.fixture
def reader() -> BankReader:
    return BankReader(lived_bank(8))


@pytest.fixture
def gateway(gateway_of, reader):
    made = gateway_of(reader)
    Inbox(made.consumers, reader, stop=Event()).level()
    return made


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_named(gateway, databases, change: str) -> None:
    with psycopg.connect(
        databases.gateway_url, autocommit=True, options="-c search_path=gateway"
    ) as conn:
        assert conn.execute(change).rowcount > 0
    result = last(gateway.verify())
    difference = result["first_difference"]
    assert result["ok"] is False
    assert (difference["view"], difference["field"]) == CHANGES[change]
    assert difference["expected"] != difference["found"]
    assert difference["key"]
    others = {name for name, view in result["views"].items() if view["ok"]}
    assert len(others) == len(result["views"]) - 1


def test_views_are_compared_each_at_its_own_position(gateway, reader) -> None:
    source = reader.sources()[0]
    before = len(reader.all_events())
    bank = reader.bank
    bank.clock.at += 40 * 86_400_000
    names = ("ann", "bob", "cat", "dan")
    bank.do(*(Buy(key="late", account=name, bytes=5) for name in names))
    behind, *ahead = gateway.consumers
    Inbox(ahead, reader, stop=Event()).level()
    assert behind.position(source) < ahead[0].position(source)
    result = last(gateway.verify())
    assert result["ok"], result["first_difference"]
    assert result["events"] > before
    assert result["accounts"] == 6 + 1  # The operator takes fees.


def test_a_log_that_ends_before_its_views_is_told(gateway, reader) -> None:
    reader.bank.partitions[0].log.pop()
    result = last(gateway.verify())
    assert result["ok"] is False
    difference = result["first_difference"]
    assert (difference["view"], difference["field"]) == ("balances", "position")
    assert difference["expected"] < difference["found"]


def test_without_the_ledger_nothing_is_claimed(gateway, reader) -> None:
    reader.away = True
    with pytest.raises(UnavailableError):
        last(gateway.verify())

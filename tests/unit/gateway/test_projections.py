import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.catalogue import VIEWS
from services.gateway.consumers import fold
from services.gateway.projections import UnknownLotError
from services.ledger.domain.commands import Award, ClawBack, Usage
from shared.contracts.envelope import Batch, decode_raw_batch
from shared.contracts.ledger import DataSpent
from shared.ids import account_kind
from tests.support.gateway import MIB, BankReader, funded_bank, lived_bank, opened_bank
from tests.support.memory import CALENDAR

SEEDS = st.integers(0, 10_000)


def award(key: str, subscriber: str) -> Award:
    return Award(key=key, account="campaign:ride", subscriber=subscriber, bytes=MIB)


def delta_of(name: str, events):
    delta = VIEWS[name](CALENDAR).new_delta()
    fold(delta, events)
    return delta


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_balances_hold_what_the_ledger_holds_lot_by_lot(seed: int) -> None:
    bank = lived_bank(seed)
    rows = delta_of("balances", BankReader(bank).all_events()).rows()
    left = {key: row[2] for key, row in rows["lots"].items() if row[2]}
    accounts = [account for part in bank.partitions for account in part.refolded().values()]
    assert left == {
        (account.account, lot.lot_id): lot.remaining
        for account in accounts
        for lot in account.lots.values()
        if lot.remaining
    }
    assert {name for (name,) in rows["balances"]} == {account.account for account in accounts}


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_the_trial_balance_sums_up_what_the_ledger_holds(seed: int) -> None:
    bank = lived_bank(seed)
    rows = delta_of("trial_balance", BankReader(bank).all_events()).rows()
    accounts = [account for part in bank.partitions for account in part.refolded().values()]
    totals = [sum(column) for column in zip(*rows["trial_balance"].values(), strict=True)]
    terms = ("earned", "received", "returned", "spent", "unfunded", "transferred", "expired")
    assert totals[0] == len(accounts)
    assert totals[1:8] == [sum(getattr(each, term) for each in accounts) for term in terms]
    assert sum(amount for (amount,) in rows["transfers_in_transit"].values()) == bank.in_transit()
    left = sum(remaining for remaining, _ in rows["trial_remaining"].values())
    assert left == sum(lot.remaining for each in accounts for lot in each.lots.values())
    earned, received, returned, spent, _, transferred, expired = totals[1:8]
    assert earned + received + returned == left + spent + transferred + expired


@pytest.mark.parametrize("view", VIEWS)
@given(seed=SEEDS)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_logs_may_be_read_in_turns_of_any_length(view: str, seed: int) -> None:
    reader = BankReader(lived_bank(seed))
    logs = [reader.events(source) for source in reader.sources()]
    dice = random.Random(seed)
    mixed = []
    while any(logs):
        log = dice.choice([each for each in logs if each])
        mixed.append(log.pop(0))
    assert delta_of(view, mixed).rows() == delta_of(view, reader.all_events()).rows()


def test_awards_count_once_a_day_for_each_subscriber_on_the_banks_day_of_arrival() -> None:
    bank = funded_bank()
    bank.at("2015-08-10T23:59:59+08:00")
    bank.do(award("1", "ann"), award("2", "ann"))
    bank.do(award("3", "bob"))
    bank.settle()
    bank.at("2015-08-11T00:00:00+08:00")
    bank.do(award("4", "ann"), award("5", "none"))
    bank.settle()
    rows = delta_of("partner_spend", BankReader(bank).all_events()).rows()
    campaign = ("partner:didi", "campaign:ride")
    assert rows["spend_lines"] == {
        (*campaign, "2015-08-10", "award", ""): (3 * MIB, 3, 2),
        (*campaign, "2015-08-11", "award", ""): (MIB, 1, 1),
    }
    assert rows["spend_partners"] == {("partner:didi",): ()}


def test_what_is_clawed_back_of_an_award_counts_against_the_day_on_which_it_is() -> None:
    bank = funded_bank()
    (first, _) = bank.do(award("1", "ann"), award("2", "bob"))
    bank.settle()
    bank.at("2015-08-11T00:00:00+08:00")
    bank.do(Usage(usage_id="u", account="ann", bytes=30 * MIB + 5, occurred_at=bank.clock.at))
    undone = first.result["transfer_id"]
    bank.do(ClawBack(key="c", account="ann", transfer_id=undone, reason="a cancelled ride"))
    bank.settle()
    rows = delta_of("partner_spend", BankReader(bank).all_events()).rows()
    campaign = ("partner:didi", "campaign:ride")
    assert rows["spend_lines"] == {
        (*campaign, "2015-08-10", "award", ""): (2 * MIB, 2, 2),
        (*campaign, "2015-08-11", "award", ""): (5 - MIB, 0, 0),
    }
    left = sum(lot.remaining for lot in bank.account("campaign:ride").lots.values())
    assert left == 100 * MIB - sum(row[0] for row in rows["spend_lines"].values())


def test_kinds_of_account_are_kept_apart() -> None:
    rows = delta_of("trial_balance", BankReader(funded_bank(1)).all_events()).rows()
    kinds = {kind: row[0] for (_, kind), row in rows["trial_balance"].items()}
    assert kinds == {"subscriber": 4, "partner": 1, "campaign": 1}
    assert account_kind("campaign:ride") == "campaign"


def test_an_event_of_an_unknown_type_is_poison_and_not_lost() -> None:
    event = BankReader(opened_bank()).all_events()[0]
    strange = msgspec.structs.replace(event, type="bank.ledger.data_melted.v1")
    with pytest.raises(KeyError):
        delta_of("balances", [strange])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("lines"),
        lambda data: data["lines"][0]["slices"][0].update(bytes="12"),
        lambda data: data["lines"][0]["slices"][0].pop("lot_id"),
        lambda data: data["lines"][0].update(unfunded_bytes=1.5),
    ],
)
def test_malformed_usage_is_poison_before_anything_is_added(spoil) -> None:
    bank = opened_bank()
    bank.do(Usage(usage_id="u", account="ann", bytes=5, occurred_at=bank.clock.at))
    (event,) = [one for one in BankReader(bank).all_events() if one.type == DataSpent.TYPE]
    spoil(event.data)
    delta = VIEWS["trial_balance"](CALENDAR).new_delta()
    with pytest.raises(msgspec.ValidationError):
        fold(delta, [event])
    assert delta.size() == 0


def test_taking_from_a_lot_that_never_was_is_told() -> None:
    bank = opened_bank()
    bank.do(Usage(usage_id="u", account="ann", bytes=5, occurred_at=bank.clock.at))
    spent = [one for one in BankReader(bank).all_events() if one.type == DataSpent.TYPE]
    for view in ("balances", "trial_balance"):
        with pytest.raises(UnknownLotError):
            delta_of(view, spent).rows()


def test_a_page_read_without_decoding_its_data_says_the_same() -> None:
    bank = lived_bank(9)
    reader = BankReader(bank)
    source = reader.sources()[0]
    events = reader.events(source)
    page = decode_raw_batch(msgspec.json.encode(events), source, "all", 0)
    assert (page.previous, page.sequence) == (0, int(events[-1].sequence))
    for view in VIEWS:
        assert delta_of(view, page.events).rows() == delta_of(view, events).rows()
    assert msgspec.json.encode(page.events) == msgspec.json.encode(events)
    assert decode_raw_batch(b"[]", source, "all", 7) == Batch(source, "all", 7, 7, [])

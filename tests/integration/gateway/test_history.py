"""History and past balances: every event is an entry, and any past instant adds up to the byte."""

from threading import Event
from typing import Any

import pytest

from services.gateway.bootstrap import make_app
from services.ledger.codec import decode_event
from services.ledger.domain.account import Account
from services.ledger.domain.commands import (
    Award,
    Buy,
    ClawBack,
    Hold,
    Post,
    SetThresholds,
    Transfer,
    Usage,
)
from services.ledger.domain.evolving import evolve
from services.ledger.domain.rules import GivenThresholds
from shared.bus.inbox import Inbox
from shared.errors import InvalidError, RefusedError
from shared.ids import stream_id
from tests.integration.gateway.test_http import TOKENS, Api
from tests.support.gateway import (
    MIB,
    PEOPLE,
    BankReader,
    funded_bank,
    last,
    lived_bank,
    opened_bank,
)
from tests.support.memory import CALENDAR, MemoryBank

ALL = {"after": 0, "kind": None, "from": None, "to": None}


def events_of(bank: MemoryBank, account: str) -> list[Any]:
    log = bank.of(account).log
    return [decode_event(topic, state) for id_, _, topic, state in log if id_ == stream_id(account)]


def state_at(bank: MemoryBank, account: str, at: int) -> Account | None:
    state: Account | None = None
    for event in events_of(bank, account):
        if event.recorded_at <= at:
            state = evolve(state, event)
    return state


def lots_of(answer: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {lot["lot_id"]: (lot["remaining_bytes"], lot["held_bytes"]) for lot in answer["lots"]}


def followed(gateway_of: Any, bank: MemoryBank) -> Any:
    reader = BankReader(bank)
    gateway = gateway_of(reader)
    Inbox(gateway.consumers, reader, stop=Event()).level()
    return gateway


@pytest.mark.parametrize("seed", [3, 8, 14, 21])
def test_a_balance_at_any_instant_is_what_the_events_until_then_come_to(
    gateway_of, seed: int
) -> None:
    bank = lived_bank(seed)
    gateway = followed(gateway_of, bank)
    for account in (*PEOPLE, "campaign:ride"):
        instants = {event.recorded_at for event in events_of(bank, account)}
        for at in sorted({*instants, *(at - 1 for at in instants), bank.clock.at}):
            state = state_at(bank, account, at)
            if state is None:
                with pytest.raises(RefusedError, match=f"no account {account} was open at"):
                    gateway.balance_at(account, at)
                continue
            answer = gateway.balance_at(account, at)
            lots = [lot for lot in state.lots.values() if lot.remaining]
            assert lots_of(answer) == {lot.lot_id: (lot.remaining, lot.held) for lot in lots}
            available = sum(lot.free for lot in lots if lot.expires_at > at)
            assert answer["available_bytes"] == available
            assert answer["lapsed_bytes"] == sum(lot.free for lot in lots) - available
        now = gateway.balance_at(account, bank.clock.at)
        assert lots_of(now) == lots_of(gateway.balance(account))


def test_a_future_balance_is_refused(gateway_of) -> None:
    bank = opened_bank(1)
    with pytest.raises(InvalidError):
        followed(gateway_of, bank).balance_at("ann", bank.clock.at + 1)


def test_each_event_of_an_account_is_an_entry_with_its_own_number(gateway_of) -> None:
    bank = lived_bank(12, steps=40)
    gateway = followed(gateway_of, bank)
    for account in (*PEOPLE, "partner:didi"):
        entries = gateway.history(account, ALL, 500)["entries"]
        events = events_of(bank, account)
        assert [entry["entry"] for entry in entries] == list(range(1, len(events) + 1))
        state: Account | None = None
        for event, entry in zip(events, entries, strict=True):
            state = evolve(state, event)
            remaining = sum(lot.remaining for lot in state.lots.values())
            assert entry["balance_bytes"] == remaining
            assert CALENDAR.parse(entry["at"]) == event.recorded_at
            assert entry["actor"] == event.actor


def test_pages_are_stable_and_filters_narrow_them(gateway_of) -> None:
    bank = opened_bank(1)
    at = bank.clock.at
    for number in range(5):
        bank.clock.at = at + number * 1000
        bank.do(Usage(usage_id=f"u{number}", account="ann", bytes=MIB, occurred_at=at))
    gateway = followed(gateway_of, bank)
    first = gateway.history("ann", ALL, 3)
    rest = gateway.history("ann", {**ALL, "after": first["next_after"]}, 500)
    assert [entry["entry"] for entry in first["entries"] + rest["entries"]] == list(range(1, 8))
    assert rest["next_after"] is None
    spent = gateway.history("ann", {**ALL, "kind": "spent"}, 500)["entries"]
    assert [entry["lines"] for entry in spent] == [1] * 5
    window = gateway.history("ann", {**ALL, "from": at + 1000, "to": at + 3000}, 500)["entries"]
    assert [CALENDAR.parse(entry["at"]) - at for entry in window] == [1000, 2000]


def test_a_gift_out_of_a_hold_reads_well_on_both_sides(gateway_of) -> None:
    bank = opened_bank(2)
    deadline = "2015-08-12T12:00:00+08:00"
    (held,) = bank.do(Hold(key="h", account="ann", bytes=3 * MIB, deadline=deadline))
    if held.status == "refused":  # A plan's lot cannot be given where the rules forbid it.
        pytest.fail(str(held))
    bank.do(Post(key="p", account="ann", hold_id=held.result["hold_id"], to="bob", bytes=MIB))
    bank.do(Transfer(key="t", account="ann", to="nobody", bytes=MIB))
    bank.settle()
    gateway = followed(gateway_of, bank)
    *_, pinned, sent, lost, back = gateway.history("ann", ALL, 500)["entries"]
    assert (pinned["kind"], pinned["deadline"], pinned["bytes_out"]) == ("held", deadline, 0)
    assert pinned["lots"] == [{"lot_id": "plan:2015-08", "bytes": 0, "held_bytes": 3 * MIB}]
    assert (sent["kind"], sent["counterparty"], sent["bytes_out"]) == ("transferred", "bob", MIB)
    assert sent["hold_id"] == held.result["hold_id"]
    assert (lost["counterparty"], back["kind"]) == ("nobody", "transfer_returned")
    assert (back["code"], back["bytes_in"]) == ("account_not_found", MIB)
    arrived = gateway.history("bob", ALL, 500)["entries"][-1]
    assert (arrived["kind"], arrived["counterparty"]) == ("received", "ann")
    assert arrived["transfer_id"] == sent["transfer_id"]


def test_a_clawback_reads_well_on_both_sides_and_partner_spend_is_net_of_it(gateway_of) -> None:
    bank = funded_bank(2)
    asked = Award(key="a", account="campaign:ride", subscriber="ann", bytes=3 * MIB)
    (award,) = bank.do(asked)
    bank.settle()
    at = bank.clock.at
    bank.do(Usage(usage_id="u", account="ann", bytes=31 * MIB, occurred_at=at))
    undone = award.result["transfer_id"]
    bank.do(ClawBack(key="c", account="ann", transfer_id=undone, reason="a cancelled ride"))
    bank.settle()
    gateway = followed(gateway_of, bank)
    sent = gateway.history("ann", {**ALL, "kind": "transferred"}, 500)["entries"][-1]
    assert (sent["purpose"], sent["counterparty"]) == ("clawback", "campaign:ride")
    assert (sent["undoes"], sent["shortfall_bytes"], sent["bytes_out"]) == (undone, MIB, 2 * MIB)
    back = gateway.history("campaign:ride", {**ALL, "kind": "clawed_back"}, 500)["entries"][-1]
    assert (back["purpose"], back["counterparty"], back["bytes_in"]) == ("award", "ann", 2 * MIB)
    assert (back["undoes"], back["shortfall_bytes"]) == (undone, MIB)
    assert back["reason"] == "a cancelled ride"
    filters = dict.fromkeys(
        ("campaign", "kind", "day_from", "day_to", "after_partner", "after_campaign", "after_day",
         "after_kind", "after_rating_group")
    )  # fmt: skip
    spend = gateway.spending.spend("didi", filters, 10)
    assert [(row["bytes"], row["count"]) for row in spend["rows"]] == [(MIB, 1)]
    trial = gateway.trial_balance()
    assert (trial["in_transit"], trial["balanced"]) == (0, True)
    assert last(gateway.verify())["ok"]


def test_a_threshold_says_which_and_what_is_left(gateway_of) -> None:
    bank = opened_bank(1)
    own = GivenThresholds(plan_used_percent=[80], low_balance_bytes=MIB, expiring_days=[30])
    at = bank.clock.at
    bank.do(
        Buy(key="pack", account="ann", bytes=2 * MIB, expires_at="2015-08-20T00:00:00"),
        SetThresholds(key="own", account="ann", thresholds=own),
        Usage(usage_id="u", account="ann", bytes=31 * MIB, occurred_at=at),
        SetThresholds(key="rules", account="ann"),
    )
    entries = followed(gateway_of, bank).history("ann", ALL, 500)["entries"]
    told = [entry for entry in entries if entry["kind"].startswith("threshold")]
    assert [entry["thresholds"] for entry in told if "thresholds" in entry] == [
        {"plan_used_percent": [80], "low_balance_bytes": MIB, "expiring_days": [30]}, None,
    ]  # fmt: skip
    by_name = {entry["threshold"]: entry for entry in told if "threshold" in entry}
    expiring, used, low = by_name["expiring"], by_name["plan_used"], by_name["low_balance"]
    assert (expiring["value"], expiring["expiring_bytes"]) == (30, 2 * MIB)
    assert expiring["expires_at"] == "2015-08-20T00:00:00+08:00"
    assert (used["value"], used["lot_id"]) == (80, "plan:2015-08")
    assert low["value"] == MIB
    assert {used["available_bytes"], low["available_bytes"]} == {MIB}


def test_unknown_filters_and_accounts_are_refused(gateway_of) -> None:
    api = Api(make_app(followed(gateway_of, opened_bank(1)), TOKENS))
    path = "/v1/accounts/ann/history"
    for bad in ({"since": "x"}, {"kind": "stolen"}, {"limit": 0}, {"limit": 501}, {"from": "now"}):
        assert api.get(path, 422, **bad)["code"] == "invalid_request"
    assert api.get("/v1/accounts/eve/history", 404)["code"] == "account_not_found"
    assert api.get("/v1/accounts/ann/balance", 422, at="later")["code"] == "invalid_request"
    assert api.get("/v1/accounts/ann/balance", 422, at="2100-01-01")["now"]
    answer = api.get("/v1/accounts/ann/balance", at="2015-08-10T12:00:00")
    assert (answer["available_bytes"], answer["at"]) == (30 * MIB, "2015-08-10T12:00:00+08:00")
    assert [each["kind"] for each in api.get(path)["entries"]] == ["account_opened", "earned"]

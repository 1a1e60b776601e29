"""Rules are data; asks end once; what looks like abuse is stepped up, delayed or denied."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from services.gifting.domain.abuse import Traffic, judge, windows
from services.gifting.domain.ask import Ask, AskUsed, AskWish, refuse_ask
from services.gifting.domain.checks import Facts, Party
from services.gifting.domain.rules import BUILT_IN, Abuse, built_in_rules, read_rules
from shared.errors import InvalidError, RefusedError
from tests.unit.gifting.world import (
    CALENDAR,
    DEADLINE,
    MIB,
    NOW,
    meta,
    said,
    state_of,
    stored_and_read,
)

DAY_MS = 86_400_000
KNOWN = Traffic(knows_receiver=True)


def verdict(amount: int = 10 * MIB, *, confirmed: bool = False, **traffic):
    return judge(amount, replace(KNOWN, **traffic), BUILT_IN, NOW, confirmed=confirmed)


def test_the_built_in_rules_are_those_of_the_specification():
    gifts, packets = built_in_rules().at(NOW).gifts, built_in_rules().at(NOW).red_packets
    assert (gifts.bytes_min, gifts.bytes_step, gifts.bytes_max) == (10 * MIB, MIB, 1024 * MIB)
    assert (gifts.per_day.count, gifts.per_month.count, gifts.plan_share_percent) == (3, 10, 50)
    assert (packets.shares_max, packets.valid_hours, packets.sender_per_day) == (100, 24, 5)


def test_a_version_names_only_what_differs_and_holds_from_its_instant_on():
    book = read_rules(
        b'[{"version": 1, "effective_from": "2015-01-01"},'
        b' {"version": 2, "effective_from": "2015-09-10", "gifts": {"per_day": {"count": 1}}}]',
        CALENDAR,
    )
    start = CALENDAR.parse("2015-09-10")
    assert book.at(start - 1).gifts.per_day.count == 3
    assert (book.at(start).gifts.per_day.count, book.at(start).gifts.per_day.bytes) == (1, None)
    assert book.at(start).gifts.per_month.count == 10


FEE_OF_THE_RECEIVER = (
    b'[{"version": 1, "effective_from": "2015-01-01",'
    b' "red_packets": {"fee": {"mode": "fixed", "bytes": 1, "payer": "receiver"}}}]'
)


def versions(*dated: tuple[int, str]) -> bytes:
    return msgspec.json.encode(
        [{"version": number, "effective_from": start} for number, start in dated]
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"[]", "at least one version"),
        (b"{", "can't be used"),
        (b'[{"version": 1, "effective_from": "soon"}]', "soon"),
        (b'[{"version": 1, "effective_from": "2015-01-01", "gifts": {"max": 1}}]', "max"),
        (b'[{"version": 1, "effective_from": "2015-01-01", "gifts": {"bytes_max": 5}}]',
         "bytes_min of gifts is above bytes_max"),
        (b'[{"version": 1, "effective_from": "2015-01-01", "gifts": {"accept": "never"}}]',
         r"'never' is none of automatic, receiver, at \$\[0\]\.gifts\.accept$"),
        (FEE_OF_THE_RECEIVER,
         "the fee of red_packets is paid by the sender"),
        (versions((2, "2015-01-01"), (1, "2016-01-01")), "they must be rising"),
        (versions((1, "2015-01-01"), (2, "2015-01-01")), "is not after that before it"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_is_told_and_where(text, says):
    with pytest.raises(InvalidError, match=says):
        read_rules(text, CALENDAR)


def test_an_ordinary_gift_is_allowed():
    assert (verdict().outcome, verdict().reasons, verdict().refusal) == ("allow", [], None)


@pytest.mark.parametrize(
    ("traffic", "reason", "outcome"),
    [
        ({"sender_gifts": 1}, None, "allow"),
        ({"sender_gifts": 2}, "velocity", "step_up"),
        ({"sender_gifts": 4}, "velocity", "delay"),
        ({"sender_gifts": 19}, "velocity", "deny"),
        ({"sender_receivers": 3}, "fan_out", "step_up"),
        ({"sender_receivers": 5}, "fan_out", "delay"),
        ({"receiver_senders": 4}, None, "allow"),
        ({"receiver_senders": 5}, "fan_in", "delay"),
        ({"receiver_senders": 19}, "fan_in", "deny"),
        ({"gifts_back": 1}, "cycle", "step_up"),
        ({"gifts_back": 2}, "cycle", "delay"),
        ({"receiver_new_senders": 2, "sender_opened_at": NOW - 59 * DAY_MS}, "star", "delay"),
        ({"receiver_new_senders": 9, "sender_opened_at": NOW - 60 * DAY_MS}, None, "allow"),
        ({"receiver_new_senders": 9, "sender_opened_at": None}, None, "allow"),
        ({"knows_receiver": False}, "new_receiver", "step_up"),
    ],
)
def test_each_signal_has_thresholds_of_its_own(traffic, reason, outcome):
    found = verdict(**traffic)
    assert (found.outcome, found.reasons) == (outcome, [reason] if reason else [])


def test_the_gravest_outcome_counts_and_all_reasons_are_told_gravest_first():
    found = verdict(501 * MIB, receiver_senders=19, sender_gifts=4)
    assert found.outcome == "deny"
    assert found.reasons == ["fan_in", "velocity", "large_amount"]
    assert "20 senders in 24 hours" in found.detail
    assert found.refusal is not None
    assert found.refusal.code == "abuse_suspected"


def test_a_second_factor_meets_what_only_asked_for_one():
    asked = verdict(501 * MIB, knows_receiver=False)
    assert asked.refusal is not None
    assert (asked.refusal.code, asked.refusal.status) == ("step_up_required", 403)
    assert verdict(501 * MIB, knows_receiver=False, confirmed=True).outcome == "allow"
    assert verdict(501 * MIB, sender_gifts=4, confirmed=True).reasons == ["velocity"]


def test_what_a_second_factor_has_met_is_kept():
    found = verdict(501 * MIB, knows_receiver=False, sender_gifts=2, confirmed=True)
    assert (found.outcome, found.reasons) == ("allow", [])
    assert found.confirmed_for == ["velocity", "large_amount", "new_receiver"]
    assert verdict(501 * MIB, sender_gifts=4, confirmed=True).confirmed_for == ["large_amount"]
    assert verdict(501 * MIB).confirmed_for == []


def test_a_delayed_gift_is_not_refused():
    assert verdict(gifts_back=2).refusal is None


def test_traffic_is_counted_over_windows_that_slide():
    since = windows(Abuse(), NOW)
    assert (NOW - since.velocity, NOW - since.fan, NOW - since.cycle) == (
        600_000, DAY_MS, 7 * DAY_MS,
    )  # fmt: skip


ASK = AskWish(
    ask_id="c" * 32, asker="bob", giver="ann", bytes=10 * MIB, deadline=DEADLINE, message="please"
)
ASKS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("same_account", {"giver": "bob"}, {}),
    ("amount_too_small", {"bytes": MIB}, {}),
    ("amount_step", {"bytes": 10 * MIB + 1}, {}),
    ("amount_too_large", {"bytes": 1025 * MIB}, {}),
    ("asker_not_found", {}, {"asker": None}),
    ("asker_suspended", {}, {"asker": Party(account="bob", status="suspended")}),
    ("giver_not_found", {}, {"giver": None}),
    ("giver_closed", {}, {"giver": Party(account="ann", status="closed")}),
    ("asks_limit", {}, {"day_count": 5}),
    ("friend_asks_limit", {}, {"friend_day_count": 1}),
]


def asking(wish: dict[str, Any], known: dict[str, Any]) -> str | None:
    used = AskUsed(**{name: value for name, value in known.items() if name.endswith("_count")})
    facts = Facts(
        sender=known.get("asker", Party(account="bob")),
        receiver=known.get("giver", Party(account="ann")),
    )
    refusal = refuse_ask(replace(ASK, **wish), BUILT_IN, used, NOW, CALENDAR, facts)
    return None if refusal is None else refusal.code


@pytest.mark.parametrize("place", range(len(ASKS)), ids=[code for code, *_ in ASKS])
def test_an_ask_is_refused_by_the_first_reason_in_order(place):
    assert asking({}, {}) is None
    code, wish, used = ASKS[place]
    assert asking(wish, used) == code
    for _, later, more in ASKS[place + 1 :]:
        assert asking({**later, **wish}, {**more, **used}) == code


def test_while_the_ledger_is_away_nobody_knows_who_asks_whom():
    assert refuse_ask(ASK, BUILT_IN, AskUsed(), NOW, CALENDAR, None) is None


def say(ask: Ask, verb: str, by: str, now: int = NOW) -> str | bool:
    try:
        if verb == "answer":
            return ask.answer(by, "d" * 32, meta(now))
        return ask.decline(by, meta(now))
    except RefusedError as refused:
        return refused.code


@pytest.mark.parametrize(("verb", "state"), [("answer", "answered"), ("decline", "declined")])
def test_an_ask_is_answered_or_declined_once_by_who_was_asked(verb, state):
    ask = Ask.make(ASK, meta())
    assert say(ask, verb, "eve") == "ask_not_found"
    assert say(ask, verb, "bob") == "not_the_giver"
    assert say(ask, verb, "ann", DEADLINE) == "ask_expired"
    assert say(ask, verb, "ann", DEADLINE - 1) is True
    assert (ask.state, ask.is_final) == (state, True)
    assert say(ask, verb, "ann", DEADLINE) is False
    assert say(ask, "answer" if verb == "decline" else "decline", "ann") == "ask_ended"
    assert ask.expire(meta(DEADLINE)) is False
    assert state_of(stored_and_read(ask)) == state_of(ask)


def test_an_answered_ask_is_open_again_once_its_gift_came_to_nothing_in_its_time():
    ask, gift = Ask.make(ASK, meta()), "d" * 32
    assert ask.reopen(gift, "declined", meta()) is False
    ask.answer("ann", gift, meta())
    assert ask.reopen("e" * 32, "declined", meta()) is False
    assert ask.reopen(gift, "declined", meta(DEADLINE)) is False
    assert ask.reopen(gift, "declined", meta(DEADLINE - 1)) is True
    assert (ask.state, ask.is_final, ask.gift_id) == ("made", False, "")
    assert ask.reopen(gift, "declined", meta()) is False
    assert ask.answer("ann", "e" * 32, meta()) is True
    assert state_of(stored_and_read(ask)) == state_of(ask)


def test_an_ask_expires_at_its_deadline_and_not_before():
    ask = Ask.make(ASK, meta())
    assert ask.expire(meta(DEADLINE - 1)) is False
    assert ask.expire(meta(DEADLINE)) is True
    assert say(ask, "answer", "ann", DEADLINE) == "ask_ended"
    assert said(ask)[-1].account == "ann"


def test_only_a_gift_to_the_one_who_asked_is_an_answer():
    ask = Ask.make(ASK, meta())
    ask.check_answer("ann", "bob", NOW)
    with pytest.raises(RefusedError, match="not for the one who asked"):
        ask.check_answer("ann", "cat", NOW)

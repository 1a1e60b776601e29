"""A gift arrives, or its sender has it back; every word that comes too late is refused by name."""

import json

import pytest

from services.gifting.domain.gift import Gift, Wish
from shared.contracts.gifting import GiftAccepted, GiftCancelled, GiftOffered
from shared.contracts.ledger import HoldReleased, TransferRefused
from shared.errors import RefusedError
from shared.sagas.aggregate import encode
from tests.unit.gifting.world import (
    DEADLINE,
    MIB,
    NOW,
    Ledger,
    a_clawback,
    a_gift,
    facts_of,
    meta,
    said,
    state_of,
    stored_and_read,
)


def play(gift: Gift, ledger: Ledger, seen: int = 0) -> None:
    """Let gifting and the ledger talk until neither has anything to say."""
    told = len(ledger.told)
    while seen < len(gift.pending_events) or ledger.transit:
        for fact in said(gift)[seen:]:
            ledger.take(fact)
        seen = len(gift.pending_events)
        ledger.arrive()
        for answer in ledger.told[told:]:
            gift.on(answer, meta())
        told = len(ledger.told)
    ledger.check()


def a_held_gift(ledger: Ledger | None = None, **more) -> tuple[Gift, Ledger]:
    gift = a_gift(waits=True, **more)
    gift.offer(meta())
    ledger = ledger or Ledger(30 * MIB)
    play(gift, ledger)
    return gift, ledger


def go_on(gift: Gift, ledger: Ledger) -> None:
    play(gift, ledger, seen=len(gift.pending_events) - 1)


def test_an_automatic_gift_arrives_with_no_hold_in_between():
    gift, ledger = a_gift(), Ledger(30 * MIB)
    gift.offer(meta())
    play(gift, ledger)
    assert facts_of(gift) == ["GiftRequested", "GiftOffered", "GiftSent", "GiftCompleted"]
    assert (gift.state, gift.lots[0].granted, ledger.arrived["bob"]) == (
        "completed", 10 * MIB, 10 * MIB,
    )  # fmt: skip
    assert not gift.gives_back


def test_a_gift_that_waits_is_held_then_accepted_then_arrives():
    gift, ledger = a_held_gift()
    assert (gift.state, gift.deadline, ledger.held) == ("held", DEADLINE, 10 * MIB)
    gift.accept("bob", meta(NOW + 1))
    go_on(gift, ledger)
    assert facts_of(gift)[1:] == [
        "GiftOffered", "GiftHeld", "GiftAccepted", "GiftSent", "GiftCompleted",
    ]  # fmt: skip
    assert ledger.arrived["bob"] == 10 * MIB


@pytest.mark.parametrize(("payer", "leaves", "arrives"), [("sender", 11, 10), ("receiver", 10, 9)])
@pytest.mark.parametrize("waits", [False, True])
def test_a_fee_is_on_top_for_the_sender_and_taken_out_for_the_receiver(
    payer, leaves, arrives, waits
):
    gift, ledger = a_gift(fee_bytes=MIB, fee_payer=payer, waits=waits), Ledger(30 * MIB)
    gift.offer(meta())
    play(gift, ledger)
    if waits:
        gift.accept("bob", meta())
        go_on(gift, ledger)
    assert gift.state == "completed"
    assert 30 * MIB - ledger.free == leaves * MIB
    assert ledger.arrived == {"bob": arrives * MIB, "operator:fees": MIB}


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda gift, _: gift.decline("bob", meta()), "declined"),
        (lambda gift, _: gift.cancel("ann", meta()), "cancelled"),
        (lambda _, ledger: setattr(ledger, "now", DEADLINE), "timed_out"),
        (lambda _, ledger: ledger.close(), "hold_released"),
    ],
    ids=["declined", "cancelled", "timed out", "the sender's account is closed"],
)
def test_a_held_gift_that_is_not_accepted_comes_back_and_counts_no_more(act, code):
    gift, ledger = a_held_gift()
    act(gift, ledger)
    ledger.time_out()
    for fact in said(gift)[3:]:
        ledger.take(fact)
    for answer in ledger.told:
        gift.on(answer, meta())
    assert (gift.state, gift.code, ledger.free, gift.gives_back) == (
        "returned", code, 30 * MIB, True,
    )  # fmt: skip


def test_a_gift_can_be_cancelled_before_the_ledger_has_held_it():
    gift, ledger = a_gift(waits=True), Ledger(30 * MIB)
    gift.offer(meta())
    gift.cancel("ann", meta())
    assert isinstance(said(gift)[-1], GiftCancelled)
    assert said(gift)[-1].hold_id == ""
    play(gift, ledger)
    assert (gift.state, gift.code, ledger.free) == ("returned", "cancelled", 30 * MIB)


def test_a_gift_that_was_not_offered_yet_is_cancelled_at_once():
    gift = a_gift()
    gift.cancel("ann", meta())
    assert (gift.state, gift.code, gift.gives_back) == ("returned", "cancelled", True)
    assert gift.offer(meta()) is False


@pytest.mark.parametrize("waits", [False, True])
def test_what_the_sender_does_not_have_is_refused_with_the_ledgers_code(waits):
    gift, ledger = a_gift(waits=waits), Ledger(5 * MIB)
    gift.offer(meta())
    play(gift, ledger)
    assert (gift.state, gift.code, gift.gives_back) == ("refused", "insufficient_data", True)


def test_a_refused_arrival_is_the_end_only_when_the_bytes_are_back_and_the_gift_still_counts():
    gift, ledger = a_gift(), Ledger(30 * MIB, closed=("bob",))
    gift.offer(meta())
    play(gift, ledger)
    assert (gift.state, gift.code, ledger.free) == ("returned", "account_closed", 30 * MIB)
    assert not gift.gives_back


def test_an_accepted_gift_whose_hold_is_gone_is_returned_and_not_refused():
    gift, ledger = a_held_gift()
    gift.accept("bob", meta(DEADLINE - 1))
    ledger.now = DEADLINE
    ledger.take(said(gift)[-1])
    refused, released = ledger.told[-1], ledger.told[-2]
    assert (type(refused), type(released)) == (TransferRefused, HoldReleased)
    gift.on(refused, meta(DEADLINE))
    gift.on(released, meta(DEADLINE))
    assert (gift.state, gift.code) == ("returned", "timed_out")


def test_the_post_of_a_hold_that_is_there_waits_for_the_holds_release():
    gift, ledger = a_held_gift()
    gift.accept("bob", meta())
    ledger._refuse_transfer(gift.gift_id, "bob", "account_not_found")
    assert gift.on(ledger.told[-1], meta()) is False
    assert gift.state == "accepted"


def test_an_arrival_that_is_heard_before_the_departure_ends_the_gift():
    gift, ledger = a_gift(), Ledger(30 * MIB)
    gift.offer(meta())
    ledger.take(said(gift)[-1])
    ledger.arrive()
    departed, arrived = ledger.told
    assert gift.on(arrived, meta()) is True
    assert gift.on(departed, meta()) is True
    assert gift.on(departed, meta()) is False
    assert facts_of(gift)[2:] == ["GiftCompleted", "GiftSent"]
    # Its end stays its end, and what left the sender is told all the same.
    assert (gift.state, sum(leg.bytes for leg in gift.legs)) == ("completed", 10 * MIB)


def test_a_fees_arrival_does_not_complete_the_gift():
    gift, ledger = a_gift(fee_bytes=MIB), Ledger(30 * MIB)
    gift.offer(meta())
    ledger.take(said(gift)[-1])
    ledger.arrive()
    assert gift.on(ledger.told[-1], meta()) is False
    assert gift.state == "offered"


def test_what_an_operator_takes_back_of_a_gift_is_told_once_beside_its_end():
    gift, ledger = a_gift(), Ledger(30 * MIB)
    gift.offer(meta())
    play(gift, ledger)
    taken = a_clawback(gift.gift_id, 7 * MIB, shortfall=3 * MIB)
    assert gift.on(taken, meta(NOW + 1)) is True
    told = said(gift)[-1]
    assert (told.taken_bytes, told.shortfall_bytes, told.reason) == (7 * MIB, 3 * MIB, "hijacked")
    assert (gift.state, gift.clawed_back_bytes) == ("completed", 7 * MIB)
    assert gift.on(taken, meta(NOW + 2)) is False
    assert state_of(stored_and_read(gift)) == state_of(gift)


def test_a_clawback_that_is_heard_before_the_arrival_does_not_hide_it():
    gift, ledger = a_gift(), Ledger(30 * MIB)
    gift.offer(meta())
    ledger.take(said(gift)[-1])
    gift.on(ledger.told[-1], meta())
    ledger.arrive()
    gift.on(a_clawback(gift.gift_id, 10 * MIB), meta())
    assert gift.on(ledger.told[-1], meta()) is True
    assert (gift.state, gift.clawed_back_bytes) == ("completed", 10 * MIB)


def test_a_delayed_gift_goes_on_when_an_operator_releases_it_and_is_not_delayed_again():
    gift = a_gift(waits=True)
    assert gift.delay(["fan_in", "star"], meta()) is True
    assert (gift.state, gift.offer(meta())) == ("delayed", False)
    gift.release(meta(actor="operator"))
    assert said(gift)[-1].reasons == ["fan_in", "star"]
    assert gift.delay(["fan_in"], meta()) is False
    assert gift.offer(meta(), deadline=DEADLINE + 1) is True
    assert gift.deadline == DEADLINE + 1


def test_a_delayed_gift_that_an_operator_denies_is_refused():
    gift = a_gift()
    gift.delay(["star"], meta())
    gift.deny("denied_by_operator", "resold", meta(actor="operator"))
    assert (gift.state, gift.code, gift.detail) == ("refused", "denied_by_operator", "resold")
    assert gift.deny("again", "", meta()) is False


def test_only_a_delayed_gift_is_released():
    with pytest.raises(RefusedError) as refused:
        a_gift().release(meta())
    assert (refused.value.code, refused.value.status) == ("gift_not_delayed", 409)


def in_state(state: str, *, waits: bool = True) -> Gift:
    """Return a gift in this state, by what has been said to it."""
    gift, ledger = a_gift(waits=waits), Ledger(30 * MIB, closed=("bob",) * (state == "returned"))
    early = {
        "requested": lambda: None,
        "delayed": lambda: gift.delay(["star"], meta()),
        "refused": lambda: gift.deny("day_gifts_limit", "", meta()),
    }
    late = {
        "held": lambda: None,
        "accepted": lambda: gift.accept("bob", meta()),
        "declined": lambda: gift.decline("bob", meta()),
        "cancelled": lambda: gift.cancel("ann", meta()),
    }
    if state in early:
        early[state]()
    elif state != "offered":
        gift.offer(meta())
        if waits:
            play(gift, ledger)
            late.get(state, late["accepted"])()
        if state not in late:
            ledger.take(said(gift)[-1])
            gift.on(ledger.told[-1], meta())
        if state in {"completed", "returned"}:
            go_on(gift, ledger)
    else:
        gift.offer(meta())
    assert gift.state == state
    return gift


DONE, NOTHING = "done", "nothing"
# By state of a gift that waits: what accept, decline and cancel come to.
WORDS = {
    "requested": ("gift_not_held", "gift_not_held", DONE),
    "delayed": ("gift_not_held", "gift_not_held", DONE),
    "offered": ("gift_not_held", DONE, DONE),
    "held": (DONE, DONE, DONE),
    "accepted": (NOTHING, "gift_accepted", "gift_accepted"),
    "declined": ("gift_declined", NOTHING, "gift_declined"),
    "cancelled": ("gift_cancelled", "gift_cancelled", NOTHING),
    "sent": (NOTHING, "gift_accepted", "gift_accepted"),
    "completed": (NOTHING, "gift_accepted", "gift_accepted"),
    "refused": ("gift_ended", "gift_ended", "gift_ended"),
    "returned": ("gift_ended", "gift_ended", "gift_ended"),
}
# … and of one that arrives by itself.
BY_ITSELF = {
    "requested": ("gift_not_waiting", "gift_not_waiting", DONE),
    "delayed": ("gift_not_waiting", "gift_not_waiting", DONE),
    "offered": ("gift_not_waiting",) * 3,
    "sent": ("gift_not_waiting",) * 3,
    "completed": ("gift_not_waiting",) * 3,
    "refused": ("gift_ended",) * 3,
    "returned": ("gift_ended",) * 3,
}
VERBS = ("accept", "decline", "cancel")
CASES = [
    (waits, state, verb, expected)
    for waits, table in ((True, WORDS), (False, BY_ITSELF))
    for state, row in table.items()
    for verb, expected in zip(VERBS, row, strict=True)
]


def say(gift: Gift, verb: str, by: str, now: int = NOW) -> str:
    try:
        return DONE if getattr(gift, verb)(by, meta(now)) else NOTHING
    except RefusedError as refused:
        return refused.code


@pytest.mark.parametrize(("waits", "state", "verb", "expected"), CASES)
def test_each_word_in_each_state_is_done_or_nothing_new_or_refused_by_name(
    waits, state, verb, expected
):
    gift = in_state(state, waits=waits)
    before = len(gift.pending_events)
    assert say(gift, verb, "ann" if verb == "cancel" else "bob") == expected
    assert len(gift.pending_events) == before + (expected == DONE)
    # Said again, it is nothing new.
    if expected == DONE:
        assert say(gift, verb, "ann" if verb == "cancel" else "bob") == NOTHING


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", WORDS)
def test_a_foreign_gift_looks_like_an_unknown_one_whatever_its_state(verb, state):
    assert say(in_state(state), verb, "eve") == "gift_not_found"


def test_only_the_receiver_accepts_and_declines_and_only_the_sender_cancels():
    gift = in_state("held")
    assert say(gift, "accept", "ann") == "not_the_receiver"
    assert say(gift, "decline", "ann") == "not_the_receiver"
    assert say(gift, "cancel", "bob") == "not_the_sender"


def test_a_gift_is_accepted_up_to_its_deadline_and_not_at_it():
    assert say(in_state("held"), "accept", "bob", DEADLINE) == "gift_timed_out"
    assert say(in_state("held"), "accept", "bob", DEADLINE - 1) == DONE


@pytest.mark.parametrize("waits", [False, True])
def test_a_gift_comes_out_of_its_stored_facts_as_it_was(waits):
    gift, ledger = a_gift(waits=waits, message="生日快乐", ask_id="0" * 32), Ledger(30 * MIB)
    gift.offer(meta())
    play(gift, ledger)
    if waits:
        gift.accept("bob", meta())
        go_on(gift, ledger)
    assert gift.state == "completed"
    again = stored_and_read(gift)
    assert state_of(again) == state_of(gift)
    assert again.pending_events == []


def test_what_is_stored_is_the_contracts_json_and_the_topic_its_type():
    gift = a_gift(fee_bytes=5)
    gift.offer(meta())
    requested, offered = gift.collect_events()
    assert (requested.TOPIC, offered.TOPIC) == (
        "bank.gifting.gift_requested.v1", "bank.gifting.gift_offered.v1",
    )  # fmt: skip
    assert isinstance(offered.data, GiftOffered)
    assert json.loads(encode(offered.data)) == {
        "account": "ann", "recorded_at": NOW, "actor": "gateway", "correlation_id": gift.gift_id,
        "rule_version": 1, "gift_id": gift.gift_id, "receiver": "bob", "bytes": 10 * MIB,
        "fee_bytes": 5,
    }  # fmt: skip
    assert str(requested.originator_id).replace("-", "") == gift.gift_id


def test_what_the_ledger_posts_on_acceptance_names_the_hold_and_the_fee():
    gift, _ = a_held_gift(fee_bytes=MIB)
    gift.accept("bob", meta())
    accepted = said(gift)[-1]
    assert isinstance(accepted, GiftAccepted)
    assert (accepted.hold_id, accepted.fee_bytes) == (f"hold-{gift.gift_id}", MIB)


def test_a_wish_keeps_everything_that_was_confirmed():
    wish = Wish(gift_id="1" * 32, sender="ann", receiver="bob", bytes=1, message="hi",
                confirmed_for=["velocity"])  # fmt: skip
    gift = Gift.request(wish, meta())
    assert said(gift)[0].confirmed_for == ["velocity"]
    assert (gift.sender, gift.receiver, gift.bytes, gift.message, gift.requested_at) == (
        "ann", "bob", 1, "hi", NOW,
    )  # fmt: skip

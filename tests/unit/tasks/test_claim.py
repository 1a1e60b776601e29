"""A claim ends once, as the ledger says, whatever comes twice, late or in another order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.claim_documents import claim_document
from services.tasks.domain.claim import Claim, For
from services.tasks.domain.tasks.completion import Earned, claim_name
from services.tasks.domain.tasks.rewards import DAY_MS, MIB, Reward
from shared.contracts.ledger import (
    DataClawedBack,
    DataReceived,
    Event,
    Leg,
    LotTerms,
    Source,
    TransferRefused,
    TransferReturned,
)
from shared.contracts.tasks import ClaimAccepted, ClaimClawedBack, ClaimNoted, ClawbackAsked
from shared.errors import RefusedError
from shared.sagas.aggregate import Meta, encode, event_of, rebuild
from tests.support.memory import CALENDAR

NOW = 1_440_000_000_000
WHOSE = For(campaign="august", partner="didi", version=3, task="ride", happened_at=NOW - 5)
REWARD = Reward(bytes=30 * MIB, kind="award", pending_days=3)
CLAIM_ID = claim_name("august", "ride", "ordered", "ann")
SOURCE = Source(type="award", partner="didi", campaign="august")


def meta(now: int = NOW) -> Meta:
    return Meta(now=now, actor="partner:didi", rule_version=1)


def a_claim(**more: Any) -> Claim:
    earned = {"reward": REWARD, "bytes": 30 * MIB, **more}
    return Claim.begin(WHOSE, Earned(step="ordered", subscriber="ann", **earned), meta())


def told(**more: Any) -> dict[str, Any]:
    return {"account": "ann", "recorded_at": NOW + 9, "actor": "tasks", "transfer_id": "t", **more}


def received() -> Event:
    lot = LotTerms(
        lot_id="t:0", kind="award", granted=30 * MIB, valid_from=NOW, expires_at=NOW + 9,
        source=SOURCE,
    )  # fmt: skip
    return DataReceived(**told(), sender="campaign:august", purpose="award", lots=[lot])


def clawed(amount: int) -> Event:
    leg = Leg(
        lot_id="t:0", bytes=amount, kind="award", valid_from=NOW, expires_at=NOW + 9, source=SOURCE
    )
    return DataClawedBack(
        **told(), undoes="t", sender="ann", purpose="award", legs=[leg],
        shortfall_bytes=30 * MIB - amount,
    )  # fmt: skip


REFUSED = TransferRefused(**told(), to="ann", code="insufficient_data", detail="none left")
RETURNED = TransferReturned(**told(), to="ann", purpose="award", code="account_closed", legs=[])


def paid() -> Claim:
    claim = a_claim()
    assert claim.on(received(), meta(NOW + 10))
    return claim


def stored(claim: Claim) -> Claim:
    """Return the claim as it is read again from what is stored of it."""
    events = [
        event_of(each.originator_id, each.originator_version, each.TOPIC, encode(each.data))
        for each in claim.collect_events()
    ]
    found: Claim = rebuild(events)
    return found


def test_what_is_accepted_says_who_pays_how_much_and_on_which_terms():
    (event,) = a_claim(attributed_at=7).collect_events()
    data = event.data
    assert isinstance(data, ClaimAccepted)
    assert (data.account, data.correlation_id, data.claim_id) == (
        "campaign:august", CLAIM_ID, CLAIM_ID,
    )  # fmt: skip
    assert (data.bytes, data.version, data.attributed_at) == (30 * MIB, 3, 7)
    assert (data.terms.kind, data.terms.valid_from, data.terms.expires_at) == (
        "award", NOW + 3 * DAY_MS, NOW + 33 * DAY_MS,
    )  # fmt: skip


def test_the_same_thing_has_the_same_claim_and_another_occurrence_another():
    assert a_claim().id.hex == CLAIM_ID == a_claim(bytes=1).id.hex
    assert a_claim(occurrence="2").id != a_claim().id


def test_what_earns_nothing_is_noted_with_its_reason_and_final():
    claim = a_claim(reward=None, bytes=0, code="not_attributed")
    (event,) = claim.collect_events()
    assert isinstance(event.data, ClaimNoted)
    assert event.data.code == "not_attributed"
    assert (claim.is_final, claim.status, claim.counted_bytes) == (True, "success", 0)
    assert not claim.on(received(), meta())


@pytest.mark.parametrize(
    ("answer", "state", "code", "counted"),
    [
        (received(), "paid", "", 30 * MIB),
        (REFUSED, "refused", "insufficient_data", 0),
        (RETURNED, "refused", "account_closed", 0),
    ],
)
def test_the_ledgers_answer_ends_the_award_once(answer, state, code, counted):
    claim = a_claim()
    assert (claim.status, claim.counted_bytes) == ("pending", 30 * MIB)
    assert claim.on(answer, meta())
    assert not claim.on(answer, meta())
    assert (claim.state, claim.code, claim.counted_bytes) == (state, code, counted)
    assert (
        vars(stored(claim)).items()
        >= {
            name: value
            for name, value in vars(claim).items()
            if name in ("state", "code", "transfer_id", "bytes", "terms", "paid_at", "place")
        }.items()
    )


def test_a_clawback_takes_what_is_left_and_records_the_shortfall():
    claim = paid()
    claim.collect_events()
    assert claim.claw_back(meta(NOW + 20), 7)
    (asked,) = claim.collect_events()
    assert isinstance(asked.data, ClawbackAsked)
    assert (asked.data.account, asked.data.transfer_id) == ("ann", "t")
    assert claim.on(clawed(10 * MIB), meta())
    (ended,) = claim.collect_events()
    assert isinstance(ended.data, ClaimClawedBack)
    assert (ended.data.taken_bytes, ended.data.shortfall_bytes) == (10 * MIB, 20 * MIB)
    assert claim.counted_bytes == 20 * MIB
    assert not claim.claw_back(meta(), 7)


def test_a_clawback_of_what_is_used_up_ends_with_everything_short():
    claim = paid()
    claim.claw_back(meta(), 7)
    nothing = TransferRefused(**told(), to="campaign:august", code="nothing_left")
    assert claim.on(nothing, meta())
    assert (claim.state, claim.taken_bytes, claim.shortfall_bytes) == ("clawed_back", 0, 30 * MIB)


BEFORE = TransferRefused(**told(), to="campaign:august", code="already_clawed_back")


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    "hears", [[clawed(10 * MIB)], [clawed(10 * MIB), BEFORE], [BEFORE, clawed(10 * MIB)]]
)
def test_what_an_operator_took_back_in_the_ledger_ends_the_claim_once(asked, hears):
    claim = paid()
    if asked:
        claim.claw_back(meta(), 7)
    claim.collect_events()
    for event in hears * 2:
        claim.on(event, meta())
    (ended,) = claim.collect_events()
    assert isinstance(ended.data, ClaimClawedBack)
    assert (ended.data.taken_bytes, ended.data.shortfall_bytes) == (10 * MIB, 20 * MIB)
    assert (claim.state, claim.counted_bytes) == ("clawed_back", 20 * MIB)
    assert not claim.claw_back(meta(), 7)


def test_a_way_back_that_is_heard_before_the_arrival_pays_the_claim_and_ends_it():
    claim = a_claim()
    assert claim.on(clawed(10 * MIB), meta(NOW + 10))
    assert not claim.on(received(), meta(NOW + 11))
    assert [type(each.data).__name__ for each in claim.collect_events()] == [
        "ClaimAccepted", "ClaimPaid", "ClaimClawedBack",
    ]  # fmt: skip
    assert (claim.state, claim.transfer_id, claim.taken_bytes) == ("clawed_back", "t", 10 * MIB)


def test_where_nothing_was_left_the_ledger_may_take_some_once_it_is_there_again():
    claim = paid()
    claim.claw_back(meta(), 7)
    claim.on(TransferRefused(**told(), to="campaign:august", code="nothing_left"), meta())
    assert claim.on(clawed(10 * MIB), meta())
    assert not claim.on(clawed(10 * MIB), meta())
    assert (claim.taken_bytes, claim.shortfall_bytes) == (10 * MIB, 20 * MIB)


def test_a_clawback_is_for_what_was_paid_within_its_window():
    def code_of(claim: Claim, now: int = NOW) -> str:
        with pytest.raises(RefusedError) as refused:
            claim.claw_back(meta(now), 7)
        return refused.value.code

    assert code_of(a_claim()) == "claim_not_paid"
    noted = a_claim(reward=None, bytes=0, code="not_attributed")
    assert code_of(noted) == "nothing_to_claw_back"
    assert code_of(paid(), NOW + 10 + 7 * DAY_MS + 1) == "clawback_too_late"
    assert paid().claw_back(meta(NOW + 10 + 7 * DAY_MS), 7)


ANSWERS = [received(), REFUSED, RETURNED, clawed(10 * MIB), clawed(30 * MIB)]


@given(st.lists(st.sampled_from([*range(len(ANSWERS)), "claw"]), max_size=12))
def test_whatever_comes_in_whatever_order_a_claim_ends_once_and_bytes_are_accounted_for(steps):
    claim, ends = a_claim(), 0
    for step in steps:
        before = claim.state
        if step == "claw":
            try:
                claim.claw_back(meta(), 7)
            except RefusedError:
                assert claim.state == before
        else:
            claim.on(ANSWERS[step], meta())
        if before in ("refused", "clawed_back"):
            assert claim.state == before
        ends += before != claim.state and claim.is_final
        assert 0 <= claim.counted_bytes <= claim.bytes
        if claim.state == "clawed_back":
            assert claim.taken_bytes + claim.shortfall_bytes == claim.bytes
    assert ends <= 1
    assert vars(stored(claim))["state"] == claim.state


def test_a_claim_is_shown_with_the_terms_that_it_was_claimed_under_whatever_follows():
    claim = paid()
    for each in (claim, stored(paid())):
        assert claim_document(each, CALENDAR)["campaign_version"] == WHOSE.version

"""Completions and observations beside a real ledger: each once, none beyond a limit, all paid."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from services.ledger.domain.commands import ClawBack
from services.tasks.claim_rows import ToldBy
from services.tasks.domain.claim import Claim
from services.tasks.domain.tasks.draws import check_roll
from services.tasks.domain.tasks.kinds import (
    AdWatched,
    FirstOrder,
    LuckyDraw,
    Prize,
    Question,
    Quiz,
    Referral,
    Registration,
    Share,
    SignIn,
)
from services.tasks.domain.tasks.rewards import DAY_MS, MIB, Kind, Reward
from services.tasks.observing import Doing, DoTask, Known
from services.tasks.tokens import Issue
from services.tasks.verification import verify_store
from shared.contracts.tasks import ClaimClawedBack
from shared.errors import RefusedError
from shared.sagas.requests import Asking
from tests.support.claims_world import RIDE, ClaimsWorld
from tests.support.ledger import TOKENS
from tests.support.memory import CALENDAR


def codes(answers: list[dict[str, Any]]) -> Counter[str]:
    return Counter(each.get("code") or each["status"] for each in answers)


def code_of(call: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        call(*args, **more)
    return refused.value.code


def by(request_id: str) -> ToldBy:
    return ToldBy("didi", "app", request_id)


def test_a_completion_is_accepted_paid_and_arrives_once(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august")
    _, entrance = world.enter("august", "ann")
    (answer,) = world.complete(asked := world.asked("r1", "august", entrance))
    assert (answer["status"], answer["claims"][0]["bytes"]) == ("pending", MIB)
    world.settle()
    assert world.complete(asked) == [answer]
    told = world.claims.completion(by("r1"))
    assert (told.status, told.claims[0].state) == ("success", "paid")
    (lot,) = world.lots("ann", "award")
    assert (lot.remaining, lot.giftable, lot.source.campaign) == (MIB, False, "campaign:august")
    assert lot.expires_at == world.clock.now() + 30 * DAY_MS
    assert world.escrow("august") == 99 * MIB


def test_without_an_entrance_before_it_an_order_is_taken_but_earns_nothing(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august")
    (answer,) = world.complete(world.asked("r1", "august", None, subscriber="ann"))
    assert (answer["status"], answer["code"]) == ("success", "not_attributed")
    assert (answer["claims"][0]["state"], answer["claims"][0]["bytes"]) == ("noted", 0)
    world.settle()
    assert world.lots("ann", "award") == []
    _, entrance = world.enter("august", "ann")
    (again,) = world.complete(world.asked("r2", "august", entrance))
    assert again["code"] == "already_claimed", "it was the first order, and there is but one"


def test_a_thousand_at_once_against_a_budget_for_a_hundred_are_exactly_a_hundred(
    world: ClaimsWorld,
):
    people = [f"p{number}" for number in range(1_000)]
    world.open(*people)
    world.campaign("august", total_bytes=100 * MIB)
    entrances = [world.enter("august", one)[1] for one in people]
    asked = [world.asked(f"r{n}", "august", each) for n, each in enumerate(entrances)]
    with ThreadPoolExecutor(50) as pool:
        answers = [answer for (answer,) in pool.map(world.complete, asked)]
    assert codes(answers) == {"pending": 100, "campaign_budget": 900}
    world.settle()
    assert sum(len(world.lots(one, "award")) for one in people) == 100
    assert world.escrow("august") == 0


def test_what_the_escrow_does_not_hold_is_refused_by_the_ledger_and_never_negative(
    world: ClaimsWorld,
):
    people = [f"p{number}" for number in range(60)]
    world.open(*people)
    world.campaign("august", funded=10 * MIB)
    entrances = [world.enter("august", one)[1] for one in people]
    answers = world.complete(
        *(world.asked(f"r{n}", "august", each) for n, each in enumerate(entrances))
    )
    assert codes(answers) == {"pending": 60}
    world.settle()
    told = [world.claims.completion(by(f"r{n}")) for n in range(60)]
    assert Counter(each.code or each.status for each in told) == {
        "success": 10, "insufficient_data": 50,
    }  # fmt: skip
    assert world.escrow("august") == 0
    assert world.ledger.verified()["events"] > 0


def test_the_same_request_ten_times_at_once_is_one_grant_with_one_answer(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august")
    _, entrance = world.enter("august", "ann")
    asked = world.asked("r1", "august", entrance)
    with ThreadPoolExecutor(10) as pool:
        told = [pool.submit(world.claims.complete, "didi", "app", [asked]) for _ in range(10)]
        outcomes = [each.result() for each in told]
    assert len({outcome.answer for (outcome,) in outcomes}) == 1
    assert Counter(outcome.how for (outcome,) in outcomes) == {"new": 1, "repeat": 9}
    world.settle()
    assert len(world.lots("ann", "award")) == 1
    other = world.asked("r1", "august", entrance, happened_at="earlier")
    (outcome,) = world.claims.complete("didi", "app", [other])
    assert outcome.how == "conflict"


def test_another_app_or_a_campaign_that_does_not_run_takes_no_completions(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august")
    _, entrance = world.enter("august", "ann")
    asked = [world.asked(f"r{n}", "august", entrance) for n in range(4)]
    (outcome,) = world.claims.complete("didi", "other", [asked[0]])
    assert b'"campaign_not_found"' in outcome.answer
    world.change("august", lambda campaign, meta: campaign.pause(meta))
    assert codes(world.complete(asked[1])) == {"campaign_not_running": 1}
    world.change("august", lambda campaign, meta: campaign.start(meta))
    assert codes(world.complete(asked[2])) == {"pending": 1}
    assert codes(world.complete(world.asked("r9", "none", entrance))) == {"campaign_not_found": 1}


def test_what_happened_within_the_dates_is_taken_for_72_hours_after_them_and_nothing_else(
    world: ClaimsWorld,
):
    people = [f"p{number}" for number in range(7)]
    world.open(*people)
    begin = world.clock.now()
    end = begin + 30 * DAY_MS
    world.campaign("august", RIDE, SignIn(name="hello"), dates=(begin, end))
    entrances = [world.enter("august", one)[1] for one in people]
    sent = iter(range(99))

    def told(now: int, happened_at: int, who: int) -> str:
        world.clock.at = now  # type: ignore[attr-defined]
        asked = world.asked(f"r{next(sent)}", "august", entrances[who], at=happened_at)
        return codes(world.complete(asked)).popitem()[0]

    assert told(begin + 1, begin - 1, 0) == "completion_before_campaign"
    assert told(begin + 1, begin, 0) == "pending"
    late = end + 3 * DAY_MS - 1
    assert told(late, end, 1) == "completion_after_campaign"
    assert told(late, end - 1, 1) == "pending"
    assert code_of(world.do, "august", "hello", people[2]) == "campaign_over"
    assert code_of(world.enter, "august", people[2]) == "campaign_over"
    world.settle()
    assert len(world.lots(people[1], "award")) == 1
    assert told(late + 1, end - 1, 3) == "campaign_over"
    # Whoever ends it by hand takes what would have paid for it.
    world.change("august", lambda campaign, meta: campaign.end(meta))
    world.settle()
    assert world.escrow("august") == 0
    assert told(late, end - 1, 4) == "campaign_not_running"


def test_nothing_is_claimed_at_the_cost_of_a_partner_that_is_suspended_or_without_a_contract(
    world: ClaimsWorld,
):
    world.open("ann", "bob")
    world.campaign("august", RIDE, SignIn(name="hello"))
    _, entrance = world.enter("august", "ann")
    begin = world.clock.now()
    ends = begin + 366 * DAY_MS
    world.change_partner(lambda partner, meta: partner.suspend(meta))
    assert codes(world.complete(world.asked("r1", "august", entrance))) == {"partner_suspended": 1}
    assert code_of(world.do, "august", "hello", "ann") == "partner_suspended"
    assert code_of(world.enter, "august", "ann") == "partner_suspended"
    # Whose campaigns are whose is nobody else's matter.
    (outcome,) = world.claims.complete("rider", "app", [world.asked("r2", "august", entrance)])
    assert b'"campaign_not_found"' in outcome.answer
    world.change_partner(lambda partner, meta: partner.resume(meta))
    world.change_partner(lambda partner, meta: partner.sign_contract(begin, ends, "1", meta))
    assert world.do("august", "hello", "ann").state == "accepted"
    world.clock.at = ends  # type: ignore[attr-defined]
    assert code_of(world.do, "august", "hello", "ann") == "contract_not_in_force"
    assert codes(world.complete(world.asked("r3", "august", entrance))) == {
        "contract_not_in_force": 1
    }


def test_a_campaign_for_a_list_rewards_its_members_alone(world: ClaimsWorld):
    world.open("ann", "bob")
    with world.store.turn() as turn:
        turn.lists.change("vip", 1, ["ann"], [])
    world.campaign("august", RIDE, SignIn(name="hello"), members_of="vip")
    asked = [world.asked(f"r-{who}", "august", world.enter("august", who)[1])
             for who in ("ann", "bob")]  # fmt: skip
    assert codes(world.complete(*asked)) == {"pending": 1, "not_in_audience": 1}
    assert world.do("august", "hello", "ann").state == "accepted"
    assert code_of(world.do, "august", "hello", "bob") == "not_in_audience"


def test_devices_addresses_and_days_have_their_limits(world: ClaimsWorld):
    people = [f"p{number}" for number in range(8)]
    world.open(*people)
    world.campaign("august", per_device_claims=1, per_address_claims=2, per_day_bytes=4 * MIB)
    entrances = [world.enter("august", one)[1] for one in people]
    one, two = "a" * 16, "b" * 16
    asked = [
        world.asked("d1", "august", entrances[0], device=one),
        world.asked("d2", "august", entrances[1], device=one),
        world.asked("a1", "august", entrances[2], address=two),
        world.asked("a2", "august", entrances[3], address=two),
        world.asked("a3", "august", entrances[4], address=two),
        world.asked("x1", "august", entrances[5]),
        world.asked("x2", "august", entrances[6]),
    ]
    answers = world.complete(*asked)
    assert [each.get("code") for each in answers] == [
        None, "campaign_device_limit", None, None, "campaign_address_limit", None,
        "campaign_day_budget",
    ]  # fmt: skip
    world.clock.at += DAY_MS  # type: ignore[attr-defined]
    assert codes(world.complete(world.asked("x3", "august", entrances[6]))) == {"pending": 1}


def test_where_an_entrance_was_given_counts_where_the_partner_tells_nothing(world: ClaimsWorld):
    world.open("ann", "bob", "cat")
    world.campaign("august", per_device_claims=1)
    one, two = "a" * 16, "b" * 16
    by_entrance = [world.enter("august", who, device=one)[1] for who in ("ann", "bob", "cat")]
    answers = world.complete(
        world.asked("e1", "august", by_entrance[0]),
        world.asked("e2", "august", by_entrance[1]),
        world.asked("e3", "august", by_entrance[2], device=two),
    )
    assert [each.get("code") for each in answers] == [None, "campaign_device_limit", None]


def test_a_pending_reward_is_clawed_back_whole_and_a_half_used_one_in_part(world: ClaimsWorld):
    world.open("ann", "bob")
    ride = FirstOrder(name="ride", reward=Reward(bytes=8 * MIB, kind="award"))
    world.campaign("august", ride, Registration(name="join"))
    for who in ("ann", "bob"):
        world.complete(world.asked(f"r-{who}", "august", world.enter("august", who)[1]))
    world.complete(world.asked("j-ann", "august", world.enter("august", "ann")[1], task="join"))
    world.settle()
    (pending,) = (lot for lot in world.lots("ann", "award") if lot.remaining == 60 * MIB)
    assert pending.valid_from == world.clock.now() + 3 * DAY_MS
    world.use("ann", 35 * MIB)
    used = 8 * MIB - sum(
        lot.remaining for lot in world.lots("ann", "award") if lot.lot_id != pending.lot_id
    )
    before = world.escrow("august")

    def claw(request_id: str) -> Any:
        asking = Asking("partner:didi/app", "", f"c-{request_id}", ["clawback", request_id, "no"])
        world.claims.claw_back_completion(asking, by(request_id))
        world.settle()
        return world.claims.completion(by(request_id)).claims[0]

    half = claw("r-ann")
    assert used > 0
    assert (half.state, half.taken_bytes, half.shortfall_bytes) == (
        "clawed_back", 8 * MIB - used, used,
    )  # fmt: skip
    whole = claw("j-ann")
    assert (whole.taken_bytes, whole.shortfall_bytes) == (60 * MIB, 0)
    assert world.escrow("august") == before + 68 * MIB - used
    world.clock.at += 8 * DAY_MS  # type: ignore[attr-defined]
    assert code_of(claw, "r-bob") == "clawback_too_late"


@pytest.mark.parametrize("tasks_asks", [None, "before it hears of it", "afterwards"])
def test_what_an_operator_claws_back_in_the_ledger_ends_the_claim_once(
    world: ClaimsWorld, tasks_asks: str | None
):
    world.open("ann")
    ride = FirstOrder(name="ride", reward=Reward(bytes=40 * MIB, kind="award"))
    world.campaign("august", ride)
    world.complete(world.asked("r1", "august", world.enter("august", "ann")[1]))
    world.settle()
    world.use("ann", 45 * MIB)
    (left,) = (lot.remaining for lot in world.lots("ann", "award"))
    assert 0 < left < 40 * MIB
    (told,) = world.claims.completion(by("r1")).claims
    paid, _ = world.claims.claim(UUID(hex=told.claim_id))

    def ask() -> None:
        asking = Asking("operator", "", "by-hand", ["clawback", paid.claim_id, "no"])
        world.claims.claw_back(asking, paid.id, "no")

    by_hand = ClawBack(key="c", account="ann", transfer_id=paid.transfer_id, reason="hijacked")
    assert [each.status for each in world.ledger.do(by_hand)] == ["done"]
    if tasks_asks == "before it hears of it":
        ask()
    world.settle()
    if tasks_asks == "afterwards":
        ask()
        world.settle()
    claim, events = world.claims.claim(paid.id)
    ends = [each.data for each in events if isinstance(each.data, ClaimClawedBack)]
    assert [(each.taken_bytes, each.shortfall_bytes) for each in ends] == [(left, 40 * MIB - left)]
    assert (claim.state, claim.counted_bytes) == ("clawed_back", 40 * MIB - left)
    assert world.escrow("august") == 60 * MIB + left
    *_, report = verify_store(world.store)
    assert report["result"]["first_difference"] is None


# What the bank sees.


def test_signing_in_has_a_streak_a_bonus_and_one_claim_a_day(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august", SignIn(name="hello"), funded=200 * MIB)
    places = []
    for day in range(1, 9):
        world.ledger.at(f"2015-08-{day + 10:02d}T09:00:00+08:00")
        places.append(world.do("august", "hello", "ann").place)
        assert code_of(world.do, "august", "hello", "ann") == "already_claimed"
    world.settle()
    assert places == [1, 2, 3, 4, 5, 6, 7, 1]
    lots = world.lots("ann", "reward")
    assert len(lots) == 9
    assert 50 * MIB in {lot.granted for lot in lots}


def test_what_is_done_again_by_the_same_key_is_answered_as_before(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august", SignIn(name="hello"))
    first, again = (
        world.app.test_client().post(
            "/v1/tasks/august/hello/done",
            json={"subscriber": "ann"},
            headers={"Authorization": f"Bearer {TOKENS['gateway']}", "Idempotency-Key": "today"},
        )
        for _ in range(2)
    )
    assert (first.status_code, first.headers.get("Idempotency-Hit")) == (202, None)
    assert (again.status_code, again.headers.get("Idempotency-Hit")) == (202, "true")
    assert again.json == first.json


KINDS: dict[str, Kind] = {"one": "reward", "two": "award"}


def test_what_tasks_of_all_campaigns_give_stays_below_the_months_cap(world: ClaimsWorld):
    world.open("ann")
    for name, kind in KINDS.items():
        reward = Reward(bytes=100 * MIB, kind=kind)
        tasks = [SignIn(name=f"s{n}", reward=reward, bonus_bytes=None) for n in range(4)]
        world.campaign(name, *tasks, funded=1000 * MIB)
    done: list[int | str] = []
    for name in ("one", "two"):
        for number in range(4):
            try:
                done.append(world.do(name, f"s{number}", "ann").bytes)
            except RefusedError as refusal:
                done.append(refusal.code)
    assert done == [100 * MIB] * 5 + ["free_data_cap"] * 3
    world.ledger.at("2015-09-01T00:00:00+08:00")
    assert world.do("two", "s3", "ann").bytes == 100 * MIB


def test_an_ad_is_redeemed_once_after_its_time(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august", AdWatched(name="ad", reward=Reward(bytes=MIB)))
    issue = Issue(use="ad", campaign="august", task="ad", subscriber="ann", key=("k",))
    text, _, repeated = world.claims.start(issue)
    assert not repeated
    assert world.claims.start(issue)[0] == text
    assert code_of(world.do, "august", "ad", "ann", token=text) == "ad_not_watched"
    world.clock.at += 15_000  # type: ignore[attr-defined]
    assert code_of(world.do, "august", "ad", "bob", token=text) == "token_of_another"
    assert code_of(world.do, "august", "ad", "ann", token="x" * 22) == "token_unknown"
    assert world.do("august", "ad", "ann", token=text).state == "accepted"
    assert code_of(world.do, "august", "ad", "ann", token=text) == "already_claimed"


def test_ads_that_were_started_at_once_are_watched_one_after_the_other(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august", AdWatched(name="ad", reward=Reward(bytes=MIB)))
    texts = [
        world.claims.start(
            Issue(use="ad", campaign="august", task="ad", subscriber="ann", key=(key,))
        )[0]
        for key in "abc"
    ]
    world.clock.at += 15_000  # type: ignore[attr-defined]

    def redeemed(text: str) -> str:
        try:
            return world.do("august", "ad", "ann", token=text).state
        except RefusedError as refused:
            return refused.code

    with ThreadPoolExecutor(3) as threads:
        answers = Counter(threads.map(redeemed, texts))
    assert answers == {"accepted": 1, "ad_not_watched": 2}
    world.clock.at += 15_000  # type: ignore[attr-defined]
    again = Counter(redeemed(text) for text in texts)
    assert again == {"accepted": 1, "already_claimed": 1, "ad_not_watched": 1}


def test_ads_of_several_tasks_and_campaigns_are_watched_one_after_the_other(world: ClaimsWorld):
    world.open("ann")
    ads = [AdWatched(name=name, reward=Reward(bytes=MIB)) for name in ("one", "two")]
    world.campaign("august", *ads)
    world.campaign("autumn", ads[0])
    started = [
        (campaign, task, world.claims.start(
            Issue(use="ad", campaign=campaign, task=task, subscriber="ann", key=("k",))
        )[0])
        for campaign, task in (("august", "one"), ("august", "two"), ("autumn", "one"))
    ]  # fmt: skip
    for place, (campaign, task, text) in enumerate(started):
        if place:
            assert code_of(world.do, campaign, task, "ann", token=text) == "ad_not_watched"
        world.clock.at += 15_000  # type: ignore[attr-defined]
        assert world.do(campaign, task, "ann", token=text).state == "accepted"


def test_what_partners_were_answered_is_kept_for_180_days_and_no_longer(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august", RIDE)
    _, token = world.enter("august", "ann")
    asked = world.asked("r1", "august", token)
    first = world.complete(asked)
    world.clock.at += 180 * DAY_MS  # type: ignore[attr-defined]
    assert world.claims.purge() == 0
    assert world.complete(asked) == first
    world.clock.at += 1  # type: ignore[attr-defined]
    assert world.claims.purge() == 1
    assert code_of(world.claims.completion, by("r1")) == "completion_not_found"


def test_a_share_counts_distinct_visitors_and_not_its_own_device(world: ClaimsWorld):
    world.open("ann")
    world.campaign("august", Share(name="share", reward=Reward(bytes=MIB), visitors=2))
    own = "f" * 16
    issue = Issue(
        use="share", campaign="august", task="share", subscriber="ann", key=("k",), device=own
    )
    text, _, _ = world.claims.start(issue)
    assert code_of(world.claims.visit, text, own) == "own_visit"
    for visitor in ("1" * 16, "1" * 16):
        assert world.claims.visit(text, visitor)[1] == 1
    assert code_of(world.do, "august", "share", "ann", token=text) == "not_enough_visitors"
    assert world.claims.visit(text, "2" * 16)[1] == 2
    assert world.do("august", "share", "ann", token=text).bytes == MIB


def test_a_friends_first_order_rewards_both_sides_and_only_once(world: ClaimsWorld):
    world.open("ann", "bob")
    world.campaign("august", RIDE, Referral(name="bring", after=("ride",)))
    assert code_of(world.enter, "august", "bob", invited_by="bob") == "self_referral"
    _, entrance = world.enter("august", "bob", invited_by="ann")
    assert code_of(world.do, "august", "bring", "bob") == "referral_follows"
    world.complete(world.asked("r1", "august", entrance))
    world.settle()
    for who in ("ann", "bob"):
        (lot,) = world.lots(who, "reward")
        assert lot.remaining == 10 * MIB
        assert lot.valid_from == world.clock.now() + 3 * DAY_MS


def test_a_referral_that_the_bank_tells_is_of_who_was_invited_once(world: ClaimsWorld):
    world.open("ann", "bob")
    world.campaign("august", Referral(name="bring"))
    world.enter("august", "bob", invited_by="ann")
    assert code_of(world.do, "august", "bring", "ann") == "not_invited"
    assert world.do("august", "bring", "bob").step == "friend"
    assert code_of(world.do, "august", "bring", "bob") == "already_claimed"
    world.settle()
    assert [len(world.lots(who, "reward")) for who in ("ann", "bob")] == [1, 1]


def test_a_limit_that_only_the_friend_meets_costs_the_referrer_nothing(world: ClaimsWorld):
    world.open("ann", "bob", "cat")
    hello = SignIn(name="hello", reward=Reward(bytes=MIB))
    bring = Referral(name="bring", after=("hello",))
    world.campaign("august", hello, bring, per_subscriber_bytes=10 * MIB)
    world.enter("august", "bob", invited_by="ann")
    world.do("august", "hello", "bob")
    world.settle()
    assert [lot.granted for lot in world.lots("ann", "reward")] == [10 * MIB]
    assert [lot.granted for lot in world.lots("bob", "reward")] == [MIB]
    asked = {"subscriber": "bob", "campaign": "august", "task": "bring", "state": None}
    (noted,), _ = world.claims.page(asked | {"after": None}, 9)
    assert (noted.step, noted.state, noted.code) == ("friend", "noted", "campaign_subscriber_limit")
    # It has been brought: another's invitation pays nobody.
    world.enter("august", "bob", invited_by="cat")
    world.clock.at += DAY_MS  # type: ignore[attr-defined]
    world.do("august", "hello", "bob")
    world.settle()
    assert world.lots("cat", "reward") == []


@pytest.mark.parametrize("told_by", ["entrance", "partner"])
def test_one_device_brings_one_friend_where_its_limit_is_one(world: ClaimsWorld, told_by: str):
    world.open("ann", "bob", "cat", "dan")
    join = Registration(name="join", reward=Reward(bytes=MIB, kind="award"))
    bring = Referral(name="bring", after=("join",))
    world.campaign("august", join, bring, per_device_claims=1)

    def registered(friend: str, device: str) -> list[dict[str, Any]]:
        known = {"device": device}
        _, entrance = world.enter(
            "august", friend, invited_by="ann", **(known if told_by == "entrance" else {})
        )
        more = known if told_by == "partner" else {}
        return world.complete(world.asked(f"r-{friend}", "august", entrance, task="join", **more))

    assert codes(registered("bob", "a" * 16)) == {"pending": 1}
    assert codes(registered("cat", "a" * 16)) == {"campaign_device_limit": 1}
    assert codes(registered("dan", "b" * 16)) == {"pending": 1}
    world.settle()
    earned = {who: len(world.lots(who, "reward")) for who in ("ann", "bob", "cat", "dan")}
    assert earned == {"ann": 2, "bob": 1, "cat": 0, "dan": 1}


@pytest.mark.parametrize("told_by", ["entrance", "bank"])
def test_a_referral_that_the_bank_tells_counts_for_the_friends_device_and_address(
    world: ClaimsWorld, told_by: str
):
    world.open("ann", "bob", "cat", "dan", "eve")
    world.campaign("august", Referral(name="bring"), per_device_claims=1, per_address_claims=2)

    def brought(friend: str, device: str, address: str) -> str:
        known = {"device": device, "address": address}
        world.enter("august", friend, invited_by="ann", **(known if told_by == "entrance" else {}))
        try:
            more = known if told_by == "bank" else {}
            return world.do("august", "bring", friend, **more).state
        except RefusedError as refusal:
            return refusal.code

    one, two, three, home = ("1" * 16, "2" * 16, "3" * 16, "f" * 16)
    assert brought("bob", one, home) == "accepted"
    assert brought("cat", one, home) == "campaign_device_limit"
    assert brought("dan", two, home) == "accepted"
    assert brought("eve", three, home) == "campaign_address_limit"


def test_a_streaks_bonus_is_no_second_act_of_the_device(world: ClaimsWorld):
    world.open("ann", "bob")
    world.campaign("august", SignIn(name="hello", streak_days=2), per_device_claims=3)
    for day in (11, 12, 13):
        world.ledger.at(f"2015-08-{day}T09:00:00+08:00")
        world.do("august", "hello", "ann", device="a" * 16)
    world.settle()
    assert 50 * MIB in {lot.granted for lot in world.lots("ann", "reward")}
    assert code_of(world.do, "august", "hello", "bob", device="a" * 16) == "campaign_device_limit"


def test_a_quiz_has_its_tries_and_is_solved_once(world: ClaimsWorld):
    world.open("ann")
    asked = [Question(text="?", choices=["a", "b"], answer=1)]
    world.campaign("august", Quiz(name="quiz", reward=Reward(bytes=MIB), questions=asked))
    wrong = world.do("august", "quiz", "ann", answers=[0])
    assert (wrong.state, wrong.code) == ("noted", "quiz_not_solved")
    assert code_of(world.do, "august", "quiz", "ann", answers=[1]) == "quiz_tries_limit"
    world.clock.at += DAY_MS  # type: ignore[attr-defined]
    assert world.do("august", "quiz", "ann", answers=[1]).state == "accepted"
    assert code_of(world.do, "august", "quiz", "ann", answers=[1]) == "already_claimed"


def test_a_draws_seed_is_there_the_day_before_anybody_draws(world: ClaimsWorld):
    world.open("ann")
    prizes = [Prize(name="big", odds=10_000, bytes=MIB)]
    world.campaign("august", LuckyDraw(name="wheel", prizes=prizes))
    seeds = world.claims.draw_seeds
    today, tomorrow = seeds.days
    assert not any(seeds.is_committed("august", "wheel", day) for day in (today, tomorrow))
    seeds.commit_ahead()
    assert all(seeds.is_committed("august", "wheel", day) for day in (today, tomorrow))
    promised = world.claims.draw_of("august", "wheel", tomorrow)
    assert promised["seed"] is None
    world.clock.at += DAY_MS  # type: ignore[attr-defined]
    seeds.commit_ahead()
    _, after = seeds.days
    assert seeds.is_committed("august", "wheel", after)
    draw = world.do("august", "wheel", "ann", entry="e1").draw
    assert draw is not None
    assert draw.seed_commitment == promised["seed_commitment"]


def test_what_the_turn_of_a_draw_finds_without_a_seed_waits_for_one(world: ClaimsWorld):
    world.open("ann")
    prizes = [Prize(name="big", odds=10_000, bytes=MIB)]
    world.campaign("august", LuckyDraw(name="wheel", prizes=prizes))
    doing = Doing(subscriber="ann", entry="e1")
    asking = Asking("gateway", "ann", "k-draw", ["draw", doing])
    drawn = DoTask(asking, "august", "wheel", doing, Known(None, None, 0))
    with pytest.raises(RefusedError) as refused:
        world.tasks.writer.run(drawn)
    assert (refused.value.code, refused.value.status) == ("draw_not_ready", 503)
    claim = world.claims.do(asking, "august", "wheel", doing).subject
    assert isinstance(claim, Claim)
    assert claim.state == "accepted"


def test_a_draw_is_once_per_entry_and_can_be_checked_when_its_day_is_over(world: ClaimsWorld):
    people = [f"p{number}" for number in range(10)]
    world.open(*people)
    prizes = [Prize(name="big", odds=10_000, bytes=MIB, stock=4)]
    world.campaign("august", LuckyDraw(name="wheel", prizes=prizes))
    before = world.claims.draw_of("august", "wheel", None)
    assert before["seed"] is None

    def drawn(who: str) -> Any:
        return world.do("august", "wheel", who, entry="e1")

    with ThreadPoolExecutor(10) as pool:
        claims = list(pool.map(drawn, people))
    assert Counter(claim.code for claim in claims) == {"": 4, "prize_out_of_stock": 6}
    assert code_of(drawn, people[0]) == "already_claimed"
    world.do("august", "wheel", people[0], entry="e2")
    world.do("august", "wheel", people[0], entry="e3")
    assert code_of(world.do, "august", "wheel", people[0], entry="e4") == "draws_day_limit"
    day = CALENDAR.day_of(world.clock.now())
    world.clock.at += DAY_MS  # type: ignore[attr-defined]
    told = world.claims.draw_of("august", "wheel", day)
    assert told["seed_commitment"] == before["seed_commitment"]
    seed = bytes.fromhex(told["seed"])
    for claim in claims:
        assert check_roll(seed, told["seed_commitment"], claim.claim_id, claim.draw.roll)

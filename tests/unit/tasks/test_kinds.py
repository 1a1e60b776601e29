"""Every kind of task: when it is done, what it earns, and what it refuses."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.domain.tasks import completion as done
from services.tasks.domain.tasks.completion import Earned, Occasion, Stock, Token, claim_name
from services.tasks.domain.tasks.draws import check_roll, commitment_of, prize_at
from services.tasks.domain.tasks.kinds import (
    AdWatched,
    FirstOrder,
    Install,
    LuckyDraw,
    Prize,
    Question,
    Quiz,
    Referral,
    Registration,
    Share,
    SignIn,
    Survey,
    Task,
    task_mistake,
)
from services.tasks.domain.tasks.rewards import DAY_MS, MIB, Range, Reward, amount_of, lot_terms
from services.tasks.domain.tasks.rules import BUILT_IN, read_rules
from services.tasks.domain.tasks.streak import SignedIn, place_today
from shared.calendar import Calendar
from shared.errors import InvalidError, RefusedError

CALENDAR = Calendar("Asia/Shanghai")
NOW = CALENDAR.parse("2015-08-20T12:00:00")
HOUR_MS = 3_600_000
ON = Occasion(campaign="august", now=NOW, calendar=CALENDAR, rules=BUILT_IN)
REWARD = Reward(bytes=30 * MIB)
SEED = bytes(32)
RIDE = FirstOrder(name="ride", reward=REWARD)


def at(text: str) -> Occasion:
    return msgspec.structs.replace(ON, now=CALENDAR.parse(text))


def token(issued_at: int = NOW - HOUR_MS, **more: Any) -> Token:
    given = {"token_id": "t1", "use": "entrance", "campaign": "august", "task": "", **more}
    return Token(subscriber="ann", issued_at=issued_at, **given)


def code_of(call: Any, *args: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        call(*args)
    return refused.value.code


# A partner's events.


@pytest.mark.parametrize(
    ("happened_ago_h", "issued_ago_h", "code"),
    [
        (1, 2, ""),
        (1, 1, ""),
        (2, 1, "not_attributed"),
        (1, None, "not_attributed"),
        (1, 30 * 24 + 1, ""),
        (1, 30 * 24 + 2, "attribution_expired"),
    ],
)
def test_an_order_earns_only_within_30_days_of_an_entrance_before_it(
    happened_ago_h, issued_ago_h, code
):
    entrance = None if issued_ago_h is None else token(NOW - issued_ago_h * HOUR_MS)
    happened_at = NOW - happened_ago_h * HOUR_MS
    found = done.partner_event(RIDE, "ann", happened_at, entrance, ON, SEED)
    assert found.code == code
    assert found.bytes == (0 if code else 30 * MIB)
    assert (found.reward is None) == bool(code)


def test_what_happened_within_the_second_of_the_entrance_came_of_it():
    entrance = token(NOW - HOUR_MS + 371)
    told = done.partner_event(RIDE, "ann", NOW - HOUR_MS, entrance, ON, SEED)
    assert (told.code, told.attributed_at) == ("", entrance.issued_at)
    before = done.partner_event(RIDE, "ann", NOW - HOUR_MS - 1, entrance, ON, SEED)
    assert before.code == "not_attributed"


def test_an_event_arrives_within_72_hours_of_happening():
    def told(ago_ms: int) -> Earned:
        return done.partner_event(RIDE, "ann", NOW - ago_ms, token(NOW - 9 * DAY_MS), ON, SEED)

    assert told(72 * HOUR_MS).bytes == 30 * MIB
    assert code_of(told, 72 * HOUR_MS + 1) == "completion_too_late"
    assert told(-5 * 60_000).bytes == 30 * MIB
    assert code_of(told, -5 * 60_000 - 1) == "completion_in_future"


def test_an_event_counts_that_happened_within_the_campaigns_dates():
    on = msgspec.structs.replace(ON, starts_at=NOW - 3 * HOUR_MS, ends_at=NOW - HOUR_MS)

    def told(ago_ms: int) -> Earned:
        return done.partner_event(RIDE, "ann", NOW - ago_ms, token(NOW - 9 * DAY_MS), on, SEED)

    assert told(3 * HOUR_MS).bytes == 30 * MIB
    assert told(HOUR_MS + 1).bytes == 30 * MIB
    assert code_of(told, 3 * HOUR_MS + 1) == "completion_before_campaign"
    assert code_of(told, HOUR_MS) == "completion_after_campaign"
    # Whether it comes in time is asked first.
    assert code_of(told, 72 * HOUR_MS + 1) == "completion_too_late"


def test_a_survey_needs_no_entrance_unless_its_terms_say_so():
    found = done.partner_event(Survey(name="s", reward=REWARD), "ann", NOW, None, ON, SEED)
    assert (found.step, found.bytes) == ("surveyed", 30 * MIB)
    strict = Survey(name="s", reward=REWARD, attributed=True)
    assert done.partner_event(strict, "ann", NOW, None, ON, SEED).code == "not_attributed"


def test_a_registration_is_60_mb_that_are_pending_for_three_days_and_valid_for_thirty():
    found = done.partner_event(Registration(name="join"), "ann", NOW, token(), ON, SEED)
    assert found.reward is not None
    terms = lot_terms(found.reward, NOW)
    assert (found.bytes, terms.kind, terms.giftable, terms.carries) == (
        60 * MIB, "award", False, False,
    )  # fmt: skip
    assert (terms.valid_from, terms.expires_at) == (NOW + 3 * DAY_MS, NOW + 33 * DAY_MS)


# Sign-in.


def signed_in_for(task: SignIn, days: list[str]) -> list[list[Earned]]:
    found, last = [], None
    for day in days:
        earned = done.sign_in(task, "ann", last, at(f"{day}T09:00:00"), day.encode())
        last = SignedIn(day, earned[0].place)
        found.append(earned)
    return found


def test_signing_in_for_a_week_has_its_bonus_on_the_seventh_day_and_begins_anew():
    days = [f"2015-08-{day:02d}" for day in range(1, 16)]
    week = signed_in_for(SignIn(name="hello"), days)
    assert [each[0].place for each in week] == [*range(1, 8), *range(1, 8), 1]
    assert [len(each) for each in week] == [1, 1, 1, 1, 1, 1, 2] * 2 + [1]
    assert [each[1].bytes for each in week if len(each) > 1] == [50 * MIB] * 2
    amounts = [each[0].bytes for each in week]
    assert all(5 * MIB <= amount <= 15 * MIB and amount % MIB == 0 for amount in amounts)
    assert len(set(amounts)) > 3


def test_a_day_without_a_sign_in_ends_the_streak():
    found = signed_in_for(SignIn(name="hello"), ["2015-08-30", "2015-08-31", "2015-09-01",
                                                 "2015-09-03"])  # fmt: skip
    assert [each[0].place for each in found] == [1, 2, 3, 1]


def test_the_day_of_a_sign_in_is_the_banks():
    night, morning = at("2015-08-01T23:59:59.999"), at("2015-08-02T00:00:00")
    found = [done.sign_in(SignIn(name="h"), "ann", None, on, SEED)[0] for on in (night, morning)]
    assert [each.occurrence for each in found] == ["2015-08-01", "2015-08-02"]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(2, 30))
def test_a_streak_is_never_longer_than_its_days_and_never_spans_a_gap(gaps, streak_days):
    day, last = NOW, None
    since_gap = 0
    for gap in gaps:
        day += gap * DAY_MS
        today = CALENDAR.day_of(day)
        if gap == 0 and last is not None:
            continue  # The same claim id: it is no second sign-in.
        place = place_today(today, last, streak_days)
        since_gap = since_gap + 1 if gap == 1 and last is not None else 1
        assert place == (since_gap - 1) % streak_days + 1
        last = SignedIn(today, place)


@given(st.binary(min_size=1, max_size=64))
def test_a_drawn_amount_lies_in_its_range_on_a_step(seed):
    reward = Reward(bytes=Range(least=5 * MIB, most=15 * MIB, step=MIB))
    amount = amount_of(reward, seed)
    assert 5 * MIB <= amount <= 15 * MIB
    assert amount % MIB == 0
    assert amount == amount_of(reward, seed)


# Ads, shares, referrals, quizzes.


def test_an_ad_is_paid_once_it_has_run_and_no_more_than_twenty_a_day():
    task = AdWatched(name="ad", reward=REWARD)

    def watched(ms: int, today: int = 0, last_ms: int = 3_600_000) -> Earned:
        before = done.Watched(today, NOW - last_ms)
        return done.ad_watched(task, token(NOW - ms, use="ad"), before, ON, SEED)

    assert code_of(watched, 14_999) == "ad_not_watched"
    assert watched(15_000).occurrence == "t1"
    assert code_of(watched, 3_600_001) == "token_expired"
    # However long it must be waited: what is over is not begun by waiting.
    assert code_of(watched, 3_600_001, 1, 14_999) == "token_expired"
    assert code_of(watched, 60_000, 1, 14_999) == "ad_not_watched"
    assert watched(60_000, 1, 15_000).bytes == 30 * MIB
    assert watched(15_000, 19).bytes == 30 * MIB
    assert code_of(watched, 15_000, 20) == "ads_day_limit"


def test_a_share_counts_once_enough_visitors_opened_its_link():
    task = Share(name="share", reward=REWARD, visitors=2)
    link = token(CALENDAR.parse("2015-08-19T23:00:00"), use="share")
    assert code_of(done.shared, task, link, 1, ON, SEED) == "not_enough_visitors"
    assert done.shared(task, link, 2, ON, SEED).occurrence == "2015-08-19"


def test_a_referral_rewards_both_sides_after_three_days():
    friend, referrer = done.referral(
        Referral(name="bring"), "bob", token(invited_by="ann"), 4, SEED
    )
    assert [each.bytes for each in (friend, referrer)] == [10 * MIB, 10 * MIB]
    assert [each.subscriber for each in (friend, referrer)] == ["bob", "ann"]
    assert referrer.occurrence == "bob"
    assert friend.reward is not None
    assert lot_terms(friend.reward, NOW).valid_from == NOW + 3 * DAY_MS


def test_a_sixth_referral_of_a_month_rewards_the_friend_alone():
    friend, referrer = done.referral(
        Referral(name="bring"), "bob", token(invited_by="ann"), 5, SEED
    )
    assert (friend.bytes, referrer.bytes, referrer.code) == (10 * MIB, 0, "referrals_month_limit")


def test_nobody_is_referred_without_an_invitation_or_by_themselves():
    task = Referral(name="bring")
    assert code_of(done.referral, task, "bob", None, 0, SEED) == "not_invited"
    assert code_of(done.referral, task, "bob", token(), 0, SEED) == "not_invited"
    own = token(invited_by="bob")
    assert code_of(done.referral, task, "bob", own, 0, SEED) == "self_referral"


def test_a_quiz_is_solved_with_enough_right_answers_and_a_wrong_try_is_noted():
    asked = [Question(text="q", choices=["a", "b"], answer=each % 2) for each in range(3)]
    task = Quiz(name="quiz", reward=REWARD, questions=asked, correct=2, tries_per_day=2)
    assert done.quiz(task, "ann", [0, 1, 1], 0, ON, SEED).bytes == 30 * MIB
    wrong = done.quiz(task, "ann", [1, 0, 0], 1, ON, SEED)
    assert (wrong.step, wrong.occurrence, wrong.code) == ("tried", "2015-08-20/2",
                                                          "quiz_not_solved")  # fmt: skip
    assert code_of(done.quiz, task, "ann", [0, 1, 0], 2, ON, SEED) == "quiz_tries_limit"
    assert code_of(done.quiz, task, "ann", [0], 0, ON, SEED) == "quiz_answers_malformed"


# The lucky draw.

PRIZES = [
    Prize(name="big", odds=100, bytes=500 * MIB, stock=2),
    Prize(name="small", odds=4_900, bytes=5 * MIB),
]
DRAW = LuckyDraw(name="wheel", prizes=PRIZES, nothing=5_000)


def test_the_odds_are_those_of_the_terms_over_every_roll():
    found = Counter(getattr(prize_at(DRAW, roll), "name", "nothing") for roll in range(10_000))
    assert found == {"big": 100, "small": 4_900, "nothing": 5_000}


def test_an_entry_is_drawn_as_its_seed_says_and_anybody_can_check_it():
    stock = Stock(SEED, {})
    for number in range(200):
        entry = f"e{number}"
        found = done.lucky_draw(DRAW, "ann", entry, 0, stock, ON)
        again = done.lucky_draw(DRAW, "ann", entry, 2, stock, ON)
        assert found == again
        assert found.draw is not None
        claim = claim_name("august", "wheel", "drawn", "ann", entry)
        assert check_roll(SEED, found.draw.seed_commitment, claim, found.draw.roll)
        assert not check_roll(SEED, commitment_of(b"x"), claim, found.draw.roll)
        assert not check_roll(SEED, found.draw.seed_commitment, claim, found.draw.roll + 1)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 40))
def test_stock_beats_odds_whatever_is_rolled(seed, entries):
    task = LuckyDraw(name="w", prizes=[Prize(name="p", odds=10_000, bytes=MIB, stock=7)])
    gone: Counter[str] = Counter()
    for entry in range(entries):
        found = done.lucky_draw(task, "ann", str(entry), 0, Stock(seed, gone), ON)
        if found.bytes:
            gone["p"] += 1
        else:
            assert found.code == "prize_out_of_stock"
    assert gone["p"] == min(entries, 7)


def test_a_draw_that_the_budget_does_not_cover_wins_nothing_and_other_claims_are_refused():
    no = RefusedError("campaign_budget", "none left")
    drawn = done.lucky_draw(
        LuckyDraw(name="w", prizes=[Prize(name="p", odds=10_000, bytes=MIB)]), "ann", "e", 0,
        Stock(SEED, {}), ON,
    )  # fmt: skip
    noted = done.over_budget(drawn, no)
    assert (noted.bytes, noted.code, noted.reward) == (0, "prize_over_budget", None)
    earned = done.partner_event(RIDE, "ann", NOW, token(), ON, SEED)
    assert code_of(done.over_budget, earned, no) == "campaign_budget"


def test_there_are_three_draws_a_day():
    assert code_of(done.lucky_draw, DRAW, "ann", "e", 3, Stock(SEED, {}), ON) == "draws_day_limit"


# What terms may say.


def read(text: str) -> Task:
    found: Task = msgspec.json.decode(text, type=Task)
    return found


def test_the_defaults_are_the_domains():
    hello = read('{"kind": "sign_in", "name": "hello"}')
    assert isinstance(hello, SignIn)
    assert (hello.streak_days, hello.bonus_bytes) == (7, 50 * MIB)
    ad = read('{"kind": "ad_watched", "name": "ad", "reward": {"bytes": 1048576}}')
    assert isinstance(ad, AdWatched)
    assert (ad.per_day, ad.watch_s, ad.reward.valid_days) == (20, 15, 30)
    app = read('{"kind": "install", "name": "app", "reward": {"bytes": 1048576}}')
    assert isinstance(app, Install)
    assert BUILT_IN.free_bytes_per_month == 500 * MIB


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "sign_in", "name": "Hello"}',
        '{"kind": "sign_in", "name": "hello", "bonus": 1}',
        '{"kind": "dance", "name": "hello"}',
        '{"kind": "survey", "name": "s"}',
        '{"kind": "survey", "name": "s", "reward": {"bytes": 0}}',
        '{"kind": "survey", "name": "s", "reward": {"bytes": {"least": 2, "most": 1}}}',
    ],
)
def test_a_misspelt_task_is_an_error(text):
    with pytest.raises(msgspec.ValidationError):
        read(text)


@pytest.mark.parametrize(
    ("tasks", "mistake"),
    [
        ([RIDE, RIDE], "two tasks have the name ride"),
        ([LuckyDraw(name="w", prizes=PRIZES)], "the odds come to 5000 basis points"),
        ([LuckyDraw(name="w", prizes=[*PRIZES, PRIZES[0]], nothing=4900)], "names of their own"),
        ([Referral(name="bring", after=("bring",))], "names no other task"),
        ([Referral(name="bring", after=("ride",))], "names no other task"),
        (
            [Quiz(name="q", reward=REWARD,
                  questions=[Question(text="?", choices=["a", "b"], answer=2)])],
            "none of its choices",
        ),
    ],
)  # fmt: skip
def test_terms_that_make_no_sense_are_told(tasks, mistake):
    assert mistake in (task_mistake(tasks) or "")


def test_terms_that_make_sense_have_no_mistake():
    assert task_mistake([RIDE, DRAW, Referral(name="bring", after=("ride",))]) is None


def test_rules_are_dated_and_a_misspelt_one_is_an_error():
    text = b'[{"version": 1, "effective_from": "2015-01-01"}, {"version": 2, "effective_from": "2015-09-01", "clawback_days": 3}]'  # noqa: E501
    book = read_rules(text, CALENDAR)
    assert book.at(NOW).clawback_days == 7
    assert book.at(NOW + 30 * DAY_MS).clawback_days == 3
    for wrong in (
        b"[]",
        b'[{"version": 1, "effective_from": "x"}]',
        text.replace(b"2015-09", b"2014-09"),
    ):
        with pytest.raises(InvalidError):
            read_rules(wrong, CALENDAR)

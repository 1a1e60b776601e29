"""A simulated life follows from its seed."""

from datetime import date
from zoneinfo import ZoneInfo

from infra.simulation import CLAIMS, DEEDS, OFFERS, Life, Period, periods_of

ZONE = ZoneInfo("Asia/Shanghai")
WEEK = Period(date(2015, 8, 1), date(2015, 8, 8))


def told(seed: int) -> list[object]:
    life = Life(seed, 50, 20)
    story: list[object] = [life.openings("2015-08"), life.purchases("2015-08")]
    story.append(list(life.lines(WEEK, ZONE)))
    commands = life.deeds(WEEK, "2015-08-12")
    story.append(commands)
    for command in commands:
        if command["type"] == "hold":
            life.heard(command, {"status": "done", "result": {"hold_id": "0" * 32}})
    story.append(life.deeds(Period(date(2015, 8, 9), date(2015, 8, 16)), "2015-08-20"))
    return story


def test_the_same_seed_makes_the_same_life_and_another_another() -> None:
    assert told(1) == told(1)
    assert told(1) != told(2)


def test_every_key_is_unique_on_its_account() -> None:
    opened, bought, _, first, second = told(1)
    commands = [*opened, *bought, *first, *second]  # type: ignore[misc]
    keys = {(each["account"], each["key"]) for each in commands}
    assert len(keys) == len(commands)


def test_every_kind_of_deed_is_done_even_in_a_small_bank() -> None:
    *_, first, _ = told(1)
    done = {"red_packet" if each.get("purpose") == "red_packet" else each["type"] for each in first}  # type: ignore[attr-defined]
    assert done == set(DEEDS)


def test_red_packets_are_claimed_by_some_and_not_all_of_them() -> None:
    *_, first, second = told(1)
    packets = [each for each in first if each.get("purpose") == "red_packet"]  # type: ignore[attr-defined]
    claims = [each for each in second if each["type"] == "post" and "bytes" in each]  # type: ignore[attr-defined]
    assert len(claims) == CLAIMS * len(packets) > 0
    for packet in packets:
        shares = [each["bytes"] for each in claims if each["account"] == packet["account"]]
        assert 0 < sum(shares) < packet["bytes"]


def test_some_traffic_is_that_of_an_app_whose_campaign_pays() -> None:
    _, bought, lines, *_ = told(1)
    hosts = {each["host"] for each in lines}  # type: ignore[attr-defined]
    assert None in hosts
    for offer in OFFERS:
        assert any(host.endswith(tuple(offer["hosts"])) for host in hosts if host)
    funded = {each["campaign"] for each in bought if each["type"] == "fund"}  # type: ignore[attr-defined]
    assert {each["campaign"] for each in OFFERS if each["budget"] == "escrow"} <= funded


def test_who_was_suspended_is_active_again_and_who_left_does_nothing_more() -> None:
    *_, first, second = told(1)
    of = {
        kind: {each["account"] for each in first if each["type"] == kind}  # type: ignore[attr-defined]
        for kind in ("suspend", "close_account")
    }
    resumed = {each["account"] for each in second if each["type"] == "resume"}  # type: ignore[attr-defined]
    doers = {each["account"] for each in second if each["type"] in ("buy", "transfer", "hold")}  # type: ignore[attr-defined]
    assert resumed == of["suspend"]
    assert not doers & of["close_account"]


def test_periods_cover_a_month_from_its_start_or_from_today() -> None:
    first, last = date(2015, 2, 1), date(2015, 2, 28)
    periods = periods_of(first, last, first)
    assert sum(each.days for each in periods) == 28
    assert periods[0].first == first
    assert periods[-1].last == last
    assert sum(each.days for each in periods_of(first, last, date(2015, 2, 20))) == 9
    assert periods_of(first, last, date(2015, 3, 1)) == []

"""Whom a campaign's rule found when it started may claim, nobody else, whatever is killed."""

import re
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from services.tasks import audiences
from services.tasks.claim_rows import ToldBy
from services.tasks.domain.tasks.kinds import SignIn
from services.tasks.list_rows import ListState
from shared.contracts.audiences import AudienceRule
from shared.errors import RefusedError, UnavailableError
from shared.sagas.writer import Job, Writer
from tests.integration.claims.test_signed_calls import Caller, caller  # noqa: F401 A fixture.
from tests.support.bank import ROOT
from tests.support.claims_world import RIDE, ClaimsWorld

RULE = AudienceRule(lapsed_days=30)
PEOPLE = [f"p{number:02}" for number in range(60)]
LIST = "campaign:back:1"


class NearGateway:
    """Whom a rule finds; it can break off after some pages, and counts what it was asked."""

    def __init__(self, *people: str) -> None:
        self.people = list(people)
        self.breaks_after: int | None = None
        self.asked: list[AudienceRule] = []

    def audience(self, rule: AudienceRule) -> Iterator[list[str]]:
        """Yield seven at a time."""
        self.asked.append(rule)
        for page, start in enumerate(range(0, len(self.people), 7)):
            if page == self.breaks_after:
                raise UnavailableError("it broke off")
            yield self.people[start : start + 7]


class Dying:
    """A writer of a process that is killed after so many jobs."""

    def __init__(self, writer: Writer, jobs: int) -> None:
        self._writer = writer
        self._jobs = jobs

    def run(self, job: Job[Any]) -> Any:
        """Run a job, or die."""
        if not self._jobs:
            raise KeyboardInterrupt
        self._jobs -= 1
        return self._writer.run(job)


@pytest.fixture
def gateway(world: ClaimsWorld) -> NearGateway:
    made = NearGateway(*PEOPLE)
    world.tasks.audiences.others = made  # type: ignore[assignment]
    return made


def take(world: ClaimsWorld) -> int:
    return world.tasks.audiences.take_due(Event())


def refused(call: Any, *args: Any) -> tuple[str, int]:
    with pytest.raises(RefusedError) as refusal:
        call(*args)
    return refusal.value.code, refusal.value.status


def members(world: ClaimsWorld, name: str = LIST) -> list[str]:
    return world.tasks.supply.lists.page(name, "", 1_000)


def ask_again(world: ClaimsWorld) -> None:
    world.change("back", lambda campaign, meta: campaign.ask_audience(meta))


def test_a_claim_of_who_was_not_found_is_refused_as_with_a_list(
    world: ClaimsWorld, gateway: NearGateway
):
    world.open("p00", "bob")
    world.campaign("back", RIDE, SignIn(name="hello"), rule=RULE)
    entrances = [world.enter("back", who)[1] for who in ("p00", "bob")]
    asked = [world.asked(f"r{n}", "back", each) for n, each in enumerate(entrances)]
    # Too early is no answer: the same request is decided once it is known.
    assert {each["code"] for each in world.complete(*asked)} == {"audience_not_taken"}
    assert refused(world.do, "back", "hello", "p00") == ("audience_not_taken", 503)
    assert refused(world.claims.completion, ToldBy("didi", "app", "r0")) == (
        "completion_not_found",
        404,
    )
    assert take(world) == 1
    assert (gateway.asked, members(world)) == ([RULE], PEOPLE)
    first, second = world.complete(*asked)
    assert (first["status"], second["code"]) == ("pending", "not_in_audience")
    assert world.do("back", "hello", "p00").state == "accepted"
    assert refused(world.do, "back", "hello", "bob") == ("not_in_audience", 422)
    assert take(world) == 0


def test_a_signed_call_that_is_too_early_is_a_problem_to_be_tried_again(
    world: ClaimsWorld, gateway: NearGateway, caller: Caller  # noqa: F811
):  # fmt: skip
    gateway.people.append("ann")
    world.campaign("back", RIDE, rule=RULE)
    token, _ = world.enter("back", "ann")
    answer = caller.complete(token, "early", body={"campaign": "back"})
    assert (answer.status_code, answer.json["code"]) == (503, "audience_not_taken")
    assert answer.headers["Retry-After"]
    take(world)
    answer = caller.complete(token, "early", body={"campaign": "back"})
    assert (answer.status_code, answer.json["status"]) == (202, "pending")


def test_what_is_too_early_in_a_batch_says_that_it_is_to_be_told_again(
    world: ClaimsWorld, gateway: NearGateway, caller: Caller  # noqa: F811
):  # fmt: skip
    world.open("p00")
    world.campaign("back", RIDE, rule=RULE)
    items = [
        {"request_id": f"r-{campaign}", "campaign": campaign, "task": "ride",
         "happened_at": "2015-08-10T12:00:00+08:00", "token": world.enter(campaign, "p00")[0]}
        for campaign in ("august", "back")
    ]  # fmt: skip

    def tell() -> list[dict[str, Any]]:
        answer = caller.send("completions", {"completions": items}, "call")
        assert answer.status_code == 200, answer.json
        return list(answer.json["answers"])

    taken, early = tell()
    assert taken["status"] == "pending"
    assert (early["request_id"], early["status"], early["code"]) == (
        "r-back", "not_taken", "audience_not_taken",
    )  # fmt: skip
    take(world)
    again, now_taken = tell()
    assert (again, now_taken["status"]) == (taken, "pending")


def test_asked_again_it_takes_who_is_new_and_drops_who_is_gone_and_tells_whom(
    world: ClaimsWorld, gateway: NearGateway
):
    world.campaign("back", SignIn(name="hello"), rule=RULE)
    take(world)
    world.open("p00", "p01", "new")
    gateway.people = [*PEOPLE[2:], "new"]
    ask_again(world)
    # Until it is done, the list of before counts.
    assert world.do("back", "hello", "p00").state == "accepted"
    assert take(world) == 1
    assert refused(world.do, "back", "hello", "p01")[0] == "not_in_audience"
    assert world.do("back", "hello", "new").state == "accepted"
    (added,), (removed,) = (
        list(world.tasks.supply.lists.changes(LIST, number, number + 1, 100)) for number in (1, 2)
    )
    assert (added, removed) == ({"new": True}, {"p00": False, "p01": False})


def test_fewer_than_fifty_are_not_taken_and_claims_say_nothing_of_persons(
    world: ClaimsWorld, gateway: NearGateway
):
    gateway.people = PEOPLE[:49]
    world.open("p00", "bob")
    world.campaign("back", SignIn(name="hello"), rule=RULE)
    assert take(world) == 1
    assert members(world) == []
    for who in ("p00", "bob"):
        assert refused(world.do, "back", "hello", who) == ("audience_too_small", 422)
    assert take(world) == 0
    gateway.people.append("p49")
    ask_again(world)
    take(world)
    assert world.do("back", "hello", "p00").state == "accepted"
    # Fewer at a later time leave those of before.
    gateway.people = PEOPLE[:10]
    ask_again(world)
    take(world)
    assert len(members(world)) == 50
    assert refused(world.do, "back", "hello", "bob") == ("not_in_audience", 422)


def test_wherever_it_is_killed_it_is_gone_on_with_and_nobody_is_taken_by_halves(
    world: ClaimsWorld, gateway: NearGateway, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(audiences, "MEMBERS_PER_TURN", 16)
    world.open("p00")
    world.campaign("back", SignIn(name="hello"), rule=RULE)
    job, writer = world.tasks.audiences, world.writer
    gateway.breaks_after = 3
    with pytest.raises(UnavailableError):
        take(world)
    assert members(world) == []
    gateway.breaks_after = None
    for jobs, there in ((0, 0), (2, 32), (1, 48), (1, 60)):
        dying = Dying(writer, jobs)
        monkeypatch.setattr(job, "_writer", lambda dying=dying: dying)
        with pytest.raises(KeyboardInterrupt):
            take(world)
        assert len(members(world)) == there
        assert job.progress(LIST, "back") == (60, ListState(-(-there // 16), there))
        assert refused(world.do, "back", "hello", "p00")[0] == "audience_not_taken"
    monkeypatch.setattr(job, "_writer", lambda: writer)
    assert take(world) == 1
    assert members(world) == PEOPLE
    assert world.do("back", "hello", "p00").state == "accepted"
    assert job.progress(LIST, "back") == (None, ListState(4, 60))


def test_who_is_named_twice_is_counted_once(world: ClaimsWorld, gateway: NearGateway):
    gateway.people = [*PEOPLE, "p00"]
    world.campaign("back", SignIn(name="hello"), rule=RULE)
    assert take(world) == 1
    assert members(world) == PEOPLE


def test_a_campaign_that_ran_before_rules_were_asked_is_asked_after_the_upgrade(
    world: ClaimsWorld, gateway: NearGateway
):
    world.campaign("back", SignIn(name="hello"), rule=RULE)
    world.campaign("all", SignIn(name="hello"))
    migration = (ROOT / "infra" / "migrations" / "tasks" / "0004_audiences.sql").read_text()
    (update,) = re.findall(r"^UPDATE campaigns .*?;$", migration, re.MULTILINE | re.DOTALL)
    with world.store.connection() as conn:
        conn.execute("UPDATE campaigns SET audience_due = false")
        assert take(world) == 0
        conn.execute(update)
    assert take(world) == 1
    assert (members(world), len(gateway.asked)) == (PEOPLE, 1)

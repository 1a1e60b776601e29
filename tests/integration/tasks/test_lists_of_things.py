"""Orders, packs, lists, campaigns and claims page by page, over HTTP."""

from typing import Any

import pytest

from services.tasks.domain.catalogue import read_pack
from services.tasks.lists import Batch
from shared.paging import cursor_of
from tests.integration.tasks.test_supply import KnownPeople, asking, open_accounts, ordered
from tests.support.tasks_world import MIB, MakeWorld, World

PACKS = ["large", "medium", "small"]
LISTS = ["drivers", "members", "riders"]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Two partners, three packs, five orders of which one is cancelled, three lists."""
    made = make_world()
    made.register()
    made.register("rides", bought=0)
    open_accounts(made, "s0", "s1")
    supply = made.tasks.supply
    supply.others = KnownPeople(made)  # type: ignore[assignment]
    price = [{"from_day": "2015-01-01", "fen": 100}]
    for name in PACKS:
        pack = read_pack({"name": name, "bytes": MIB, "prices": price, "valid": {"months": 1}})
        supply.publish(asking(pack), pack)
    for each in ("small", "medium", "small", "large"):
        made.clock.at += 1_000
        ordered(supply, each)
    # In the same millisecond as the one before: the id decides.
    supply.cancel(asking("cancel"), ordered(supply).id)
    for name in LISTS:
        supply.change_members(asking(name), name, Batch(add=["s0", "s1"]))
    return made


def pages(world: World, path: str, name: str, **asked: Any) -> list[Any]:
    rows: list[Any] = []
    after: dict[str, str] = {}
    while True:
        answer = world.get(path, limit=1, **asked, **after)
        assert answer.status == 200, answer.body
        assert len(answer.body[name]) <= 1
        rows += answer.body[name]
        if answer.body["next_after"] is None:
            return rows
        after = {"after": answer.body["next_after"]}


def test_every_list_comes_in_pages_that_make_up_the_whole(world: World) -> None:
    for path, name, count in (
        ("/v1/orders", "orders", 5), ("/v1/packs", "packs", 3), ("/v1/lists", "lists", 3),
        ("/v1/partners", "partners", 2),
    ):  # fmt: skip
        whole = world.get(path).body
        assert whole["next_after"] is None
        assert pages(world, path, name) == whole[name]
        assert len(whole[name]) == count
    assert [each["pack"] for each in world.get("/v1/packs").body["packs"]] == PACKS
    assert [each["list"] for each in world.get("/v1/lists").body["lists"]] == LISTS


def test_orders_are_found_by_partner_and_state_and_the_newest_comes_first(world: World) -> None:
    found = world.get("/v1/orders").body["orders"]
    assert [each["ordered_at"] for each in found] == sorted(
        (each["ordered_at"] for each in found), reverse=True
    )
    assert len(pages(world, "/v1/orders", "orders", partner="didi", state="ordered")) == 4
    assert len(pages(world, "/v1/orders", "orders", state="cancelled")) == 1
    assert world.get("/v1/orders", partner="rides").body == {"orders": [], "next_after": None}


def test_a_cursor_stays_good_while_orders_come(world: World) -> None:
    first = world.get("/v1/orders", limit=2).body
    rest = world.get("/v1/orders", after=first["next_after"]).body["orders"]
    world.clock.at += 1_000
    ordered(world.tasks.supply)
    assert world.get("/v1/orders", after=first["next_after"]).body["orders"] == rest
    assert len(rest) == 3


@pytest.mark.parametrize("path", ["/v1/orders", "/v1/packs", "/v1/lists", "/v1/parked"])
@pytest.mark.parametrize("wrong", ["zzz", "bnVsbA", cursor_of(1, 2, 3, 4)])
def test_another_lists_cursor_is_refused(world: World, path: str, wrong: str) -> None:
    answer = world.get(path, after=wrong)
    assert (answer.status, answer.code) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "asked", "code"),
    [
        ("/v1/orders", {"partner": "nobody"}, "partner_not_found"),
        ("/v1/campaigns", {"partner": "nobody"}, "partner_not_found"),
        ("/v1/claims", {"campaign": "nobody"}, "campaign_not_found"),
    ],
)
def test_a_partner_or_campaign_that_nobody_knows_is_not_found(
    world: World, path: str, asked: dict[str, str], code: str
) -> None:
    answer = world.get(path, **asked)
    assert (answer.status, answer.code) == (404, code)


def test_parked_events_come_in_pages(world: World) -> None:
    assert world.get("/v1/parked", limit=1).body == {"parked": [], "next_after": None}
    assert world.get("/v1/parked", account="s0").body["parked"] == []

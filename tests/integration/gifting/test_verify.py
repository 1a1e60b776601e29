"""`verify`: what lies beside the log is what the log says, and a row that was changed is named."""

import json
from typing import Any

import psycopg
import pytest

from tests.support.gifting_world import MIB, World

PACKET = {"sender": "ann", "bytes": 20 * MIB, "shares": 4}


def verified(world: World) -> dict[str, Any]:
    """Return the result of `POST /v1/verify`."""
    answer = world.app.test_client().post(
        "/v1/verify", json={}, headers={"Authorization": "Bearer operator-token"}
    )
    result: dict[str, Any] = json.loads(answer.text.splitlines()[-1])["result"]
    return result


@pytest.fixture
def lived(world: World) -> World:
    """A gift, a packet with a share that could not arrive and one that did, an ask."""
    world.give("ann", "bob")
    token = world.post("/v1/red-packets", PACKET).body["token"]
    world.post("/v1/asks", {"asker": "ann", "giver": "bob", "bytes": 10 * MIB})
    world.settle()
    world.near.away = True
    for who in ("bob", "nobody"):
        world.post(f"/v1/red-packets/{token}/claim", {"receiver": who})
    world.settle()
    return world


def test_what_was_lived_is_what_is_stored(lived: World) -> None:
    assert verified(lived) == {
        "ok": True, "gifts": 1, "red_packets": 1, "claims": 2, "asks": 1, "first_difference": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE gifts SET bytes = bytes + 1", "bytes"),
        ("UPDATE gifts SET counts = false", "counts"),
        ("UPDATE red_packets SET seed = sha256('x')", "seed"),
        ("UPDATE claims SET counts = true", "counts"),
        ("DELETE FROM asks", ""),
        ("UPDATE asks SET state = 'declined'", "state"),
    ],
)
def test_a_changed_row_is_named(lived: World, statement: str, what: str) -> None:
    with lived.gifting.store.connection() as conn:
        conn.execute(statement)
    result = verified(lived)
    assert not result["ok"]
    assert result["first_difference"]["what"].endswith(what)


def test_not_even_gifting_itself_changes_its_log(world: World) -> None:
    world.give("ann", "bob")
    with (
        world.gifting.store.connection() as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("UPDATE stored_events SET topic = 'x'")

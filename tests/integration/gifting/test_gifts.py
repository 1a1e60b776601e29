"""A gift arrives, or its sender has it back; both sides see how far it is and why."""

from tests.support.gifting_world import MIB, World


def test_a_gift_by_rule_arrives_without_anybody_doing_more(world: World) -> None:
    asked = world.give("ann", "bob")
    assert asked.status == 202
    assert asked.body["state"] == "offered"
    had = world.available("ann")

    world.settle()

    gift = world.gift(asked.body["gift_id"])
    assert gift["state"] == "completed"
    assert [step["step"] for step in gift["steps"]] == [
        "gift_requested", "gift_offered", "gift_sent", "gift_completed",
    ]  # fmt: skip
    assert sum(lot["bytes"] for lot in gift["lots"]) == 10 * MIB
    assert world.available("ann") == had - 10 * MIB
    assert asked.headers["Location"].endswith(f"/v1/gifts/{gift['gift_id']}")

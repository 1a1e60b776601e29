"""Who a rule finds, over a real database: by plan, usage, what was left, and long silence."""

from threading import Event
from typing import Any

import orjson
import pytest

from services.gateway.bootstrap import make_app
from services.ledger.domain.commands import (
    ChangePlan,
    CloseAccount,
    CloseMonth,
    OpenAccount,
    Usage,
)
from shared.auth import Tokens
from shared.bus.inbox import Inbox
from tests.support.gateway import MIB, BankReader, opened_bank
from tests.support.memory import CALENDAR

TOKENS = Tokens({"operator": "op", "tasks": "ts", "gateway": "gw"})
TENTH = CALENDAR.parse("2015-08-10T09:00:00")


class Asker:
    """A client of the audiences' routes."""

    def __init__(self, app: Any) -> None:
        self.client = app.test_client()

    def post(self, path: str, rule: Any, token: str = "ts") -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return self.client.post(path, json=rule, headers=headers)

    def found(self, **rule: Any) -> list[str]:
        """Return who a rule finds, having checked that the count says the same."""
        answer = self.post("/v1/audiences:list", rule)
        assert answer.status_code == 200, answer.text
        *parts, end = [line for line in answer.text.splitlines() if line]
        names = [name for part in parts for name in orjson.loads(part)["subscribers"]]
        count = self.post("/v1/audiences:count", rule).get_json()["count"]
        assert orjson.loads(end) == {"result": {"count": count}}
        assert len(names) == count
        return sorted(names)


@pytest.fixture
def asker(gateway_of) -> Asker:
    """On 1 October: ann used 10 MiB in August, bob 40 MiB, cat and dan nothing; all closed.

    cat has another plan from September on; dan's account has ended; eve is new.
    """
    bank = opened_bank(2)
    bank.do(
        Usage(usage_id="u1", account="ann", bytes=10 * MIB, occurred_at=TENTH),
        Usage(usage_id="u2", account="bob", bytes=30 * MIB, occurred_at=TENTH),
        Usage(usage_id="u3", account="bob", bytes=10 * MIB, occurred_at=TENTH + 1),
        ChangePlan(key="c", account="cat", plan="std-1gb"),
        CloseAccount(key="e", account="dan"),
    )
    bank.at("2015-09-01T07:00:00")
    people = ("ann", "bob", "cat")
    bank.do(*(CloseMonth(key="m8", account=one, month="2015-08") for one in people))
    bank.at("2015-09-20T07:00:00")
    bank.do(OpenAccount(key="o", account="eve", plan="std-30mb", active_from="2015-09"))
    reader = BankReader(bank)
    gateway = gateway_of(reader)
    Inbox(gateway.consumers, reader, stop=Event()).level()
    return Asker(make_app(gateway, TOKENS))


def band(month: str, least: int = 0, most: int | None = None) -> dict[str, Any]:
    return {"month": month, "at_least_bytes": least, "at_most_bytes": most}


def test_a_tier_is_the_plan_in_force_and_who_has_left_is_never_meant(asker: Asker) -> None:
    assert asker.found(tier=["std-30mb"]) == ["ann", "bob", "eve"]
    assert asker.found(tier=["std-1gb"]) == ["cat"]
    assert asker.found(tier=["std-1gb", "std-30mb"]) == ["ann", "bob", "cat", "eve"]
    assert asker.found(tier=["gold"]) == []


def test_a_band_of_usage_has_both_its_ends(asker: Asker) -> None:
    assert asker.found(used=band("last", 10 * MIB, 40 * MIB)) == ["ann", "bob"]
    assert asker.found(used=band("2015-08", 10 * MIB + 1)) == ["bob"]
    assert asker.found(used=band("last", 0, 10 * MIB)) == ["ann", "cat", "eve"]
    assert asker.found(used=band("this", 1)) == []


def test_what_was_left_at_the_close_is_found_whether_carried_or_gone(asker: Asker) -> None:
    assert asker.found(unused=band("2015-08", 20 * MIB, 20 * MIB)) == ["ann"]
    assert asker.found(unused=band("2015-08", 30 * MIB)) == ["cat"]
    assert "bob" not in asker.found(unused=band("2015-08", 1))


def test_who_has_lapsed_used_nothing_for_so_long_and_is_as_old(asker: Asker) -> None:
    assert asker.found(lapsed_days=30) == ["ann", "bob", "cat"]
    assert asker.found(lapsed_days=41) == []


def test_all_that_a_rule_says_holds_together(asker: Asker) -> None:
    rule = {"tier": ["std-30mb"], "used": band("2015-08", 1), "lapsed_days": 30}
    assert asker.found(**rule, unused=band("2015-08", 1)) == ["ann"]


def test_only_the_operator_and_tasks_may_ask_and_nonsense_is_refused(asker: Asker) -> None:
    assert asker.post("/v1/audiences:count", {"tier": ["a"]}, "op").status_code == 200
    assert asker.post("/v1/audiences:count", {"tier": ["a"]}, "gw").status_code == 403
    for path in ("/v1/audiences:count", "/v1/audiences:list"):
        refused = asker.post(path, {"colour": "red"})
        assert (refused.status_code, refused.get_json()["code"]) == (422, "invalid_request")

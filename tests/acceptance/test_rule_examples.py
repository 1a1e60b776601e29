"""Each rule file of docs/examples/rules is put into a bank that runs, and lived under for months.

One bank lives all of them, one after the other: a version is in force from its instant on, and the
last month of each story is closed by the rules of that month's last instant.
"""

from typing import Any

import pytest

from infra.cli.client import Service, ledger_of, read_fresh
from infra.cli.output import Output
from infra.runtime.clock import now, set_clock
from tests.acceptance.steps import settled
from tests.support.bank import LocalBank
from tests.support.memory import CALENDAR
from tests.support.rule_stories import RULES, STORIES, Story, World

pytestmark = pytest.mark.slow

# Rules are put at least a minute ahead.
LEAD_MS = 61_000


class BankWorld(World):
    """A bank that runs; each story has an ann and a bob of its own."""

    def __init__(self, bank: LocalBank, ledger: Service, story: Story) -> None:
        self._local, self._bank, self._ledger = bank, bank.bank, ledger
        self._story = story
        starts = max(CALENDAR.parse(story.starts), now(self._bank) + LEAD_MS)
        put = bank.json(
            "rules", "put", str(RULES / f"{story.rules}.json"),
            "--effective-from", CALENDAR.text(starts),
        )  # fmt: skip
        assert put["new"]
        set_clock(self._bank, starts)
        assert ledger.get("/v1/rules")["in_force"] == put["version"]
        for name in ("ann", "bob"):
            self._do(name, "open_account", plan=story.plan)

    def use(self, amount: int, at: str) -> None:
        """Load a record."""
        set_clock(self._bank, CALENDAR.parse(at))
        record = {
            "usage_id": at, "account": self._name("ann"), "bytes": amount,
            "occurred_at": CALENDAR.parse(at),
        }  # fmt: skip
        (outcome,) = self._ledger.post("/v1/usage", {"lines": [record]}).body["outcomes"]
        assert (outcome["status"], outcome["unfunded_bytes"]) == ("done", 0)

    def give(self, amount: int) -> None:
        """Transfer, and wait."""
        self._do("ann", "transfer", to=self._name("bob"), bytes=amount)
        settled(self._local)

    def close(self, month: str, at: str) -> tuple[int, int]:
        """Close the month of all, as `close-month` does, and look what it did to ann."""
        set_clock(self._bank, CALENDAR.parse(at))
        self._ledger.stream(f"/v1/months/{month}:close", lambda _done, _of: None)
        return self._moved("carried_over", month), -self._moved("expired", month)

    def left(self) -> dict[str, int]:
        """Look at the balance."""
        lots = self._read("balance")["lots"]
        return {lot["lot_id"]: lot["remaining_bytes"] for lot in lots if lot["remaining_bytes"]}

    def end_of(self, lot_id: str) -> int:
        """Look at the balance."""
        lots = self._read("balance")["lots"]
        return next(CALENDAR.parse(lot["expires_at"]) for lot in lots if lot["lot_id"] == lot_id)

    def leave(self) -> None:
        """Close both accounts: the next rules need not have their plan."""
        for name in ("ann", "bob"):
            self._do(name, "close_account")

    def _name(self, name: str) -> str:
        return f"{name}-{self._story.rules}"

    def _do(self, name: str, kind: str, **fields: object) -> None:
        command = {"type": kind, "key": kind, "account": self._name(name), **fields}
        answer = self._ledger.post("/v1/commands", {"commands": [command]}).body
        assert answer["outcomes"][0]["status"] == "done", answer

    def _moved(self, kind: str, month: str) -> int:
        """Return what came into ann's carry lot, or what left her lots for ever (below zero)."""
        entries = self._read("history", kind=kind)["entries"]
        changes = [lot["bytes"] for each in entries if each["month"] == month
                   for lot in each["lots"]]  # fmt: skip
        return sum(change for change in changes if (change > 0) == (kind == "carried_over"))

    def _read(self, what: str, **query: str) -> dict[str, Any]:
        ann = self._name("ann")
        return read_fresh(
            self._bank, Output(json=True), f"/v1/accounts/{ann}/{what}", account=ann, **query
        )


def test_a_bank_lives_three_months_under_each_rule_file(local_bank: LocalBank) -> None:
    local_bank.up("--clock", "2014-12-31T12:00")
    with ledger_of(local_bank.bank) as ledger:
        for story in STORIES:
            world = BankWorld(local_bank, ledger, story)
            story.tell(world)
            world.leave()
    assert local_bank.json("verify")["ok"]

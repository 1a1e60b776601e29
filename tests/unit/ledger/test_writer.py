"""Who submits to a partition has an answer in time, also where the database stands still."""

import asyncio
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from services.ledger import application, writer
from services.ledger.application import Ledger
from services.ledger.domain.commands import Touch
from services.ledger.items import Item
from services.ledger.writer import Writer
from shared.errors import UnavailableError
from tests.support.memory import OPERATOR

ASKED = Touch(key="t", account="ann")


class Standing:
    """A partition whose batches wait until they are let go."""

    name = "ledger_00"

    def __init__(self) -> None:
        self.begun, self.go_on = Event(), Event()

    def execute(self, items: list[Item], _: Any) -> int:
        """Wait, and then be done."""
        self.begun.set()
        self.go_on.wait(10)
        return len(items)


def item() -> Item:
    return Item(ASKED, "operator", OPERATOR)


def test_no_more_wait_than_may_and_all_of_them_are_answered(monkeypatch) -> None:
    monkeypatch.setattr(writer, "QUEUE_MAX", 3)
    monkeypatch.setattr(writer, "PUT_TIMEOUT_S", 0.05)
    partition = Standing()
    writes = Writer(partition)  # type: ignore[arg-type]
    first = writes.submit([item()])
    partition.begun.wait(10)
    waiting = [writes.submit([item()]) for _ in range(3)]
    with pytest.raises(UnavailableError, match="too many requests wait"):
        writes.submit([item()])

    async def at_once() -> None:
        writes.submit_soon([item()])

    with pytest.raises(UnavailableError, match="too many requests wait"):
        asyncio.run(at_once())
    partition.go_on.set()
    assert [future.result(10) for future in (first, *waiting)] == [1, 3, 3, 3]
    writes.stop()


@pytest.mark.parametrize("accounts", [["ann"], ["ann", "bob", "cat", "dan"]])
def test_a_command_on_the_loop_is_given_up_in_time(monkeypatch, accounts: list[str]) -> None:
    monkeypatch.setattr(application, "ANSWER_TIMEOUT_S", 0.05)
    partitions = [SimpleNamespace(name=f"ledger_0{number}") for number in range(2)]

    def forgets(partition: SimpleNamespace) -> SimpleNamespace:
        return SimpleNamespace(
            partition=partition,
            submit_soon=lambda _: asyncio.get_running_loop().create_future(),
        )

    ledger = Ledger.__new__(Ledger)
    ledger.partitions = partitions  # type: ignore[assignment]
    ledger.writers = [forgets(each) for each in partitions]  # type: ignore[misc]
    commands = [Touch(key="t", account=name) for name in accounts]
    with pytest.raises(UnavailableError, match="did not answer in time"):
        asyncio.run(asyncio.wait_for(ledger.execute_soon(commands, "operator", OPERATOR), 10))

"""A simulation begins in an empty sandbox, or goes on in its own; else it does nothing."""

from pathlib import Path
from typing import Any, Self

import pytest
from click.testing import CliRunner

from infra.cli import simulate as module
from infra.cli.client import Answer
from infra.cli.output import CliError
from infra.cli.simulate import simulate
from infra.runtime import clock as bank_clock
from infra.runtime.state import make_bank
from tests.support.bank import free_port


class Begun(Exception):  # noqa: N818 No error: the simulation would go on from here.
    """Something that is not a question was asked."""


class Ledger:
    """A ledger that answers dry runs, and to which nothing else may be sent."""

    def __init__(self, outcome: dict[str, Any]) -> None:
        self.outcome = outcome
        self.rehearsed: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End nothing."""

    def post(self, path: str, body: dict[str, Any], **query: str) -> Answer:
        assert path == "/v1/commands"
        if query != {"dry_run": "1"}:
            raise Begun
        assert len(body["commands"]) <= 1_000
        self.rehearsed += body["commands"]
        return Answer({"outcomes": [dict(self.outcome) for _ in body["commands"]]}, "r")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`run(accounts, outcome)`: what becomes of a simulation in a bank with so many accounts."""

    def simulated(accounts: int, outcome: dict[str, Any]) -> tuple[Any, Ledger]:
        ledger = Ledger(outcome)
        bank = make_bank(tmp_path, port=free_port(), sandbox=True)
        before = bank_clock.offset_ms(bank)
        monkeypatch.setattr(module, "ledger_of", lambda *_: ledger)
        monkeypatch.setattr(module, "read_fresh", lambda *_, **__: {"accounts": accounts})
        words = ["--subscribers", "1500", "--state", str(tmp_path)]
        told = CliRunner().invoke(simulate, words)
        assert bank_clock.offset_ms(bank) == before
        return told.exception, ledger

    return simulated


DONE = {"status": "done", "events": [{}]}
AGAIN = {"status": "done", "repeated": True}
OTHER_TERMS = {"status": "refused", "code": "conflict"}
SOMEBODY_ELSES = {"status": "refused", "code": "account_exists", "detail": "it exists"}


def test_an_empty_bank_is_lived_in(run) -> None:
    told, ledger = run(0, DONE)
    assert isinstance(told, Begun)
    assert ledger.rehearsed == []


@pytest.mark.parametrize("outcome", [AGAIN, OTHER_TERMS])
def test_the_same_life_goes_on_in_its_own_bank(run, outcome: dict[str, Any]) -> None:
    told, ledger = run(1_507, outcome)
    assert isinstance(told, Begun)
    assert len(ledger.rehearsed) > 1_500


@pytest.mark.parametrize("outcome", [DONE, SOMEBODY_ELSES])
def test_a_bank_of_others_is_refused_before_anything_is_done(run, outcome: dict[str, Any]) -> None:
    told, _ = run(3, outcome)
    assert isinstance(told, CliError)
    assert told.code == "bank_not_empty"
    assert "3 accounts" in told.detail
    assert "empty sandbox" in told.detail

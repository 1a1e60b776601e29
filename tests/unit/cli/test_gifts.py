"""What `databank gift` and `gifts` print of an answer, for people."""

from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.gifts import GIFT_STATES, gifts, show_gift, show_quote
from infra.cli.output import Output
from services.gifting import schemas

GIFT: dict[str, Any] = {
    "gift_id": "5d0a", "state": "completed", "sender": "ann", "receiver": "bob",
    "bytes": 10485760, "code": None, "detail": None, "reasons": [], "clawed_back_bytes": 0,
}  # fmt: skip
QUOTE: dict[str, Any] = {
    "sender": "ann", "receiver": "bob", "legs": [], "arrives_bytes": 10485760,
    "fee": {"bytes": 0, "payer": "sender"}, "waits": False, "refused": None,
    "allowed_bytes": 1073741824,
}  # fmt: skip
STEP: dict[str, Any] = {"at": "2015-08-03T12:00:00.000+08:00", "reason": None}


def shown(capsys: pytest.CaptureFixture[str], **more: Any) -> list[str]:
    show_gift(Output(json=False), GIFT | more)
    return capsys.readouterr().out.splitlines()[1:]


def test_a_gift_is_shown_with_its_reasons_and_no_empty_lines(capsys):
    assert shown(capsys) == []
    assert shown(capsys, code="declined") == ["declined"]
    assert shown(capsys, clawed_back_bytes=7340032) == ["of it 7.00 MiB were taken back"]
    assert shown(capsys, reasons=["star", "fan_in"]) == ["looks like: star, fan_in"]
    assert shown(capsys, code="denied_by_operator", detail="no", reasons=["star"]) == [
        "denied_by_operator: no",
        "looks like: star",
    ]


def test_a_step_is_shown_with_what_it_was_confirmed_for(capsys):
    steps = [STEP | {"step": "gift_requested", "confirmed_for": ["velocity", "new_receiver"]}]
    assert shown(capsys, steps=steps) == [
        "  2015-08-03 12:00  gift_requested  velocity, new_receiver"
    ]


def test_a_quote_without_the_ledger_says_so(capsys):
    for complete in (True, False):
        show_quote(Output(json=False), QUOTE | {"complete": complete})
        assert ("the ledger is away" in capsys.readouterr().out) is not complete


def test_the_states_are_giftings():
    assert GIFT_STATES == schemas.GIFT_STATES


def test_an_unknown_state_is_a_usage_error():
    assert CliRunner().invoke(gifts, ["ann", "--in-state", "nonsense"]).exit_code == 2

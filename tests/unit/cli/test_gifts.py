"""What `databank gift` and `gifts` print of an answer, for people."""

from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.gifts import (
    GIFT_STATES,
    gifts,
    is_as_promised,
    show_gift,
    show_packet,
    show_quote,
)
from infra.cli.output import Output
from services.gifting import schemas
from services.gifting.domain.split import Split, commitment_of, shares_of

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


SEED = bytes(range(32))
TERMS: tuple[int, int, Split, int] = (3 << 20, 3, "lucky", 1 << 18)
PACKET: dict[str, Any] = {
    "packet_id": "p1", "state": "ended", "sender": "ann", "bytes": TERMS[0], "shares": TERMS[1],
    "split": TERMS[2], "share_bytes_min": TERMS[3], "cause": "timed_out", "returned_bytes": 0,
    "deadline": "2015-08-04T12:00:00+08:00", "seed": SEED.hex(),
    "seed_commitment": commitment_of(SEED),
    "claims": [
        {"position": place, "bytes": size, "state": "delivered"}
        for place, size in enumerate(shares_of(SEED, *TERMS))
    ],
}  # fmt: skip


def test_an_ended_packets_split_is_checked_where_it_is_shown(capsys):
    assert is_as_promised(PACKET)
    show_packet(Output(json=False), PACKET)
    assert "stood for exactly these shares" in " ".join(capsys.readouterr().out.split())

    moved = [{**each} for each in PACKET["claims"]]
    moved[0]["bytes"] += 1
    for wrong in ({"claims": moved}, {"seed": bytes(32).hex()}):
        assert not is_as_promised(PACKET | wrong)
        show_packet(Output(json=False), PACKET | wrong)
        assert "OTHER SHARES" in capsys.readouterr().out


def test_an_open_packet_says_until_when(capsys):
    show_packet(Output(json=False), PACKET | {"state": "open", "seed": None, "claims": []})
    assert "can be claimed until 2015-08-04 12:00" in capsys.readouterr().out


def test_the_states_are_giftings():
    assert GIFT_STATES == schemas.GIFT_STATES


def test_an_unknown_state_is_a_usage_error():
    assert CliRunner().invoke(gifts, ["ann", "--in-state", "nonsense"]).exit_code == 2

"""A call that the command line signs for a try is one that the bank takes."""

import time
from pathlib import Path

import pytest

from infra.cli.output import CliError
from infra.cli.partners import partner
from infra.cli.signed import SECRET, _secret, signed_headers
from services.tasks.domain.signature import Key, Signed, signer

SECRET_TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signed_call_is_one_that_the_bank_takes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(SECRET, SECRET_TEXT)
    secret, body = _secret(None), b'{"task": "ride"}'
    headers = signed_headers(secret, "r-1", body)
    call = Signed(
        headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body
    )
    key = Key("k", "app", secret)
    assert signer(call, [key], time.time_ns() // 1_000_000) == key


def test_the_secret_comes_from_a_file_or_the_environment_and_must_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "secret"
    file.write_text(f"{SECRET_TEXT}\n")
    monkeypatch.delenv(SECRET, raising=False)
    assert len(_secret(file)) == 24
    for given, code in ((None, "secret_missing"), ("whsec_?", "secret_malformed")):
        if given is not None:
            monkeypatch.setenv(SECRET, given)
        with pytest.raises(CliError) as refused:
            _secret(None)
        assert refused.value.code == code


def test_the_partners_own_commands_are_among_its_commands():
    assert {"complete", "answer", "claw-back", "register"} <= set(partner.commands)

"""A partner's signature: what is taken, and what is refused with which code."""

import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tasks.domain.signature import Key, Signed, secret_of, sign, signer
from shared.errors import RefusedError

WALL_MS = 1_700_000_000_000
AT = WALL_MS // 1000
OLD = Key("k1", "app", b"old-secret", valid_until=WALL_MS + 1000)
NEW = Key("k2", "app", b"new-secret", valid_from=WALL_MS - 1000)
BODY = b'{"task": "ride"}'


def call(secret: bytes = NEW.secret, *, request_id: str = "r-1", at: int = AT, body: bytes = BODY):
    return Signed(request_id, str(at), sign(secret, request_id, at, body), body)


def code_of(signed: Signed, wall_ms: int = WALL_MS, keys=(OLD, NEW)) -> str:
    with pytest.raises(RefusedError) as refused:
        signer(signed, keys, wall_ms)
    assert refused.value.status == 401
    return refused.value.code


def test_the_example_of_the_standard_is_signed_as_it_says():
    """The vector of the Standard Webhooks reference libraries, which docs/http.md shows, too."""
    secret, message = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    at, body = 1614265330, '{"test": 2432232314}'
    found = sign(secret_of(secret), message, at, body.encode())
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    page = (Path(__file__).parents[3] / "docs" / "http.md").read_text()
    assert [each for each in (secret, message, str(at), body, found) if each not in page] == []


def test_old_and_new_key_are_both_good_while_they_are_exchanged():
    assert signer(call(OLD.secret), (OLD, NEW), WALL_MS) == OLD
    assert signer(call(NEW.secret), (OLD, NEW), WALL_MS) == NEW
    assert code_of(call(OLD.secret), WALL_MS + 1000) == "signature_invalid"
    assert code_of(call(NEW.secret), WALL_MS - 1001) == "signature_invalid"


def test_one_good_signature_among_several_is_enough():
    good = call()
    told = f"v1,{base64.b64encode(b'x' * 32).decode()} v2,zzz {good.signatures}"
    assert signer(Signed("r-1", str(AT), told, BODY), (NEW,), WALL_MS) == NEW


def test_a_timestamp_is_good_for_five_minutes_before_and_after():
    for drift in (-300, 300):
        assert signer(call(at=AT + drift), (NEW,), WALL_MS) == NEW
    for drift in (-301, 301):
        assert code_of(call(at=AT + drift)) == "timestamp_out_of_tolerance"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"request_id": ""}, "request_id_malformed"),
        ({"request_id": "r" * 65}, "request_id_malformed"),
        ({"request_id": "r.1"}, "request_id_malformed"),
        ({"request_id": "r 1"}, "request_id_malformed"),
        ({"timestamp": "soon"}, "timestamp_malformed"),
        ({"timestamp": "-1700000000"}, "timestamp_malformed"),
        ({"timestamp": "٣"}, "timestamp_malformed"),
        ({"signatures": ""}, "signature_malformed"),
        ({"signatures": "v1,not base64"}, "signature_malformed"),
        ({"signatures": "v2,AAAA"}, "signature_malformed"),
        ({"request_id": "r-2"}, "signature_invalid"),
        ({"body": BODY + b" "}, "signature_invalid"),
        ({"timestamp": str(AT + 1)}, "signature_invalid"),
    ],
)
def test_what_was_changed_or_malformed_is_refused(change, code):
    assert code_of(msgspec.structs.replace(call(), **change)) == code


def test_a_call_by_nobodys_key_is_refused():
    assert code_of(call(b"stolen")) == "signature_invalid"
    assert code_of(call(), keys=()) == "signature_invalid"


@given(st.binary(max_size=200), st.integers(0, 10**6))
def test_any_flipped_bit_of_a_body_is_noticed(body, place):
    signed = call(body=body)
    if not body:
        return
    index, bit = place % len(body), 1 << (place % 8)
    other = body[:index] + bytes([body[index] ^ bit]) + body[index + 1 :]
    assert code_of(Signed(signed.request_id, signed.timestamp, signed.signatures, other)) == (
        "signature_invalid"
    )

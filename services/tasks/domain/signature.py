"""Who signed a partner's call: Standard Webhooks, symmetric (`v1`).

    webhook-id         the request id, 1 to 64 characters, never used for another body
    webhook-timestamp  seconds since 1970-01-01Z, at most 5 minutes from the bank's wall clock
    webhook-signature  one or more of `v1,` + base64(HMAC-SHA256(key, id.timestamp.body))

Old and new key are both good while keys are exchanged.
"""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable

import msgspec

from shared.errors import RefusedError

TOLERANCE_S = 300
REQUEST_ID_MAX = 64
SIGNATURES_MAX = 8
SECRET_PREFIX = "whsec_"  # noqa: S105 The prefix of Standard Webhooks, no secret.


class Key(msgspec.Struct, frozen=True):
    """A key with which a partner's app signs; None is an end that is not set."""

    key_id: str
    asp_id: str
    secret: bytes
    valid_from: int = 0
    valid_until: int | None = None


class Signed(msgspec.Struct, frozen=True):
    """A call as it came in."""

    request_id: str
    timestamp: str
    signatures: str
    body: bytes


def secret_of(text: str) -> bytes:
    """Read a secret as it is shown to a partner (`whsec_` + base64). Raises ValueError."""
    return b64decode(text.removeprefix(SECRET_PREFIX), validate=True)


def sign(secret: bytes, request_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a call."""
    signed = f"{request_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def signer(call: Signed, keys: Iterable[Key], wall_ms: int) -> Key:
    """Return the key that signed a call at this wall time.

    Every key is tried, each in constant time. Refusals (401), in order: request_id_malformed,
    timestamp_malformed, timestamp_out_of_tolerance, signature_malformed, signature_invalid.
    """
    if not _is_request_id(call.request_id):
        detail = f"webhook-id has 1 to {REQUEST_ID_MAX} visible ASCII characters and no dot"
        raise _refused("request_id_malformed", detail)
    at = _timestamp(call.timestamp)
    if abs(wall_ms - at * 1000) > TOLERANCE_S * 1000:
        detail = f"webhook-timestamp is more than {TOLERANCE_S} s from the bank's clock"
        raise _refused("timestamp_out_of_tolerance", detail)
    told = _signatures(call.signatures)
    found = None
    for key in keys:
        if wall_ms < key.valid_from or (key.valid_until or wall_ms + 1) <= wall_ms:
            continue
        signed = f"{call.request_id}.{call.timestamp}.".encode() + call.body
        expected = hmac.digest(key.secret, signed, hashlib.sha256)
        for each in told:
            if hmac.compare_digest(expected, each):
                found = key
    if found is None:
        raise _refused("signature_invalid", "no valid key of the partner made this signature")
    return found


def _is_request_id(text: str) -> bool:
    visible = text.isascii() and text.isprintable() and " " not in text
    # A dot would let an id take over a part of the timestamp.
    return 0 < len(text) <= REQUEST_ID_MAX and visible and "." not in text


def _timestamp(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):  # noqa: PLR2004 Till 33658.
        raise _refused("timestamp_malformed", "webhook-timestamp is whole seconds since 1970")
    return int(text)


def _signatures(text: str) -> list[bytes]:
    parts = text.split()
    told = []
    for part in parts[:SIGNATURES_MAX]:
        version, _, value = part.partition(",")
        if version == "v1":
            try:
                told.append(b64decode(value, validate=True))
            except (binascii.Error, ValueError):
                continue
    if not told:
        raise _refused("signature_malformed", "webhook-signature has no `v1,` and base64 in it")
    return told


def _refused(code: str, detail: str) -> RefusedError:
    return RefusedError(code, detail, 401)

"""Events and account states to stored bytes (JSON) and back."""

from typing import Any

import msgspec

from services.ledger.domain.account import STATE_FORMAT, Account
from services.ledger.domain.rules import Rules
from shared.contracts.ledger import EVENT_BY_TYPE, Event

_encoder = msgspec.json.Encoder()
_event_decoders = {name: msgspec.json.Decoder(kind) for name, kind in EVENT_BY_TYPE.items()}
_account_decoder = msgspec.json.Decoder(Account)

encode: Any = _encoder.encode


decode_rules = msgspec.json.Decoder(Rules).decode


def decode_event(topic: str, state: bytes) -> Event:
    """Read a stored event. Raises KeyError for an unknown topic, msgspec.DecodeError."""
    return _event_decoders[topic].decode(state)


def decode_account(state_format: int, state: bytes) -> Account | None:
    """Read a stored account state; None where its format is another, so it must be refolded."""
    return _account_decoder.decode(state) if state_format == STATE_FORMAT else None

"""From envelopes to what the views need of them."""

import msgspec

from shared.contracts import gifting, tasks
from shared.contracts.envelope import Envelope
from shared.contracts.ledger import EVENT_BY_TYPE, DataSpent, Event, Slice


class Paid(msgspec.Struct, gc=False):
    """What a campaign paid of a usage line."""

    campaign: str
    bytes: int


class SpentLine(msgspec.Struct, gc=False):
    """What the views need of a usage line."""

    slices: list[Slice] = []
    unfunded_bytes: int = 0
    bytes: int = 0
    occurred_at: int = 0
    rating_group: str | None = None
    sponsored: Paid | None = None
    subscriber: str | None = None


class Spent(msgspec.Struct):
    """`data_spent` without what no view shows; usage is most of the log."""

    account: str
    recorded_at: int
    actor: str
    lines: list[SpentLine]
    reason: str | None = None
    partner: str | None = None
    campaign: str | None = None


ViewEvent = Event | Spent
CONTRACTS: dict[str, type[ViewEvent]] = {**EVENT_BY_TYPE, DataSpent.TYPE: Spent}


ALL_CONTRACTS: dict[str, type[ViewEvent]] = {
    **CONTRACTS, **gifting.EVENT_BY_TYPE, **tasks.EVENT_BY_TYPE
}  # fmt: skip
_DECODERS = {kind: msgspec.json.Decoder(kind).decode for kind in ALL_CONTRACTS.values()}


def decode_event(envelope: Envelope) -> ViewEvent:
    """Read an envelope's data, decoded or as it came.

    Raises KeyError for a type that this version does not know, so that its event is put aside and
    not lost; msgspec.ValidationError.
    """
    contract = ALL_CONTRACTS[envelope.type]
    if isinstance(envelope.data, msgspec.Raw):
        return _DECODERS[contract](envelope.data)
    return msgspec.convert(envelope.data, contract)

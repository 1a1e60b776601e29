"""From the ledger's envelopes to what the views need of them."""

import msgspec

from shared.contracts.envelope import Envelope
from shared.contracts.ledger import EVENT_BY_TYPE, DataSpent, Event, Slice


class SpentLine(msgspec.Struct, gc=False):
    """What the views need of a usage line."""

    slices: list[Slice] = []
    unfunded_bytes: int = 0


class Spent(msgspec.Struct):
    """`data_spent` without what no view shows; usage is most of the log."""

    account: str
    lines: list[SpentLine]


ViewEvent = Event | Spent
CONTRACTS: dict[str, type[ViewEvent]] = {**EVENT_BY_TYPE, DataSpent.TYPE: Spent}


def decode_event(envelope: Envelope) -> ViewEvent:
    """Read an envelope's data.

    Raises KeyError for a type that this version does not know, so that its event is put aside and
    not lost; msgspec.ValidationError.
    """
    return msgspec.convert(envelope.data, CONTRACTS[envelope.type])

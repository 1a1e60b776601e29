"""What a batch works on: commands and usage records under way, and the keys they are known by."""

from struct import Struct

import msgspec

from services.ledger.codec import encode
from services.ledger.domain.commands import (
    KEYLESS,
    AnyCommand,
    ClawBackArrived,
    ReverseUsage,
    Usage,
)
from services.ledger.domain.context import Meta
from services.ledger.outcomes import Outcome, UsageOutcome
from shared.errors import RefusedError
from shared.ids import digest

# A usage record's terms, as its key's body: bytes and instant fill the 16 bytes of a hash.
pack_terms = Struct(">qq").pack


class Item:
    """A command or usage record on its way through a batch."""

    __slots__ = ("body", "key", "meta", "once", "outcome", "repeats", "what")

    def __init__(self, what: AnyCommand | Usage, caller: str, meta: Meta) -> None:
        self.what = what
        self.meta = meta
        self.outcome: Outcome | UsageOutcome | None = None
        self.repeats: KeyRow | None = None
        self.once: bytes | None = None
        if isinstance(what, KEYLESS):
            self.key = self.body = b""
        elif isinstance(what, Usage):
            self.key = digest("usage", what.account, what.usage_id)
            self.body = pack_terms(what.bytes, what.occurred_at)
            if what.rating_group is not None:
                self.body = digest(self.body.hex(), what.rating_group)
        else:
            self.key = key_of(caller, what.account, what.key)
            self.body = digest(encode(what).decode())
            # A record or transfer is undone once, whoever asks and by whatever key.
            if isinstance(what, ReverseUsage):
                self.once = digest("reversal", what.account, what.line.usage_id)
            elif isinstance(what, ClawBackArrived):
                self.once = digest("clawback", what.account, what.arrived.transfer_id)


class AwaitedItem(Item):
    """A command of another service's saga: its refusal is an event, and binds the key too."""

    __slots__ = ()


def key_of(caller: str, account: str, key: str) -> bytes:
    """Return the id of a command: unique in the bank, it names what the command makes."""
    return digest(caller, account, key)


class KeyRow(msgspec.Struct):
    """A bound key: the hash of its body and the events it made."""

    key: bytes
    body: bytes
    stream: bytes
    version: int
    events: int


def of_newer_version(account_id: str) -> RefusedError:
    """Return the refusal of what needs an account whose events this version does not know."""
    return RefusedError(
        "newer_version",
        f"a newer version of the bank has written events of {account_id}; it waits for that",
        503,
    )


def keys_of(items: list[Item]) -> list[bytes]:
    """Return the keys that a batch looks up."""
    return [key for item in items for key in (item.key, item.once) if key]


def accounts_of(items: list[Item]) -> list[str]:
    """Return the accounts that a batch touches, each once; quotas that pay are not among them."""
    accounts = dict.fromkeys(item.what.account for item in items)
    for item in items:
        if isinstance(item.what, ReverseUsage) and item.what.quota is not None:
            accounts[item.what.quota] = None
    return list(accounts)

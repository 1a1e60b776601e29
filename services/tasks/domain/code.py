"""A code: a pack that whoever knows it may have, once.

    made -> locked -> bound          locked: its pack is on the way to a subscriber
         |         -> made           the pack could not arrive: the code is good again
         -> expired

The code itself is shown once, to who made it; the bank keeps a hash. 80 random bits are out of any
guesser's reach, so a plain SHA-256 is enough.
"""

import hashlib
import secrets
from typing import Literal

import msgspec

from shared.errors import RefusedError

# No letter that looks like a digit, as people type codes.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
LENGTH, GROUP = 16, 4
State = Literal["made", "locked", "bound", "expired"]


class Code(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A code as its row has it; instants in milliseconds."""

    code_id: str
    order_id: str
    state: str
    expires_at: int
    subscriber: str = ""
    issue_id: str = ""

    def check_redeem(self, now: int) -> None:
        """Raise what stands against using it. Refusals: code_used, code_expired."""
        if self.state in {"locked", "bound"}:
            raise RefusedError("code_used", "this code was used already", 409)
        if self.state == "expired" or now >= self.expires_at:
            raise RefusedError("code_expired", "this code has expired", 409)


def new_code() -> str:
    """Make a code: 16 letters and digits in groups of four."""
    text = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(text[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def code_hash(code: str) -> bytes:
    """Return what is kept of a code, however it was typed: without dashes, in small letters."""
    plain = "".join(code.split()).replace("-", "").upper()
    return hashlib.sha256(b"databank code\0" + plain.encode()).digest()


def unknown_code() -> RefusedError:
    """Return what is said of a code that does not exist."""
    return RefusedError("code_not_found", "there is no such code", 404)

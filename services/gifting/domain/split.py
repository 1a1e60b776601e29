"""How a red packet is split: decided by a secret seed when it is made, and open to anyone's check.

The seed's SHA-256 is published with the packet, the seed when the packet has ended. From both and
the packet's public terms everybody gets the same shares, byte by byte:

* Work in whole KB (1,024 bytes); what is left of a KB goes with the last share.
* `fixed`: every share alike; the KBs that can't be divided go one each to the first shares.
* `lucky`: double-mean. With `left` KB for `n` shares and `least` the smallest share (rounded up to
  a KB), a share is drawn evenly from `least` to `2 * left // n - least`, so that its mean is
  `left / n` at every position; the last share is what is left.
* The draw at position p (from 0): SHA-256 of the seed and of p as 4 bytes, big end first, as a
  number, modulo the number of choices. (Of 2**256 values to at most 2**43: the bias is nil.)
"""

import hashlib
import hmac
from functools import lru_cache
from typing import Literal

from services.gifting.domain.rules import KIB

SEED_BYTES = 32

Split = Literal["fixed", "lucky"]


def commitment_of(seed: bytes) -> str:
    """Return what is published of a seed before it is told."""
    return hashlib.sha256(seed).hexdigest()


@lru_cache(maxsize=1024)
def shares_of(
    seed: bytes, total: int, shares: int, split: Split, share_bytes_min: int
) -> tuple[int, ...]:
    """Return the shares in bytes, in the order in which they are claimed; they sum to `total`.

    Raises ValueError where so many shares can't have the least each.
    """
    left, rest = divmod(total, KIB)
    least = -(-share_bytes_min // KIB)
    if shares < 1 or left < least * shares:
        raise ValueError(f"{total} bytes are not {shares} shares of {share_bytes_min} or more")
    if split == "fixed":
        alike, more = divmod(left, shares)
        amounts = [alike + (position < more) for position in range(shares)]
    else:
        amounts = _double_mean(seed, left, shares, least)
    amounts = [amount * KIB for amount in amounts]
    amounts[-1] += rest
    return tuple(amounts)


def _double_mean(seed: bytes, left: int, shares: int, least: int) -> list[int]:
    amounts = []
    for position in range(shares - 1):
        most = 2 * left // (shares - position) - least
        amount = least + _draw(seed, position, most - least + 1)
        amounts.append(amount)
        left -= amount
    return [*amounts, left]


def _draw(seed: bytes, position: int, choices: int) -> int:
    drawn = hashlib.sha256(seed + position.to_bytes(4)).digest()
    return int.from_bytes(drawn) % choices


def check_split(
    seed: bytes, commitment: str, terms: tuple[int, int, Split, int], claimed: dict[int, int]
) -> bool:
    """Say whether the claimed shares (position: bytes) are those that were promised.

    `terms` are the packet's bytes, shares, split and `share_bytes_min`, as RedPacketRequested has
    them, `commitment` its seed_commitment; `seed` is what RedPacketEnded told.
    """
    if not hmac.compare_digest(commitment_of(seed), commitment):
        return False
    promised = dict(enumerate(shares_of(seed, *terms)))
    return all(promised.get(position) == amount for position, amount in claimed.items())

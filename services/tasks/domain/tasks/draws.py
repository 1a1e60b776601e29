"""A lucky draw that anybody can check afterwards.

Every task has a secret seed for each day of the bank. Its SHA-256 is published the day before (of
the day on which the campaign starts: at the start), the seed itself when the day is over. From the
seed and the entry's claim id everybody gets the same roll, 0 … 9,999:

    roll = SHA-256(seed + the claim id's 16 bytes), as a number, modulo 10,000

The claim id holds who draws and the entry's id, which the caller chooses after the commitment is
published: neither side can steer a roll. Prizes lie on the rolls one after the other, in the order
of the campaign's terms, each as wide as its odds; what is left wins nothing. A prize that is out of
stock, or that the budget does not cover, wins nothing: stock and budget beat odds.
"""

import hashlib
import hmac

from services.tasks.domain.tasks.kinds import ODDS, LuckyDraw, Prize
from services.tasks.domain.tasks.rewards import draw

SEED_BYTES = 32


def commitment_of(seed: bytes) -> str:
    """Return what is published of a seed before it is told."""
    return hashlib.sha256(seed).hexdigest()


def roll_of(seed: bytes, claim_id: str) -> int:
    """Return an entry's roll, 0 … 9,999."""
    return draw(seed + bytes.fromhex(claim_id), ODDS)


def prize_at(task: LuckyDraw, roll: int) -> Prize | None:
    """Return the prize on which a roll lies, None where it wins nothing."""
    begins = 0
    for prize in task.prizes:
        if begins <= roll < begins + prize.odds:
            return prize
        begins += prize.odds
    return None


def check_roll(seed: bytes, commitment: str, claim_id: str, roll: int) -> bool:
    """Say whether a roll is the one that was promised."""
    if not hmac.compare_digest(commitment_of(seed), commitment):
        return False
    return roll_of(seed, claim_id) == roll

"""Checks that gifts, red packets and asks have in common; each gives its refusals, if any."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from services.gifting.domain.rules import KIB, MIB
from shared.calendar import Calendar
from shared.errors import RefusedError

DAY_MS = 86_400_000
SHORTAGES = {
    "regift_not_allowed": "what was itself a gift or a red packet is not given on",
    "data_not_giftable": "the rest of what is there may not be given away",
    "insufficient_data": "there is not as much to give",
}


class Party(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the ledger says of one account.

    Usable bytes are those of lots that are valid now and free: `available_bytes` of them all,
    `giftable_bytes` what may be given, `received_bytes` what was itself a gift or red packet.
    `last_used_at` is 0 before any use, None where nobody knows.
    """

    account: str
    status: str = "active"
    kind: str = "subscriber"
    opened_at: int = 0
    plan: str | None = None
    plan_bytes: int = 0
    available_bytes: int = 0
    giftable_bytes: int = 0
    received_bytes: int = 0
    last_used_at: int | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part of a lot that would arrive (a fee is not in it), and on which terms."""

    lot_id: str
    bytes: int
    kind: str
    expires_at: int
    arrives_from: int | None = None
    arrives_until: int | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the ledger says of a gift: who both are (None: nobody), and its dry run."""

    sender: Party | None
    receiver: Party | None
    legs: list[Part] = []
    code: str | None = None
    detail: str | None = None
    extra: dict[str, Any] = {}


def mb(amount: int) -> str:
    """Write an amount in MB, as people speak of it; less than that in KB or bytes."""
    if 0 < amount < MIB:
        return f"{amount} bytes" if amount % KIB else f"{amount // KIB} KB"
    return f"{amount / MIB:.2f}".rstrip("0").rstrip(".") + " MB"


def amount_refusals(
    what: str, amount: int, least: int, step: int, most: int
) -> Iterator[RefusedError]:
    """Give amount_too_small, amount_step, amount_too_large; `what` begins the sentence."""
    if amount < least:
        detail = f"{what} has at least {mb(least)}"
        yield RefusedError("amount_too_small", detail, least_bytes=least)
    if amount % step:
        detail = f"{what} is a multiple of {mb(step)}"
        yield RefusedError("amount_step", detail, step_bytes=step)
    if amount > most:
        detail = f"{what} has at most {mb(most)}"
        yield RefusedError("amount_too_large", detail, allowed_bytes=most)


def count_refusals(
    code: str, used: int, limit: int | None, what: str, allowed_from: str
) -> Iterator[RefusedError]:
    """Give the refusal of a limit by number that is reached."""
    if limit is not None and used >= limit:
        yield RefusedError(
            code, f"{limit} {what}; again from {allowed_from} on",
            allowed_bytes=0, limit=limit, allowed_from=allowed_from,
        )  # fmt: skip


def party_refusals(role: str, account: str, party: Party | None) -> Iterator[RefusedError]:
    """Give what stands against an account in this role: sender or receiver."""
    if party is None:
        yield RefusedError(f"{role}_not_found", f"there is no account {account}", 404)
    elif party.status != "active":
        yield RefusedError(f"{role}_{party.status}", f"the {role}'s account is {party.status}")


def age_refusals(
    sender: Party, age_days: int, now: int, calendar: Calendar
) -> Iterator[RefusedError]:
    """Give sender_too_new where the account is younger than that."""
    old_enough_at = sender.opened_at + age_days * DAY_MS
    if now < old_enough_at:
        allowed_from = calendar.text(old_enough_at)
        yield RefusedError(
            "sender_too_new",
            f"an account gives once it is {age_days} days old, from {allowed_from} on",
            allowed_from=allowed_from,
        )


def data_refusals(
    facts: Facts, needed: int, kinds_not_given: tuple[str, ...], allowed: Callable[[], int]
) -> Iterator[RefusedError]:
    """Give kind_not_given, and why `needed` bytes can't be taken; `allowed` tells how many can."""
    kinds = sorted({leg.kind for leg in facts.legs}.intersection(kinds_not_given))
    if kinds:
        yield RefusedError("kind_not_given", f"lots of kind {', '.join(kinds)} are not given away")
    sender = facts.sender
    if sender is None:
        return
    if facts.code == "insufficient_data" or needed > sender.giftable_bytes:
        code = _shortage(sender, needed)
        yield RefusedError(code, SHORTAGES[code], allowed_bytes=allowed())


def _shortage(sender: Party, needed: int) -> str:
    """Return why there is too little: is it not there, or may it not be given."""
    if needed > sender.available_bytes:
        return "insufficient_data"
    regift = needed <= sender.giftable_bytes + sender.received_bytes
    return "regift_not_allowed" if regift else "data_not_giftable"


def other_refusal(facts: Facts) -> Iterator[RefusedError]:
    """Give what else the ledger's dry run refused, in its own words."""
    if facts.code is not None:
        yield RefusedError(facts.code, facts.detail or facts.code, **facts.extra)

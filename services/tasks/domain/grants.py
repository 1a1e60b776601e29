"""Grants: what a campaign gives each member of its list once per month of the bank, as a lot.

A member that joins within the month gets that month's grant at once. The grant of a month is named
by (campaign, grant, month, member), so whoever gives it twice gives it once. One that could not be
paid is tried again, under a name of its own, while the month lasts: no late answer to one attempt
can be taken for another's, and each begins only when the one before has been refused for good.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from services.tasks.domain.catalogue import LotOffered
from services.tasks.domain.issue import Issue, Parcel
from shared.calendar import Calendar
from shared.contracts.offers import Amount
from shared.ids import digest
from shared.mistakes import shaped

# So long after it was refused a grant is tried again, unless new funds arrive before: their lack is
# not the only reason, and thirty times a month are few enough.
RETRY_AFTER_MS = 86_400_000
# A closed account stays so.
FOR_GOOD = "account_closed"
Name = Annotated[
    str,
    shaped(
        r"^[a-z0-9][a-z0-9_-]{0,63}\Z", "1 to 64 small letters, digits, _ or -, such as members"
    ),
]


class Grant(LotOffered, frozen=True, kw_only=True):
    """A fixed amount per member and cycle.

    `effect` next_cycle: the month's grant begins with the month after. `cycles`: so many months
    from the campaign's first on, None: as long as it runs.
    """

    name: Name
    bytes: Amount
    cycles: Annotated[int, Meta(ge=1, le=120)] | None = None


def grant_mistake(grants: Sequence[Grant], *, listed: bool) -> str | None:
    """Return what is wrong with a campaign's grants, None if nothing is."""
    names = [grant.name for grant in grants]
    if len(set(names)) < len(names):
        return "two grants have the same name"
    if grants and not listed:
        return "`grants` need an `audience` that is a list or a rule"
    for grant in grants:
        mistake = grant.mistake()
        if mistake is not None:
            return f"grant {grant.name}: {mistake}"
    return None


def issue_name(campaign: str, grant: str, cycle: str, subscriber: str, attempt: int = 1) -> str:
    """Return the id (32 hex digits) of an attempt to give a member the grant of a month."""
    again = () if attempt == 1 else (str(attempt),)
    return digest("grant", campaign, grant, cycle, subscriber, *again).hex()


def may_begin(attempt: int, before: Issue | None) -> bool:
    """Say whether an attempt may begin, given the one before: only once that came to nothing."""
    return attempt == 1 or (before is not None and before.state == "refused")


def retried_before(funded_at: int, now: int) -> int:
    """Return until when a grant must have been refused to be tried again now.

    `funded_at`: when funds arrived last, 0 if none ever did.
    """
    return max(now - RETRY_AFTER_MS, funded_at)


class For(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whose grant it is: a member of a partner's campaign, and the how manieth attempt."""

    campaign: str
    partner: str
    subscriber: str
    attempt: int = 1


def parcel_of(grant: Grant, whose: For, now: int, calendar: Calendar) -> Parcel:
    """Return a member's grant of the month that holds `now`."""
    cycle = calendar.month_of(now)
    name = issue_name(whose.campaign, grant.name, cycle, whose.subscriber, whose.attempt)
    return Parcel(
        issue_id=name, partner=whose.partner, subscriber=whose.subscriber, bytes=grant.bytes,
        terms=grant.lot(now, calendar), campaign=whose.campaign, grant=grant.name, cycle=cycle,
        attempt=whose.attempt,
    )  # fmt: skip

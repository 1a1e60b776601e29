"""Grants: what a campaign gives each member of its list once per month of the bank, as a lot.

A member that joins within the month gets that month's grant at once. The grant of a month is named
by (campaign, grant, month, member), so whoever gives it twice gives it once.
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from services.tasks.domain.catalogue import LotOffered
from services.tasks.domain.issue import Parcel
from shared.calendar import Calendar
from shared.contracts.offers import Amount
from shared.ids import digest

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]


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
    return None


def issue_name(campaign: str, grant: str, cycle: str, subscriber: str) -> str:
    """Return the id (32 hex digits) of a member's grant of a month."""
    return digest("grant", campaign, grant, cycle, subscriber).hex()


def parcel_of(
    grant: Grant, campaign: str, partner: str, subscriber: str, now: int, calendar: Calendar
) -> Parcel:
    """Return a member's grant of the month that holds `now`."""
    cycle = calendar.month_of(now)
    return Parcel(
        issue_id=issue_name(campaign, grant.name, cycle, subscriber), partner=partner,
        subscriber=subscriber, bytes=grant.bytes, terms=grant.lot(now, calendar),
        campaign=campaign, grant=grant.name, cycle=cycle,
    )  # fmt: skip

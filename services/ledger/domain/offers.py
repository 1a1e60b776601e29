"""Which offers match a usage record, and how much of it an offer may pay at most."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import msgspec

from services.ledger.domain.account import Account
from services.ledger.domain.commands import Usage
from shared.calendar import Calendar
from shared.contracts.offers import ANY_TRAFFIC, Offer
from shared.ids import quota_of

HOSTS_KNOWN_MAX = 65_536


def digest_of(hosts: list[str]) -> str:
    """Return what stands for a list of hosts where hosts must not stand."""
    return hashlib.sha256("\n".join(sorted(hosts)).encode()).hexdigest()


def without_hosts(offer: Offer) -> Offer:
    """Return an offer as the log may tell it."""
    return msgspec.structs.replace(offer, hosts=[])


class OfferBook:
    """The offers of a partition, found by rating group or host."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self.offers = {offer.campaign: offer for offer in offers}
        ordered = sorted(self.offers.values(), key=lambda offer: offer.campaign)
        mapped = [offer for offer in ordered if offer.state != "ended"]
        self._running = [offer for offer in ordered if offer.state == "running"]
        # Where two campaigns give one host two groups, that of one which runs is the record's.
        mapped.sort(key=lambda offer: offer.state == "running")
        self._groups = {host: offer.rating_group for offer in mapped for host in offer.hosts}
        self._hosts = {offer.campaign: frozenset(offer.hosts) for offer in self._running}
        self.listed = any(offer.listed for offer in self._running)
        self.group_of: Callable[[str], str | None] = lru_cache(HOSTS_KNOWN_MAX)(self._group_of)
        self.paying: Callable[[str | None, str | None], list[Offer]] = lru_cache(HOSTS_KNOWN_MAX)(
            self._paying
        )

    def _group_of(self, host: str) -> str | None:
        """Return the rating group of a host: its own pattern's or that of a domain above it."""
        return next((self._groups[name] for name in _domains(host) if name in self._groups), None)

    def _paying(self, group: str | None, host: str | None) -> list[Offer]:
        """Return the running offers for a record, in the order in which they pay.

        A record that was given its group is paid by that group's offers. Where its host tells the
        group, an offer with hosts pays for its own hosts alone: two partners may use one name.
        """
        by_host = host is not None and group == self.group_of(host)
        return [
            offer for offer in self._running
            if offer.rating_group == ANY_TRAFFIC
            or (self._has(offer, host) if by_host and offer.hosts else offer.rating_group == group)
        ]  # fmt: skip

    def _has(self, offer: Offer, host: str | None) -> bool:
        hosts = self._hosts[offer.campaign]
        return host is not None and any(name in hosts for name in _domains(host))

    def quotas_of(self, asked: Iterable[object], partition: int) -> list[str]:
        """Return the quotas that may pay for the usage among what is asked, of this partition."""
        if not self._running:
            return []
        kinds = {(self.rating_group(each), each.host) for each in asked if isinstance(each, Usage)}
        campaigns = {offer.campaign for kind in kinds for offer in self.paying(*kind)}
        return [quota_of(campaign, partition) for campaign in sorted(campaigns)]

    def rating_group(self, usage: Usage) -> str | None:
        """Return the group that a record was given, else that of its host."""
        if usage.rating_group is not None or usage.host is None:
            return usage.rating_group
        return self.group_of(usage.host)


def _domains(host: str) -> Iterator[str]:
    """Yield a host, then each domain above it."""
    name = host.lower().rstrip(".")
    while name:
        yield name
        name = name.partition(".")[2]


def covers(offer: Offer, usage: Usage, calendar: Calendar) -> bool:
    """Say whether an offer pays for a record of this time and place, whoever's it is."""
    at = usage.occurred_at
    if at < offer.starts_at or (offer.ends_at is not None and at >= offer.ends_at):
        return False
    if usage.roaming and not offer.roaming:
        return False
    return offer.hours is None or offer.hours.contains(calendar.minute_of(at))


class Room:
    """How much of a record an offer may pay by the subscriber's own caps."""

    __slots__ = ("cap", "counted", "free", "period")

    def __init__(self, offer: Offer, account: Account, usage: Usage, calendar: Calendar) -> None:
        self.free = usage.bytes
        self.counted: list[str] = []
        self.cap = self.period = ""
        caps = offer.caps
        if caps.per_subscriber_bytes is not None:
            month = calendar.month_of(usage.occurred_at)
            self._limit(offer, account, "month", month, caps.per_subscriber_bytes)
        if caps.per_subscriber_day_bytes is not None:
            day = calendar.day_of(usage.occurred_at)
            self._limit(offer, account, "day", day, caps.per_subscriber_day_bytes)

    def _limit(self, offer: Offer, account: Account, cap: str, period: str, most: int) -> None:
        used = account.sponsored.get(f"{offer.campaign}|{period}", 0)
        self.counted.append(period)
        if most - used < self.free:
            self.free = max(0, most - used)
            self.cap, self.period = cap, period

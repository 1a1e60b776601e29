"""Sponsored usage as the ledger tells it: both sides of each record, in one partition's log."""

from dataclasses import dataclass, field
from typing import Any

from services.ledger.codec import encode
from shared.contracts.ledger import (
    AccountOpened,
    DataEarned,
    DataSpent,
    Event,
    Leg,
    LotTerms,
    Slice,
    Source,
    Sponsored,
    UsageLine,
    UsageReversed,
)
from shared.ids import partition_of, quota_of, stream_id
from tests.support.memory import CALENDAR, MemoryBank

YEAR_MS = 366 * 86_400_000


@dataclass
class Sponsor:
    """A campaign that is charged on credit: it tells the events of a bank without deciding them."""

    bank: MemoryBank
    campaign: str
    partner: str
    rating_group: str = "didi"
    _quotas: set[str] = field(default_factory=set)

    def pays(self, usage_id: str, subscriber: str, size: int, *, own: int = 0) -> None:
        """Tell that the campaign paid `size` bytes of a record; `own` more were unfunded."""
        at = self.bank.clock.now()
        quota = quota_of(self.campaign, partition_of(subscriber, len(self.bank.partitions)))
        lot_id = f"charge:{CALENDAR.month_of(at)}"
        if quota not in self._quotas:
            self._quotas.add(quota)
            self._tell(AccountOpened(**self._facts(quota), kind="quota", partner=self.partner))
        lot = LotTerms(
            lot_id=lot_id, kind="award", granted=size, valid_from=at, expires_at=at + YEAR_MS,
            source=Source("charge", usage_id, self.partner, self.campaign),
        )  # fmt: skip
        self._tell(DataEarned(**self._facts(quota), lots=[lot]))
        common: dict[str, Any] = {
            "usage_id": usage_id, "occurred_at": at, "rating_group": self.rating_group,
        }  # fmt: skip
        slices = [Slice(lot_id, size)]
        line = UsageLine(**common, bytes=size, slices=slices, subscriber=subscriber)
        paid = Sponsored(
            campaign=self.campaign, quota=quota, bytes=size, offer_version=1, slices=slices
        )
        theirs = UsageLine(**common, bytes=size + own, unfunded_bytes=own, sponsored=paid)
        self._tell(
            DataSpent(
                **self._facts(quota), lines=[line], partner=self.partner, campaign=self.campaign
            ),
            DataSpent(**self._facts(subscriber), lines=[theirs]),
        )

    def takes_back(self, usage_id: str, subscriber: str, size: int) -> None:
        """Tell that a record was undone of which the campaign had paid `size` bytes."""
        quota = quota_of(self.campaign, partition_of(subscriber, len(self.bank.partitions)))
        lot_id = f"charge:{CALENDAR.month_of(self.bank.clock.now())}"
        paid = Sponsored(
            campaign=self.campaign,
            quota=quota,
            bytes=size,
            offer_version=1,
            slices=[Slice(lot_id, size)],
        )
        leg = Leg(
            lot_id=lot_id, bytes=size, kind="award", valid_from=0, expires_at=1,
            source=Source("charge", usage_id, self.partner, self.campaign),
        )  # fmt: skip
        common: dict[str, Any] = {
            "usage_id": usage_id, "rating_group": self.rating_group, "partner": self.partner,
            "campaign": self.campaign,
        }  # fmt: skip
        self._tell(
            UsageReversed(**self._facts(quota), **common, legs=[leg], subscriber=subscriber),
            UsageReversed(**self._facts(subscriber), **common, sponsored=paid),
        )

    def _facts(self, account: str) -> dict[str, Any]:
        return {"account": account, "recorded_at": self.bank.clock.now(), "actor": "ledger"}

    def _tell(self, *events: Event) -> None:
        for event in events:
            tell(self.bank, event)


def tell(bank: MemoryBank, event: Event) -> None:
    """Add an event to its account's stream, as it is."""
    partition = bank.partitions[partition_of(event.account, len(bank.partitions))]
    stream = stream_id(event.account)
    version = sum(row[0] == stream for row in partition.log) + 1
    partition.log.append((stream, version, event.TYPE, encode(event)))

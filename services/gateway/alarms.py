"""Which partners and campaigns have little left: part of the view `campaigns`.

A row stands from the ledger's word that less than so many percent are left to the next purchase or
funding, or the end. What has come back meanwhile is seen where it is read: an alarm whose account
has more than its level is none.
"""

from typing import Any

import msgspec

from services.gateway.integration import ViewEvent
from services.gateway.projections import Key
from shared.contracts.ledger import (
    FUNDS_LEFT,
    AccountClosed,
    CampaignEnding,
    DataEarned,
    DataReceived,
    ThresholdCrossed,
)

PARTNER = "partner:"
# The types of events that say something of alarms; most are others.
HEARS = frozenset({ThresholdCrossed, DataReceived, DataEarned, AccountClosed, CampaignEnding})
COLUMNS = ("percent", "told_at", "level_bytes")


class Alarm(msgspec.Struct, frozen=True):
    """Of what an account had when it was topped up, less than so many percent were left then."""

    percent: int
    told_at: int
    level_bytes: int


class Alarms:
    """The last word of each account; None where there is no alarm any more."""

    def __init__(self) -> None:
        self.of: dict[str, Alarm | None] = {}

    def add(self, event: ViewEvent) -> None:
        """Take in an alarm, or what ends one."""
        if type(event) not in HEARS:
            return
        match event:
            case ThresholdCrossed() if event.threshold == FUNDS_LEFT:
                told = Alarm(event.value, event.recorded_at, event.level_bytes)
                self.of[event.account] = told
            case DataReceived() if event.purpose == "funding":
                self.of[event.account] = None
            case DataEarned() | AccountClosed() if event.account.startswith(PARTNER):
                self.of[event.account] = None
            case CampaignEnding():
                self.of[event.account] = None

    def rows(self) -> dict[Key, tuple[Any, ...]]:
        """Return the alarms that stand."""
        return {
            (account,): msgspec.structs.astuple(alarm)
            for account, alarm in self.of.items() if alarm is not None
        }  # fmt: skip

    def ended(self) -> list[str]:
        """Return the accounts that have none."""
        return [account for account, alarm in self.of.items() if alarm is None]


DELETE_ALARMS = "DELETE FROM {fund_alarms} WHERE account = ANY(%s)"
UPSERT_ALARMS = """
INSERT INTO {fund_alarms} (account, percent, told_at, level_bytes)
SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[])
ON CONFLICT (account) DO UPDATE SET percent = excluded.percent, told_at = excluded.told_at,
    level_bytes = excluded.level_bytes
"""

"""The view `campaigns`: where a campaign's bytes came from and where they are, with its quotas.

For each campaign, at every position of every log (amounts in bytes):

    funded + charged on credit = available + held + expired + awarded + sponsored + given back
        + in transit + adjusted

*Awarded* is what has arrived at subscribers, less what was clawed back; *sponsored* what its quotas
paid of usage, less what was reversed; *given back* what has arrived at the partner; *in transit*
what has left one account and not arrived at the next (a refill, a give-back, an award, a clawback,
a refund). *Adjusted* is what an operator took by hand less what it gave. What is left in lots is
held, or available until the lot expires, or lapsed until it is taken as expired.

It has the alarms of partners and campaigns, too (`alarms.py`).
"""

from collections import defaultdict
from typing import Any, ClassVar

import msgspec

from services.gateway import alarms
from services.gateway.alarms import Alarms
from services.gateway.integration import Spent, ViewEvent
from services.gateway.projections import (
    Key,
    LotKey,
    Rows,
    UnknownLotError,
    held_changes,
    lot_changes,
    new_lots,
)
from services.gateway.views import AnyCursor, View, columns_of
from shared.contracts.ledger import (
    AccountOpened,
    DataAdjusted,
    DataCarriedOver,
    DataClawedBack,
    DataEarned,
    DataExpired,
    DataReceived,
    DataTransferred,
    TransferReturned,
    UsageReversed,
)
from shared.ids import QUOTA, account_kind, campaign_of
from shared.pgarrays import int8s, texts

CAMPAIGN = "campaign:"
OWN = (CAMPAIGN, QUOTA)
PARTNER = "partner"
# What concerns a campaign on accounts that are not its own.
ABROAD = (DataReceived, DataTransferred, TransferReturned, DataClawedBack)


class Terms(msgspec.Struct):
    """The sums of a campaign and its quotas, but for what is in their lots."""

    funded: int = 0
    charged_on_credit: int = 0
    expired: int = 0
    awarded: int = 0
    sponsored: int = 0
    given_back: int = 0
    in_transit: int = 0
    adjusted: int = 0

    def left(self) -> int:
        """Return what the sums say must be in the lots."""
        gone = self.expired + self.awarded + self.sponsored + self.given_back
        return self.funded + self.charged_on_credit - gone - self.in_transit - self.adjusted


TERMS = Terms.__struct_fields__


class CampaignsDelta:
    """Changes of the view `campaigns`: sums by campaign, and the lots of its accounts."""

    def __init__(self) -> None:
        self.partners: dict[str, str | None] = {}
        self.terms: dict[str, Terms] = defaultdict(Terms)
        # The lots that are new: whose they are and when they end.
        self.lots: dict[LotKey, tuple[str, int]] = {}
        self.remaining: dict[LotKey, int] = defaultdict(int)
        self.held: dict[LotKey, int] = defaultdict(int)
        self.alarms = Alarms()

    def add(self, log: str, event: ViewEvent) -> None:
        """Add what an event changes: on a campaign's accounts, and where its bytes arrive."""
        del log
        account = event.account
        self.alarms.add(event)
        if account.startswith(OWN):
            campaign = account if account.startswith(CAMPAIGN) else campaign_of(account)
            self._own(campaign, event)
        elif isinstance(event, ABROAD) and event.campaign is not None:
            self._abroad(self.terms[event.campaign], event)

    def _own(self, campaign: str, event: ViewEvent) -> None:
        account, terms = event.account, self.terms[campaign]
        if isinstance(event, AccountOpened) and account == campaign:
            self.partners[campaign] = event.partner
        created = new_lots(event)
        for lot in created:
            self.lots.setdefault((account, lot.lot_id), (campaign, lot.expires_at))
            self.remaining[account, lot.lot_id] += lot.granted
        moved = 0
        for lot_id, change in lot_changes(event):
            self.remaining[account, lot_id] += change
            moved += change
        for lot_id, change in held_changes(event):
            self.held[account, lot_id] += change
        self._sum(terms, event, sum(lot.granted for lot in created), moved)

    def _sum(self, terms: Terms, event: ViewEvent, created: int, moved: int) -> None:
        """Add what an event on one of the campaign's accounts changes in its sums."""
        match event:
            case DataEarned() if event.account.startswith(QUOTA):
                terms.charged_on_credit += created
            case DataEarned():
                terms.funded += created
            case DataReceived() if event.sender.startswith(OWN):
                terms.in_transit -= created
            case DataReceived():
                terms.funded += created
            case Spent() | UsageReversed():
                terms.sponsored -= moved
            case DataTransferred() | TransferReturned() | DataClawedBack():
                terms.in_transit -= moved
            case DataExpired():
                terms.expired -= moved
            case DataAdjusted():
                terms.adjusted -= moved + created
            case DataCarriedOver():
                pass  # From lot to lot: no sum changes.

    @staticmethod
    def _abroad(
        terms: Terms, event: DataReceived | DataTransferred | TransferReturned | DataClawedBack
    ) -> None:
        """Add what an event on a subscriber's or the partner's account changes in the sums."""
        if isinstance(event, DataClawedBack):
            # A funding was undone: it is the partner's again.
            amount = sum(leg.bytes for leg in event.legs)
            terms.in_transit -= amount
            terms.given_back += amount
            return
        if isinstance(event, DataReceived):
            arrived = sum(lot.granted for lot in event.lots)
            if event.sender.startswith(OWN):
                terms.in_transit -= arrived
                if account_kind(event.account) == PARTNER:
                    terms.given_back += arrived
                else:
                    terms.awarded += arrived
        elif event.to.startswith(OWN) and account_kind(event.account) != PARTNER:
            # A clawback departs, or comes back to the subscriber.
            amount = sum(leg.bytes for leg in event.legs)
            back = amount if isinstance(event, DataTransferred) else -amount
            terms.awarded -= back
            terms.in_transit += back

    def size(self) -> int:
        """Return about how many rows writing this will touch."""
        return len(self.terms) + len(self.lots) + len(self.remaining) + len(self.alarms.of)

    def rows(self) -> Rows:
        """Return sums and lots. Raises UnknownLotError."""
        lots: dict[Key, tuple[Any, ...]] = {}
        for key in {**self.remaining, **self.held}:
            if key not in self.lots:
                raise UnknownLotError(f"lot {key[1]} of {key[0]} was never created")
            lots[key] = (*self.lots[key], self.remaining.get(key, 0), self.held.get(key, 0))
        sums = {
            (name,): (self.partners.get(name), *msgspec.structs.astuple(terms))
            for name, terms in self.terms.items()
        }
        return {
            "campaigns": {**sums}, "campaign_lots": lots, "fund_alarms": self.alarms.rows(),
        }  # fmt: skip


INSERT_CAMPAIGNS = f"""
INSERT INTO {{campaigns}} AS old (campaign, partner, {", ".join(TERMS)})
SELECT * FROM unnest(%s::text[], %s::text[], {", ".join(["%s::numeric[]"] * len(TERMS))})
ON CONFLICT (campaign) DO UPDATE SET
    partner = coalesce(old.partner, excluded.partner),
    {", ".join(f"{term} = old.{term} + excluded.{term}" for term in TERMS)}
"""
INSERT_LOTS = """
INSERT INTO {campaign_lots} (account, lot_id, campaign, expires_at, remaining, held)
SELECT account, lot_id, campaign, expires_at, 0, 0
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
    AS new (account, lot_id, campaign, expires_at)
ON CONFLICT (account, lot_id) DO NOTHING
"""
UPDATE_LOTS = """
UPDATE {campaign_lots} AS lot
SET remaining = lot.remaining + change.remaining, held = lot.held + change.held
FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::bigint[])
    AS change (account, lot_id, remaining, held)
WHERE lot.account = change.account AND lot.lot_id = change.lot_id
"""


class CampaignsView(View):
    """What each campaign was given, and where that is now."""

    name: ClassVar = "campaigns"
    tables: ClassVar = {
        "campaigns": (("campaign",), ("partner", *TERMS)),
        "campaign_lots": (
            ("account", "lot_id"), ("campaign", "expires_at", "remaining", "held"),
        ),
        "fund_alarms": (("account",), alarms.COLUMNS),
    }  # fmt: skip

    def new_delta(self) -> CampaignsDelta:
        """Return a delta without changes."""
        return CampaignsDelta()

    def broken_invariant(self, delta: CampaignsDelta) -> tuple[Key, str, Any, Any] | None:
        """Return the first campaign whose sums are not what its lots hold."""
        left: dict[str, int] = defaultdict(int)
        for key, remaining in delta.remaining.items():
            left[delta.lots[key][0]] += remaining
        for campaign, terms in delta.terms.items():
            if terms.left() != left[campaign]:
                return ("campaigns", campaign), "left", terms.left(), left[campaign]
        return None

    def write(self, cursor: AnyCursor, delta: CampaignsDelta) -> None:
        """Write sums and lots. Raises UnknownLotError, CheckViolation for an overdrawn lot."""
        if delta.terms:
            rows = [
                (name, delta.partners.get(name), *msgspec.structs.astuple(terms))
                for name, terms in delta.terms.items()
            ]
            self._run(cursor, INSERT_CAMPAIGNS, *columns_of(rows))
        if delta.lots:
            lots = [(*key, *lot) for key, lot in delta.lots.items()]
            self._run(cursor, INSERT_LOTS, *columns_of(lots))
        self._write_alarms(cursor, delta.alarms)
        self._write_lots(cursor, delta)

    def _write_alarms(self, cursor: AnyCursor, told: Alarms) -> None:
        if ended := told.ended():
            self._run(cursor, alarms.DELETE_ALARMS, ended)
        if standing := told.rows():
            rows = [(*key, *row) for key, row in standing.items()]
            self._run(cursor, alarms.UPSERT_ALARMS, *columns_of(rows))

    def _write_lots(self, cursor: AnyCursor, delta: CampaignsDelta) -> None:
        keys = list({**delta.remaining, **delta.held})
        if not keys:
            return
        accounts, lot_ids = zip(*keys, strict=True)
        remaining = [delta.remaining.get(key, 0) for key in keys]
        held = [delta.held.get(key, 0) for key in keys]
        arrays = (texts(accounts), texts(lot_ids), int8s(remaining), int8s(held))
        self._run(cursor, UPDATE_LOTS, *arrays)
        if cursor.rowcount != len(keys):
            raise UnknownLotError("an event changes a lot that was never created")

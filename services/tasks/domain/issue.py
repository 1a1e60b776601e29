"""An issue: a pack, a draw from a pool, or a campaign's grant on its way to a subscriber.

    issued -> delivered -> clawed_back  an operator took back in the ledger what was left of it
           -> refused     the payer could not pay, or it could not arrive (it came back)

The ledger is the truth: what it says counts once, and what comes late changes nothing.
"""

from typing import Any, Self

import msgspec

from shared.contracts.ledger import (
    DataClawedBack,
    DataReceived,
    Event,
    TransferRefused,
    TransferReturned,
)
from shared.contracts.offers import RewardTerms
from shared.contracts.tasks import PackClawedBack, PackDelivered, PackIssued, PackIssueRefused
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact


class Parcel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What goes to whom, on which terms, out of what. A pack has an `order_id`."""

    issue_id: str
    partner: str
    subscriber: str
    bytes: int
    terms: RewardTerms
    order_id: str = ""
    campaign: str | None = None
    code_id: str | None = None
    pool_id: str | None = None
    grant: str | None = None
    cycle: str | None = None
    attempt: int = 1

    @property
    def payer(self) -> str:
        """Return the account that pays: the campaign's escrow, else the partner's account."""
        return f"partner:{self.partner}" if self.campaign is None else f"campaign:{self.campaign}"


class Issue(Aggregate):
    """One issue from its decision to its end."""

    TOPIC = "tasks.issue"

    Issued = beginning(PackIssued)
    Delivered = fact(PackDelivered)
    Refused = fact(PackIssueRefused)
    ClawedBack = fact(PackClawedBack)

    parcel: Parcel

    def __init__(self) -> None:
        self.state = ""
        self.code = ""
        self.detail = ""
        self.transfer_id = ""
        self.taken_bytes = 0
        self.shortfall_bytes = 0

    @classmethod
    def begin(cls, parcel: Parcel, meta: Meta) -> Self:
        """Send a parcel off."""
        facts = meta.facts(parcel.payer, parcel.issue_id)
        told = {name: getattr(parcel, name) for name in Parcel.__struct_fields__}
        return cls._begin(parcel.issue_id, PackIssued(**facts, **told))

    def on(self, event: Event, meta: Meta) -> bool:
        """Take in what the ledger says; False where it changes nothing."""
        if isinstance(event, DataClawedBack):
            return self._on_clawback(event, meta)
        if self.state != "issued":
            return False
        match event:
            case DataReceived():
                return self._deliver(event.transfer_id, meta)
            case TransferRefused():
                return self._refuse(event.code, event.detail, meta)
            case TransferReturned():
                return self._refuse(event.code, "the pack could not arrive; it came back", meta)
        return False

    def _on_clawback(self, event: DataClawedBack, meta: Meta) -> bool:
        if self.state == "issued":
            # Logs are read one by one: the giver's may tell of the way back before the receiver's
            # of the arrival.
            self._deliver(event.undoes, meta)
        if self.state != "delivered":
            return False
        taken = sum(leg.bytes for leg in event.legs)
        return self._record(
            PackClawedBack(
                **self._facts(meta), taken_bytes=taken, shortfall_bytes=self.parcel.bytes - taken
            )
        )

    def _deliver(self, transfer_id: str, meta: Meta) -> bool:
        return self._record(PackDelivered(**self._facts(meta), transfer_id=transfer_id))

    def _refuse(self, code: str, detail: str, meta: Meta) -> bool:
        return self._record(PackIssueRefused(**self._facts(meta), code=code, detail=detail))

    def _facts(self, meta: Meta) -> dict[str, Any]:
        facts = meta.facts(self.parcel.payer, self.parcel.issue_id)
        return {**facts, "issue_id": self.parcel.issue_id}

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        match data:
            case PackIssued():
                self.state, self.issued_at = "issued", data.recorded_at
                fields = {name: getattr(data, name) for name in Parcel.__struct_fields__}
                self.parcel = Parcel(**fields)
            case PackDelivered():
                self.state, self.transfer_id = "delivered", data.transfer_id
            case PackIssueRefused():
                self.state, self.code, self.detail = "refused", data.code, data.detail
            case PackClawedBack():
                self.state = "clawed_back"
                self.taken_bytes, self.shortfall_bytes = data.taken_bytes, data.shortfall_bytes


def unknown_issue(issue_id: str) -> RefusedError:
    """Return what is said of an issue that does not exist."""
    return RefusedError("issue_not_found", f"there is no issue {issue_id}", 404)

"""What the events of tasks ask of the ledger: accounts, purchases, funding, awards, clawbacks.

Each is a command of the caller `tasks` with a key made of the id of what the event is about, so
that an event that comes again does nothing twice.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from services.ledger.domain.commands import (
    AnyCommand,
    AwardOnTerms,
    Buy,
    ClawBack,
    EndCampaign,
    Fund,
    OpenAccount,
)
from services.ledger.domain.context import Meta
from services.ledger.items import AwaitedItem
from shared.contracts.envelope import time_text
from shared.contracts.ledger import Event
from shared.contracts.tasks import (
    CampaignApproved,
    CampaignEnded,
    CampaignFunded,
    ClaimAccepted,
    ClawbackAsked,
    DataBought,
    PackIssued,
    PackOrderPaid,
    PartnerRegistered,
)

CALLER = "tasks"
C = TypeVar("C", bound=AnyCommand)


def item_of(
    event: Event, event_id: str, resolve: Callable[[AnyCommand], Any]
) -> AwaitedItem | None:
    """Return the command that an event asks for, None if it asks nothing of the ledger.

    `resolve` gives a command that undoes something what it undoes, as the log has it.
    Raises msgspec.ValidationError where it asks for something that no command takes.
    """
    found = _COMMANDS.get(type(event))
    if found is None:
        return None
    meta = Meta(actor=event.actor, correlation_id=event.correlation_id, causation_id=event_id)
    return AwaitedItem(resolve(found(event)), CALLER, meta)


def _registered(event: PartnerRegistered) -> AnyCommand:
    return _command(OpenAccount, event, "open")


def _approved(event: CampaignApproved) -> AnyCommand:
    # A later version's approval is the same command: it opens nothing twice.
    return _command(OpenAccount, event, "open", partner=f"partner:{event.partner}")


def _bought(event: DataBought | PackOrderPaid) -> AnyCommand:
    ends = {"expires_at": time_text(event.expires_at)} if event.expires_at is not None else {}
    return _command(Buy, event, f"order:{event.order_id}", bytes=event.bytes, **ends)


def _funded(event: CampaignFunded) -> AnyCommand:
    return _command(
        Fund, event, f"funding:{event.funding_id}", campaign=f"campaign:{event.campaign}",
        bytes=event.bytes,
    )  # fmt: skip


def _accepted(event: ClaimAccepted) -> AnyCommand:
    return _command(
        AwardOnTerms, event, f"task-claim:{event.claim_id}", subscriber=event.subscriber,
        bytes=event.bytes, terms=event.terms,
    )  # fmt: skip


def _issued(event: PackIssued) -> AnyCommand:
    return _command(
        AwardOnTerms, event, f"issue:{event.issue_id}", subscriber=event.subscriber,
        bytes=event.bytes, terms=event.terms,
    )  # fmt: skip


def _clawback(event: ClawbackAsked) -> AnyCommand:
    reason = event.reason or "the completion was none"
    return _command(
        ClawBack, event, f"claw-back:{event.claim_id}", transfer_id=event.transfer_id,
        reason=reason,
    )  # fmt: skip


def _ended(event: CampaignEnded) -> AnyCommand:
    return _command(EndCampaign, event, "end")


_COMMANDS: dict[type[Event], Callable[[Any], AnyCommand]] = {
    PartnerRegistered: _registered,
    CampaignApproved: _approved,
    DataBought: _bought,
    PackOrderPaid: _bought,
    CampaignFunded: _funded,
    ClaimAccepted: _accepted,
    PackIssued: _issued,
    ClawbackAsked: _clawback,
    CampaignEnded: _ended,
}


def _command(kind: type[C], event: Event, key: str, **fields: Any) -> C:
    """Return a command, checked as one that comes from outside."""
    given = {"key": key, "account": event.account, "reason": event.reason, **fields}
    return msgspec.convert(given, kind, from_attributes=True)

"""What tasks' events ask of the ledger: accounts, purchases, funding, rewards, packs, clawbacks.

Each is a command of the caller `tasks` with a key made of the id that the event is about, so that
an event that comes again does nothing twice.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from services.ledger.batch import AwaitedItem
from services.ledger.domain.commands import (
    AnyCommand,
    Award,
    Buy,
    ClawBack,
    EndCampaign,
    Fund,
    OpenAccount,
)
from services.ledger.domain.context import Meta
from services.ledger.undoing import EventsByKey, resolved
from shared.contracts.envelope import time_text
from shared.contracts.ledger import Event
from shared.contracts.offers import RewardTerms
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
    event: Event, event_id: str, events_by_key: EventsByKey, is_mine: Callable[[str], bool]
) -> AwaitedItem | None:
    """Return the command that an event asks for, None if it asks nothing of this partition.

    Raises msgspec.ValidationError where it asks for something that no command takes.
    """
    found = _COMMANDS.get(type(event))
    if found is None or not is_mine(event.account):
        return None
    meta = Meta(actor=event.actor, correlation_id=event.correlation_id, causation_id=event_id)
    command = resolved(found(event), events_by_key)
    return AwaitedItem(command, CALLER, meta)


def _registered(event: PartnerRegistered) -> AnyCommand:
    return _command(OpenAccount, event, "open")


def _approved(event: CampaignApproved) -> AnyCommand:
    return _command(OpenAccount, event, "open", partner=event.partner)


def _bought(event: DataBought | PackOrderPaid) -> AnyCommand:
    until = {} if event.expires_at is None else {"expires_at": time_text(event.expires_at)}
    return _command(Buy, event, f"order:{event.order_id}", bytes=event.bytes, **until)


def _funded(event: CampaignFunded) -> AnyCommand:
    key = f"funding:{event.funding_id}"
    return _command(Fund, event, key, campaign=event.campaign, bytes=event.bytes)


def _claimed(event: ClaimAccepted) -> AnyCommand:
    return _award(event, f"claim:{event.claim_id}", event.subscriber, event.bytes, event.terms)


def _issued(event: PackIssued) -> AnyCommand:
    return _award(event, f"issue:{event.issue_id}", event.subscriber, event.bytes, event.terms)


def _award(event: Event, key: str, subscriber: str, amount: int, terms: RewardTerms) -> AnyCommand:
    award = _command(Award, event, key, subscriber=subscriber, bytes=amount)
    return msgspec.structs.replace(award, terms=UNSET if terms is None else terms)


def _clawed_back(event: ClawbackAsked) -> AnyCommand:
    key = f"claw-back:{event.claim_id}"
    why = event.reason or "asked by the partner"
    return ClawBack(key=key, account=event.account, transfer_id=event.transfer_id, reason=why)


def _ended(event: CampaignEnded) -> AnyCommand:
    return EndCampaign(key="end", account=event.account, reason=event.reason)


_COMMANDS: dict[type[Event], Callable[[Any], AnyCommand]] = {
    PartnerRegistered: _registered,
    CampaignApproved: _approved,
    DataBought: _bought,
    PackOrderPaid: _bought,
    CampaignFunded: _funded,
    ClaimAccepted: _claimed,
    PackIssued: _issued,
    ClawbackAsked: _clawed_back,
    CampaignEnded: _ended,
}


def _command(kind: type[C], event: Event, key: str, **fields: Any) -> C:
    """Return a command, checked as one that comes from outside."""
    given = {"key": key, "account": event.account, "reason": event.reason, **fields}
    return msgspec.convert(given, kind)

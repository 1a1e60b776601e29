"""What events of campaigns and quotas ask of the partition where the other one lives."""

from collections.abc import Callable

from services.ledger.domain.commands import AnyCommand, GiveBack, MarkQuota, NoteRecall, Refill
from services.ledger.domain.quota_state import FOREVER
from shared.contracts.ledger import (
    CampaignExhausted,
    CampaignReplenished,
    Event,
    QuotasRecalled,
    RecallAnswered,
    RefillRequested,
)


def quota_command(event: Event, event_id: str, is_mine: Callable[[str], bool]) -> AnyCommand | None:
    """Return the command, None where the event asks nothing here; a campaign has one quota here."""
    match event:
        case RefillRequested() if is_mine(event.campaign):
            return Refill(
                key=f"refill:{event.request_id}", account=event.campaign, quota=event.account,
                request_id=event.request_id, bytes=event.bytes, refills=event.refills,
            )  # fmt: skip
        case RecallAnswered() if is_mine(event.campaign):
            return NoteRecall(
                key=f"recall:{event.account}:{event.round}", account=event.campaign,
                quota=event.account, round=event.round,
            )  # fmt: skip
        case QuotasRecalled():
            for quota in filter(is_mine, event.quotas):
                return GiveBack(
                    key=f"give-back:{event.round}", account=quota, round=event.round,
                    final=event.final,
                )  # fmt: skip
        case CampaignExhausted() | CampaignReplenished():
            until = 0
            if isinstance(event, CampaignExhausted):
                until = FOREVER if event.until is None else event.until
            for quota in filter(is_mine, event.quotas):
                return MarkQuota(key=f"mark:{event_id}", account=quota, exhausted_until=until)
    return None

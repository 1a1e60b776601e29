"""Tasks' log as a test writes it: the contract's events, in lanes, without tasks."""

from typing import Any, ClassVar

from shared.contracts import tasks
from shared.contracts.tasks import CampaignDrafted, PartnerRegistered, PricesSet
from tests.support.gifting import GiftingLog

SOURCE = "/bank/1/tasks_00"


class TasksLog(GiftingLog):
    """A log of tasks in memory."""

    source: ClassVar = SOURCE
    saga_types: ClassVar = tasks.SAGA_TYPES


def registered(name: str, at: int) -> PartnerRegistered:
    """Return that a partner exists."""
    return PartnerRegistered(
        account=f"partner:{name}", recorded_at=at, actor="operator", partner=name,
        sponsor_id=f"sponsor-{name}", title=name.title(),
    )  # fmt: skip


def drafted(campaign: str, partner: str, at: int) -> CampaignDrafted:
    """Return that a campaign was written down."""
    return CampaignDrafted(
        account=f"campaign:{campaign}", recorded_at=at, actor="operator", campaign=campaign,
        partner=partner, asp_id=f"asp-{partner}", version=1, terms={},
    )  # fmt: skip


def priced(name: str, version: int, from_day: str, at: int, **fen_per_gib: Any) -> PricesSet:
    """Return that a partner has prices from a day on."""
    return PricesSet(
        account=f"partner:{name}", recorded_at=at, actor="operator", price_version=version,
        from_day=from_day, fen_per_gib=fen_per_gib,
    )  # fmt: skip

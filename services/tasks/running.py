"""Whether a campaign's tasks can be done now, and by which of its terms."""

from services.tasks.claiming import AudienceIs, Running
from services.tasks.domain.campaign import Campaign, campaign_stream, unknown_campaign
from services.tasks.turn import Turn
from shared.errors import RefusedError


def running_campaign(turn: Turn, name: str, *, must_run: bool = True) -> Running:
    """Return a campaign whose tasks can be done in this turn.

    Refusals, in order: campaign_not_found, campaign_not_running, campaign_not_begun,
    campaign_over.
    """
    campaign = turn.found(Campaign, Campaign.stream(campaign_stream(name)))
    if campaign is None:
        raise unknown_campaign(name)
    if must_run:
        _check_running(campaign, turn.now)
    terms = campaign.terms
    return Running(
        campaign=name, partner=campaign.partner, asp_id=campaign.asp_id,
        version=campaign.terms_version, limits=terms.budget.claim_limits,
        tasks={task.name: task for task in terms.tasks}, members_of=campaign.members_of,
        audience=_audience(campaign),
    )  # fmt: skip


def _audience(campaign: Campaign) -> AudienceIs:
    """Say whether it is known for whom a campaign is."""
    name, audience = campaign.members_of, campaign.audience
    if campaign.terms.audience.rule is None or audience.is_taken(str(name)):
        return "known"
    return "due" if audience.is_asked else "too_small"


def _check_running(campaign: Campaign, now: int) -> None:
    name, terms = campaign.name, campaign.terms
    if campaign.state != "running":
        raise RefusedError("campaign_not_running", f"campaign {name} is {campaign.state}", 409)
    if now < terms.starts_at:
        raise RefusedError("campaign_not_begun", f"campaign {name} has not begun yet", 409)
    if not terms.is_current(now):
        raise RefusedError("campaign_over", f"the time of campaign {name} is over", 409)

"""Whether a campaign's tasks can be done now, and by which of its terms."""

from services.tasks.claiming import AudienceIs, Running
from services.tasks.domain.campaign import Campaign, campaign_stream, unknown_campaign
from services.tasks.turn import Turn
from shared.errors import RefusedError


def running_campaign(
    turn: Turn, name: str, *, must_run: bool = True, of: tuple[str, str] | None = None,
    told_late_ms: int = 0,
) -> Running:  # fmt: skip
    """Return a campaign whose tasks can be done in this turn.

    `of` a partner's app: that of another looks like an unknown one, and whether the partner may pay
    depends on when each thing was done: that is asked before. `told_late_ms`: for so long after its
    end it may be told what was done before. Refusals, in order: campaign_not_found,
    partner_suspended, contract_not_in_force, campaign_not_running, campaign_not_begun,
    campaign_over.
    """
    campaign = turn.found(Campaign, Campaign.stream(campaign_stream(name)))
    if campaign is None or of not in (None, (campaign.partner, campaign.asp_id)):
        raise unknown_campaign(name)
    if must_run:
        refusal = None if of else turn.refuse_payment(campaign.partner, turn.now)
        if refusal is not None:
            raise refusal
        _check_running(campaign, turn.now, told_late_ms)
    terms = campaign.terms
    return Running(
        campaign=name, partner=campaign.partner, asp_id=campaign.asp_id,
        version=campaign.terms_version, starts_at=terms.starts_at, ends_at=terms.ends_at,
        limits=terms.budget.claim_limits,
        tasks={task.name: task for task in terms.tasks}, members_of=campaign.members_of,
        audience=_audience(campaign),
    )  # fmt: skip


def _audience(campaign: Campaign) -> AudienceIs:
    """Say whether it is known for whom a campaign is."""
    name, audience = campaign.members_of, campaign.audience
    if campaign.terms.audience.rule is None or audience.is_taken(str(name)):
        return "known"
    return "due" if audience.is_asked else "too_small"


def _check_running(campaign: Campaign, now: int, told_late_ms: int) -> None:
    name, terms = campaign.name, campaign.terms
    if campaign.state == "ended":
        # Whatever is told of it now: nothing is there to pay it.
        detail = f"campaign {name} has ended, and what was left of its data went back"
        raise RefusedError("campaign_not_running", detail, 409)
    if campaign.state != "running":
        raise RefusedError("campaign_not_running", f"campaign {name} is {campaign.state}", 409)
    if now < terms.starts_at:
        raise RefusedError("campaign_not_begun", f"campaign {name} has not begun yet", 409)
    if terms.ends_at is not None and now >= terms.ends_at + told_late_ms:
        raise RefusedError("campaign_over", f"the time of campaign {name} is over", 409)

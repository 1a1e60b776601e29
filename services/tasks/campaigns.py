"""The use cases of campaigns, as jobs: draft, change, approve, fund, start, pause, end."""

from typing import Any, Literal
from uuid import UUID

from services.tasks.domain.campaign import Campaign, campaign_stream, unknown_campaign
from services.tasks.domain.terms import (
    CampaignTerms,
    DraftTerms,
    ForeignId,
    Name,
    check_content_allowed,
    terms_of,
)
from services.tasks.partners import Body, found_partner
from services.tasks.turn import Needs, Turn
from shared.contracts.offers import Amount
from shared.errors import RefusedError
from shared.sagas.requests import Asking, Request

Verb = Literal["approve", "start", "pause", "end", "audience"]
VERBS: tuple[Verb, ...] = ("approve", "start", "pause", "end", "audience")


class NewCampaign(Body, frozen=True):
    """A campaign as it is written down: whose, for which app, on which terms."""

    campaign: Name
    partner: Name
    asp_id: ForeignId
    terms: DraftTerms


class FundTerms(Body, frozen=True):
    """How much of the partner's data goes into the campaign."""

    bytes: Amount


class DraftCampaign(Request):
    """Write a campaign down."""

    def __init__(self, asking: Asking, wish: NewCampaign, *, neutral: bool) -> None:
        super().__init__(asking)
        self.wish = wish
        self.neutral = neutral

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.partners.add(self.wish.partner)
        needs.campaigns.add(self.wish.campaign)

    def act(self, turn: Turn) -> UUID:
        """Write it down.

        Refusals, in order: content_offers_forbidden, invalid terms, campaign_exists,
        partner_not_found, app_not_found.
        """
        wish = self.wish
        check_content_allowed(wish.terms, neutral=self.neutral)
        terms = terms_of(wish.terms, turn.calendar, None)
        if turn.found(Campaign, _stream(wish.campaign)) is not None:
            raise RefusedError(
                "campaign_exists", f"there is a campaign {wish.campaign} already", 409
            )
        found_partner(turn, wish.partner).check_app(wish.asp_id)
        meta = turn.meta(self.asking.caller)
        made = Campaign.draft(wish.campaign, wish.partner, wish.asp_id, terms, meta)
        turn.add(made)
        _keep_content(turn, made, wish.terms, terms)
        return made.id


class OnCampaign(Request):
    """A request about one campaign; a subclass says what is done."""

    def __init__(self, asking: Asking, campaign: str) -> None:
        super().__init__(asking)
        self.campaign = campaign

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.campaigns.add(self.campaign)

    def act(self, turn: Turn) -> UUID:
        """Do it and return the campaign. Raises campaign_not_found and what `change` refuses."""
        found = turn.found(Campaign, _stream(self.campaign))
        if found is None:
            raise unknown_campaign(self.campaign)
        self.change(turn, found)
        return found.id

    def change(self, turn: Turn, found: Campaign) -> None:
        """Do it. Raises its refusals before anything is changed."""
        raise NotImplementedError


class ChangeCampaign(OnCampaign):
    """Give a campaign new terms."""

    def __init__(self, asking: Asking, campaign: str, draft: DraftTerms, *, neutral: bool) -> None:
        super().__init__(asking, campaign)
        self.draft = draft
        self.neutral = neutral

    def change(self, turn: Turn, found: Campaign) -> None:
        """Change it.

        Refusals, in order: content_offers_forbidden, invalid terms, campaign_ended.
        """
        check_content_allowed(self.draft, neutral=self.neutral)
        before = found.last_content
        terms = terms_of(self.draft, turn.calendar, before)
        if found.change(terms, turn.meta(self.asking.caller)) and found.last_content != before:
            _keep_content(turn, found, self.draft, terms)


class Fund(OnCampaign):
    """Put bytes of the partner into a campaign."""

    def __init__(self, asking: Asking, campaign: str, terms: FundTerms) -> None:
        super().__init__(asking, campaign)
        self.terms = terms

    def change(self, turn: Turn, found: Campaign) -> None:
        """Ask the ledger for them. Raises what `Campaign.fund` refuses."""
        found.fund(self.asking.subject.hex, self.terms.bytes, turn.meta(self.asking.caller))


class ActOnCampaign(OnCampaign):
    """Approve, start, pause or end a campaign, or have whom its rule finds taken again."""

    def __init__(self, asking: Asking, campaign: str, verb: Verb, reason: str = "") -> None:
        super().__init__(asking, campaign)
        self.verb = verb
        self.reason = reason

    def change(self, turn: Turn, found: Campaign) -> None:
        """Do it; nothing where it is so already. Raises what the campaign's state refuses.

        A start has before that: partner_suspended, contract_not_in_force.
        """
        meta = turn.meta(self.asking.caller, reason=self.reason or None)
        match self.verb:
            case "approve":
                found.approve(meta)
            case "start":
                self._check_partner(turn, found)
                found.start(meta)
            case "pause":
                found.pause(meta)
            case "end":
                found.end(meta)
            case "audience":
                found.ask_audience(meta)

    def _check_partner(self, turn: Turn, found: Campaign) -> None:
        """Raise what keeps the partner from paying when the campaign begins, or goes on."""
        refusal = turn.refuse_payment(found.partner, max(turn.now, found.terms.starts_at))
        if refusal is not None:
            raise refusal


def _keep_content(turn: Turn, campaign: Campaign, draft: DraftTerms, terms: CampaignTerms) -> None:
    """Keep the host patterns of an offer, where it has some."""
    if draft.offer is None or terms.offer is None or terms.offer.content is None:
        return
    content, hosts = terms.offer.content, sorted({*draft.offer.hosts})
    turn.partners.add_content(campaign.name, content.version, hosts, content.hosts_digest)


def _stream(name: str) -> Any:
    return Campaign.stream(campaign_stream(name))

"""One transaction in which tasks decides: what it has read, what has changed, what is stored."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from psycopg import Connection

from services.tasks.claim_rows import ClaimNeeds, ClaimRows
from services.tasks.domain.campaign import Campaign, campaign_stream
from services.tasks.domain.claim import Claim
from services.tasks.domain.partner import Partner, partner_stream
from services.tasks.domain.tasks.rules import TaskRules
from services.tasks.list_rows import ListRows
from services.tasks.metrics import TRANSITIONS
from services.tasks.pack_rows import PackNeeds, PackRows
from services.tasks.partner_rows import PartnerRows
from shared.calendar import Calendar
from shared.contracts.ledger import Event
from shared.errors import RefusedError
from shared.recorder import LogRecorder
from shared.sagas.aggregate import Meta
from shared.sagas.turn import SagaNeeds, SagaTurn, ids

SELECT_RUNNING = "SELECT id FROM campaigns WHERE partner = %s AND state = 'running'"
SELECT_FUNDINGS = "SELECT id, campaign_id FROM fundings WHERE id = ANY(%b::uuid[])"


class Needs(SagaNeeds):
    """What the jobs of a turn want to read."""

    def __init__(self) -> None:
        super().__init__()
        self.partners: set[str] = set()
        self.campaigns: set[str] = set()
        # What the ledger speaks of: fundings are told of in their campaigns.
        self.fundings: set[UUID] = set()
        self.claims = ClaimNeeds()
        self.packs = PackNeeds()

    def about(self, sagas: set[UUID]) -> None:
        """Read what the ledger may speak of: claims, orders, fundings."""
        super().about(sagas)
        self.fundings |= sagas


class Turn(SagaTurn):
    """What one transaction knows and changes; `now` is bank time in it."""

    needs: Needs

    def __init__(
        self, conn: Connection[Any], recorder: LogRecorder, now: int, calendar: Calendar,
        rules: TaskRules,
    ) -> None:  # fmt: skip
        super().__init__(conn, recorder, now, calendar, rules.version)
        self.rules = rules
        self.needs = Needs()
        self.claims = ClaimRows(conn, now, calendar)
        self.packs = PackRows(conn, now, calendar)
        self.lists = ListRows(conn, now)
        self.partners = PartnerRows(now)
        self.campaign_of_funding: dict[UUID, UUID] = {}

    def find_streams(self) -> set[UUID]:
        """Return the streams of the partners, campaigns, packs and orders that are needed."""
        needs = self.needs
        if needs.fundings:
            self.campaign_of_funding = dict(self.rows(SELECT_FUNDINGS, ids(needs.fundings)))
        partners = {UUID(hex=partner_stream(name)) for name in needs.partners}
        campaigns = {UUID(hex=campaign_stream(name)) for name in needs.campaigns}
        packs = self.packs.find(needs.packs)
        return partners | campaigns | packs | set(self.campaign_of_funding.values())

    def refuse_payment(self, partner: str, at: int) -> RefusedError | None:
        """Return why nothing may be given at a partner's cost at an instant, None if it may."""
        stream = UUID(hex=partner_stream(partner))
        self.fetch(stream)
        found = self.found(Partner, stream)
        return None if found is None else found.refuse_payment(at)

    def running_of(self, partner: str) -> list[Campaign]:
        """Return the partner's campaigns that run."""
        for (stream,) in self.rows(SELECT_RUNNING, partner):
            self.fetch(stream)
        campaigns = self.all_found(Campaign)
        return [each for each in campaigns if (each.partner, each.state) == (partner, "running")]

    def listener(self, saga: UUID) -> Callable[[Event, Meta], Any] | None:
        """Return the claim or order, or of a funding the campaign, that hears the ledger."""
        return super().listener(self.campaign_of_funding.get(saga, saga))

    def read_more(self) -> None:
        """Read what is counted of claims, and left of orders and pools."""
        self.claims.read(self.needs.claims)
        self.packs.read(self.needs.packs)

    def take(self, aggregate: Any, facts: list[Any]) -> None:
        """Take in what a thing has become."""
        if isinstance(aggregate, Claim):
            TRANSITIONS.labels("claim", aggregate.state).inc()
            self.claims.take_claim(aggregate, facts)
        elif isinstance(aggregate, Campaign):
            TRANSITIONS.labels("campaign", aggregate.state).inc()
            self.partners.take_campaign(aggregate, facts)
        elif isinstance(aggregate, Partner):
            self.partners.take_partner(aggregate)
        elif self.packs.take(aggregate, facts):
            state = getattr(aggregate, "state", "there")
            TRANSITIONS.labels(type(aggregate).__name__.lower(), state).inc()

    def write_rows(self) -> None:
        """Write the rows."""
        self.claims.write()
        self.packs.write()
        self.partners.write(self.conn)

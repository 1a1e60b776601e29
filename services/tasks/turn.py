"""One transaction in which tasks decides: what it has read, what has changed, what is stored."""

from typing import Any
from uuid import UUID

from psycopg import Connection

from services.tasks.claim_rows import ClaimNeeds, ClaimRows
from services.tasks.domain.campaign import campaign_stream
from services.tasks.domain.claim import Claim
from services.tasks.domain.tasks.rules import TaskRules
from services.tasks.metrics import TRANSITIONS
from shared.calendar import Calendar
from shared.recorder import LogRecorder
from shared.sagas.turn import SagaNeeds, SagaTurn


class Needs(SagaNeeds):
    """What the jobs of a turn want to read."""

    def __init__(self) -> None:
        super().__init__()
        self.campaigns: set[str] = set()
        self.claims = ClaimNeeds()


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

    def find_streams(self) -> set[UUID]:
        """Return the streams of the campaigns that are needed."""
        return {UUID(hex=campaign_stream(name)) for name in self.needs.campaigns}

    def read_more(self) -> None:
        """Read what is counted of claims."""
        self.claims.read(self.needs.claims)

    def take(self, aggregate: Any, facts: list[Any]) -> None:
        """Take in what a thing has become."""
        if isinstance(aggregate, Claim):
            TRANSITIONS.labels("claim", aggregate.state).inc()
            self.claims.take_claim(aggregate, facts)

    def write_rows(self) -> None:
        """Write the rows."""
        self.claims.write()

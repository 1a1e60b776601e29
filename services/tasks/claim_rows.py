"""The rows of claims in a turn: which there are, what they count, and what partners were answered.

They are read before the turn's jobs decide, and written with the events that they tell of.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import tuple_row

from services.tasks.domain.claim import Claim
from services.tasks.tallies import Tallies
from shared.calendar import Calendar
from shared.contracts.tasks import ClaimAccepted, ClaimClawedBack, ClaimRefused
from shared.pgarrays import uuids

SELECT_CLAIMED = "SELECT id FROM claims WHERE id = ANY(%b::uuid[])"
SELECT_ANSWERS = """
SELECT p, i, r, body, answer, claims FROM answers
JOIN unnest(%s::text[], %s::text[], %s::text[]) AS asked (p, i, r)
    ON partner = p AND request_id = r AND asp_id IN (i, '')
"""
INSERT_ANSWERS = """
INSERT INTO answers (partner, asp_id, request_id, body, answer, claims, answered_at)
SELECT p, i, r, b, a, string_to_array(c, ',')::uuid[], %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[], %s::bytea[], %s::text[])
    AS new (p, i, r, b, a, c)
"""
UPSERT_CLAIMS = """
INSERT INTO claims (
    id, campaign, partner, task, step, occurrence, subscriber, kind, bytes, counted_bytes, place,
    state, claimed_at, changed_at, device, address
)
SELECT * FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::bigint[], %s::bigint[], %s::integer[], %s::text[], %s::bigint[], %s::bigint[], %s::text[],
    %s::text[]
)
ON CONFLICT (id) DO UPDATE SET
    counted_bytes = excluded.counted_bytes, state = excluded.state,
    changed_at = excluded.changed_at
"""
ADD_TO_DAYS = """
INSERT INTO campaign_days AS d (campaign, day, bytes, claims)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (campaign, day) DO UPDATE SET
    bytes = d.bytes + excluded.bytes, claims = d.claims + excluded.claims
"""
ADD_TO_PRIZES = """
INSERT INTO prizes_gone AS p (campaign, task, prize, count)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (campaign, task, prize) DO UPDATE SET count = p.count + excluded.count
"""
SELECT_SEED = "SELECT seed FROM draw_seeds WHERE campaign = %s AND task = %s AND day = %s"


class ToldBy(NamedTuple):
    """What an app's answer is found by: its partner, itself, its request id."""

    partner: str
    asp_id: str
    request_id: str


class Answer(NamedTuple):
    """What an app was answered: the asked body's hash, the answer's JSON, its claims."""

    body: bytes
    answer: bytes
    claims: list[UUID]


class ClaimNeeds:
    """What the jobs of a turn want to read of claims."""

    def __init__(self) -> None:
        self.answers: set[ToldBy] = set()
        # Claims that might have been made.
        self.claims: set[UUID] = set()
        # Campaigns whose sums count, with the people, devices and addresses in them.
        self.campaigns: set[str] = set()
        self.people: set[tuple[str, str]] = set()
        self.devices: set[tuple[str, str]] = set()
        self.addresses: set[tuple[str, str]] = set()


class ClaimRows:
    """What one turn knows of claims, and what it changes."""

    def __init__(self, conn: Connection[Any], now: int, calendar: Calendar) -> None:
        self.tallies = Tallies(now, calendar)
        self._conn = conn
        self._now = now
        self._calendar = calendar
        self._claimed: set[UUID] = set()
        self._looked_for: set[UUID] = set()
        self._answers: dict[ToldBy, Answer] = {}
        self._new_answers: dict[ToldBy, Answer] = {}
        # Of the claims that begin in this turn: device, address.
        self._places: dict[UUID, tuple[str | None, str | None]] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._days: Counter[tuple[str, str]] = Counter()
        self._day_claims: Counter[tuple[str, str]] = Counter()
        self._prizes: Counter[tuple[str, str, str]] = Counter()

    # Reading.

    def read(self, needs: ClaimNeeds) -> None:
        """Read what the jobs need."""
        if needs.answers:
            columns = [list(column) for column in zip(*needs.answers, strict=True)]
            for *by, body, answer, claims in self._select(SELECT_ANSWERS, columns):
                self._answers[ToldBy(*by)] = Answer(bytes(body), bytes(answer), claims)
        if needs.claims:
            self._look_for(needs.claims)
        if needs.campaigns:
            self.tallies.read_campaigns(self._conn, needs.campaigns)
        if needs.people:
            self.tallies.read_people(self._conn, needs.people)
        if needs.devices or needs.addresses:
            self.tallies.read_devices(self._conn, needs.devices, needs.addresses)

    def _select(self, statement: str, values: Any) -> list[Any]:
        cursor = self._conn.cursor(row_factory=tuple_row)
        return cursor.execute(statement, values, binary=True).fetchall()

    def _look_for(self, claims: Iterable[UUID]) -> None:
        ids = list(claims)
        found = self._select(SELECT_CLAIMED, (uuids([each.bytes for each in ids]),))
        self._claimed |= {claim for (claim,) in found}
        self._looked_for |= {*ids}

    def read_person(self, campaign: str, subscriber: str) -> None:
        """Read what somebody claimed whom no job named before."""
        self.tallies.read_people(self._conn, {(campaign, subscriber)})

    def is_claimed(self, claim: UUID) -> bool:
        """Say whether a claim was made, in this turn or before."""
        if claim not in self._looked_for:
            self._look_for({claim})
        return claim in self._claimed

    def draw_seed(self, campaign: str, task: str, day: str) -> bytes | None:
        """Return the secret seed of a draw's day, None while it has none."""
        found = self._select(SELECT_SEED, (campaign, task, day))
        return bytes(found[0][0]) if found else None

    def answer(self, by: ToldBy) -> Answer | None:
        """Return what an app was answered to a request, None to one that is new."""
        return self._answers.get(by)

    # Changing.

    def begin(self, claim: Claim, device: str | None, address: str | None) -> None:
        """Let a claim that begins in this turn count for what follows in it."""
        self._claimed.add(claim.id)
        self._looked_for.add(claim.id)
        self._places[claim.id] = (device, address)
        self.tallies.count(claim, device, address)

    def keep_answer(self, by: ToldBy, answer: Answer) -> None:
        """Keep what an app is answered."""
        self._answers[by] = self._new_answers[by] = answer

    def take_claim(self, claim: Claim, facts: list[Any]) -> None:
        """Take in what a claim has become, by the facts that are new."""
        for fact in facts:
            if isinstance(fact, ClaimAccepted):
                self._add(claim, fact.bytes, 1)
                if fact.draw is not None:
                    self._prizes[claim.campaign, claim.task, fact.draw.prize] += 1
            elif isinstance(fact, ClaimRefused):
                self._add(claim, -claim.bytes, -1)
                if claim.draw is not None:
                    self._prizes[claim.campaign, claim.task, claim.draw.prize] -= 1
            elif isinstance(fact, ClaimClawedBack):
                self._add(claim, -fact.taken_bytes, -(fact.shortfall_bytes == 0))
        device, address = self._places.get(claim.id, (None, None))
        self._rows.append(
            (
                claim.id, claim.campaign, claim.partner, claim.task, claim.step, claim.occurrence,
                claim.subscriber, claim.terms.kind if claim.terms else "", claim.bytes,
                claim.counted_bytes, claim.place, claim.state, claim.claimed_at, self._now, device,
                address,
            )
        )  # fmt: skip

    def _add(self, claim: Claim, amount: int, count: int) -> None:
        day = (claim.campaign, self._calendar.day_of(claim.claimed_at))
        self._days[day] += amount
        self._day_claims[day] += count

    def write(self) -> None:
        """Write the rows."""
        if self._rows:
            self._conn.execute(UPSERT_CLAIMS, _columns(self._rows))
        if self._days:
            days = [(*day, amount, self._day_claims[day]) for day, amount in self._days.items()]
            self._conn.execute(ADD_TO_DAYS, _columns(days))
        if self._prizes:
            prizes = [(*prize, count) for prize, count in self._prizes.items()]
            self._conn.execute(ADD_TO_PRIZES, _columns(prizes))
        if self._new_answers:
            rows = [
                (*key, each.body, each.answer, ",".join(claim.hex for claim in each.claims))
                for key, each in self._new_answers.items()
            ]
            self._conn.execute(INSERT_ANSWERS, [self._now, *_columns(rows)])


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]

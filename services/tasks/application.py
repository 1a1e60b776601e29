"""Tasks' use cases, as routes, jobs and tests call them."""

import time
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from psycopg.rows import tuple_row

from services.tasks import campaigns, partners
from services.tasks.audiences import Audiences
from services.tasks.claims import Claims
from services.tasks.domain.campaign import Campaign, campaign_stream, unknown_campaign
from services.tasks.domain.partner import Partner, partner_stream, unknown_partner
from services.tasks.domain.signature import Key
from services.tasks.domain.terms import DraftTerms
from services.tasks.feeding import Feeding
from services.tasks.offers import Ledger, Offers
from services.tasks.partner_calls import Partner as Caller
from services.tasks.questions import OtherServices
from services.tasks.sealing import Sealer, Secrets
from services.tasks.store import Store
from services.tasks.supply import Supply
from shared.bus.doorbell import Doorbell
from shared.errors import RefusedError, UnavailableError
from shared.logs import logger
from shared.sagas import listing
from shared.sagas.aggregate import Aggregate, rebuild
from shared.sagas.requests import Answer, Asking
from shared.sagas.waiting import Waiting
from shared.sagas.writer import Writer

T = TypeVar("T", bound=Aggregate)
SELECT_KEYS = """
SELECT key_id, asp_id, secret, sealed, valid_from, valid_until FROM partner_keys
WHERE partner = %s
"""
SELECT_SECRET = "SELECT secret, sealed FROM partner_keys WHERE key_id = %s"  # noqa: S105 It is SQL.
# After these nothing more comes by itself soon.
RESTS = tuple(
    f"bank.tasks.{name}.v1"
    for name in ("funding_arrived", "funding_refused", "claim_paid", "claim_refused",
                 "claim_clawed_back", "claim_noted", "pack_delivered", "pack_issue_refused")
)  # fmt: skip


class Keyring:
    """Who knows the partners, for signed calls."""

    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store = store
        self._secrets = secrets

    def partner(self, name: str) -> Caller | None:
        """Return a partner with its keys and contract, in force or ended; None of no partner."""
        stream = UUID(hex=partner_stream(name))
        found = rebuild(self._store.events([stream]).get(stream, []))
        if not isinstance(found, Partner):
            return None
        with self._store.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(SELECT_KEYS, (name,)).fetchall()
        contract = found.last_contract(self._store.clock.now())
        return Caller(
            partner=name, state=found.state,
            starts_at=contract.starts_at if contract else None,
            ends_at=contract.ends_at if contract else None,
            keys=[Key(key, asp, self._secrets.open(key, secret, sealed=sealed), since, until)
                  for key, asp, secret, sealed, since, until in rows],
        )  # fmt: skip


class Tasks:
    """The tasks of one bank in this process. Threads may share it.

    `neutral`: offers that depend on what is looked at are forbidden here.
    """

    def __init__(
        self, store: Store, ledger: Ledger, doorbell: Doorbell, others: OtherServices,
        sealer: Sealer, *, neutral: bool = False,
    ) -> None:  # fmt: skip
        self.store = store
        self.ledger = ledger
        self.neutral = neutral
        self.offers = Offers(store, ledger)
        self.secrets = Secrets(store, sealer)
        self.keyring = Keyring(store, self.secrets)
        self.waiting = Waiting(store, doorbell, RESTS)
        self.claims = Claims(store, lambda: self.writer)
        self.supply = Supply(store, lambda: self.writer, others)
        self.feeding = Feeding(store, others)
        self.audiences = Audiences(store, lambda: self.writer, others, self.feeding)

    @cached_property
    def writer(self) -> Writer:
        """Return the writer, started at first use (after a server's fork)."""
        return Writer(self.store)

    def close(self) -> None:
        """End the threads and give the connections back."""
        if "writer" in self.__dict__:
            self.writer.stop()
        self.waiting.stop()
        self.store.close()

    # Partners.

    def register(self, asking: Asking, terms: partners.Registration) -> Answer:
        """Begin a partner. Raises partner_exists, ConflictError, UnavailableError."""
        return self.writer.run(partners.RegisterPartner(asking, terms))

    def change_partner(self, job: partners.OnPartner) -> Answer:
        """Run a job about a partner. Raises partner_not_found, the job's refusals."""
        return self.writer.run(job)

    def suspend(self, job: partners.Suspend) -> Answer:
        """Suspend or resume a partner; the ledger knows of its paused campaigns, as in `act`.

        Raises partner_not_found, ConflictError.
        """
        answer = self.writer.run(job)
        for campaign in job.paused:
            self._publish(campaign)
        return answer

    def issue_key(
        self, asking: Asking, partner: str, asp_id: str, overlap_hours: int | None = None
    ) -> tuple[str, bytes, Answer]:
        """Give an app a new key; return its id and secret.

        Raises partner_not_found, app_not_found, too_many_keys, ConflictError.
        """
        wall_ms = time.time_ns() // 1_000_000
        sealer = self.secrets.sealer
        job = partners.IssueKey(asking, partner, asp_id, wall_ms, sealer, overlap_hours)
        answer = self.writer.run(job)
        with self.store.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            row = cursor.execute(SELECT_SECRET, (job.key_id,)).fetchone()
        assert row is not None
        stored, sealed = row
        return job.key_id, self.secrets.open(job.key_id, stored, sealed=sealed), answer

    def partner(self, name: str) -> Partner:
        """Return a partner. Raises RefusedError partner_not_found."""
        found = self._get(Partner, partner_stream(name))
        if found is None:
            raise unknown_partner(name)
        return found

    # Campaigns.

    def draft(self, asking: Asking, wish: campaigns.NewCampaign) -> Answer:
        """Write a campaign down. Raises what `DraftCampaign` refuses, ConflictError."""
        return self.writer.run(campaigns.DraftCampaign(asking, wish, neutral=self.neutral))

    def change(self, asking: Asking, campaign: str, draft: DraftTerms) -> Answer:
        """Give a campaign new terms. Raises what `ChangeCampaign` refuses, ConflictError."""
        job = campaigns.ChangeCampaign(asking, campaign, draft, neutral=self.neutral)
        return self._published(self.writer.run(job))

    def fund(
        self, asking: Asking, campaign: str, terms: campaigns.FundTerms, wait_s: float
    ) -> tuple[Campaign, Answer]:
        """Put bytes of the partner into a campaign; wait up to so long until they have arrived.

        Raises campaign_not_found, what `Campaign.fund` refuses, ConflictError.
        """
        job = campaigns.Fund(asking, campaign, terms)
        with self.waiting.for_rest(asking.subject.hex) as bell:
            answer = self.writer.run(job)
            found = self.campaign(campaign)
            if bell is not None and found.fundings[asking.subject.hex].state == "asked":
                bell.wait(wait_s)
                found = self.campaign(campaign)
        return found, answer

    def act(self, asking: Asking, campaign: str, verb: campaigns.Verb, reason: str) -> Answer:
        """Approve, start, pause or end a campaign; the ledger knows of it when this returns.

        Where the ledger is away a job tells it later; whom a rule finds, a job takes. Raises
        campaign_not_found, what the state refuses, ConflictError.
        """
        job = campaigns.ActOnCampaign(asking, campaign, verb, reason)
        return self._published(self.writer.run(job))

    def _published(self, answer: Answer) -> Answer:
        self._publish(answer.subject.id)
        return answer

    def _publish(self, campaign: UUID) -> None:
        try:
            # The members first: once the ledger knows an offer, it knows for whom.
            self.feeding.feed(campaign)
            self.offers.put(campaign)
        except (UnavailableError, RefusedError) as error:
            # What was asked is stored; whether the ledger knows of it, the answer tells.
            logger().warning("offer_waits", code=error.code, error=error.detail)

    def campaign(self, name: str) -> Campaign:
        """Return a campaign. Raises RefusedError campaign_not_found."""
        found = self._get(Campaign, campaign_stream(name))
        if found is None:
            raise unknown_campaign(name)
        return found

    # All of them.

    def account(self, name: str) -> dict[str, Any] | None:
        """Return what the ledger knows of an account, None while it is away or knows nothing."""
        try:
            return self.ledger.account(name)
        except UnavailableError:
            return None

    def page(
        self, table: str, sides: tuple[str, ...], asked: dict[str, Any]
    ) -> tuple[list[Any], listing.Place | None]:
        """Return a page of partners or campaigns, newest first, and where the next begins."""
        return listing.page(self.store, table, sides, asked, asked["limit"])

    def _get(self, kind: type[T], stream: str) -> T | None:
        found = rebuild(self.store.events([UUID(hex=stream)]).get(UUID(hex=stream), []))
        return found if isinstance(found, kind) else None

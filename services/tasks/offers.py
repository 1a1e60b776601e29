"""What campaigns sponsor, put into every partition of the ledger.

A campaign's row says which version the ledger has to know and which one it knows. Whoever starts,
changes, pauses or ends a campaign puts it at once; what could not be put then, a job puts later.
"""

from typing import Any, Protocol
from uuid import UUID

import httpx2
import msgspec
from psycopg.rows import tuple_row

from services.tasks.domain.campaign import Campaign
from services.tasks.domain.partner import Partner, partner_stream
from services.tasks.partner_rows import published_version
from services.tasks.store import Store
from shared.contracts.offers import Offer, OfferState
from shared.errors import RefusedError, UnavailableError
from shared.sagas.aggregate import rebuild

TIMEOUT_S = 15.0
ANSWER_SHOWN = 500
DUE = "SELECT id FROM campaigns WHERE offer_known < offer_version ORDER BY name LIMIT %s"
KNOWN = """
UPDATE campaigns SET offer_known = %(version)s WHERE id = %(id)s AND offer_known < %(version)s
"""
SELECT_KNOWN = "SELECT offer_known FROM campaigns WHERE id = %s"
SELECT_HOSTS = "SELECT hosts FROM content_lists WHERE campaign = %s AND version = %s"


class Ledger(Protocol):
    """What tasks asks of the ledger."""

    def put_offer(self, name: str, offer: Offer) -> None:
        """Let every partition know an offer. Raises UnavailableError, RefusedError."""
        ...

    def account(self, account: str) -> dict[str, Any] | None:
        """Return an account's state as the ledger holds it, None of an unknown one."""
        ...


class HttpLedger:
    """The ledger over HTTP. Threads may share it."""

    def __init__(self, base_url: str, token: str) -> None:
        self._client = httpx2.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def put_offer(self, name: str, offer: Offer) -> None:
        """Let every partition know an offer. Raises UnavailableError, RefusedError."""
        self._ask("PUT", f"/v1/offers/{name}", msgspec.json.encode(offer))

    def account(self, account: str) -> dict[str, Any] | None:
        """Return an account's state as the ledger holds it, None of an unknown one."""
        try:
            found: dict[str, Any] = self._ask("GET", f"/v1/accounts/{account}")["state"]
        except RefusedError as error:
            if error.status == httpx2.codes.NOT_FOUND:
                return None
            raise
        return found

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        try:
            answer = self._client.request(method, path, content=body)
        except httpx2.TransportError as error:
            raise UnavailableError(f"the ledger is not reachable: {error!r}") from error
        if answer.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise UnavailableError(f"the ledger answered {answer.status_code}")
        if answer.status_code >= httpx2.codes.BAD_REQUEST:
            raise _refusal(answer)
        return msgspec.json.decode(answer.content) if answer.content else None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


def _refusal(answer: httpx2.Response) -> RefusedError:
    try:
        problem = msgspec.json.decode(answer.content)
        return RefusedError(problem["code"], problem["detail"], answer.status_code)
    except (msgspec.DecodeError, KeyError, TypeError):
        text = answer.text[:ANSWER_SHOWN]
        return RefusedError("ledger_refused", f"the ledger refused: {text}", answer.status_code)


class Offers:
    """Puts offers into the ledger. Threads may share it."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def due(self, limit: int) -> list[UUID]:
        """Return campaigns whose newest offer the ledger does not know yet."""
        with self._store.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(DUE, (limit,)).fetchall()
        return [row[0] for row in rows]

    def known(self, campaign: UUID) -> int:
        """Return the version of a campaign's offer that the whole ledger knows, 0: none."""
        with self._store.connection() as conn:
            cursor = conn.cursor(row_factory=tuple_row)
            row = cursor.execute(SELECT_KNOWN, (campaign,)).fetchone()
        return int(row[0]) if row else 0

    def put(self, campaign: UUID) -> None:
        """Let the ledger know what a campaign sponsors now. Raises UnavailableError, RefusedError.

        Putting it twice, or an older version after a newer one, changes nothing there.
        """
        found: Campaign = rebuild(self._store.events([campaign])[campaign])
        version = published_version(found)
        if not version:
            return
        self._ledger.put_offer(found.name, self._offer(found, version))
        with self._store.connection() as conn:
            conn.execute(KNOWN, {"id": campaign, "version": version})

    def _offer(self, campaign: Campaign, version: int) -> Offer:
        stream = UUID(hex=partner_stream(campaign.partner))
        partner: Partner = rebuild(self._store.events([stream])[stream])
        return offer_of(campaign, partner.sponsor_id, self._hosts(campaign), version)

    def _hosts(self, campaign: Campaign) -> list[str]:
        terms = campaign.last_offer
        if terms is None or terms.offer is None or terms.offer.content is None:
            return []
        with self._store.connection() as conn:
            row = conn.cursor(row_factory=tuple_row).execute(
                SELECT_HOSTS, (campaign.name, terms.offer.content.version)
            ).fetchone()  # fmt: skip
        return list(row[0]) if row else []


def offer_of(campaign: Campaign, sponsor_id: str, hosts: list[str], version: int) -> Offer:
    """Return what a campaign that has an offer sponsors now; it has one, or had one."""
    terms = campaign.last_offer
    assert terms is not None
    assert terms.offer is not None
    offer = terms.offer
    caps = offer.caps
    if caps.per_day_bytes is None:
        caps = msgspec.structs.replace(caps, per_day_bytes=terms.budget.per_day_bytes)
    return Offer(
        campaign=campaign.account, version=version, partner=f"partner:{campaign.partner}",
        sponsor_id=sponsor_id, asp_id=campaign.asp_id, rating_group=offer.rating_group, hosts=hosts,
        starts_at=terms.starts_at, ends_at=terms.ends_at, state=_state(campaign),
        listed=offer.listed, budget="unlimited" if terms.budget.unlimited else "escrow", caps=caps,
        at_cap=offer.at_cap, hours=offer.hours, roaming=offer.roaming,
    )  # fmt: skip


def _state(campaign: Campaign) -> OfferState:
    """Return the offer's state: terms without an offer end the one that was before."""
    if campaign.state == "ended" or campaign.terms.offer is None:
        return "ended"
    return "running" if campaign.state == "running" else "paused"

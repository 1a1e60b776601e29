"""A campaign: what a partner gives and sponsors, for whom, when, for how much.

    drafted -> approved -> running <-> paused
       |           |          |          |
       +-----------+----------+----------+--> ended

New terms are a new version. Before the first start they want approval again; later they are the
operator's own and count at once. Funding is a saga: the partner's bytes arrive, or are refused.
"""

from typing import Any, Self

import msgspec

from services.tasks.domain.audience import AudienceState, Taken, list_for
from services.tasks.domain.terms import CampaignTerms, Content, read_terms
from shared.contracts.ledger import DataReceived, TransferRefused, TransferReturned
from shared.contracts.tasks import (
    AudienceAsked,
    AudienceRefused,
    AudienceTaken,
    CampaignApproved,
    CampaignChanged,
    CampaignDrafted,
    CampaignEnded,
    CampaignFunded,
    CampaignPaused,
    CampaignStarted,
    FundingArrived,
    FundingRefused,
)
from shared.errors import RefusedError
from shared.ids import digest
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact


class Funding(msgspec.Struct, frozen=True, gc=False):
    """Bytes on their way from the partner: `asked`, `arrived` or `refused` (with its code)."""

    bytes: int
    asked_at: int
    # Of one that has arrived.
    arrived_at: int = 0
    state: str = "asked"
    code: str | None = None
    detail: str = ""


def campaign_stream(name: str) -> str:
    """Return the id (32 hex digits) of a campaign's stream."""
    return digest("campaign", name).hex()


def unknown_campaign(name: str) -> RefusedError:
    """Return what is said of a campaign that does not exist."""
    return RefusedError("campaign_not_found", f"there is no campaign {name}", 404, campaign=name)


class Campaign(Aggregate):
    """One campaign from its draft to its end."""

    TOPIC = "tasks.campaign"

    Drafted = beginning(CampaignDrafted)
    Changed = fact(CampaignChanged)
    Approved = fact(CampaignApproved)
    Funded = fact(CampaignFunded)
    Arrived = fact(FundingArrived)
    Refused = fact(FundingRefused)
    Started = fact(CampaignStarted)
    Paused = fact(CampaignPaused)
    Ended = fact(CampaignEnded)
    AudienceAsked = fact(AudienceAsked)
    AudienceTaken = fact(AudienceTaken)
    AudienceRefused = fact(AudienceRefused)

    terms: CampaignTerms

    def __init__(self) -> None:
        self.state = ""
        self.approved_version = 0
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.fundings: dict[str, Funding] = {}
        # By version: whatever was claimed under one keeps its terms.
        self.versions: dict[int, CampaignTerms] = {}
        # By version: the list that it is for, None for everybody.
        self.lists: dict[int, str | None] = {}
        self.audience = AudienceState()
        self.last_content: Content | None = None
        # How many facts have changed what is sponsored: the version of the offer.
        self.offer_version = 0

    @classmethod
    def draft(cls, name: str, partner: str, asp_id: str, terms: CampaignTerms, meta: Meta) -> Self:
        """Write a campaign down; nothing happens yet."""
        stream = campaign_stream(name)
        return cls._begin(
            stream,
            CampaignDrafted(
                **meta.facts(f"campaign:{name}", stream), campaign=name, partner=partner,
                asp_id=asp_id, version=1, terms=terms.stored(),
            ),
        )  # fmt: skip

    @property
    def account(self) -> str:
        """Return the campaign's account at the ledger."""
        return f"campaign:{self.name}"

    @property
    def terms_version(self) -> int:
        """Return the version of the terms in force."""
        return len(self.versions)

    @property
    def funded_bytes(self) -> int:
        """Return what has arrived from the partner."""
        return sum(each.bytes for each in self.fundings.values() if each.state == "arrived")

    @property
    def funded_at(self) -> int:
        """Return when funds arrived last, 0 if none ever did."""
        return max((each.arrived_at for each in self.fundings.values()), default=0)

    @property
    def has_offer(self) -> bool:
        """Say whether the ledger has to know what this campaign sponsors (or did)."""
        return self.started_at is not None and self.last_offer is not None

    @property
    def last_offer(self) -> CampaignTerms | None:
        """Return the newest terms that have an offer."""
        return next((each for each in reversed(self.versions.values()) if each.offer), None)

    @property
    def members_of(self) -> str | None:
        """Return the list that the terms in force are for, None: everybody."""
        return self.lists[self.terms_version]

    @property
    def audience_due(self) -> bool:
        """Say whether it waits for whom its rule finds."""
        has_rule = self.terms.audience.rule is not None
        return has_rule and self.audience.is_asked and self.state != "ended"

    @property
    def offer_members_of(self) -> str | None:
        """Return the list that the newest terms with an offer are for."""
        return next(
            self.lists[version]
            for version, terms in reversed(self.versions.items()) if terms.offer
        )  # fmt: skip

    def change(self, terms: CampaignTerms, meta: Meta) -> bool:
        """Give it new terms; False where they are those in force. Raises campaign_ended."""
        self._check_open()
        if terms == self.terms:
            return False
        return self._record(
            CampaignChanged(
                **self._facts(meta), campaign=self.name, version=self.terms_version + 1,
                terms=terms.stored(),
            )
        )  # fmt: skip

    def approve(self, meta: Meta) -> bool:
        """Approve the newest version; False where it is. Raises RefusedError campaign_ended."""
        self._check_open()
        if self.approved_version == self.terms_version:
            return False
        return self._record(
            CampaignApproved(
                **self._facts(meta),
                campaign=self.name,
                partner=self.partner,
                version=self.terms_version,
            )
        )

    def fund(self, funding_id: str, amount: int, meta: Meta) -> bool:
        """Ask the ledger for the partner's bytes.

        Refusals, in order: campaign_ended, campaign_not_approved, funding_above_budget.
        """
        self._check_open()
        self._check_approved_once()
        total = self.terms.budget.total_bytes
        under_way = sum(each.bytes for each in self.fundings.values() if each.state != "refused")
        if total is not None and under_way + amount > total:
            raise RefusedError(
                "funding_above_budget", f"the campaign's budget is {total} bytes in all",
                allowed_bytes=max(total - under_way, 0),
            )  # fmt: skip
        return self._record(
            CampaignFunded(
                **meta.facts(f"partner:{self.partner}", funding_id), campaign=self.name,
                funding_id=funding_id, bytes=amount,
            )
        )  # fmt: skip

    def on(self, event: Any, meta: Meta) -> bool:
        """Hear from the ledger what became of a funding; only the first word counts."""
        funding_id = event.correlation_id
        funding = self.fundings.get(funding_id)
        if funding is None or funding.state != "asked":
            return False
        facts = meta.facts(self.account, funding_id) | {
            "campaign": self.name, "funding_id": funding_id, "bytes": funding.bytes,
        }  # fmt: skip
        match event:
            case DataReceived():
                return self._record(FundingArrived(**facts))
            case TransferRefused() | TransferReturned():
                detail = getattr(event, "detail", None) or ""
                return self._record(FundingRefused(**facts, code=event.code, detail=detail))
        return False

    def start(self, meta: Meta) -> bool:
        """Let it run; False where it runs.

        Refusals, in order: campaign_ended, campaign_not_approved, campaign_over,
        campaign_not_funded.
        """
        self._check_open()
        if self.approved_version != self.terms_version and self.started_at is None:
            raise RefusedError(
                "campaign_not_approved", f"version {self.terms_version} was not approved", 409
            )
        if self.state == "running":
            return False
        if self.terms.ends_at is not None and self.terms.ends_at <= meta.now:
            raise RefusedError("campaign_over", "the campaign's dates have passed", 409)
        if not self.terms.budget.unlimited and self.funded_bytes == 0:
            raise RefusedError(
                "campaign_not_funded", "nothing has arrived from the partner yet: fund it first",
                409,
            )  # fmt: skip
        return self._record(
            CampaignStarted(**self._facts(meta), campaign=self.name, version=self.terms_version)
        )

    def pause(self, meta: Meta) -> bool:
        """Give and pay nothing until the next start; False where it is paused.

        Refusals, in order: campaign_ended, campaign_not_running.
        """
        self._check_open()
        if self.state == "paused":
            return False
        if self.state != "running":
            raise RefusedError("campaign_not_running", f"the campaign is {self.state}", 409)
        return self._record(
            CampaignPaused(**self._facts(meta), campaign=self.name, version=self.terms_version)
        )

    def ask_audience(self, meta: Meta) -> bool:
        """Have whom its rule finds taken (again); False where that is on its way.

        Refusals, in order: campaign_ended, audience_is_no_rule.
        """
        self._check_open()
        if self.terms.audience.rule is None:
            raise RefusedError("audience_is_no_rule", "the campaign's audience is not a rule")
        if self.audience_due:
            return False
        return self._record(
            AudienceAsked(
                **self._facts(meta), campaign=self.name, taking=self.audience.asked + 1,
                list_name=str(self.members_of),
            )
        )  # fmt: skip

    def take_audience(self, taking: int, found: Taken, meta: Meta) -> bool:
        """Note whom the rule found; False where that is no answer to what is asked now."""
        if not self._is_open(taking, found.list):
            return False
        return self._record(
            AudienceTaken(
                **self._facts(meta), campaign=self.name, taking=taking, list_name=found.list,
                list_version=found.version, members=found.members,
            )
        )  # fmt: skip

    def refuse_audience(self, taking: int, name: str, code: str, meta: Meta) -> bool:
        """Note that nobody was taken, and why; False where that is no answer to what is asked."""
        if not self._is_open(taking, name):
            return False
        return self._record(
            AudienceRefused(
                **self._facts(meta), campaign=self.name, taking=taking, list_name=name, code=code
            )
        )

    def _is_open(self, taking: int, name: str) -> bool:
        asked = self.audience.answered < taking <= self.audience.asked
        return asked and self.state != "ended" and self.members_of == name

    def end(self, meta: Meta) -> bool:
        """End it for good, what is left goes back to the partner; False where it has ended."""
        if self.state == "ended":
            return False
        return self._record(
            CampaignEnded(
                **self._facts(meta),
                campaign=self.name,
                partner=self.partner,
                version=self.terms_version,
            )
        )

    def _check_open(self) -> None:
        if self.state == "ended":
            raise RefusedError("campaign_ended", "the campaign has ended", 409)

    def _check_approved_once(self) -> None:
        if not self.approved_version:
            raise RefusedError("campaign_not_approved", "no version of it was approved yet", 409)

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return meta.facts(self.account, self.id.hex)

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        match data:
            case CampaignDrafted():
                self.name, self.partner, self.asp_id = data.campaign, data.partner, data.asp_id
                self.drafted_at = data.recorded_at
                self.state = "drafted"
                self._take_terms(read_terms(data.terms))
            case CampaignChanged():
                self._take_terms(read_terms(data.terms))
                self.state = "drafted" if self.started_at is None else self.state
            case CampaignApproved():
                self.approved_version = data.version
                self.state = "approved" if self.started_at is None else self.state
            case CampaignFunded():
                self.fundings[data.funding_id] = Funding(data.bytes, data.recorded_at)
            case FundingArrived() | FundingRefused():
                self._take_outcome(data)
            case CampaignStarted() | CampaignPaused() | CampaignEnded():
                self._take_state(data)
            case AudienceAsked():
                self.audience.ask()
            case AudienceTaken() | AudienceRefused():
                self.audience.hear(data)

    def _take_state(self, data: CampaignStarted | CampaignPaused | CampaignEnded) -> None:
        self.offer_version += 1
        match data:
            case CampaignStarted():
                self.state = "running"
                self.started_at = self.started_at or data.recorded_at
                self._want_audience()
            case CampaignPaused():
                self.state = "paused"
            case CampaignEnded():
                self.state, self.ended_at = "ended", data.recorded_at

    def _take_terms(self, terms: CampaignTerms) -> None:
        before, version = self.versions.get(len(self.versions)), len(self.versions) + 1
        self.lists[version] = list_for(
            self.name, version, terms, before, self.lists.get(version - 1)
        )
        self.terms = terms
        self.versions[version] = terms
        if self.started_at is not None:
            self._want_audience()
        if terms.offer is not None and terms.offer.content is not None:
            self.last_content = terms.offer.content
        self.offer_version += 1

    def _want_audience(self) -> None:
        """Ask the rule, unless it is asked or whom it found is known."""
        if self.terms.audience.rule is None or self.audience.is_asked:
            return
        if not self.audience.is_taken(str(self.members_of)):
            self.audience.ask()

    def _take_outcome(self, data: FundingArrived | FundingRefused) -> None:
        change: dict[str, Any] = {"state": "arrived", "arrived_at": data.recorded_at}
        if isinstance(data, FundingRefused):
            change = {"state": "refused", "code": data.code, "detail": data.detail}
        before = self.fundings[data.funding_id]
        self.fundings[data.funding_id] = msgspec.structs.replace(before, **change)

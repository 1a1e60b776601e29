"""A claim: what a subscriber has a right to, once; paid, refused or noted, whatever happens when.

    accepted -> paid -> ([clawing_back ->] clawed_back)
             -> refused  (the campaign could not pay, or the reward came back)
    noted                (a completion that earns nothing; `code` says why)

The ledger is the truth: what it says counts in any state that is not final, so an answer that
comes twice or late changes nothing. It takes a reward back once, whoever asks: what an operator
took back there by hand ends the claim as what tasks asked for does.
"""

from typing import Any, ClassVar, Self

import msgspec

from services.tasks.domain.tasks.completion import Earned, claim_name
from services.tasks.domain.tasks.rewards import DAY_MS, lot_terms
from shared.contracts.ledger import (
    DataClawedBack,
    DataReceived,
    Event,
    TransferRefused,
    TransferReturned,
)
from shared.contracts.offers import RewardTerms
from shared.contracts.tasks import (
    ClaimAccepted,
    ClaimClawedBack,
    ClaimNoted,
    ClaimPaid,
    ClaimRefused,
    ClawbackAsked,
    DrawResult,
)
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact

FINAL = frozenset({"noted", "refused", "clawed_back"})
# The ledger's refusal of a clawback that another one has made before.
TAKEN_BEFORE = "already_clawed_back"


class For(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whose task was done: a version of a partner's campaign."""

    campaign: str
    partner: str
    version: int
    task: str
    happened_at: int = 0

    @property
    def account(self) -> str:
        """Return the account that pays."""
        return f"campaign:{self.campaign}"


class Claim(Aggregate):
    """One claim from its completion to its end."""

    TOPIC = "tasks.claim"

    Accepted = beginning(ClaimAccepted)
    Noted = beginning(ClaimNoted)
    Paid = fact(ClaimPaid)
    Refused = fact(ClaimRefused)
    Clawing = fact(ClawbackAsked)
    ClawedBack = fact(ClaimClawedBack)

    def __init__(self) -> None:
        self.state = ""
        self.code = ""
        self.detail = ""
        self.transfer_id = ""
        self.bytes = 0
        self.terms: RewardTerms | None = None
        self.place = 0
        self.draw: DrawResult | None = None
        self.paid_at = 0
        self.taken_bytes = 0
        self.shortfall_bytes = 0

    @classmethod
    def begin(cls, whose: For, earned: Earned, meta: Meta) -> Self:
        """Accept what was earned, or note what earns nothing."""
        claim_id = claim_name(
            whose.campaign, whose.task, earned.step, earned.subscriber, earned.occurrence
        )
        told = {
            **meta.facts(whose.account, claim_id), "claim_id": claim_id,
            "campaign": whose.campaign, "partner": whose.partner, "version": whose.version,
            "task": whose.task, "step": earned.step, "subscriber": earned.subscriber,
            "occurrence": earned.occurrence, "happened_at": whose.happened_at,
            "attributed_at": earned.attributed_at, "draw": earned.draw,
        }  # fmt: skip
        if earned.reward is None:
            return cls._begin(claim_id, ClaimNoted(**told, code=earned.code))
        terms = lot_terms(earned.reward, meta.now)
        return cls._begin(
            claim_id, ClaimAccepted(**told, bytes=earned.bytes, terms=terms, place=earned.place)
        )

    @property
    def is_final(self) -> bool:
        """Say whether nothing more comes of the claim by itself or by anybody's word."""
        return self.state in FINAL

    @property
    def counted_bytes(self) -> int:
        """Return what limits and budgets count: what the campaign gave and did not get back."""
        if self.state in {"noted", "refused"}:
            return 0
        return self.bytes - self.taken_bytes

    @property
    def status(self) -> str:
        """Return what a partner is told: success, refused or pending."""
        if self.state == "accepted":
            return "pending"
        return "refused" if self.state == "refused" else "success"

    def claw_back(self, meta: Meta, within_days: int) -> bool:
        """Take back what is left of a paid reward; asked again it does nothing, and says False.

        Refusals, in order: nothing_to_claw_back, claim_not_paid, clawback_too_late.
        """
        if self.state in {"clawing_back", "clawed_back"}:
            return False
        if self.state in {"noted", "refused"}:
            raise RefusedError("nothing_to_claw_back", f"the claim was {self.state}: {self.code}")
        if self.state == "accepted":
            detail = "the reward is still on its way; try again in a moment"
            raise RefusedError("claim_not_paid", detail, 409)
        if meta.now - self.paid_at > within_days * DAY_MS:
            detail = f"a reward is clawed back within {within_days} days of its payment"
            raise RefusedError("clawback_too_late", detail)
        return self._record(
            ClawbackAsked(
                **meta.facts(self.subscriber, self.claim_id), claim_id=self.claim_id,
                transfer_id=self.transfer_id,
            )
        )  # fmt: skip

    def on(self, event: Event, meta: Meta) -> bool:
        """Take in what the ledger says; False where it changes nothing."""
        if self.state == "accepted":
            return self._on_award(event, meta)
        if self.state in {"paid", "clawing_back", "clawed_back"}:
            return self._on_clawback(event, meta)
        return False

    def _on_award(self, event: Event, meta: Meta) -> bool:
        if isinstance(event, DataReceived):
            return self._pay(event.transfer_id, meta)
        if isinstance(event, DataClawedBack):
            # Logs are read one by one: the giver's may tell of the way back before the receiver's
            # of the arrival.
            return self._pay(event.undoes, meta) and self._on_clawback(event, meta)
        if isinstance(event, TransferRefused):
            return self._refuse(event.code, event.detail, meta)
        if isinstance(event, TransferReturned):
            return self._refuse(event.code, "the reward could not arrive; it came back", meta)
        return False

    def _on_clawback(self, event: Event, meta: Meta) -> bool:
        # Where nothing was left the ledger may take some another time; it takes some but once.
        if isinstance(event, DataClawedBack) and not self.taken_bytes:
            taken = sum(leg.bytes for leg in event.legs)
            return self._end_clawback(taken, meta)
        if self.state != "clawing_back" or not isinstance(event, TransferRefused):
            return False
        # Of another's clawback the ledger tells, too: that says how much it was.
        return event.code != TAKEN_BEFORE and self._end_clawback(0, meta)

    def _pay(self, transfer_id: str, meta: Meta) -> bool:
        return self._record(ClaimPaid(**self._facts(meta), transfer_id=transfer_id))

    def _refuse(self, code: str, detail: str, meta: Meta) -> bool:
        return self._record(ClaimRefused(**self._facts(meta), code=code, detail=detail))

    def _end_clawback(self, taken: int, meta: Meta) -> bool:
        return self._record(
            ClaimClawedBack(
                **self._facts(meta), taken_bytes=taken, shortfall_bytes=self.bytes - taken
            )
        )

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return {**meta.facts(self.account, self.claim_id), "claim_id": self.claim_id}

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        self._EVOLVE[type(data)](self, data)

    def _begun(self, data: ClaimAccepted | ClaimNoted) -> None:
        self.claim_id, self.account = data.claim_id, data.account
        self.campaign, self.partner = data.campaign, data.partner
        self.campaign_version = data.version
        # Where the stream goes on, as it always did: in old logs claims of later terms have a hole.
        self.version = data.version
        self.task, self.step, self.occurrence = data.task, data.step, data.occurrence
        self.subscriber, self.happened_at = data.subscriber, data.happened_at
        self.claimed_at, self.attributed_at = data.recorded_at, data.attributed_at
        self.draw = data.draw

    def _accepted(self, data: ClaimAccepted) -> None:
        self._begun(data)
        self.state = "accepted"
        self.bytes, self.terms, self.place = data.bytes, data.terms, data.place

    def _noted(self, data: ClaimNoted) -> None:
        self._begun(data)
        self.state, self.code = "noted", data.code

    def _paid(self, data: ClaimPaid) -> None:
        self.state, self.transfer_id, self.paid_at = "paid", data.transfer_id, data.recorded_at

    def _refused(self, data: ClaimRefused) -> None:
        self.state, self.code, self.detail = "refused", data.code, data.detail

    def _clawing(self, data: ClawbackAsked) -> None:
        del data
        self.state = "clawing_back"

    def _clawed_back(self, data: ClaimClawedBack) -> None:
        self.state = "clawed_back"
        self.taken_bytes, self.shortfall_bytes = data.taken_bytes, data.shortfall_bytes

    _EVOLVE: ClassVar[dict[type[Event], Any]] = {
        ClaimAccepted: _accepted,
        ClaimNoted: _noted,
        ClaimPaid: _paid,
        ClaimRefused: _refused,
        ClawbackAsked: _clawing,
        ClaimClawedBack: _clawed_back,
    }


def unknown_claim(claim_id: str) -> RefusedError:
    """Return the refusal of an unknown claim."""
    return RefusedError("claim_not_found", f"there is no claim {claim_id}", 404)

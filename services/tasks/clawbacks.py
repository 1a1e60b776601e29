"""Taking rewards back: by the partner that reports a fraud or a refund, or by an operator."""

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.completions import RequestId
from services.tasks.domain.claim import Claim, unknown_claim
from services.tasks.turn import Needs, Turn
from shared.errors import RefusedError
from shared.sagas.requests import Asking, Request

Reason = Annotated[str, Meta(min_length=1, max_length=500)]


class ClawBackTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which completion (its request id) turned out to be none, and why."""

    request_id: RequestId
    reason: Reason


class ByHand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator takes a reward back."""

    reason: Reason


class ClawBack(Request):
    """Take back what is left of claims; the first one's refusal is the answer."""

    def __init__(self, asking: Asking, claims: list[UUID], reason: str) -> None:
        super().__init__(asking)
        self._claims = claims
        self._reason = reason

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.streams |= {*self._claims}

    def act(self, turn: Turn) -> UUID:
        """Ask for it. Raises claim_not_found, and what `Claim.claw_back` refuses."""
        first, *others = self._claims
        meta = turn.meta(self.asking.caller, reason=self._reason)
        claim = turn.found(Claim, first)
        if claim is None:
            raise unknown_claim(first.hex)
        claim.claw_back(meta, turn.rules.clawback_days)
        for each in others:
            other = turn.found(Claim, each)
            try:
                if other is not None:
                    other.claw_back(meta, turn.rules.clawback_days)
            except RefusedError:
                continue
        return first

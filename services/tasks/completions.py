"""What partners tell: completions by signed calls, each answered once for ever.

An answer is decided in the turn that takes the completion in, and kept under the request id of the
app that told it: from that app the same id with the same body has the identical answer, with
another body it is a conflict; no other app of the partner knows of it. `pending`: the reward is on
its way, the query by request id tells when it has arrived.
"""

import secrets
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.claim_rows import Answer, ToldBy
from services.tasks.claiming import NOT_TAKEN, Desk, Running, Where, seed_for
from services.tasks.domain.claim import Claim
from services.tasks.domain.signature import REQUEST_ID_MAX
from services.tasks.domain.tasks.completion import (
    HOUR_MS,
    PARTNER_STEPS,
    Token,
    claim_name,
    partner_event,
)
from services.tasks.domain.tasks.kinds import PartnerTask
from services.tasks.metrics import COMPLETIONS
from services.tasks.running import running_campaign
from services.tasks.turn import Needs, Turn
from shared.errors import RefusedError
from shared.ids import digest
from shared.mistakes import shaped
from shared.sagas.writer import Job

BATCH_MAX = 500
RequestId = Annotated[
    str,
    shaped(
        r"^[\x21-\x2d\x2f-\x7e]+\Z",
        "visible ASCII characters without a dot, such as ride-4711",
        min_length=1,
        max_length=REQUEST_ID_MAX,
    ),
]
Subscriber = Annotated[
    str,
    shaped(r"^[A-Za-z0-9_-]{1,64}\Z", "1 to 64 letters, digits, _ or -, such as a50e2f674b137b04"),
]
Name = Annotated[
    str, shaped(r"^[A-Za-z0-9._-]{1,64}\Z", "1 to 64 letters, digits, . _ or -, such as first-ride")
]
# A hash that the caller made: of a device, of an address's network.
Hash = Annotated[
    str, shaped(r"^[0-9a-f]{16,64}\Z", "a hash of 16 to 64 hexadecimal digits in small letters")
]
TokenText = Annotated[
    str,
    shaped(r"^[A-Za-z0-9_-]{16,64}\Z", "16 to 64 letters, digits, _ or -, as the entrance gave it"),
]
encode = msgspec.json.Encoder().encode


class Completion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a subscriber did something (`happened_at`: ISO 8601) that the partner has seen.

    Who did it is told by the entrance's `token`, by `subscriber`, or by both.
    """

    campaign: Name
    task: Name
    happened_at: str
    subscriber: Subscriber | None = None
    token: TokenText | None = None
    device: Hash | None = None
    address: Hash | None = None


TOLD = Completion.__struct_fields__


class BatchItem(Completion, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several completions, each with a request id of its own."""

    request_id: RequestId


class Completions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several completions in one signed call."""

    completions: Annotated[list[BatchItem], Meta(min_length=1, max_length=BATCH_MAX)]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A completion with what was known of it before its turn."""

    request_id: str
    body: bytes
    completion: Completion
    happened_at: int
    subscriber: str | None
    entrance: Token | None


class ClaimTold(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A claim as a partner is told of it; whose it is stays with the bank."""

    claim_id: str
    task: str
    step: str
    state: str
    bytes: int
    code: str = ""
    taken_bytes: int = 0
    shortfall_bytes: int = 0


class Told(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to a completion; `not_taken` is none, but says to tell the same again soon."""

    request_id: str
    status: Literal["success", "refused", "pending", "not_taken"]
    code: str = ""
    detail: str = ""
    claims: list[ClaimTold] = []
    more: dict[str, Any] = {}


def body_hash(completion: Completion) -> bytes:
    """Return a hash of all that is told, alone or in a batch."""
    return digest(encode([getattr(completion, name) for name in TOLD]).decode())


def actor_of(partner: str, asp_id: str) -> str:
    """Return the name by which a partner's app acts."""
    return f"partner:{partner}/{asp_id}"


class Outcome(NamedTuple):
    """An answer's JSON, and how it came: decided now, as before; a conflict, or too early.

    The last two are not kept.
    """

    answer: bytes
    how: Literal["new", "repeat", "conflict", "early"]


class TakeCompletions(Job[list[Outcome]]):
    """Take completions of one partner in; gives each one's answer, in their order."""

    def __init__(self, partner: str, asp_id: str, asked: list[Asked]) -> None:
        super().__init__()
        self._partner = partner
        self._asp_id = asp_id
        self._actor = actor_of(partner, asp_id)
        self._asked = asked
        self._campaigns: dict[str, Running] = {}
        # Not in the turn: a turn that is run again must draw the same.
        self._seed = secrets.token_bytes(32)

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        needs.partners.add(self._partner)
        for each in self._asked:
            told = each.completion
            needs.campaigns.add(told.campaign)
            claims = needs.claims
            claims.answers.add(self._by(each))
            claims.campaigns.add(told.campaign)
            if each.subscriber is not None:
                claims.people.add((told.campaign, each.subscriber))
                claims.claims |= possible_claims(told.campaign, told.task, each.subscriber)
            where = _where(each)
            if where.device is not None:
                claims.devices.add((told.campaign, where.device))
            if where.address is not None:
                claims.addresses.add((told.campaign, where.address))

    def decide(self, turn: Turn) -> list[Outcome]:
        """Decide one after the other; a refusal is an answer as any other.

        Only what comes before it is known whom a campaign is for may be told again.
        """
        self._campaigns.clear()  # A turn may be run again, later.
        return [self._answer(turn, each) for each in self._asked]

    def _answer(self, turn: Turn, asked: Asked) -> Outcome:
        known = turn.claims.answer(self._by(asked))
        if known is not None:
            if known.body == asked.body:
                return Outcome(known.answer, "repeat")
            detail = "this request id was used before with another body"
            told = _refused(asked, RefusedError("conflict", detail, 409))
            return Outcome(encode(told), "conflict")
        claims: list[Claim] = []
        try:
            claims = self._take(turn, asked)
            told = _told(asked, claims)
        except RefusedError as refusal:
            told = _refused(asked, refusal)
            if refusal.code == NOT_TAKEN:
                early = msgspec.structs.replace(told, status="not_taken")
                return Outcome(encode(early), "early")
        answer = encode(told)
        ids = [claim.id for claim in claims]
        turn.claims.keep_answer(self._by(asked), Answer(asked.body, answer, ids))
        COMPLETIONS.labels(told.status).inc()
        return Outcome(answer, "new")

    def _by(self, asked: Asked) -> ToldBy:
        return ToldBy(self._partner, self._asp_id, asked.request_id)

    def _take(self, turn: Turn, asked: Asked) -> list[Claim]:
        told = asked.completion
        refusal = turn.refuse_payment(self._partner, min(asked.happened_at, turn.now))
        if refusal is not None:
            raise refusal
        running = self._running(turn, told.campaign)
        task = running.task(told.task)
        if not isinstance(task, PartnerTask):
            detail = "what completes this task is seen by the bank, not by the partner"
            raise RefusedError("not_told_by_partner", detail)
        subscriber = _subscriber(asked, running)
        desk = Desk(turn, running, self._actor, causation_id=asked.request_id)
        seed = seed_for(self._seed, asked.request_id)
        earned = partner_event(task, subscriber, asked.happened_at, asked.entrance, desk.on, seed)
        claims = desk.take(task, [earned], _where(asked), asked.happened_at)
        if earned.reward is not None:
            claims += desk.refer_after(task.name, subscriber, asked.entrance, seed)
        return claims

    def _running(self, turn: Turn, campaign: str) -> Running:
        """Return a campaign, read once for all completions. Raises its refusals."""
        found = self._campaigns.get(campaign)
        if found is None:
            late_ms = turn.rules.arrive_within_hours * HOUR_MS
            app = (self._partner, self._asp_id)
            found = running_campaign(turn, campaign, of=app, told_late_ms=late_ms)
            self._campaigns[campaign] = found
        return found


def _where(asked: Asked) -> Where:
    """Return from where it was done: as the partner tells it, else where the entrance was given."""
    told = asked.completion
    return Where(told.device, told.address).or_of(asked.entrance)


def possible_claims(campaign: str, task: str, subscriber: str) -> set[UUID]:
    """Return the claims that a partner's event may come to, whatever the kind of the task."""
    return {
        UUID(hex=claim_name(campaign, task, step, subscriber)) for step in PARTNER_STEPS.values()
    }


def _subscriber(asked: Asked, running: Running) -> str:
    """Return who did it. Raises RefusedError token_unknown, token_of_another, who_is_missing."""
    told, entrance = asked.completion, asked.entrance
    if told.token is not None and (entrance is None or entrance.campaign != running.campaign):
        raise RefusedError("token_unknown", "the campaign gave out no such token")
    if told.token is not None and told.subscriber not in (None, asked.subscriber):
        raise RefusedError("token_of_another", "the token was given to another subscriber")
    if asked.subscriber is None:
        raise RefusedError("who_is_missing", "a completion names a token, a subscriber, or both")
    return asked.subscriber


def _told(asked: Asked, claims: list[Claim]) -> Told:
    own = [claim for claim in claims if claim.task == asked.completion.task]
    first = own[0]
    return Told(
        request_id=asked.request_id, status=first.status,  # type: ignore[arg-type]
        code=first.code,
        claims=[_claim_told(claim) for claim in own],
    )  # fmt: skip


def _claim_told(claim: Claim) -> ClaimTold:
    return ClaimTold(
        claim_id=claim.claim_id, task=claim.task, step=claim.step, state=claim.state,
        bytes=claim.bytes, code=claim.code, taken_bytes=claim.taken_bytes,
        shortfall_bytes=claim.shortfall_bytes,
    )  # fmt: skip


def told_now(request_id: str, first: bytes, claims: list[Claim]) -> Told:
    """Return what is to be told of a completion now: how its first claim stands."""
    told = msgspec.json.decode(first, type=Told)
    if not claims:
        return told
    own = [claim for claim in claims if claim.task == claims[0].task]
    return Told(
        request_id=request_id, status=claims[0].status,  # type: ignore[arg-type]
        code=claims[0].code, detail=claims[0].detail,
        claims=[_claim_told(claim) for claim in own],
    )  # fmt: skip


def _refused(asked: Asked, refusal: RefusedError) -> Told:
    return Told(
        request_id=asked.request_id, status="refused", code=refusal.code, detail=refusal.detail,
        more=refusal.extra,
    )  # fmt: skip

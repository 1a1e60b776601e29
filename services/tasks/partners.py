"""The use cases of partners, as jobs: registration, apps, keys, contract, prices, purchases."""

import re
import secrets
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.domain.partner import Partner, partner_stream, unknown_partner
from services.tasks.domain.terms import ForeignId, Name, Text
from services.tasks.partner_rows import NewKey
from services.tasks.sealing import Sealer
from services.tasks.turn import Needs, Turn
from shared.contracts.offers import Amount
from shared.errors import InvalidError, RefusedError
from shared.sagas.requests import Asking, Request

SECRET_BYTES = 32
HOUR_MS = 3_600_000
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
KINDS_OF_SPEND = ("award", "sponsored", "pack")
TimeText = Annotated[str, Meta(max_length=40)]
Fen = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Hours = Annotated[int, Meta(ge=0, le=31 * 24)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request asks for."""


class Registration(Body, frozen=True):
    """A new partner: its name in the bank, and its `sponsorId`."""

    partner: Name
    sponsor_id: ForeignId
    title: Text = ""


class NewApp(Body, frozen=True):
    """An app of a partner (`aspId`)."""

    asp_id: ForeignId
    title: Text = ""


class Rotation(Body, frozen=True):
    """How long the old keys stay good beside the new one."""

    overlap_hours: Hours = 24


class ContractTerms(Body, frozen=True):
    """A contract: its dates (ISO 8601) and which terms were agreed on."""

    starts_at: TimeText
    ends_at: TimeText
    terms_version: ForeignId


class PriceList(Body, frozen=True):
    """Prices from a bank day on: fen for 1 GiB, by kind of spend."""

    from_day: str
    fen_per_gib: dict[Literal["award", "sponsored", "pack"], Fen]


class Purchase(Body, frozen=True):
    """Data that the partner has paid for."""

    bytes: Amount
    amount_fen: Fen = 0
    expires_at: TimeText | None = None


class ByHand(Body, frozen=True):
    """What somebody does, and why."""

    reason: Annotated[str, Meta(max_length=500)] = ""


class OnPartner(Request):
    """A request about one partner; a subclass says what is done."""

    def __init__(self, asking: Asking, partner: str) -> None:
        super().__init__(asking)
        self.partner = partner

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        super().need(needs)
        needs.partners.add(self.partner)

    def act(self, turn: Turn) -> UUID:
        """Do it and return the partner. Raises partner_not_found and what `change` refuses."""
        found = found_partner(turn, self.partner)
        self.change(turn, found)
        return found.id

    def change(self, turn: Turn, found: Partner) -> None:
        """Do it. Raises its refusals before anything is changed."""
        raise NotImplementedError


class RegisterPartner(OnPartner):
    """Begin a partner."""

    def __init__(self, asking: Asking, terms: Registration) -> None:
        super().__init__(asking, terms.partner)
        self.terms = terms

    def act(self, turn: Turn) -> UUID:
        """Begin it. Raises RefusedError partner_exists."""
        if turn.found(Partner, _stream(self.partner)) is not None:
            raise RefusedError("partner_exists", f"there is a partner {self.partner} already", 409)
        terms, meta = self.terms, turn.meta(self.asking.caller)
        made = Partner.register(terms.partner, terms.sponsor_id, terms.title, meta)
        turn.add(made)
        return made.id


class AddApp(OnPartner):
    """Add an app."""

    def __init__(self, asking: Asking, partner: str, terms: NewApp) -> None:
        super().__init__(asking, partner)
        self.terms = terms

    def change(self, turn: Turn, found: Partner) -> None:
        """Add it. Raises app_exists, too_many_apps."""
        found.add_app(self.terms.asp_id, self.terms.title, turn.meta(self.asking.caller))


class IssueKey(OnPartner):
    """Give an app a new key; with an overlap, its other keys end after so many hours."""

    def __init__(
        self, asking: Asking, partner: str, asp_id: str, wall_ms: int, sealer: Sealer,
        overlap_hours: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(asking, partner)
        self.sealer = sealer
        self.asp_id = asp_id
        self.wall_ms = wall_ms
        self.overlap_hours = overlap_hours

    @property
    def key_id(self) -> str:
        """Return the id of the key that this request makes, the same when it is repeated."""
        return f"key_{self.asking.subject.hex[:20]}"

    def change(self, turn: Turn, found: Partner) -> None:
        """Make it. Raises app_not_found, too_many_keys."""
        meta = turn.meta(self.asking.caller)
        if self.overlap_hours is not None:
            overlap_ms = self.overlap_hours * HOUR_MS
            for key_id in found.valid_keys(self.asp_id, turn.now):
                if found.retire_key(key_id, turn.now + overlap_ms, meta):
                    turn.partners.retire_key(key_id, self.wall_ms + overlap_ms)
        found.issue_key(self.asp_id, self.key_id, meta)
        secret = self.sealer.seal(self.key_id, secrets.token_bytes(SECRET_BYTES))
        turn.partners.add_key(NewKey(self.key_id, found.name, self.asp_id, secret, self.wall_ms))


class SignContract(OnPartner):
    """Add a version of the contract."""

    def __init__(self, asking: Asking, partner: str, terms: ContractTerms) -> None:
        super().__init__(asking, partner)
        self.terms = terms

    def change(self, turn: Turn, found: Partner) -> None:
        """Add it. Raises InvalidError for a malformed time, RefusedError contract_dates."""
        terms = self.terms
        starts_at, ends_at = (time_of(each, turn) for each in (terms.starts_at, terms.ends_at))
        meta = turn.meta(self.asking.caller)
        found.sign_contract(starts_at, ends_at, terms.terms_version, meta)


class SetPrices(OnPartner):
    """Add a version of the prices."""

    def __init__(self, asking: Asking, partner: str, terms: PriceList) -> None:
        super().__init__(asking, partner)
        self.terms = terms

    def change(self, turn: Turn, found: Partner) -> None:
        """Add it. Raises InvalidError for a malformed day, RefusedError prices_in_past."""
        day = self.terms.from_day
        if not DAY.fullmatch(day):
            raise InvalidError(f"{day!r} is no day (YYYY-MM-DD)", pointer="$.from_day")
        time_of(day, turn)
        today = turn.calendar.day_of(turn.now)
        prices = {str(kind): fen for kind, fen in self.terms.fen_per_gib.items()}
        found.set_prices(day, prices, today, turn.meta(self.asking.caller))


class BuyData(OnPartner):
    """Buy data, paid for outside."""

    def __init__(self, asking: Asking, partner: str, terms: Purchase) -> None:
        super().__init__(asking, partner)
        self.terms = terms

    def change(self, turn: Turn, found: Partner) -> None:
        """Buy it. Raises InvalidError for a malformed time, RefusedError expires_in_past."""
        terms = self.terms
        expires_at = None if terms.expires_at is None else time_of(terms.expires_at, turn)
        found.buy(
            self.asking.subject.hex, terms.bytes, terms.amount_fen, expires_at,
            turn.calendar.day_of(turn.now), turn.meta(self.asking.caller),
        )  # fmt: skip


class Suspend(OnPartner):
    """Refuse the partner's calls and pause its campaigns, or take its calls again."""

    def __init__(self, asking: Asking, partner: str, reason: str, *, resume: bool) -> None:
        super().__init__(asking, partner)
        self.reason = reason
        self.resume = resume
        # The campaigns that were paused by it.
        self.paused: list[UUID] = []

    def change(self, turn: Turn, found: Partner) -> None:
        """Do it; nothing where it is so already."""
        meta = turn.meta(self.asking.caller, reason=self.reason or None)
        self.paused.clear()  # A turn may be run again.
        if self.resume:
            found.resume(meta)
            return
        found.suspend(meta)
        for campaign in turn.running_of(found.name):
            campaign.pause(meta)
            self.paused.append(campaign.id)


def found_partner(turn: Turn, name: str) -> Partner:
    """Return a partner that was read in this turn. Raises RefusedError partner_not_found."""
    found = turn.found(Partner, _stream(name))
    if found is None:
        raise unknown_partner(name)
    return found


def time_of(text: str, turn: Turn) -> int:
    """Read an ISO 8601 time, without a zone in the bank's. Raises InvalidError."""
    try:
        return turn.calendar.parse(text)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{text!r} is no ISO 8601 time: {error}") from error


def _stream(name: str) -> Any:
    return Partner.stream(partner_stream(name))

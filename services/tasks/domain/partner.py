"""A partner: who pays for other people's data, with its apps, keys, contracts and prices.

    registered -> suspended -> registered …

Secrets of keys are in no log; `KeyIssued` names the key alone.
"""

from typing import Any, Self

import msgspec

from shared.contracts.tasks import (
    AppAdded,
    ContractSigned,
    DataBought,
    KeyIssued,
    KeyRetired,
    PartnerRegistered,
    PartnerResumed,
    PartnerSuspended,
    PricesSet,
)
from shared.errors import RefusedError
from shared.ids import digest
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact

APPS_MAX = 100
KEYS_PER_APP_MAX = 10


class Contract(msgspec.Struct, frozen=True, gc=False):
    """A version of the contract: in force on [starts_at, ends_at), milliseconds."""

    version: int
    starts_at: int
    ends_at: int
    terms_version: str


class Prices(msgspec.Struct, frozen=True):
    """A version of the prices: fen for 1 GiB by kind of spend, from a bank day on."""

    version: int
    from_day: str
    fen_per_gib: dict[str, int]


class KeyState(msgspec.Struct, frozen=True, gc=False):
    """A key: whose app's it is and until when it is valid (bank time, milliseconds; None: open)."""

    asp_id: str
    issued_at: int
    valid_until: int | None = None


def partner_stream(name: str) -> str:
    """Return the id (32 hex digits) of a partner's stream."""
    return digest("partner", name).hex()


def unknown_partner(name: str) -> RefusedError:
    """Return what is said of a partner that does not exist."""
    return RefusedError("partner_not_found", f"there is no partner {name}", 404, partner=name)


class Partner(Aggregate):
    """One partner."""

    TOPIC = "tasks.partner"

    Registered = beginning(PartnerRegistered)
    Suspended = fact(PartnerSuspended)
    Resumed = fact(PartnerResumed)
    AppAdded = fact(AppAdded)
    KeyIssued = fact(KeyIssued)
    KeyRetired = fact(KeyRetired)
    ContractSigned = fact(ContractSigned)
    PricesSet = fact(PricesSet)
    DataBought = fact(DataBought)

    def __init__(self) -> None:
        self.apps: dict[str, str] = {}
        self.keys: dict[str, KeyState] = {}
        self.contracts: list[Contract] = []
        self.prices: list[Prices] = []
        self.is_suspended = False
        self.bought_bytes = 0
        self.bought_fen = 0

    @classmethod
    def register(cls, name: str, sponsor_id: str, title: str, meta: Meta) -> Self:
        """Begin a partner."""
        stream = partner_stream(name)
        return cls._begin(
            stream,
            PartnerRegistered(
                **meta.facts(f"partner:{name}", stream), partner=name, sponsor_id=sponsor_id,
                title=title,
            ),
        )  # fmt: skip

    @property
    def state(self) -> str:
        """Return `suspended` or `active`."""
        return "suspended" if self.is_suspended else "active"

    @property
    def account(self) -> str:
        """Return the partner's account at the ledger."""
        return f"partner:{self.name}"

    def contract_at(self, at: int) -> Contract | None:
        """Return the contract in force at an instant: of several the one signed last."""
        found = [each for each in self.contracts if each.starts_at <= at < each.ends_at]
        return found[-1] if found else None

    def last_contract(self, at: int) -> Contract | None:
        """Return the contract in force at an instant, else the one that ended last before."""
        over = [each for each in self.contracts if each.ends_at <= at]
        return self.contract_at(at) or max(over, key=lambda each: each.ends_at, default=None)

    def prices_at(self, day: str) -> Prices | None:
        """Return the prices of a bank day: those set last of all that were in force by then."""
        found = [each for each in self.prices if each.from_day <= day]
        return found[-1] if found else None

    def refuse_payment(self, at: int) -> RefusedError | None:
        """Return why nothing may be given at the partner's cost, None if it may.

        One that never signed a contract is bound by none: it gives what it has paid for.
        """
        if self.is_suspended:
            return RefusedError("partner_suspended", f"partner {self.name} is suspended", 409)
        if self.contracts and self.contract_at(at) is None:
            detail = f"no contract of {self.name} is in force"
            return RefusedError("contract_not_in_force", detail, 409)
        return None

    def suspend(self, meta: Meta) -> bool:
        """Refuse the partner's calls from now on; False where they are refused already."""
        return not self.is_suspended and self._record(PartnerSuspended(**self._facts(meta)))

    def resume(self, meta: Meta) -> bool:
        """Take the partner's calls again; False where they are taken."""
        return self.is_suspended and self._record(PartnerResumed(**self._facts(meta)))

    def add_app(self, asp_id: str, title: str, meta: Meta) -> bool:
        """Add an app. Refusals, in order: app_exists, too_many_apps."""
        if asp_id in self.apps:
            raise RefusedError("app_exists", f"{self.name} has an app {asp_id} already", 409)
        if len(self.apps) >= APPS_MAX:
            raise RefusedError("too_many_apps", f"a partner has at most {APPS_MAX} apps")
        return self._record(AppAdded(**self._facts(meta), asp_id=asp_id, title=title))

    def check_app(self, asp_id: str) -> None:
        """Raise RefusedError app_not_found."""
        if asp_id not in self.apps:
            raise RefusedError("app_not_found", f"{self.name} has no app {asp_id}", 404)

    def valid_keys(self, asp_id: str, at: int) -> list[str]:
        """Return the keys of an app that are valid at an instant of bank time."""
        return [
            key_id
            for key_id, key in self.keys.items()
            if key.asp_id == asp_id and (key.valid_until is None or at < key.valid_until)
        ]

    def issue_key(self, asp_id: str, key_id: str, meta: Meta) -> bool:
        """Begin a key. Refusals, in order: app_not_found, too_many_keys."""
        self.check_app(asp_id)
        if len(self.valid_keys(asp_id, meta.now)) >= KEYS_PER_APP_MAX:
            raise RefusedError(
                "too_many_keys", f"an app has at most {KEYS_PER_APP_MAX} valid keys: rotate them"
            )
        return self._record(KeyIssued(**self._facts(meta), asp_id=asp_id, key_id=key_id))

    def retire_key(self, key_id: str, valid_until: int, meta: Meta) -> bool:
        """Let a key end; False where it ends by then already. Raises RefusedError key_not_found."""
        key = self.keys.get(key_id)
        if key is None:
            raise RefusedError("key_not_found", f"{self.name} has no key {key_id}", 404)
        if key.valid_until is not None and key.valid_until <= valid_until:
            return False
        return self._record(
            KeyRetired(
                **self._facts(meta), asp_id=key.asp_id, key_id=key_id, valid_until=valid_until
            )
        )

    def sign_contract(self, starts_at: int, ends_at: int, terms_version: str, meta: Meta) -> bool:
        """Add a version of the contract. Raises RefusedError contract_dates."""
        if not max(starts_at, meta.now) < ends_at:
            raise RefusedError(
                "contract_dates", "a contract ends after it begins, and in the future"
            )
        return self._record(
            ContractSigned(
                **self._facts(meta), contract_version=len(self.contracts) + 1,
                starts_at=starts_at, ends_at=ends_at, terms_version=terms_version,
            )
        )  # fmt: skip

    def set_prices(
        self, from_day: str, fen_per_gib: dict[str, int], today: str, meta: Meta
    ) -> bool:
        """Add a version of the prices. Raises RefusedError prices_in_past: a day keeps its own."""
        if from_day < today:
            raise RefusedError(
                "prices_in_past", f"prices count from today ({today}) on, or from a later day"
            )
        return self._record(
            PricesSet(
                **self._facts(meta), price_version=len(self.prices) + 1, from_day=from_day,
                fen_per_gib=fen_per_gib,
            )
        )  # fmt: skip

    def buy(
        self, order_id: str, amount: int, amount_fen: int, expires_at: int | None, today: str,
        meta: Meta,
    ) -> bool:  # fmt: skip
        """Buy data, paid for outside. Raises RefusedError expires_in_past."""
        if expires_at is not None and expires_at <= meta.now:
            raise RefusedError("expires_in_past", "what is bought would have ended already")
        prices = self.prices_at(today)
        return self._record(
            DataBought(
                **self._facts(meta), order_id=order_id, bytes=amount, expires_at=expires_at,
                price_version=prices.version if prices else 0, amount_fen=amount_fen,
            )
        )  # fmt: skip

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return meta.facts(self.account, self.id.hex)

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        match data:
            case PartnerRegistered():
                self.name, self.sponsor_id, self.title = data.partner, data.sponsor_id, data.title
                self.registered_at = data.recorded_at
            case PartnerSuspended() | PartnerResumed():
                self.is_suspended = isinstance(data, PartnerSuspended)
            case AppAdded():
                self.apps[data.asp_id] = data.title
            case KeyIssued():
                self.keys[data.key_id] = KeyState(data.asp_id, data.recorded_at)
            case KeyRetired():
                self.keys[data.key_id] = msgspec.structs.replace(
                    self.keys[data.key_id], valid_until=data.valid_until
                )
            case ContractSigned():
                self.contracts.append(
                    Contract(
                        data.contract_version, data.starts_at, data.ends_at, data.terms_version
                    )
                )
            case PricesSet():
                self.prices.append(Prices(data.price_version, data.from_day, data.fen_per_gib))
            case DataBought():
                self.bought_bytes += data.bytes
                self.bought_fen += data.amount_fen

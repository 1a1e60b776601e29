"""What a decision may know besides the account: the time, the calendar, the rules, who asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from services.ledger.domain.account import Account
from services.ledger.domain.rules import CarryOver, Plan, RuleBook, Rules
from shared.calendar import Calendar, add_months
from shared.contracts.offers import Offer
from shared.errors import RefusedError
from shared.ids import account_kind

NONE: Mapping[str, Offer] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Meta:
    """Who asks, and for what request."""

    actor: str
    correlation_id: str = ""
    causation_id: str = ""


# What the ledger does by itself.
HOUSEKEEPING = Meta(actor="ledger")


class Context:
    """One batch's view of the world: everything in it is decided at this instant."""

    def __init__(
        self, now: int, calendar: Calendar, rulebook: RuleBook, offers: Mapping[str, Offer] = NONE
    ) -> None:
        self.now = now
        self.calendar = calendar
        self.rulebook = rulebook
        self.rules: Rules = rulebook.at(now)
        self.month = calendar.month_of(now)
        self.plan_lot = f"plan:{self.month}"
        self._offers = offers
        self._plans: dict[str | None, Plan | None] = {}
        self._carry_overs: dict[tuple[str | None, str], CarryOver] = {}

    @cached_property
    def day(self) -> str:
        """Return the bank day."""
        return self.calendar.day_of(self.now)

    @property
    def purchase_ends_at(self) -> int:
        """Return when what a partner buys, or is charged, now ends."""
        return self.calendar.month_end(add_months(self.month, self.rules.purchase_valid_months))

    def is_sponsoring(self, campaign: str) -> bool:
        """Say whether a campaign's offer has not ended: it may pay for traffic, or again later."""
        offer = self._offers.get(campaign)
        return offer is not None and offer.state != "ended"

    def day_cap(self, campaign: str) -> int | None:
        """Return what a campaign may pay for traffic on a bank day, None without a cap."""
        offer = self._offers.get(campaign)
        return None if offer is None else offer.caps.per_day_bytes

    def plan(self, name: str | None) -> Plan | None:
        """Return a plan as the rules have it now; each is looked up once."""
        if name not in self._plans:
            self._plans[name] = self.rulebook.plan(name, self.now)
        return self._plans[name]

    def carry_over(self, plan: str | None, month: str) -> CarryOver:
        """Return what a month's close does with a plan; each is looked up once.

        It goes by the rules of the month's last instant.
        """
        found = self._carry_overs.get((plan, month))
        if found is None:
            last = self.calendar.month_end(month) - 1
            found = self._carry_overs[plan, month] = self.rulebook.carry_over(plan, last)
        return found


def facts(meta: Meta, context: Context, account: str, reason: str | None = None) -> dict[str, Any]:
    """Return the fields that every event has."""
    return {
        "account": account,
        "recorded_at": context.now,
        "actor": meta.actor,
        "correlation_id": meta.correlation_id,
        "causation_id": meta.causation_id,
        "reason": reason,
        "rule_version": context.rules.version,
    }


def instant(text: str, field: str, context: Context) -> int:
    """Return a command's time in milliseconds. Raises RefusedError time_invalid."""
    try:
        return context.calendar.parse(text)
    except (ValueError, OverflowError) as error:
        raise RefusedError("time_invalid", f"{field} is no ISO 8601 time: {error}") from error


def known(account: Account | None, account_id: str) -> Account:
    """Return the account. Raises RefusedError account_not_found."""
    if account is None:
        raise RefusedError(
            "account_not_found", f"there is no account {account_id}", 404, account=account_id
        )
    return account


def not_closed(account: Account) -> Account:
    """Return the account. Raises RefusedError account_closed."""
    if account.status == "closed":
        raise RefusedError(
            "account_closed", f"{account.account} is closed", account=account.account
        )
    return account


def active(account: Account) -> Account:
    """Return the account. Raises RefusedError account_closed, account_suspended."""
    if not_closed(account).status == "suspended":
        raise RefusedError(
            "account_suspended", f"{account.account} is suspended", account=account.account
        )
    return account


def kind_of(account_id: str) -> str:
    """Return the kind that an account's id tells (checked at the edge)."""
    return account_kind(account_id) or "unknown"

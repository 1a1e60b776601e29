"""Opening accounts, granting plan lots month by month, and buying packs."""

from collections.abc import Iterator

from services.ledger.domain.account import Account
from services.ledger.domain.commands import Buy, OpenAccount
from services.ledger.domain.context import Context, Meta, facts, instant, kind_of, known, not_closed
from shared.calendar import add_months, months_from
from shared.contracts.ledger import AccountOpened, DataEarned, Event, LotTerms, Source
from shared.errors import RefusedError

# A mistyped year would grant lots for centuries.
ACTIVE_MONTHS_BACK_MAX = 24


def open_account(
    account: Account | None, command: OpenAccount, context: Context, meta: Meta
) -> Iterator[Event]:
    """Open an account; its plan lots follow as its cycle."""
    if account is not None:
        raise RefusedError("account_exists", f"{command.account} is open already", 409)
    kind = kind_of(command.account)
    active_from = None
    if kind == "subscriber":
        active_from = _active_from(command, context)
    elif command.plan is not None or command.active_from is not None:
        raise RefusedError("plan_not_allowed", f"a {kind} account has no plan and no active_from")
    if kind == "campaign" and command.partner is None:
        raise RefusedError("partner_required", "a campaign belongs to a partner: say which")
    if kind != "campaign" and command.partner is not None:
        raise RefusedError("partner_not_allowed", f"a {kind} account belongs to no partner")
    yield AccountOpened(
        **facts(meta, context, command.account, command.reason),
        kind=kind,
        plan=command.plan,
        active_from=active_from,
        partner=command.partner,
    )


def _active_from(command: OpenAccount, context: Context) -> str:
    if command.plan is None:
        raise RefusedError(
            "plan_required", "a subscriber needs a plan", plans=sorted(context.rules.plans)
        )
    if command.plan not in context.rules.plans:
        raise RefusedError(
            "plan_unknown", f"there is no plan {command.plan}", plans=sorted(context.rules.plans)
        )
    active_from = command.active_from or context.month
    if active_from > context.month:
        raise RefusedError(
            "active_from_in_future", f"the bank's month is {context.month}", latest=context.month
        )
    earliest = add_months(context.month, -ACTIVE_MONTHS_BACK_MAX)
    if active_from < earliest:
        raise RefusedError("active_from_too_old", f"not before {earliest}", earliest=earliest)
    return active_from


def due_months(account: Account, through: str) -> list[str]:
    """Return the months up to `through` whose plan lot is not granted yet."""
    if account.plan is None or account.active_from is None or account.status == "closed":
        return []
    if account.granted_through is None:
        return months_from(account.active_from, through)
    if account.granted_through >= through:
        return []
    return months_from(add_months(account.granted_through, 1), through)


def grant_due(account: Account, through: str, context: Context, meta: Meta) -> Iterator[Event]:
    """Grant the plan lots that are due, each month's once."""
    months = due_months(account, through)
    if months:
        lots = [plan_lot(account.plan_in(month) or "", month, context) for month in months]
        yield DataEarned(**facts(meta, context, account.account), lots=lots, months=months)


def plan_lot(plan: str, month: str, context: Context) -> LotTerms:
    """Return the terms of a plan's lot of one month. Raises RefusedError plan_unknown."""
    terms = context.rulebook.plan(plan, context.now)
    if terms is None:
        raise RefusedError("plan_unknown", f"no version of the rules has the plan {plan}")
    return LotTerms(
        lot_id=f"plan:{month}",
        kind="plan",
        granted=terms.bytes_per_month,
        valid_from=context.calendar.month_start(month),
        expires_at=context.calendar.month_end(month),
        giftable=True,
        carries=True,
        source=Source(type="plan", id=plan),
    )


def buy(
    account: Account | None, command: Buy, context: Context, meta: Meta, purchase_id: str
) -> Iterator[Event]:
    """Create a pack of a subscriber or a purchase of a partner."""
    account = not_closed(known(account, command.account))
    if account.kind not in ("subscriber", "partner"):
        raise RefusedError("account_kind", f"a {account.kind} account buys nothing")
    monthly = command.expires_at is None and account.kind == "subscriber"
    lot = LotTerms(
        # Not the command's key: another caller may use the same one for this account.
        lot_id=f"pack:{purchase_id}",
        kind="pack",
        granted=command.bytes,
        valid_from=context.now,
        expires_at=_expiry(account, command, context),
        giftable=True,
        carries=monthly,
        source=Source(
            type="purchase",
            id=command.key,
            partner=account.account if account.kind == "partner" else None,
        ),
    )
    yield DataEarned(**facts(meta, context, account.account, command.reason), lots=[lot])


def _expiry(account: Account, command: Buy, context: Context) -> int:
    if command.expires_at is None:
        months = context.rules.purchase_valid_months if account.kind == "partner" else 0
        return context.calendar.month_end(add_months(context.month, months))
    expires_at = instant(command.expires_at, "expires_at", context)
    if expires_at <= context.now:
        raise RefusedError(
            "expires_in_past",
            "expires_at must lie after bank time",
            now=context.calendar.text(context.now),
        )
    return expires_at

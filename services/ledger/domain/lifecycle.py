"""Suspending, resuming and closing accounts, and changing their plan."""

from collections.abc import Iterator

from services.ledger.domain import quotas
from services.ledger.domain.account import Account
from services.ledger.domain.closing import expire_all
from services.ledger.domain.commands import ChangePlan, CloseAccount, Resume, Suspend
from services.ledger.domain.context import Context, Meta, facts, known, not_closed
from services.ledger.domain.holds import release_all
from shared.calendar import add_months
from shared.contracts.ledger import (
    AccountClosed,
    AccountResumed,
    AccountSuspended,
    Event,
    PlanChanged,
)
from shared.errors import RefusedError


def suspend(
    account: Account | None, command: Suspend, context: Context, meta: Meta
) -> Iterator[Event]:
    """Stop use and giving; a suspended account stays so, with nothing more."""
    account = not_closed(known(account, command.account))
    if account.status != "suspended":
        yield AccountSuspended(**facts(meta, context, account.account, command.reason))
        if account.kind == "campaign":
            yield from quotas.suspend(account, context, meta)


def resume(
    account: Account | None, command: Resume, context: Context, meta: Meta
) -> Iterator[Event]:
    """Let a suspended account be used again."""
    account = not_closed(known(account, command.account))
    if account.status == "suspended":
        yield AccountResumed(**facts(meta, context, account.account, command.reason))
        if account.kind == "campaign":
            yield from quotas.go_on(account, context, meta)


def close_account(
    account: Account | None, command: CloseAccount, context: Context, meta: Meta
) -> Iterator[Event]:
    """End an account for good: holds are released, lots expire."""
    account = not_closed(known(account, command.account))
    if account.has_quotas:
        raise RefusedError(
            "campaign_has_quotas",
            f"{account.account} pays for traffic: end the campaign, its quotas give back first",
        )
    yield from release_all(account, context, meta)
    yield from expire_all(account, context, meta)
    yield AccountClosed(**facts(meta, context, account.account, command.reason))


def change_plan(
    account: Account | None, command: ChangePlan, context: Context, meta: Meta
) -> Iterator[Event]:
    """Choose another plan from the next cycle on."""
    account = not_closed(known(account, command.account))
    if account.kind != "subscriber":
        raise RefusedError("plan_not_allowed", f"a {account.kind} account has no plan")
    if command.plan not in context.rules.plans:
        raise RefusedError(
            "plan_unknown", f"there is no plan {command.plan}", plans=sorted(context.rules.plans)
        )
    # A record from a few minutes ahead may have begun the next cycle already.
    from_month = add_months(max(account.granted_through or "", context.month), 1)
    if account.plan_in(from_month) != command.plan:
        common = facts(meta, context, account.account, command.reason)
        yield PlanChanged(**common, plan=command.plan, from_month=from_month)

"""How each refusal is provoked: one small change of a world in which the command would be done.

A change names what differs in the world (`before`) and in the command (`fields`). Changes add up,
so that a command can break several rules at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.ledger.domain.commands import (
    AnyCommand,
    Award,
    Buy,
    ClawBack,
    CloseAccount,
    Fund,
    Hold,
    OpenAccount,
    PublicCommand,
    Reverse,
    Suspend,
    Usage,
)
from services.ledger.domain.rules import RuleBook
from shared.contracts.ledger import TransferReturned
from shared.contracts.offers import Caps, Offer
from shared.ids import account_kind
from tests.support.memory import CALENDAR, RULEBOOK, MemoryBank

MIB = 1 << 20
TOO_MUCH = 1 << 40
# The key by which every account of the world was opened.
BOUND = "bound"
USED_AT = "2015-08-10T11:00:00"
USAGE = "a usage record"
ARRIVAL = "an arrival"
ANY = "any command"


@dataclass
class World:
    """A bank in which every command of `WELL` is done."""

    bank: MemoryBank
    hold_id: str
    award_id: str

    def ask(self, command: AnyCommand | Usage) -> Any:
        """Return the command's outcome."""
        return self.bank.do(command)[0]


def a_world() -> World:
    """Return subscribers ann and bob, partners p and q, and p's campaign c, all with bytes."""
    bank = MemoryBank(now="2015-08-10T12:00:00")
    for name in ("ann", "bob"):
        bank.do(OpenAccount(key=BOUND, account=name, plan="std-30mb", active_from="2015-08"))
    for name in ("partner:p", "partner:q"):
        bank.do(OpenAccount(key=BOUND, account=name))
        bank.do(Buy(key="pack", account=name, bytes=30 * MIB))
    bank.do(OpenAccount(key=BOUND, account="campaign:c", partner="partner:p"))
    bank.do(Fund(key="escrow", account="partner:p", campaign="campaign:c", bytes=20 * MIB))
    bank.settle()
    deadline = "2015-08-20T00:00:00"
    held = bank.do(Hold(key="held", account="ann", bytes=5 * MIB, deadline=deadline))[0]
    award = Award(key="award", account="campaign:c", subscriber="ann", bytes=MIB)
    awarded = bank.do(award)[0].result["transfer_id"]
    bank.settle()
    bank.do(usage())
    return World(bank, held.result["hold_id"], awarded)


def usage(**fields: Any) -> Usage:
    well: dict[str, Any] = {
        "usage_id": "u",
        "account": "ann",
        "bytes": 5,
        "occurred_at": CALENDAR.parse(USED_AT),
    }
    return Usage(**well | fields)


# What each command says where nothing is wrong.
WELL: dict[str, dict[str, Any]] = {
    "open_account": {"account": "new", "plan": "std-30mb"},
    "suspend": {"account": "ann"},
    "resume": {"account": "ann"},
    "close_account": {"account": "ann"},
    "change_plan": {"account": "ann", "plan": "std-1gb"},
    "buy": {"account": "ann", "bytes": MIB},
    "fund": {"account": "partner:p", "campaign": "campaign:c", "bytes": MIB},
    "award": {"account": "campaign:c", "subscriber": "bob", "bytes": MIB},
    "transfer": {"account": "ann", "to": "bob", "bytes": MIB},
    "hold": {"account": "ann", "bytes": MIB, "deadline": "2015-08-20T00:00:00"},
    "post": {"account": "ann", "to": "bob"},
    "release": {"account": "ann"},
    "adjust": {"account": "ann", "direction": "give", "bytes": MIB, "reason": "outage"},
    "reverse": {"account": "ann", "usage_id": "u", "reason": "a broken element"},
    "claw_back": {"account": "ann", "reason": "a cancelled ride"},
    "set_thresholds": {"account": "ann"},
    "close_month": {"account": "ann", "month": "2015-07"},
    USAGE: {"usage_id": "new"},
    ARRIVAL: {"account": "partner:p", "campaign": "campaign:c", "bytes": MIB},
}


# An account of each kind that is to be opened.
NEW: dict[str, dict[str, Any]] = {
    "subscriber": {"account": "new", "plan": "std-30mb"},
    "partner": {"account": "partner:new", "plan": None, "active_from": None},
    "campaign": {"account": "campaign:new", "plan": None, "active_from": None},
}


@dataclass(frozen=True)
class Change:
    """One broken rule: what is done to the world before, and what the command says then."""

    fields: dict[str, Any] = field(default_factory=dict)
    before: Callable[[World], object] = lambda _world: None
    # The kind of account that can break the rule; the command is about such a one from here on.
    kind: str | None = None


def _end_all(world: World) -> None:
    for name in ("ann", "partner:p", "campaign:c"):
        world.bank.do(CloseAccount(key="end", account=name))


def _suspend_all(world: World) -> None:
    for name in ("ann", "partner:p", "campaign:c"):
        world.bank.do(Suspend(key="stop", account=name))


def _end_receivers(world: World) -> None:
    for name in ("ann", "campaign:c"):
        world.bank.do(CloseAccount(key="end", account=name))


def _forget_plan(world: World) -> None:
    """Begin a month under rules that never had the accounts' plan."""
    start, rules = RULEBOOK.versions[0]
    plans = {name: plan for name, plan in rules.plans.items() if name != "std-30mb"}
    for partition in world.bank.partitions:
        partition.rulebook = RuleBook([(start, msgspec.structs.replace(rules, plans=plans))])
    world.bank.at("2015-09-10T00:00:00")


def _reverse_by_other(world: World) -> None:
    done = world.ask(Reverse(key="other", account="ann", usage_id="u", reason="first"))
    assert done.status == "done"


def _meet_newer(world: World) -> None:
    for partition in world.bank.partitions:
        partition.unreadable = set(partition.states)


def _use_up(world: World) -> None:
    world.bank.do(usage(usage_id="much", bytes=100 * MIB, occurred_at=world.bank.clock.at))


def _claw_back_by_other(world: World) -> None:
    other = ClawBack(key="other", account="ann", transfer_id=world.award_id, reason="first")
    assert world.ask(other).status == "done"


def _offer(**terms: Any) -> Offer:
    """Return an offer by which the campaign c pays for all traffic."""
    given: dict[str, Any] = {
        "campaign": "campaign:c", "version": 1, "partner": "partner:p", "sponsor_id": "s",
        "asp_id": "a", "rating_group": "any", "starts_at": 0,
    }  # fmt: skip
    return Offer(**given | terms)


def _leave_short(world: World) -> None:
    """Let the campaign c pay out of quotas that have nothing yet."""
    world.bank.sponsor(_offer())


def _block(world: World) -> None:
    """Use up what the campaign c pays for ann's traffic."""
    caps = Caps(per_subscriber_bytes=1)
    world.bank.sponsor(_offer(budget="unlimited", caps=caps, at_cap="block"))
    assert world.ask(usage(usage_id="first", bytes=1)).status == "done"


def _fields(**fields: Any) -> Change:
    return Change(fields)


def _sponsor(world: World) -> None:
    """Let the campaign c pay for ann's traffic."""
    world.bank.sponsor(_offer())
    world.bank.do(usage(usage_id="paid", account="ann", bytes=1))
    world.bank.settle()
    world.bank.sponsor()


CLOSED = Change(before=_end_all)
SUSPENDED = Change(before=_suspend_all)
USED_UP = Change(before=_use_up)
FORGOTTEN = Change({"account": "ann"}, _forget_plan)
MUCH = _fields(bytes=TOO_MUCH)
LONG_AGO = "2015-08-01T00:00:00"
NOWHERE = {"fund": "partner:nobody", "award": "campaign:nobody"}

CHANGES: dict[tuple[str, str], Change] = {
    ("open_account", "account_exists"): _fields(account="ann"),
    ("open_account", "plan_required"): Change({"plan": None}, kind="subscriber"),
    ("open_account", "plan_not_allowed"): Change({"plan": "std-30mb"}, kind="partner"),
    ("open_account", "plan_unknown"): Change({"plan": "none-such"}, kind="subscriber"),
    ("open_account", "active_from_in_future"): Change(
        {"active_from": "2015-09"}, kind="subscriber"
    ),
    ("open_account", "active_from_too_old"): Change({"active_from": "2013-07"}, kind="subscriber"),
    ("open_account", "partner_required"): Change({"partner": None}, kind="campaign"),
    ("open_account", "partner_not_allowed"): _fields(partner="partner:p"),
    ("close_account", "campaign_has_quotas"): Change({"account": "campaign:c"}, _sponsor),
    ("change_plan", "plan_not_allowed"): _fields(account="partner:p"),
    ("change_plan", "plan_unknown"): _fields(plan="none-such"),
    ("buy", "account_kind"): _fields(account="campaign:c"),
    ("buy", "time_invalid"): _fields(expires_at="soon"),
    ("buy", "expires_in_past"): _fields(expires_at=LONG_AGO),
    ("transfer", "same_account"): _fields(to="ann"),
    ("transfer", "fee_exceeds_gift"): _fields(fee={"bytes": 2 * TOO_MUCH, "payer": "receiver"}),
    ("hold", "time_invalid"): _fields(deadline="soon"),
    ("hold", "deadline_in_past"): _fields(deadline=LONG_AGO),
    ("hold", "deadline_too_far"): _fields(deadline="2015-09-10T12:00:01"),
    ("post", "same_account"): _fields(to="ann"),
    ("post", "hold_not_found"): _fields(hold_id="0" * 32),
    ("post", "fee_exceeds_gift"): _fields(fee={"bytes": 2 * TOO_MUCH, "payer": "receiver"}),
    ("post", "hold_exceeded"): _fields(bytes=5 * MIB + 1),
    ("release", "hold_not_found"): _fields(hold_id="0" * 32),
    ("adjust", "expires_at_not_allowed"): _fields(direction="take", expires_at="2015-08-20"),
    ("adjust", "insufficient_data"): _fields(direction="take", bytes=TOO_MUCH, expires_at=None),
    ("adjust", "time_invalid"): _fields(direction="give", expires_at="soon"),
    ("adjust", "expires_in_past"): _fields(direction="give", expires_at=LONG_AGO),
    ("reverse", "usage_not_found"): _fields(usage_id="none-such"),
    ("reverse", "already_reversed"): Change(before=_reverse_by_other),
    ("claw_back", "transfer_not_found"): _fields(transfer_id="0" * 32),
    ("claw_back", "already_clawed_back"): Change(before=_claw_back_by_other),
    ("claw_back", "nothing_left"): USED_UP,
    ("close_month", "month_running"): _fields(month="2015-08"),
    (USAGE, "conflict"): _fields(usage_id="u", account="ann", bytes=6),
    (USAGE, "newer_version"): Change({"account": "ann"}, _meet_newer),
    (USAGE, "account_not_found"): _fields(account="nobody"),
    (USAGE, "account_kind"): _fields(account="partner:p"),
    (USAGE, "account_closed"): CLOSED,
    (USAGE, "account_suspended"): SUSPENDED,
    (USAGE, "usage_in_future"): _fields(occurred_at=CALENDAR.parse("2015-09-10T12:05:01")),
    (USAGE, "plan_unknown"): FORGOTTEN,
    (USAGE, "quota_refilling"): Change(before=_leave_short),
    (USAGE, "sponsorship_blocked"): Change(before=_block),
    (ARRIVAL, "account_not_found"): _fields(campaign="campaign:nobody"),
    (ARRIVAL, "account_closed"): Change(before=_end_receivers),
    (ARRIVAL, "account_kind"): _fields(campaign="ann"),
    (ARRIVAL, "campaign_of_other_partner"): _fields(account="partner:q"),
}
for _name in set(WELL) - {"open_account", USAGE, ARRIVAL}:
    CHANGES[_name, "account_not_found"] = _fields(account=NOWHERE.get(_name, "nobody"))
for _name in set(WELL) - {"open_account", "post", "release", "reverse", "claw_back",
                          "close_month", USAGE, ARRIVAL}:  # fmt: skip
    CHANGES[_name, "account_closed"] = CLOSED
for _name in ("fund", "award", "transfer", "hold"):
    CHANGES[_name, "account_suspended"] = SUSPENDED
    CHANGES[_name, "insufficient_data"] = MUCH


def known_key(command: str) -> Change:
    """Return the change by which a command's key was used before (on an account that exists)."""
    account = "ann" if command == "open_account" else WELL[command]["account"]
    return _fields(key=BOUND, account=account)


def newer(command: str) -> Change:
    """Return the change by which a command is about an account that waits for a newer version."""
    return Change({"account": "ann"} if command == "open_account" else {}, _meet_newer)


def _turn(change: Change) -> tuple[bool, bool, bool]:
    """Return when a change has its turn: what keeps anything from being done is last."""
    last = change is USED_UP or change.before is _sponsor
    return change.before is _meet_newer, change is FORGOTTEN, last


def provoke(command: str, changes: Sequence[Change]) -> Any:
    """Return the outcome of a command under all these changes; a later one wins over an earlier."""
    world = a_world()
    asked = {"key": "k", **WELL[command]}
    if command in ("post", "release"):
        asked["hold_id"] = world.hold_id
    if command == "claw_back":
        asked["transfer_id"] = world.award_id
    for change in changes:
        if change.kind not in (None, account_kind(asked.get("account", ""))):
            asked |= NEW[change.kind or ""]
        asked |= change.fields
    for change in sorted(changes, key=_turn):
        change.before(world)
    if command == USAGE:
        return world.ask(usage(**{name: asked[name] for name in asked if name != "key"}))
    if command == ARRIVAL:
        return _arrival(world, Fund(**asked))
    # As it would come from outside: what is refused must get through the edge.
    return world.ask(msgspec.convert({"type": command, **asked}, PublicCommand))


def _arrival(world: World, command: Fund) -> Any:
    done = world.ask(command)
    assert done.status == "done"
    world.bank.settle()
    events = world.bank.of(command.account).events()
    return next(event for event in events if isinstance(event, TransferReturned))

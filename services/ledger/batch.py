"""One batch on one partition, decided in memory: from items to events, keys, states, outcomes."""

from collections.abc import Iterable

import msgspec

from services.ledger.codec import encode
from services.ledger.desk import Desk
from services.ledger.domain.account import Account
from services.ledger.domain.closing import Ending, settle_closed
from services.ledger.domain.commands import (
    FROM_LOG,
    AnyCommand,
    OpenAccount,
    ReverseUsage,
    Touch,
    Usage,
)
from services.ledger.domain.context import HOUSEKEEPING, Context, Meta, active, facts
from services.ledger.domain.correcting import undone_before
from services.ledger.domain.decide import decide
from services.ledger.domain.evolving import arm_again, evolve, spend_line
from services.ledger.domain.holds import time_out_due
from services.ledger.domain.lots import Lot
from services.ledger.domain.monitors import crossings, due_at, used_up, watched
from services.ledger.domain.opening import due_months, grant_due
from services.ledger.domain.quotas import answer_deferred, give_back_reversed
from services.ledger.domain.refusing import refusal_event
from services.ledger.domain.usage import LINES_PER_EVENT_MAX, charge, check_time, lots_for
from services.ledger.items import AwaitedItem, Item, KeyRow, of_newer_version
from services.ledger.outcomes import (
    EventRef,
    Outcome,
    outcome_of,
    refused,
    result_of,
)
from services.ledger.sponsors import Sponsors, credit_lot, reversed_quota
from shared.contracts.ledger import (
    ArrivalRefused,
    DataEarned,
    DataSpent,
    Event,
    HoldRefused,
    ThresholdCrossed,
    TransferRefused,
)
from shared.contracts.offers import Offer
from shared.errors import RefusedError
from shared.ids import stream_id
from shared.recorder import EventRow

# Usage changes nothing about when an account is due.
AS_BEFORE = -1
# What a batch has loaded: accounts with their versions; None for one that it cannot read.
Loaded = dict[bytes, tuple[Account, int] | None]
CONFLICT = "this key was used before with other terms"


class Batch:
    """Decides the items in their order; afterwards `rows`, `keys` and `desks` are to be stored."""

    def __init__(
        self, context: Context, loaded: Loaded, known: dict[bytes, KeyRow],
        sponsors: Sponsors | None = None,
    ) -> None:  # fmt: skip
        self.context = context
        self.sponsors = sponsors
        self.rows: list[EventRow] = []
        self.keys: list[KeyRow] = []
        self.desks: dict[str, Desk] = {}
        self._loaded = loaded
        self._known = known
        self._seen: dict[bytes, Item] = {}
        self._undone: dict[bytes, KeyRow] = {}

    def run(self, items: list[Item]) -> None:
        """Give every item its outcome, or mark it as a repeat of a bound key."""
        for item in items:
            if self._is_repeat(item):
                continue
            try:
                if isinstance(item.what, Usage):
                    self._use(item, item.what)
                else:
                    self._command(item, item.what)
            except RefusedError as error:
                self._refuse(item, error, told=self._tell(item, error))
        self._answer_recalls()
        if self.sponsors is not None:
            self.sponsors.ask_for_more(self)
        for desk in list(self.desks.values()):
            self.flush(desk)
            if desk.unwatched:
                self._watch(desk, HOUSEKEEPING)

    def _answer_recalls(self) -> None:
        """Let quotas answer their campaigns once what they had was charged, or waited for long."""
        for desk in list(self.desks.values()):
            quota = None if desk.state is None else desk.state.quota
            if desk.state is None or quota is None or quota.recall is None:
                continue
            self.flush(desk)
            answer = answer_deferred(desk.state, self.context, HOUSEKEEPING)
            if answer is not None:
                self.append(desk, answer)

    def _refuse(self, item: Item, error: RefusedError, *, told: bool = False) -> None:
        """Make the refusal the item's outcome; what came from the log must not get lost so."""
        if isinstance(item.what, FROM_LOG) or (isinstance(item, AwaitedItem) and not told):
            raise error
        item.outcome = refused(item.what, error, item.meta)

    def _tell(self, item: Item, error: RefusedError) -> bool:
        """Tell a refusal to the saga that waits for it; return whether it needs no more telling."""
        if not isinstance(item, AwaitedItem) or isinstance(item.what, Usage):
            return False
        if error.code == "newer_version":  # It waits, parked, until it can be decided.
            return False
        event = refusal_event(item.what, error, self.context, item.meta, item.key.hex())
        if event is not None:
            stream = own_stream(event)
            self.rows.append((stream, 1, event.TYPE, encode(event)))
            self.keys.append(KeyRow(item.key, item.body, stream, 1, 1))
            self._seen[item.key] = item
        return True

    def _is_repeat(self, item: Item) -> bool:
        if not item.key:
            return False
        earlier = self._known.get(item.key) or self._seen.get(item.key)
        if earlier is None:
            return False
        if earlier.body != item.body:
            self._refuse(item, RefusedError("conflict", CONFLICT, 409))
        elif isinstance(earlier, KeyRow):
            item.repeats = earlier
        elif earlier.outcome is not None:
            item.outcome = msgspec.structs.replace(earlier.outcome, repeated=True)
        return True

    def desk(self, account_id: str) -> Desk:
        """Return the account's desk. Raises RefusedError newer_version."""
        desk = self.desks.get(account_id)
        if desk is None:
            found = self._loaded.get(stream_id(account_id), (None, 0))
            if found is None:
                raise of_newer_version(account_id)
            state, version = found
            desk = self.desks[account_id] = Desk(account_id, state, version)
        return desk

    def _use(self, item: Item, usage: Usage) -> None:
        context = self.context
        desk = self.desks.get(usage.account) or self.desk(usage.account)
        state = desk.state
        if state is None:
            raise RefusedError("account_not_found", f"there is no account {usage.account}", 404)
        if state.kind != "subscriber":
            raise RefusedError("account_kind", f"a {state.kind} account uses no data")
        if state.status != "active":
            active(state)
        check_time(usage, context)
        if self.sponsors is not None:
            usage = self.sponsors.grouped(usage)
        month = context.calendar.month_of(usage.occurred_at)
        through = max(context.month, month)
        if state.granted_through != through:
            self._grant(desk, through)
        if state.holds:
            self._time_out(desk)
        if desk.line_meta is not item.meta or len(desk.lines) == LINES_PER_EVENT_MAX:
            self.make_room(desk, item.meta)
        paid = None if self.sponsors is None else self.sponsors.pay(self, state, usage, item.meta)
        lots = self._lots(desk, state, usage) if paid is None or paid.rest_to_user else []
        sponsored = None if paid is None else paid.sponsored
        line = charge(lots, usage, late=month < context.month, sponsored=sponsored)
        spend_line(state, line)
        desk.lines.append(line)
        desk.line_items.append(item)
        item.outcome = outcome_of(line, item.meta.correlation_id)
        self._seen[item.key] = item
        if paid is not None and paid.capped is not None:
            self.flush(desk)
            self.append(desk, paid.capped)

    def _lots(self, desk: Desk, state: Account, usage: Usage) -> list[Lot]:
        if desk.order is None:
            desk.order = self.context.rules.in_order(list(state.lots.values()))
        return lots_for(desk.order, usage, self.context)

    def make_room(self, desk: Desk, meta: Meta) -> None:
        """Write the lines of another request, or so many that they fill an event."""
        if desk.line_meta is not meta or len(desk.lines) == LINES_PER_EVENT_MAX:
            self.flush(desk)
            desk.line_meta = meta

    def _command(self, item: Item, command: AnyCommand) -> None:
        desk = self.desk(command.account)
        self.flush(desk)
        if desk.state is not None:
            self._grant(desk, self.context.month)
            self._time_out(desk)
        if item.once is not None:
            self._refuse_undone(item, item.once)
        first_row = len(self.rows)
        stream, version = desk.stream, desk.version + 1
        events: list[Event] = []
        for event in decide(desk.state, command, self.context, item.meta, item.key.hex()):
            if isinstance(event, ArrivalRefused):
                stream, version = own_stream(event), 1
                self.rows.append((stream, 1, event.TYPE, encode(event)))
            else:
                self.append(desk, event)
            events.append(event)
        if isinstance(command, OpenAccount):
            events += self._grant(desk, self.context.month)
        if isinstance(command, Touch) and desk.state is not None:
            # Whatever it finds, the time of the next look is another now.
            desk.changed = desk.unwatched = True
            desk.only_spent = False
        if isinstance(command, Touch) or not events:
            item.outcome = Outcome(key=command.key, account=command.account, status="done",
                                   request_id=item.meta.correlation_id)  # fmt: skip
            return
        self._bind(item, stream, version, len(self.rows) - first_row)
        if isinstance(command, ReverseUsage) and command.line.sponsored is not None:
            self._give_back(command, item.meta)
        refs = [
            EventRef(f"{command.account}:{version + n}", event.TYPE)
            for n, event in enumerate(events)
        ]
        item.outcome = Outcome(
            key=command.key, account=command.account, status="done", events=refs,
            result=result_of(events, self.context.calendar), request_id=item.meta.correlation_id,
        )  # fmt: skip
        self._watch(desk, item.meta)

    def _give_back(self, command: ReverseUsage, meta: Meta) -> None:
        """Put what a campaign paid of a reversed record back into its quota."""
        desk = self.desk(command.quota or "")
        if desk.state is None:
            return
        self.append(desk, reversed_quota(desk.state, command, self.context, meta))
        for event in settle_closed(desk.state, self.context, meta):
            self.append(desk, event)
        back = give_back_reversed(desk.state, command.line.usage_id, self.context, meta)
        if back is not None:
            self.append(desk, back)

    def _refuse_undone(self, item: Item, once: bytes) -> None:
        """Refuse to undo what another command has undone before."""
        undone = self._known.get(once) or self._undone.get(once)
        if undone is not None:
            raise undone_before(item.what, f"{item.what.account}:{undone.version}")

    def _bind(self, item: Item, stream: bytes, version: int, events: int) -> None:
        """Bind the command's key, and what it has undone, to the events that it made."""
        if item.key:
            self.keys.append(KeyRow(item.key, item.body, stream, version, events))
            self._seen[item.key] = item
        if item.once is not None:
            self._undone[item.once] = KeyRow(item.once, item.body, stream, version, events)
            self.keys.append(self._undone[item.once])

    def _grant(self, desk: Desk, through: str) -> list[Event]:
        state = desk.state
        if (
            state is None
            or (state.granted_through or "") >= through
            or not due_months(state, through)
        ):
            return []
        self.flush(desk)
        events = list(grant_due(state, through, self.context, HOUSEKEEPING))
        for event in events:
            self.append(desk, event)
        return events

    def _time_out(self, desk: Desk) -> None:
        state = desk.state
        if state is None or (state.next_deadline() or self.context.now + 1) > self.context.now:
            return
        self.flush(desk)
        for event in time_out_due(state, self.context, HOUSEKEEPING):
            self.append(desk, event)

    def append(self, desk: Desk, event: Event) -> None:
        """Let an event happen to an account; its lines must have been written before."""
        desk.state = evolve(desk.state, event)
        self._store(desk, event)
        desk.order = desk.borrowed = None
        desk.only_spent = False

    def _store(self, desk: Desk, event: Event) -> None:
        desk.version += 1
        desk.changed = desk.unwatched = True
        desk.parts = None
        self.rows.append((desk.stream, desk.version, event.TYPE, encode(event)))

    def flush(self, desk: Desk) -> None:
        """Write an account's lines, if there are any, as an event."""
        if not desk.lines:
            return
        meta = desk.line_meta or HOUSEKEEPING
        if desk.offer is not None:
            self._store_paid(desk, desk.offer, meta)
            return
        self._store(desk, DataSpent(**facts(meta, self.context, desk.account_id), lines=desk.lines))
        for item in desk.line_items:
            self.keys.append(KeyRow(item.key, item.body, desk.stream, desk.version, 1))
        desk.lines, desk.line_items = [], []
        if desk.state is not None and desk.state.crossed:
            arm_again(desk.state, self.context.now)
        if desk.state is not None:
            self._cross(desk, used_up(desk.state, self.context, meta))

    def _store_paid(self, desk: Desk, offer: Offer, meta: Meta) -> None:
        """Write what a quota paid, after what it created for that on credit."""
        common = facts(meta, self.context, desk.account_id)
        if desk.credit:
            self._store(
                desk, DataEarned(**common, lots=[credit_lot(desk.credit, offer, self.context)])
            )
            desk.credit = 0
        self._store(
            desk,
            DataSpent(**common, lines=desk.lines, partner=offer.partner, campaign=offer.campaign),
        )
        desk.lines = []
        desk.unwatched = False

    def _watch(self, desk: Desk, meta: Meta) -> None:
        """Tell the thresholds that the account has crossed since the last look."""
        state = desk.state
        if state is not None:
            parts = self._parts(desk, state)
            self._cross(desk, crossings(state, parts, self.context, meta))

    def _cross(self, desk: Desk, crossed: Iterable[ThresholdCrossed]) -> None:
        for event in crossed:
            self.append(desk, event)
        desk.unwatched = False

    def _parts(self, desk: Desk, state: Account) -> list[Ending]:
        if desk.parts is None:
            desk.parts = watched(state, self.context)
        return desk.parts

    def _due(self, desk: Desk) -> int:
        state = desk.state
        if state is None or desk.only_spent:
            return AS_BEFORE
        return due_at(state, self._parts(desk, state), self.context) or 0

    def states(self) -> tuple[list[bytes], list[str], list[int], list[int], list[bytes]]:
        """Return the changed accounts as columns.

        They are: ids, names, versions, when each is due next (0: never, -1: as before), states.
        """
        changed = [desk for desk in self.desks.values() if desk.changed]
        return (
            [desk.stream for desk in changed],
            [desk.account_id for desk in changed],
            [desk.version for desk in changed],
            [self._due(desk) for desk in changed],
            [encode(desk.state) for desk in changed],
        )


def own_stream(event: Event) -> bytes:
    """Return the stream of an event that belongs to no account's."""
    if isinstance(event, HoldRefused):
        return stream_id(f"hold:{event.hold_id}")
    assert isinstance(event, ArrivalRefused | TransferRefused)
    return stream_id(f"transfer:{event.transfer_id}")

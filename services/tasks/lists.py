"""What is done with lists of members: changed in batches, and read by those who follow them."""

from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from services.tasks.domain.members import ListVersion, Rejected, sort_additions, sort_removals
from services.tasks.store import Store
from services.tasks.turn import Needs, Turn
from shared.contracts.audiences import ListName
from shared.errors import RefusedError
from shared.sagas.requests import Answer, Asking, Request

ROWS_MAX = 5_000
Row = Annotated[str, Meta(max_length=200)]
# Name, version, how many are on it, when it changed.
ListRow = tuple[str, int, int, int]
SELECT_LISTS = """
SELECT name, number, members, changed_at FROM member_lists
WHERE %(after)s::text IS NULL OR name > %(after)s
ORDER BY name LIMIT %(limit)s
"""
SELECT_LIST = "SELECT name, number, members, changed_at FROM member_lists WHERE name = %s"
SELECT_PAGE = """
SELECT subscriber FROM list_members WHERE list = %s AND subscriber > %s ORDER BY subscriber LIMIT %s
"""
# The last thing that a range of versions did to each.
SELECT_CHANGES = """
SELECT DISTINCT ON (subscriber) subscriber, added FROM list_changes
WHERE list = %s AND number > %s AND number <= %s AND subscriber > %s
ORDER BY subscriber, number DESC LIMIT %s
"""
SELECT_IS_MEMBER = "SELECT EXISTS (SELECT FROM list_members WHERE list = %s AND subscriber = %s)"


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to be added to a list, and who removed from it."""

    add: Annotated[list[Row], Meta(max_length=ROWS_MAX)] = []
    remove: Annotated[list[Row], Meta(max_length=ROWS_MAX)] = []


class ChangeMembers(Request):
    """Change a list by a batch; `ours` are those of whom the bank has an account.

    What was not taken is in `rejected_additions` and `rejected_removals`.
    """

    def __init__(self, asking: Asking, name: ListName, batch: Batch, ours: set[str]) -> None:
        super().__init__(asking)
        self._name = name
        self._batch = batch
        self._ours = ours
        self.rejected_additions: list[Rejected] = []
        self.rejected_removals: list[Rejected] = []

    def need(self, needs: Needs) -> None:
        """Say what has to be read."""
        needs.keys.add(self.asking.bound_key)

    def decide(self, turn: Turn) -> Answer:
        """Change the list, once per key; asked again, tell the same rows' reasons again."""
        answer = super().decide(turn)
        if answer.repeated:
            assert isinstance(answer.subject, ListVersion)
            self._recall(turn, answer.subject)
        return answer

    def _recall(self, turn: Turn, version: ListVersion) -> None:
        changed = turn.lists.changed_in(self._name, version.number)
        added = {who for who, is_in in changed.items() if is_in}
        kept = {who for who in self._batch.add if who not in added and who in self._ours}
        self.rejected_additions = sort_additions(
            self._batch.add, kept, self._ours | added
        ).rejected  # fmt: skip
        self.rejected_removals = sort_removals(self._batch.remove, set(changed) - added).rejected

    def act(self, turn: Turn) -> UUID:
        """Take the rows that can be taken. Refusal: nothing_taken (no row could, with reasons)."""
        rows, batch = turn.lists, self._batch
        members = rows.members_among(self._name, [*batch.add, *batch.remove])
        removals = sort_removals(batch.remove, members)
        additions = sort_additions(batch.add, members, self._ours)
        self.rejected_additions = additions.rejected
        self.rejected_removals = removals.rejected
        if not additions.taken and not removals.taken:
            raise RefusedError(
                "nothing_taken", "no row of the batch could be taken",
                rejected=[
                    *told("add", additions.rejected), *told("remove", removals.rejected),
                ],
            )  # fmt: skip
        number = rows.state(self._name).number + 1
        left = rows.change(self._name, number, additions.taken, removals.taken)
        made = ListVersion.make(
            self._name, number, additions.taken, removals.taken, left,
            turn.meta(self.asking.caller),
        )  # fmt: skip
        turn.add(made)
        return made.id


def told(verb: str, rejected: list[Rejected]) -> list[dict[str, Any]]:
    """Return rows that were not taken as they are told."""
    return [
        {"verb": verb, "row": each.row, "value": each.value, "reason": each.reason}
        for each in rejected
    ]


class Lists:
    """Reads of members' lists. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def some(self, after: str | None, limit: int) -> list[ListRow]:
        """Return up to `limit` lists behind a name, by name."""
        return self._store.rows(SELECT_LISTS, {"after": after, "limit": limit})

    def one(self, name: str) -> ListRow | None:
        """Return a list, None where there is none of this name."""
        return next(iter(self._store.rows(SELECT_LIST, (name,))), None)

    def page(self, name: str, after: str, limit: int) -> list[str]:
        """Return members behind one, in order."""
        return [who for (who,) in self._store.rows(SELECT_PAGE, (name, after, limit))]

    def has(self, name: str, subscriber: str) -> bool:
        """Say whether somebody is on a list."""
        return bool(self._store.rows(SELECT_IS_MEMBER, (name, subscriber))[0][0])

    def number(self, name: str) -> int:
        """Return a list's newest version, 0 without any."""
        found = self.one(name)
        return 0 if found is None else found[1]

    def changes(self, name: str, after: int, upto: int, limit: int) -> Iterator[dict[str, bool]]:
        """Yield what a range of versions came to, so many members at a time: True is added."""
        last = ""
        while rows := self._store.rows(SELECT_CHANGES, (name, after, upto, last, limit)):
            yield dict(rows)
            last = rows[-1][0]

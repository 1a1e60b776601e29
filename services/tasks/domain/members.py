"""A list of subscribers, changed in batches: each row is in, out, or refused with its reason.

| reason           | what it says                                     |
| ---------------- | ------------------------------------------------ |
| bad_number       | this is no subscriber's reference                |
| duplicate        | it stands in the list, or in this batch, already |
| not_ours         | the bank has no such account                     |
| not_a_member     | it is to be removed and is not in the list       |
"""

import hashlib
from typing import Any, Literal, Self

import msgspec

from shared.contracts.tasks import MembersChanged
from shared.ids import SUBSCRIBER_PATTERN, digest
from shared.sagas.aggregate import Aggregate, Meta, beginning

LISTS = "operator:lists"
Reason = Literal["bad_number", "duplicate", "not_ours", "not_a_member"]


class Rejected(msgspec.Struct, frozen=True):
    """A row that was not taken, by its place in the batch (from 1)."""

    row: int
    value: str
    reason: Reason


class Sorted(msgspec.Struct, frozen=True):
    """A batch as it was judged."""

    taken: list[str]
    rejected: list[Rejected]


def is_reference(value: str) -> bool:
    """Say whether a text can be a subscriber's reference."""
    return SUBSCRIBER_PATTERN.fullmatch(value) is not None


def sort_additions(rows: list[str], members: set[str], ours: set[str]) -> Sorted:
    """Judge who is to be added, given who of them are members and who have an account."""
    return _sort(rows, lambda one: _addition(one, members, ours))


def sort_removals(rows: list[str], members: set[str]) -> Sorted:
    """Judge who is to be removed."""
    return _sort(rows, lambda one: None if one in members else "not_a_member")


def _addition(one: str, members: set[str], ours: set[str]) -> Reason | None:
    if one in members:
        return "duplicate"
    return None if one in ours else "not_ours"


def _sort(rows: list[str], judge: Any) -> Sorted:
    taken: dict[str, None] = {}
    rejected: list[Rejected] = []
    for place, value in enumerate(rows, start=1):
        reason: Reason | None
        if not is_reference(value):
            reason = "bad_number"
        elif value in taken:
            reason = "duplicate"
        else:
            reason = judge(value)
        if reason is None:
            taken[value] = None
        else:
            rejected.append(Rejected(place, value, reason))
    return Sorted(list(taken), rejected)


class ListVersion(Aggregate):
    """One version of a list; who was added and removed lies in a table beside the log."""

    TOPIC = "tasks.list_version"

    Changed = beginning(MembersChanged)

    @classmethod
    def make(
        cls, name: str, version: int, added: list[str], removed: list[str], members: int, meta: Meta
    ) -> Self:
        """Change a list that has `members` afterwards."""
        stream = list_stream(name, version)
        told = "\n".join(["+", *sorted(added), "-", *sorted(removed)])
        return cls._begin(
            stream,
            MembersChanged(
                **meta.facts(LISTS, stream), list_name=name, version=version, added=len(added),
                removed=len(removed), members=members,
                digest=hashlib.sha256(told.encode()).hexdigest(),
            ),
        )  # fmt: skip

    def evolve(self, data: MembersChanged) -> None:
        """Change the state as the fact says."""
        self.name, self.number = data.list_name, data.version
        self.added, self.removed, self.members = data.added, data.removed, data.members
        self.changed_at, self.digest = data.recorded_at, data.digest


def list_stream(name: str, version: int) -> str:
    """Return the id (32 hex digits) of the stream of a version of a list."""
    return digest("list", name, str(version)).hex()

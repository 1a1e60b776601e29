"""Checks for gifting: many gifts at once, one query per partition, no lock and nothing stored."""

from typing import Any

import msgspec
from msgspec import UNSET
from psycopg.rows import tuple_row

from services.ledger.application import Ledger
from services.ledger.domain.account import Account
from services.ledger.domain.checking import check_gift, facts_of, up_to_date
from services.ledger.domain.commands import Fee, Transfer
from services.ledger.domain.context import Context
from services.ledger.domain.fields import Purpose, SubscriberId
from services.ledger.domain.rules import Bytes
from services.ledger.items import of_newer_version
from services.ledger.partition import Partition
from services.ledger.rulebooks import rules_now
from shared.ids import partition_of, stream_id
from shared.pgarrays import uuids

SELECT_STATES = """
SELECT uuid_send(id), account, format, state FROM account_state WHERE id = ANY(%b::uuid[])
"""


class GiftCheck(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One gift, or red packet (then without `to`), that somebody thinks of."""

    account: SubscriberId
    to: SubscriberId | None = None
    bytes: Bytes
    fee: Fee | None = None
    purpose: Purpose = "gift"


def check_gifts(ledger: Ledger, gifts: list[GiftCheck]) -> list[dict[str, Any]]:
    """Return for each gift who is who and what it would take now.

    It is what the ledger knows without waiting for its writers: a command may decide otherwise.
    Raises UnavailableError, RefusedError newer_version.
    """
    names = {name for gift in gifts for name in (gift.account, gift.to) if name is not None}
    first = ledger.partitions[0]
    context = Context(first.clock.now(), first.calendar, rules_now(first))
    found: dict[str, Account] = {}
    for number, partition in enumerate(ledger.partitions):
        here = [name for name in names if partition_of(name, len(ledger.partitions)) == number]
        for name, account in _load(partition, here).items():
            found[name] = up_to_date(account, context)
    known = {name: facts_of(one, context) for name, one in found.items()}
    return [
        {
            "sender": known.get(gift.account), "receiver": known.get(gift.to or ""),
            **_check(gift, found, context),
        }
        for gift in gifts
    ]  # fmt: skip


def _check(gift: GiftCheck, found: dict[str, Account], context: Context) -> dict[str, Any]:
    command = Transfer(
        key="check", account=gift.account, to=gift.to or "", bytes=gift.bytes,
        fee=UNSET if gift.fee is None else gift.fee,
    )  # fmt: skip
    giver, receiver = found.get(gift.account), found.get(gift.to or "")
    return check_gift(giver, receiver, command, gift.purpose, context)


def _load(partition: Partition, names: list[str]) -> dict[str, Account]:
    if not names:
        return {}
    with partition.connection() as conn:
        rows = conn.cursor(row_factory=tuple_row).execute(
            SELECT_STATES, (uuids([stream_id(name) for name in names]),), binary=True
        ).fetchall()  # fmt: skip
        states = {
            name: partition.load_state(conn, stream, state_format, state)
            for stream, name, state_format, state in rows
        }
    return {name: _readable(name, state) for name, state in states.items()}


def _readable(name: str, state: Account | None) -> Account:
    if state is None:
        raise of_newer_version(name)
    return state

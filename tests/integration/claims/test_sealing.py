"""Partners' secrets at rest: sealed by keys that the database does not have, and sealed anew."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import sql
from psycopg.rows import tuple_row

from services.tasks.sealing import Sealer, Secrets
from shared.errors import UnavailableError
from tests.integration.claims.test_signed_calls import Caller, caller  # noqa: F401 A fixture.
from tests.support.claims_world import ClaimsWorld
from tests.support.tasks_world import SEALING_KEY

OLD, NEW = str(SEALING_KEY), "a-newer-sealing-key-that-is-long-enough"
TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND has_table_privilege(oid, 'SELECT')
"""


def dump(world: ClaimsWorld) -> bytes:
    """Return all rows that tasks may read of its database, as text with bytes in hex."""
    found = b""
    with world.store.connection() as conn:
        tables = conn.cursor(row_factory=tuple_row).execute(TABLES).fetchall()
        for (table,) in tables:
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))
            with conn.cursor().copy(statement) as rows:
                found += b"".join(bytes(each) for each in rows)
    return found


def in_clear(world: ClaimsWorld, secret: bytes) -> list[str]:
    """Return in which writing a secret stands in the database."""
    text = dump(world)
    assert b"didi" in text
    written = {"raw": secret, "hex": secret.hex().encode(), "base64": base64.b64encode(secret)}
    return [name for name, value in written.items() if value in text]


def keep_in_clear(world: ClaimsWorld, secret: bytes) -> None:
    """Let the secret lie as an earlier version stored it."""
    with world.store.connection() as conn:
        conn.execute("UPDATE partner_keys SET secret = %s, sealed = false", (secret,))


@pytest.fixture
def with_keys(world: ClaimsWorld) -> Callable[..., None]:
    """`with_keys(newest, …)`: start anew with other keys."""

    def start(*keys: str) -> None:
        world.tasks.secrets = Secrets(world.store, Sealer(keys))
        world.tasks.keyring._secrets = world.tasks.secrets

    return start


def is_taken(caller: Caller) -> bool:  # noqa: F811
    answer: Any = caller.send("completions/none", None, "none", method="GET")
    assert answer.json["code"] in ("completion_not_found", "signature_invalid", "unavailable")
    return bool(answer.json["code"] == "completion_not_found")


def test_the_database_holds_no_secret_in_the_clear(
    world: ClaimsWorld, caller: Caller  # noqa: F811
):  # fmt: skip
    assert in_clear(world, caller.secret) == []
    assert is_taken(caller)
    assert world.tasks.secrets.seal_all() == 0


def test_what_an_earlier_version_stored_in_the_clear_is_sealed_at_the_start(
    world: ClaimsWorld, caller: Caller  # noqa: F811
):  # fmt: skip
    keep_in_clear(world, caller.secret)
    assert in_clear(world, caller.secret) == ["hex"]
    assert is_taken(caller)
    assert world.tasks.secrets.seal_all() == 1
    assert in_clear(world, caller.secret) == []
    assert is_taken(caller)


def test_a_new_key_seals_all_anew_and_the_old_one_is_needed_no_more(
    world: ClaimsWorld, caller: Caller, with_keys: Callable[..., None]  # noqa: F811
):  # fmt: skip
    with_keys(NEW, OLD)
    assert is_taken(caller)
    assert [world.tasks.secrets.seal_all() for _ in range(2)] == [1, 0]
    with_keys(NEW)
    assert is_taken(caller)
    with_keys(OLD)
    assert not is_taken(caller)
    with pytest.raises(UnavailableError, match="TASKS_SEALING_KEYS"):
        world.tasks.secrets.seal_all()

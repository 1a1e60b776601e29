"""Databases, roles, schemas, migrations and grants of every service: made once, kept up to date.

Each service has its own database and a role that may do only what `grants.sql` lists. In that file
`{schema}` and `{role}` stand for the names of the schema and of the service's role.
"""

import dataclasses
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql

from infra.errors import CliError
from infra.runtime.environment import Environment
from infra.runtime.programs import SERVICES
from infra.runtime.state import Bank
from infra.runtime.urls import database_url
from shared.db import connect
from shared.ids import GIFTING_LOG, TASKS_LOG, log_name

MIGRATIONS = Path(__file__).parent / "migrations"
GRANTS = "grants.sql"
LOCK_SPACE = 0x6D69_6772
LOCK_TIMEOUT_MS = 60_000
# The services with one log, whose name is their schema's.
ONE_LOG = {"gifting": GIFTING_LOG, "tasks": TASKS_LOG}
PARTITION_SCHEMA = re.compile(r"ledger_\d+")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """A service's database: who owns it, who serves from it, which schemas it has."""

    service: str
    owner_url: str
    service_url: str
    role: str | None
    schemas: tuple[str, ...]


def migrate(bank: Bank, environment: Environment, admin_url: str, say: Say) -> Bank:
    """Make every service's database ready for this version of the code.

    Repeating it changes nothing; two at once take turns. Returns the bank with the passwords that
    were made. Raises CliError `migration_edited`, `migration_failed`, `partitions_differ`,
    `database_refused` or UnavailableError.
    """
    bank = with_secrets(bank)
    try:
        for target in targets(bank, environment, admin_url):
            if target.role is not None:
                _make_database(target, admin_url, bank.service_passwords[target.service])
            _migrate_service(target, say)
    except psycopg.Error as error:
        raise CliError("database_refused", f"the database refused: {error}") from error
    return bank


def targets(bank: Bank, environment: Environment, admin_url: str) -> list[Target]:
    """Return the database of each service; one that was given is used as it is."""
    found = []
    for service in SERVICES:
        given = environment.service_url(service)
        role = None if given else f"databank_{bank.bank_id}_{service}"
        owner_url, service_url = given, given
        if role is not None:
            password = bank.service_passwords.get(service, "")
            owner_url = database_url(admin_url, dbname=role)
            service_url = database_url(admin_url, dbname=role, user=role, password=password)
        found.append(Target(service, owner_url, service_url, role, schemas_of(service, bank)))
    return found


def schemas_of(service: str, bank: Bank) -> tuple[str, ...]:
    """Return the schemas of a service: one for each of its logs, else its name."""
    if service == "ledger":
        return tuple(log_name(partition) for partition in range(bank.partitions))
    return (ONE_LOG.get(service, service),)


def with_secrets(bank: Bank) -> Bank:
    """Return the bank with the services' passwords, all tokens and a sealing key, made once."""
    missing = [service for service in SERVICES if service not in bank.service_passwords]
    if not missing and bank.gifting_token and bank.tasks_token and bank.tasks_sealing_keys:
        return bank
    made = {service: secrets.token_urlsafe(32) for service in missing}
    bank = dataclasses.replace(
        bank,
        service_passwords=bank.service_passwords | made,
        gifting_token=bank.gifting_token or secrets.token_urlsafe(32),
        tasks_token=bank.tasks_token or secrets.token_urlsafe(32),
        tasks_sealing_keys=bank.tasks_sealing_keys or [secrets.token_urlsafe(32)],
    )
    bank.save()
    return bank


def _make_database(target: Target, admin_url: str, password: str) -> None:
    """Make the role and its database where they are missing."""
    name = str(target.role)
    with connect(admin_url) as connection, _turn(connection, name):
        verifier = connection.pgconn.encrypt_password(
            password.encode(), name.encode(), b"scram-sha-256"
        ).decode()
        known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
        verb = "ALTER" if known is not None else "CREATE"
        _run(connection, f"{verb} ROLE {{role}} LOGIN PASSWORD {{verifier}}",
             role=sql.Identifier(name), verifier=sql.Literal(verifier))  # fmt: skip
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            _run(connection, "CREATE DATABASE {role}", role=sql.Identifier(name))
        _run(connection, "REVOKE ALL ON DATABASE {role} FROM PUBLIC", role=sql.Identifier(name))
        _run(connection, "GRANT CONNECT ON DATABASE {role} TO {role}", role=sql.Identifier(name))


def _migrate_service(target: Target, say: Say) -> None:
    with connect(target.owner_url) as connection, _turn(connection, target.service):
        if target.service == "ledger":
            _check_partitions(connection, target.schemas)
        for schema in target.schemas:
            _run(connection, "CREATE SCHEMA IF NOT EXISTS {schema}", schema=sql.Identifier(schema))
            applied = _apply(connection, target, schema)
            if applied:
                say(f"migrate {schema}: {', '.join(applied)}")
            if target.role is not None:
                _grant(connection, target, schema)


def _check_partitions(connection: Connection[Any], schemas: tuple[str, ...]) -> None:
    rows = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
    there = {name for (name,) in rows if PARTITION_SCHEMA.fullmatch(name)}
    if there and there - set(schemas):
        raise CliError(
            "partitions_differ",
            f"the ledger's database has {len(there)} partitions, {len(schemas)} are asked for; "
            "their number is fixed at the first start",
        )


def _apply(connection: Connection[Any], target: Target, schema: str) -> list[str]:
    """Apply the files that this schema lacks and return their names."""
    # Slow to import and wanted here alone.
    from yoyo import read_migrations  # noqa: PLC0415
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend  # noqa: PLC0415
    from yoyo.connections import parse_uri  # noqa: PLC0415

    folder = MIGRATIONS / target.service
    files = {path.stem: _checksum(path) for path in folder.glob("[0-9]*.sql")}
    url = database_url(target.owner_url, scheme="postgresql+psycopg", schema=schema)
    # Not `get_backend`: it makes a lock table whose lock outlives a killed process; ours is held.
    with PostgresqlPsycopgBackend(parse_uri(url), "_yoyo_migration") as backend:
        backend._is_locked = True  # noqa: SLF001
        wanted = read_migrations(str(folder)).filter(lambda migration: migration.id in files)
        missing = backend.to_apply(wanted)
        names = [migration.id for migration in missing]
        _compare_checksums(connection, schema, files, names)
        try:
            _apply_each(backend, missing)
        except psycopg.Error as error:
            raise CliError(
                "migration_failed", f"a migration of {schema} failed, nothing of it stays: {error}"
            ) from error
    _store_checksums(connection, schema, files)
    return names


def _apply_each(backend: Any, migrations: Iterable[Any]) -> None:
    """Apply migrations, each in one transaction with its mark.

    The library marks a migration after its commit: one that is killed between is begun again by the
    next start, and fails at what is there.
    """
    for migration in migrations:
        with backend.transaction():
            migration.process_steps(backend, "apply")
            backend.log_migration(migration, "apply")
            backend.mark_one(migration, log=False)


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compare_checksums(
    connection: Connection[Any], schema: str, files: dict[str, str], missing: list[str]
) -> None:
    """Refuse a file that was edited after it was applied here."""
    _run(
        connection,
        "CREATE TABLE IF NOT EXISTS {table} (id text PRIMARY KEY, sha256 text NOT NULL)",
        table=sql.Identifier(schema, "migration_checksums"),
    )
    rows = _run(
        connection, "SELECT id, sha256 FROM {table}",
        table=sql.Identifier(schema, "migration_checksums"),
    ).fetchall()  # fmt: skip
    for name, stored in rows:
        if name not in missing and files.get(name, stored) != stored:
            raise CliError(
                "migration_edited",
                f"{name}.sql was edited after it was applied to {schema}; "
                "restore it and put the change into a new file",
            )


def _store_checksums(connection: Connection[Any], schema: str, files: dict[str, str]) -> None:
    statement = _statement(
        "INSERT INTO {table} VALUES (%s, %s) ON CONFLICT DO NOTHING",
        table=sql.Identifier(schema, "migration_checksums"),
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, sorted(files.items()))


def _grant(connection: Connection[Any], target: Target, schema: str) -> None:
    """Give the service's role what the grants file lists, and take what it no longer lists."""
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(str(target.role))}
    grants = (MIGRATIONS / target.service / GRANTS).read_text()
    with connection.transaction():
        # What the role owns (views that it rebuilds) stays its own: revoked, it could not read it.
        owned_by_others = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace"
            " AND relkind IN ('r', 'S', 'v') AND relowner <> %s::regrole",
            (schema, target.role),
        ).fetchall()
        for (table,) in owned_by_others:
            _run(connection, "REVOKE ALL ON {table} FROM {role}",
                 table=sql.Identifier(schema, table), role=names["role"])  # fmt: skip
        _run(connection, "REVOKE ALL ON SCHEMA {schema} FROM {role}", **names)
        _run(connection, grants, **names)


@contextmanager
def _turn(connection: Connection[Any], name: str) -> Iterator[None]:
    """Hold the lock of this name, so that migrations of the same database take turns."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], signed=True)
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
    connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_SPACE, key))
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK_SPACE, key))


def _run(connection: Connection[Any], text: str, **parts: sql.Composable) -> psycopg.Cursor[Any]:
    return connection.execute(_statement(text, **parts))


def _statement(text: str, **parts: sql.Composable) -> sql.Composed:
    # The texts are this file's own and the grants file; what varies is quoted by `parts`.
    return sql.SQL(text).format(**parts)

"""Databases are made once, with roles that can do no more than they must."""

import dataclasses
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typed_settings.types import SecretStr

import infra.migrate
from infra.errors import CliError
from infra.migrate import migrate
from infra.runtime.environment import Environment, read_environment
from infra.runtime.programs import SERVICES
from infra.runtime.urls import database_url
from infra.runtime.wish import Wish, wished_bank
from tests.support.bank import wait_until
from tests.support.database import Databases


def migrate_again(databases: Databases) -> list[str]:
    """Migrate and return what was applied."""
    said: list[str] = []
    migrate(databases.bank, Environment(), databases.admin_url, said.append)
    return said


def test_a_second_migrate_changes_nothing(databases: Databases) -> None:
    assert migrate_again(databases) == []


def test_two_migrates_at_once_take_turns(databases: Databases) -> None:
    failures: list[Exception] = []

    def run() -> None:
        try:
            migrate_again(databases)
        except Exception as error:  # noqa: BLE001 Reported by the test.
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_migrate_that_is_killed_before_its_mark_has_done_nothing(databases: Databases) -> None:
    name, place = "0008_batches", "ledger_00"
    owner = database_url(databases.admin_url, dbname=f"databank_{databases.bank.bank_id}_ledger")
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"DELETE FROM {place}._yoyo_migration WHERE migration_id = '{name}'")
        connection.execute(f"DROP FUNCTION {place}.load_batch, {place}.store_batch")
        with connection.transaction():
            connection.execute(f"LOCK TABLE {place}._yoyo_migration IN SHARE MODE")
            process = multiprocessing.get_context("spawn").Process(
                target=migrate_again, args=(databases,)
            )
            process.start()
            wait_until(lambda: _waits(connection), 30, "the migration is about to be marked")
            process.kill()
            process.join()
    assert migrate_again(databases) == [f"migrate {place}: {name}"]


def _waits(connection: psycopg.Connection[Any]) -> bool:
    found = connection.execute(
        "SELECT FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
    ).fetchone()
    return found is not None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stored_events SET topic = 'x'",
        "DELETE FROM stored_events",
        "TRUNCATE stored_events",
        "DROP TABLE stored_events",
        "ALTER TABLE stored_events DISABLE TRIGGER ALL",
        "CREATE TABLE mine (x int)",
        "CREATE ROLE friend",
    ],
)
def test_the_ledgers_role_cannot_change_its_log(databases: Databases, statement: str) -> None:
    with (
        psycopg.connect(databases.ledger_url, options="-c search_path=ledger_00") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_the_ledgers_role_can_do_what_the_event_store_does(databases: Databases) -> None:
    with psycopg.connect(databases.ledger_url, options="-c search_path=ledger_00") as connection:
        connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        connection.execute(
            "INSERT INTO stored_events (originator_id, originator_version, topic, state) "
            "VALUES (gen_random_uuid(), 1, 't', '')"
        )
        connection.rollback()


def test_not_even_the_owner_changes_the_log_by_accident(databases: Databases) -> None:
    url = infra.migrate.targets(databases.bank, Environment(), databases.admin_url)[0].owner_url
    with (
        psycopg.connect(url, options="-c search_path=ledger_00") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute("DELETE FROM stored_events")


def test_a_service_cannot_reach_the_other_ones_database(databases: Databases) -> None:
    other = f"databank_{databases.bank.bank_id}_gateway"
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(databases.ledger_url, dbname=other)


def test_another_number_of_partitions_is_refused(databases: Databases) -> None:
    fewer = dataclasses.replace(databases.bank, partitions=2)
    with pytest.raises(CliError) as refused:
        migrate(fewer, Environment(), databases.admin_url, print)
    assert refused.value.code == "partitions_differ"


def test_a_file_that_was_edited_after_it_was_applied_is_refused(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in infra.migrate.MIGRATIONS.rglob("*.sql"):
        copy = tmp_path / source.relative_to(infra.migrate.MIGRATIONS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(source.read_text())
    monkeypatch.setattr(infra.migrate, "MIGRATIONS", tmp_path)
    assert migrate_again(databases) == []

    first = min((tmp_path / "ledger").glob("0001*.sql"))
    first.write_text(first.read_text() + "\n-- edited\n")

    with pytest.raises(CliError) as refused:
        migrate_again(databases)
    assert refused.value.code == "migration_edited"
    assert first.name in refused.value.detail


def test_database_functions_of_the_event_store_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "y")
    with pytest.raises(CliError) as refused:
        read_environment()
    assert refused.value.code == "db_functions_set"


def test_the_gateways_role_keeps_its_tables_after_any_number_of_migrates(
    databases: Databases,
) -> None:
    migrate_again(databases)
    migrate_again(databases)
    with psycopg.connect(databases.gateway_url, options="-c search_path=gateway") as connection:
        connection.execute("SELECT count(*) FROM balances")
        connection.execute("DELETE FROM balances WHERE false")
        connection.execute("SELECT count(*) FROM inbox_positions")


def out_of_reach(databases: Databases, service: str) -> set[str]:
    """Return the tables of a service's database that its role can do nothing with."""
    role = f"databank_{databases.bank.bank_id}_{service}"
    with psycopg.connect(database_url(databases.admin_url, dbname=role)) as connection:
        found = connection.execute(
            "SELECT DISTINCT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')"
            " AND NOT has_table_privilege(%s, pg_class.oid,"
            "     'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN')",
            (role,),
        ).fetchall()
    return {name for (name,) in found}


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_role_reaches_its_tables_and_none_of_the_migrations(
    databases: Databases, service: str
) -> None:
    hidden = out_of_reach(databases, service)
    assert "migration_checksums" in hidden
    assert {name for name in hidden if "yoyo" not in name} == {"migration_checksums"}


def test_a_gateways_role_that_could_read_how_its_tables_were_made_no_longer_can(
    databases: Databases,
) -> None:
    role = f"databank_{databases.bank.bank_id}_gateway"
    owner = database_url(databases.admin_url, dbname=role)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA gateway TO "{role}"')
    read = "SELECT count(*) FROM migration_checksums"
    where = "-c search_path=gateway"
    with psycopg.connect(databases.gateway_url, options=where) as connection:
        connection.execute(read)
    migrate_again(databases)
    with (
        psycopg.connect(databases.gateway_url, options=where) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(read)


def test_databases_that_were_made_by_hand_are_used_as_they_are(
    databases: Databases, tmp_path: Path
) -> None:
    urls = {}
    with psycopg.connect(databases.admin_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE by_hand LOGIN PASSWORD 'by-hand'")
        for service in SERVICES:
            admin.execute(f"CREATE DATABASE {service}_by_hand OWNER by_hand")
            urls[service] = database_url(
                databases.admin_url,
                dbname=f"{service}_by_hand",
                user="by_hand",
                password="by-hand",
            )
    environment = Environment(
        ledger_database_url=SecretStr(urls["ledger"]),
        gateway_database_url=SecretStr(urls["gateway"]),
        gifting_database_url=SecretStr(urls["gifting"]),
        tasks_database_url=SecretStr(urls["tasks"]),
    )
    bank = wished_bank(Wish(state=tmp_path / "state"), environment)
    assert bank.database == "given"

    for _ in range(2):
        migrate(bank, environment, environment.database_url, lambda _: None)

    with psycopg.connect(urls["ledger"], options="-c search_path=ledger_03") as connection:
        connection.execute("LOCK TABLE stored_events IN EXCLUSIVE MODE")
        assert connection.execute("SELECT current_user").fetchone() == ("by_hand",)

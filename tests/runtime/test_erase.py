"""A bank that is erased leaves nothing behind, and nothing is erased by mistake."""

import dataclasses
import os
import pty
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from pika.exceptions import ChannelClosedByBroker
from typed_settings.types import SecretStr

from infra.errors import CliError
from infra.runtime import erase
from infra.runtime.environment import Environment
from infra.runtime.erase import erase_bank
from infra.runtime.postgres import shared_home
from infra.runtime.programs import SERVICES
from infra.runtime.state import Bank, make_bank
from infra.runtime.wish import GIVEN_DATABASE
from shared.bus.amqp import close_quietly, open_connection
from shared.bus.topology import bank_topology
from tests.support.bank import LocalBank
from tests.support.database import Databases

MakeBank = Callable[..., LocalBank]


def quiet(_text: str) -> None:
    """Hear nothing."""


def erased(bank: Bank) -> list[str]:
    return erase_bank(bank, Environment(), quiet)


@pytest.mark.slow
def test_a_bank_is_erased_when_it_is_down_and_confirmed(local_bank: LocalBank) -> None:
    local_bank.up()
    bank = local_bank.bank
    running = local_bank.run("erase", "--yes")
    assert (running.returncode, "[already_running]" in running.stderr) == (1, True)
    assert local_bank.is_ready()
    local_bank.done("down")
    asked = local_bank.run("erase")
    assert (asked.returncode, "[not_confirmed]" in asked.stderr) == (1, True)
    assert bank.file.exists()
    assert (bank.state / "postgres" / "PG_VERSION").exists()

    answer = local_bank.json("erase", "--yes")
    assert answer["bank_id"] == bank.bank_id
    assert str(bank.state) in answer["removed"]
    assert not bank.state.exists()
    assert not shared_home(bank).exists()
    gone = local_bank.run("erase", "--yes")
    assert (gone.returncode, "[no_bank]" in gone.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "stays"), [("n\n", True), ("\n", True), ("y\n", False)])
def test_an_operator_at_a_terminal_is_asked(tmp_path: Path, typed: str, stays: bool) -> None:  # noqa: FBT001
    bank = make_bank(tmp_path / "state")
    mine, theirs = pty.openpty()
    process = LocalBank(bank.state).popen("erase", stdin=theirs)
    os.write(mine, typed.encode())
    assert process.wait(60) == int(stays)
    os.close(mine)
    os.close(theirs)
    assert bank.state.exists() == stays


def test_data_outside_the_state_folder_go_too_unless_they_are_another_banks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, other = make_bank(tmp_path / "one"), make_bank(tmp_path / "other")
    home = tmp_path / "outside"
    monkeypatch.setattr(erase, "shared_home", lambda _bank: home)
    (home / "data").mkdir(parents=True)
    (home / "state-folder").write_text(f"{other.state}\n")
    (bank.state / "postgres").symlink_to(home / "data")
    with pytest.raises(CliError) as refused:
        erased(bank)
    assert refused.value.code == "folder_taken"
    assert bank.file.exists()
    (home / "state-folder").write_text(f"{tmp_path / 'moved from here'}\n")
    assert str(home) in erased(bank)
    assert not home.exists()
    assert not bank.state.exists()
    assert other.file.exists()


def test_what_is_not_the_banks_stays_in_its_folder(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "state")
    (bank.state / "thesis.tex").write_text("my only copy")
    (bank.state / "postgres").mkdir()
    said: list[str] = []
    erase_bank(bank, Environment(), said.append)
    assert [path.name for path in bank.state.iterdir()] == ["thesis.tex"]
    assert "thesis.tex" in said[0]


def test_an_erasure_that_broke_off_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make_bank(tmp_path / "state")
    remove = erase._remove

    def break_off(path: Path) -> bool:
        if path == bank.file:
            raise PermissionError(path)
        return remove(path)

    monkeypatch.setattr(erase, "_remove", break_off)
    with pytest.raises(CliError, match="try again"):
        erased(bank)
    assert not bank.logs_dir.exists()
    monkeypatch.undo()
    erased(bank)
    assert not bank.state.exists()


@pytest.mark.slow
def test_its_databases_and_roles_on_a_server_that_was_given_go_too(
    make_local_bank: MakeBank, databases: Databases
) -> None:
    local = make_local_bank(DATABASE_URL=databases.admin_url, LEDGER_PARTITIONS="2")
    local.done("migrate")
    bank = local.bank
    assert names_of(databases, bank) == {
        f"databank_{bank.bank_id}_{service}" for service in SERVICES
    }
    given = local.environment.pop("DATABASE_URL")
    refused = local.run("erase", "--yes")
    assert (refused.returncode, "[database_differs]" in refused.stderr) == (1, True)
    local.environment["DATABASE_URL"] = given
    local.done("erase", "--yes")
    assert names_of(databases, bank) == set()
    assert not bank.state.exists()


def names_of(databases: Databases, bank: Bank) -> set[str]:
    """Return the databases and roles that carry a bank's id."""
    wanted = (f"databank\\_{bank.bank_id}\\_%",) * 2
    with psycopg.connect(databases.admin_url) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s"
            " UNION SELECT rolname FROM pg_roles WHERE rolname LIKE %s", wanted,
        ).fetchall()  # fmt: skip
    return {name for (name,) in rows}


def test_schemas_in_a_database_that_was_made_by_hand_go_and_the_database_stays(
    tmp_path: Path, databases: Databases
) -> None:
    urls = {}
    with psycopg.connect(databases.admin_url, autocommit=True) as connection:
        for service in SERVICES:
            name = f"by_hand_{service}"
            connection.execute(f"CREATE DATABASE {name}")
            urls[service] = databases.admin_url.replace("/postgres?", f"/{name}?")
    schemas = {
        "ledger": "ledger_00", "gateway": "gateway", "gifting": "gifting_00", "tasks": "tasks_00",
    }  # fmt: skip
    for service, schema in schemas.items():
        with psycopg.connect(urls[service]) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
            connection.execute(f"CREATE TABLE {schema}.things ()")
            connection.execute("CREATE SCHEMA theirs")
    bank = dataclasses.replace(make_bank(tmp_path / "state"), database=GIVEN_DATABASE)
    given = {f"{service}_database_url": SecretStr(url) for service, url in urls.items()}
    erase_bank(bank, Environment(**given), quiet)  # type: ignore[arg-type]
    for url in urls.values():
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
        names = {name for (name,) in rows}
        assert "theirs" in names
        assert not names & set(schemas.values())
    with psycopg.connect(databases.admin_url, autocommit=True) as connection:
        for service in SERVICES:
            connection.execute(f"DROP DATABASE by_hand_{service}")


@pytest.mark.slow
def test_its_queues_go_too_where_the_broker_is_given(tmp_path: Path, amqp_url: str) -> None:
    bank = dataclasses.replace(make_bank(tmp_path / "state"), transport="rabbitmq")
    bank.save()
    topology = bank_topology(bank.bank_id, bank.partitions)
    connection = open_connection(amqp_url)
    topology.declare(connection.channel())
    local = LocalBank(bank.state)
    local.environment["AMQP_URL"] = amqp_url
    local.done("erase", "--yes")
    for name in map(topology.queue, topology.queues):
        with pytest.raises(ChannelClosedByBroker, match="NOT_FOUND"):
            connection.channel().queue_declare(name, passive=True)
    close_quietly(connection)


def test_without_the_broker_the_operator_is_told_that_queues_stay(tmp_path: Path) -> None:
    bank = dataclasses.replace(make_bank(tmp_path / "state"), transport="rabbitmq")
    said: list[str] = []
    erase_bank(bank, Environment(), said.append)
    assert "AMQP_URL" in said[0]
    assert not bank.state.exists()

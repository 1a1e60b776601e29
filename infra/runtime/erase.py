"""Erasing a bank: whatever it left on disk, on a given server and on the broker."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from infra.errors import CliError
from infra.migrate import Target, targets
from infra.runtime.backup import RULES_FILES
from infra.runtime.environment import Environment
from infra.runtime.postgres import shared_home, short_folder
from infra.runtime.processes import bank_processes, state_lock
from infra.runtime.state import Bank, make_folders
from infra.runtime.wish import GIVEN_DATABASE, needs_own_database
from shared.bus.topology import bank_topology
from shared.db import connect

Say = Callable[[str], None]


def erase_bank(bank: Bank, environment: Environment, say: Say) -> list[str]:
    """Remove a bank that does not run, completely; returns what was removed.

    A file in the state folder that is not the bank's stays, and the folder with it. Repeating it
    after a failure goes on where that was: `bank.json` goes last. Raises CliError
    `already_running`, `database_differs`, `database_refused`, `folder_taken`, `not_erased`,
    UnavailableError when a server or broker does not answer.
    """
    refuse_running(bank)
    make_folders(bank.state)
    with state_lock(bank.run_dir):
        try:
            home = _own_home(bank)
            removed = _erase_databases(bank, environment) + _erase_queues(bank, environment, say)
            return removed + _erase_files(bank, home, say)
        except OSError as error:
            raise CliError("not_erased", f"some of it stays, try again: {error}") from error


def refuse_running(bank: Bank) -> None:
    """Refuse a bank of which something lives. Raises CliError `already_running`."""
    alive = sorted(process.pid for process in bank_processes(bank.state))
    if alive:
        raise CliError(
            "already_running",
            f"the bank on {bank.state} runs (pid {', '.join(map(str, alive))}): "
            f"stop it first with `databank down --state {bank.state}`",
            pids=alive,
        )


def _own_home(bank: Bank) -> Path:
    """Return the home of the data that root's bank has outside, if it is not another bank's."""
    home = shared_home(bank)
    try:
        owner = Path((home / "state-folder").read_text().strip())
    except FileNotFoundError:
        return home
    if owner != bank.state and (owner / "bank.json").exists():
        raise CliError("folder_taken", f"the data in {home} are those of the bank in {owner}")
    return home


def _erase_databases(bank: Bank, environment: Environment) -> list[str]:
    """Drop what the bank has made on servers that were given."""
    if bank.database != GIVEN_DATABASE:
        return []
    if needs_own_database(environment):
        raise CliError(
            "database_differs",
            "this bank's data lie in a database that you gave: set DATABASE_URL to erase them",
        )
    admin_url = str(environment.database_url)
    removed = []
    try:
        for target in targets(bank, environment, admin_url):
            removed += _drop(target, admin_url)
    except psycopg.Error as error:
        raise CliError("database_refused", f"the database refused: {error}") from error
    return removed


def _drop(target: Target, admin_url: str) -> list[str]:
    """Drop a service's database and role, or its schemas where the database was made by hand."""
    if target.role is None:
        with connect(target.owner_url) as connection:
            for schema in target.schemas:
                connection.execute(_named("DROP SCHEMA IF EXISTS {} CASCADE", schema))
        return [f"schemas {', '.join(target.schemas)}"]
    with connect(admin_url) as connection:
        connection.execute(_named("DROP DATABASE IF EXISTS {} WITH (FORCE)", target.role))
        connection.execute(_named("DROP ROLE IF EXISTS {}", target.role))
    return [f"database and role {target.role}"]


def _named(statement: str, name: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(name))


def _erase_queues(bank: Bank, environment: Environment, say: Say) -> list[str]:
    """Delete the bank's exchange and queues on the broker."""
    if not environment.amqp_url:
        if bank.transport == "rabbitmq":
            say("its queues stay on the broker: set AMQP_URL to remove them too")
        return []
    from shared.bus.amqp import close_quietly, open_connection  # noqa: PLC0415 Slow to import.

    topology = bank_topology(bank.bank_id, bank.partitions)
    connection = open_connection(str(environment.amqp_url))
    try:
        topology.erase(connection.channel())
    finally:
        close_quietly(connection)
    return [f"exchange and queues {topology.exchange}"]


def _erase_files(bank: Bank, home: Path, say: Say) -> list[str]:
    own = (
        home, bank.state / "postgres", bank.logs_dir, bank.rejects_dir, bank.clock_file,
        *(bank.state / name for name in RULES_FILES.values()), short_folder(bank.run_dir),
        bank.run_dir, bank.file,
    )  # fmt: skip
    removed = [str(path) for path in own if _remove(path)]
    if others := sorted(path.name for path in bank.state.iterdir()):
        say(f"{bank.state} stays: {', '.join(others)} in it is not the bank's")
    else:
        bank.state.rmdir()
        removed.append(str(bank.state))
    return removed


def _remove(path: Path) -> bool:
    """Remove a file, a link or a folder with all that is in it; say whether it was there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return True
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True

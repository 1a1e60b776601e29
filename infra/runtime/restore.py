"""`databank restore`: a backup becomes a bank of its own, proved before it may be started.

What happened after the backup is lost to the restored bank but not to the world: others have seen
it. So the epoch is raised. Every log has a new source from then on: messages and positions of the
lost future mean nothing here, and what this bank writes next is confused with nothing.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from psycopg import Connection, sql

from infra.errors import CliError
from infra.migrate import migrate, targets, with_secrets
from infra.runtime.backup import (
    POSTGRES_PART,
    RULES_FILES,
    STATE_PART,
    Manifest,
    check_backup,
)
from infra.runtime.environment import Environment
from infra.runtime.postgres import Cluster, install_data, prepare_cluster
from infra.runtime.processes import state_lock, stop_bank
from infra.runtime.programs import SERVICES, Program, postgres_program, service_programs
from infra.runtime.state import Bank, make_folders
from infra.runtime.up import Listener, RunningBank, StopRequested, stop_signals
from infra.runtime.wish import OWN_DATABASE, check_ports, needs_own_database
from shared.contracts.envelope import log_of, source_of
from shared.db import connect

Heads = dict[str, int]
# The services whose schemas are logs; the others have only views.
WITH_LOGS = ("ledger", "gifting", "tasks")


@dataclass(frozen=True)
class RestoreWish:
    """What the operator asked for on the command line."""

    backup: Path
    state: Path
    port: int | None = None
    epoch: int | None = None


def restore_bank(
    wish: RestoreWish, environment: Environment, listener: Listener,
    prove: Callable[[Bank], dict[str, Any]],
) -> tuple[Bank, dict[str, Any]]:  # fmt: skip
    """Make a bank of a backup, `prove` it with only its web processes running, and stop it again.

    Nothing stays of a restore that fails. Raises CliError.
    """
    if not needs_own_database(environment):
        raise CliError(
            "given_database", "a restored bank has its own PostgreSQL: unset DATABASE_URL and such"
        )
    if wish.state.exists() and any(wish.state.iterdir()):
        raise CliError("state_taken", f"{wish.state} is not empty: name a new state folder")
    listener.step("check the backup")
    bank = _restored(wish, check_backup(wish.backup))
    check_ports(bank)
    make_folders(bank.state)
    with state_lock(bank.run_dir):
        # A backup that an earlier version took lacks the secrets of services that came later.
        bank = with_secrets(bank)
        cluster: list[Cluster] = []
        try:
            with stop_signals():
                result = _restore(wish, bank, environment, listener, prove, cluster)
        except BaseException as error:
            stop_bank(bank.state)
            _remove(bank, cluster)
            if isinstance(error, StopRequested):
                raise CliError("stopped", "the restore was stopped; nothing of it stays") from None
            raise
        stop_bank(bank.state)
        bank.save()
    return bank, result


def _restored(wish: RestoreWish, manifest: Manifest) -> Bank:
    """Return the bank as it will be: another place, a higher epoch."""
    epoch = wish.epoch or manifest.epoch + 1
    if epoch <= manifest.epoch:
        raise CliError("epoch_not_raised", f"--epoch must be above {manifest.epoch}")
    kept = json.loads((wish.backup / STATE_PART / "bank.json").read_text())
    known = {part.name for part in dataclasses.fields(Bank)}
    bank = Bank(state=wish.state, **{name: kept[name] for name in kept if name in known})
    # The server's home outside the state folder is another one too, see `find_cluster`.
    home = f"{bank.bank_id}-{token_hex(4)}"
    return dataclasses.replace(
        bank, epoch=epoch, port=wish.port or bank.port, home=home, database=OWN_DATABASE
    )


def _restore(
    wish: RestoreWish, bank: Bank, environment: Environment, listener: Listener,
    prove: Callable[[Bank], dict[str, Any]], made: list[Cluster],
) -> dict[str, Any]:  # fmt: skip
    listener.step("copy the backup")
    shutil.copytree(
        wish.backup / STATE_PART, bank.state, dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("bank.json"),
    )  # fmt: skip
    made.append(install_data(bank, environment, wish.backup / POSTGRES_PART, listener.note))
    cluster = prepare_cluster(bank, environment, listener.note)
    urls = {
        each.service: each.service_url for each in targets(bank, environment, cluster.admin_url)
    }
    running = RunningBank(bank, _programs(bank, environment, cluster, urls), listener)
    listener.step("start the database")
    running.launch()
    running.await_database(cluster.admin_url)
    listener.step("migrate")
    migrate(bank, environment, cluster.admin_url, listener.note)
    listener.step("begin the new epoch")
    heads = begin_epoch(bank, environment, cluster.admin_url)
    listener.step("start the services")
    running.start_services()
    return {"heads": heads, **prove(bank)}


def _programs(
    bank: Bank, environment: Environment, cluster: Cluster, urls: dict[str, str]
) -> list[Program]:
    """Return the database and the web processes: no worker changes a bank that is not proved."""
    extra = {
        variable: str(bank.state / name)
        for variable, name in RULES_FILES.items()
        if (bank.state / name).exists()
    }
    webs = [
        dataclasses.replace(program, environment=program.environment | extra)
        for program in service_programs(bank, environment, urls)
        if program.name.endswith("-web")
    ]
    return [postgres_program(bank, cluster), *webs]


def begin_epoch(bank: Bank, environment: Environment, admin_url: str) -> Heads:
    """Translate all positions into the bank's new epoch; return the logs' heads.

    An inbox goes on at min(its old position, the restored head), so that nothing that the restored
    logs hold is missed and nothing of the lost future is expected. Relays publish from the
    beginning, views begin at nothing: they are built anew next.
    """
    heads: Heads = {}
    found = targets(bank, environment, admin_url)
    for target in found:
        assert target.service in SERVICES
        if target.service in WITH_LOGS:
            with connect(target.owner_url) as connection:
                heads |= {log: _head(connection, log) for log in target.schemas}
    for target in found:
        with connect(target.owner_url) as connection, connection.transaction():
            for schema in target.schemas:
                connection.execute(
                    sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema))
                )
                if target.service in WITH_LOGS:
                    _carry_over(connection, bank, heads)
                else:
                    connection.execute("DELETE FROM inbox_positions")
                    connection.execute("DELETE FROM parked")
    return heads


def _head(connection: Connection[Any], log: str) -> int:
    table = sql.Identifier(log, "stored_events")
    statement = sql.SQL("SELECT coalesce(max(notification_id), 0) FROM {}").format(table)
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


def _carry_over(connection: Connection[Any], bank: Bank, heads: Heads) -> None:
    """Give one log's inbox and parked events the new sources, and clear its relay."""
    connection.execute("DELETE FROM relay_positions")
    rows = connection.execute(
        "DELETE FROM inbox_positions RETURNING consumer, source, lane, sequence"
    ).fetchall()
    positions: dict[tuple[str, str, str], tuple[int, int]] = {}
    for consumer, source, lane, sequence in rows:
        # Positions of several epochs can't be; if they are, the last one counts.
        at = (epoch_of(source), min(sequence, heads.get(log_of(source), 0)))
        key = (consumer, source_of(bank.bank_id, bank.epoch, log_of(source)), lane)
        positions[key] = max(at, positions.get(key, at))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO inbox_positions (consumer, source, lane, sequence)"
            " VALUES (%s, %s, %s, %s)",
            [(*key, sequence) for key, (_, sequence) in positions.items()],
        )
    for (source,) in connection.execute("SELECT DISTINCT source FROM parked").fetchall():
        new = source_of(bank.bank_id, bank.epoch, log_of(source))
        connection.execute(
            "UPDATE parked SET source = %(new)s, event = event || jsonb_build_object("
            "'source', %(new)s::text, 'id', %(new)s::text || '/' || sequence)"
            " WHERE source = %(old)s",
            {"new": new, "old": source},
        )


def epoch_of(source: str) -> int:
    """Return the epoch in a source."""
    return int(source.split("/")[2])


def _remove(bank: Bank, made: list[Cluster]) -> None:
    """Remove what a failed restore has made; the folder was empty before."""
    for cluster in made:
        if cluster.user is not None:
            shutil.rmtree(cluster.data.parent, ignore_errors=True)
    for path in bank.state.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

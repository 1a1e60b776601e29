"""The state folder of a bank and `bank.json`, the file that says what the bank is."""

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from infra.errors import CliError
from infra.runtime.environment import read_environment

DEFAULT_STATE = ".databank"
DEFAULT_PORT = 8080
DEFAULT_PARTITIONS = 4
DEFAULT_TIMEZONE = "Asia/Shanghai"
ID_LETTERS = string.ascii_lowercase + string.digits
ID_LENGTH = 8


@dataclass(frozen=True)
class Bank:
    """Everything that is kept about a bank; written by `up`, read by every command.

    `bank.json` holds secrets (tokens, passwords, sealing keys) and is readable by its owner only.
    """

    state: Path
    bank_id: str
    epoch: int
    port: int
    partitions: int
    timezone: str
    sandbox: bool
    operator_token: str = field(repr=False)
    gateway_token: str = field(repr=False)
    ledger_token: str = field(repr=False)
    postgres_password: str = field(repr=False)
    # Empty in a bank that an earlier version made, until its next start.
    gifting_token: str = field(repr=False, default="")
    tasks_token: str = field(repr=False, default="")
    # What seals partners' secrets in tasks' database, newest first. Old ones open what they sealed.
    tasks_sealing_keys: list[str] = field(repr=False, default_factory=list)
    service_passwords: dict[str, str] = field(repr=False, default_factory=dict)
    transport: str = "log"
    database: str = ""
    # Where the own PostgreSQL's data lie when root starts the bank; empty: named by the bank's id.
    home: str = ""

    @property
    def gateway_port(self) -> int:
        """Return the port of the gateway's web process."""
        return self.port

    @property
    def ledger_port(self) -> int:
        """Return the port of the ledger's web process."""
        return self.port + 1

    @property
    def gifting_port(self) -> int:
        """Return the port of gifting's web process."""
        return self.port + 2

    @property
    def tasks_port(self) -> int:
        """Return the port of tasks' web process."""
        return self.port + 3

    @property
    def gateway_worker_port(self) -> int:
        """Return the port at which the gateway's worker tells metrics and health."""
        return self.port + 10

    @property
    def ledger_worker_port(self) -> int:
        """Return the port at which the ledger's worker tells metrics and health."""
        return self.port + 11

    @property
    def gifting_worker_port(self) -> int:
        """Return the port at which gifting's worker tells metrics and health."""
        return self.port + 12

    @property
    def tasks_worker_port(self) -> int:
        """Return the port at which tasks' worker tells metrics and health."""
        return self.port + 13

    @property
    def urls(self) -> dict[str, str]:
        """Return where each process answers, by its name."""
        ports = {
            "ledger-web": self.ledger_port, "ledger-worker": self.ledger_worker_port,
            "gateway-web": self.gateway_port, "gateway-worker": self.gateway_worker_port,
            "gifting-web": self.gifting_port, "gifting-worker": self.gifting_worker_port,
            "tasks-web": self.tasks_port, "tasks-worker": self.tasks_worker_port,
        }  # fmt: skip
        return {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}

    @property
    def gateway_url(self) -> str:
        """Return where the gateway answers."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def ledger_url(self) -> str:
        """Return where the ledger answers."""
        return f"http://127.0.0.1:{self.ledger_port}"

    @property
    def gifting_url(self) -> str:
        """Return where gifting answers."""
        return f"http://127.0.0.1:{self.gifting_port}"

    @property
    def tasks_url(self) -> str:
        """Return where tasks answers."""
        return f"http://127.0.0.1:{self.tasks_port}"

    @property
    def file(self) -> Path:
        """Return the path of `bank.json`."""
        return self.state / "bank.json"

    @property
    def clock_file(self) -> Path:
        """Return the path of the sandbox clock's file."""
        return self.state / "clock"

    @property
    def run_dir(self) -> Path:
        """Return the folder of locks, process ids and generated configuration."""
        return self.state / "run"

    @property
    def logs_dir(self) -> Path:
        """Return the folder of the processes' logs."""
        return self.state / "logs"

    @property
    def rejects_dir(self) -> Path:
        """Return the folder where rejected rows are written."""
        return self.state / "rejects"

    def log_file(self, process: str) -> Path:
        """Return the log of a process."""
        return self.logs_dir / f"{process}.log"

    def save(self) -> None:
        """Write `bank.json`, whole or not at all, with the URLs for people who look into it."""
        kept = {name: value for name, value in asdict(self).items() if name != "state"}
        kept |= {
            "gateway_url": self.gateway_url, "ledger_url": self.ledger_url,
            "gifting_url": self.gifting_url, "tasks_url": self.tasks_url,
        }  # fmt: skip
        write_private(self.file, json.dumps(kept, indent=2) + "\n")


def state_path(state: Path | None) -> Path:
    """Return the state folder: given, else `DATABANK_STATE`, else `.databank` here."""
    return Path(state or read_environment().databank_state or DEFAULT_STATE).resolve()


def find_bank(state: Path | None = None) -> Bank:
    """Return the bank of a state folder. Raises CliError `no_bank` or `state_damaged`."""
    folder = state_path(state)
    try:
        return _load(folder)
    except FileNotFoundError:
        raise CliError(
            "no_bank",
            f"there is no bank in {folder}: start one with `databank up --state {folder}`",
        ) from None


def make_bank(
    state: Path, *, partitions: int = DEFAULT_PARTITIONS, timezone: str = DEFAULT_TIMEZONE,
    sandbox: bool = False, port: int = DEFAULT_PORT,
) -> Bank:  # fmt: skip
    """Make the state folder and a new bank in it, with random id and tokens."""
    make_folders(state)
    bank = Bank(
        state=state,
        bank_id="".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH)),
        epoch=1,
        port=port,
        partitions=partitions,
        timezone=timezone,
        sandbox=sandbox,
        operator_token=secrets.token_urlsafe(32),
        gateway_token=secrets.token_urlsafe(32),
        ledger_token=secrets.token_urlsafe(32),
        postgres_password=secrets.token_urlsafe(32),
        gifting_token=secrets.token_urlsafe(32),
        tasks_token=secrets.token_urlsafe(32),
        tasks_sealing_keys=[secrets.token_urlsafe(32)],
    )
    bank.save()
    return bank


def make_folders(state: Path) -> None:
    """Make the state folder and its parts, closed to others. Raises CliError `state_unusable`."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
        for name in ("run", "logs", "rejects"):
            (state / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CliError("state_unusable", f"cannot use {state} as state folder: {error}") from error


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def _load(folder: Path) -> Bank:
    try:
        kept = json.loads((folder / "bank.json").read_text())
        known = {part.name for part in fields(Bank)}
        return Bank(state=folder, **{name: kept[name] for name in kept if name in known})
    except (ValueError, TypeError) as error:
        raise CliError(
            "state_damaged", f"{folder / 'bank.json'} cannot be read: {error}"
        ) from error

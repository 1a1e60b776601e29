"""The processes of a bank: command lines and environments, secrets only in the latter."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.errors import CliError
from infra.runtime.environment import Environment
from infra.runtime.postgres import Cluster
from infra.runtime.processes import POSTGRES, PROCESS_MARK, STATE_MARK
from infra.runtime.state import Bank

ROOT = Path(__file__).parents[2]
GUNICORN_CONFIG = ROOT / "infra" / "gunicorn.conf.py"
SERVICES = ("ledger", "gateway", "gifting", "tasks")
ROLES = ("web", "worker")
LOG_BYTES_MAX = 20 << 20
LOG_BACKUPS = 3


@dataclass(frozen=True)
class Program:
    """A process that is kept running."""

    name: str
    command: list[str]
    environment: dict[str, str]
    user: str | None = None
    stop_signal: str = "TERM"
    stop_wait_s: int = 4

    def section(self, log_file: Path) -> str:
        """Return the program's section of supervisord's configuration."""
        lines = {
            "command": escape(shlex.join(self.command)),
            "environment": self._settings(),
            "directory": "/" if self.user else escape(str(ROOT)),
            "autostart": "false",
            "autorestart": "true",
            # A process that lives shorter than this is restarted with growing pauses (1 s, 2 s, …).
            "startsecs": "10",
            "startretries": "1000000",
            "stopsignal": self.stop_signal,
            "stopwaitsecs": str(self.stop_wait_s),
            "killasgroup": "true",
            "umask": "077",
            "redirect_stderr": "true",
            "stdout_logfile": escape(str(log_file)),
            "stdout_logfile_maxbytes": str(LOG_BYTES_MAX),
            "stdout_logfile_backups": str(LOG_BACKUPS),
        }
        if self.user is not None:
            lines["user"] = self.user
        return section(f"program:{self.name}", lines)

    def _settings(self) -> str:
        pairs = sorted(self.environment.items())
        return ",".join(f'{name}="{quoted(value)}"' for name, value in pairs)


def section(title: str, settings: dict[str, str]) -> str:
    """Write a section of supervisord's configuration."""
    return f"[{title}]\n" + "".join(f"{name}={value}\n" for name, value in settings.items())


def escape(text: str) -> str:
    """Write a text so that supervisord's configuration gives it back."""
    return text.replace("%", "%%")


def quoted(text: str) -> str:
    """Write a value that stands between double quotes. Raises CliError `bad_setting`."""
    if '"' in text or "\n" in text:
        raise CliError("bad_setting", "a setting contains a double quote or a line break")
    return escape(text)


def postgres_program(bank: Bank, cluster: Cluster) -> Program:
    """Return the bank's own PostgreSQL; INT makes it stop at once and in good order."""
    return Program(
        name=POSTGRES,
        command=cluster.command(),
        environment=_marks(bank, POSTGRES),
        user=cluster.user,
        stop_signal="INT",
        stop_wait_s=5,
    )


def service_programs(bank: Bank, environment: Environment, urls: dict[str, str]) -> list[Program]:
    """Return the web process and the worker of every service; `urls` are their databases."""
    return [
        Program(
            name=f"{service}-{role}",
            command=_command(service, role),
            environment=_marks(bank, f"{service}-{role}")
            | service_environment(bank, environment, service, urls[service]),
        )
        for service in SERVICES
        for role in ROLES
    ]


def service_environment(
    bank: Bank, environment: Environment, service: str, url: str
) -> dict[str, str]:
    """Return the settings that a service's processes get, see shared.config.Settings."""
    tokens = {
        "operator": bank.operator_token,
        "gateway": bank.gateway_token,
        "ledger": bank.ledger_token,
        "gifting": bank.gifting_token,
        "tasks": bank.tasks_token,
    }
    own = {"TASKS_SEALING_KEYS": ",".join(bank.tasks_sealing_keys)} if service == "tasks" else {}
    return own | {
        "BANK_ID": bank.bank_id,
        "BANK_EPOCH": str(bank.epoch),
        "BANK_TIMEZONE": bank.timezone,
        "BANK_SANDBOX": "1" if bank.sandbox else "0",
        "BANK_CLOCK_FILE": str(bank.clock_file),
        "LEDGER_PARTITIONS": str(bank.partitions),
        "LEDGER_URL": bank.ledger_url,
        "LEDGER_PORT": str(bank.ledger_port),
        "GATEWAY_URL": bank.gateway_url,
        "GATEWAY_PORT": str(bank.gateway_port),
        "GIFTING_URL": bank.gifting_url,
        "GIFTING_PORT": str(bank.gifting_port),
        "TASKS_URL": bank.tasks_url,
        "TASKS_PORT": str(bank.tasks_port),
        "LEDGER_WORKER_PORT": str(bank.ledger_worker_port),
        "GATEWAY_WORKER_PORT": str(bank.gateway_worker_port),
        "GIFTING_WORKER_PORT": str(bank.gifting_worker_port),
        "TASKS_WORKER_PORT": str(bank.tasks_worker_port),
        "AMQP_URL": environment.amqp_url,
        "SERVICE_TOKENS": ",".join(f"{name}={token}" for name, token in tokens.items()),
        "SERVICE_TOKEN": tokens[service],
        f"{service.upper()}_DATABASE_URL": url,
    }


def _command(service: str, role: str) -> list[str]:
    if role == "web":
        app = f"services.{service}.bootstrap:create_app()"
        return [sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONFIG), app]
    return [sys.executable, "-m", f"services.{service}", role]


def _marks(bank: Bank, name: str) -> dict[str, str]:
    return {STATE_MARK: str(bank.state), PROCESS_MARK: name}

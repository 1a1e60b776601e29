"""What the operator sets in the environment for `up`, `down`, `migrate` and their like."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typed_settings as ts
from typed_settings.types import SecretStr

from infra.errors import CliError
from shared.config import setting

# What a child gets from `up` itself, per process; what the operator's shell holds never leaks in.
FOR_UP_ONLY = (
    "DATABASE_URL", "LEDGER_DATABASE_URL", "GATEWAY_DATABASE_URL", "GIFTING_DATABASE_URL",
    "TASKS_DATABASE_URL", "AMQP_URL", "SERVICE_TOKENS", "SERVICE_TOKEN", "TASKS_SEALING_KEYS",
    "DATABANK_PROCESS",
)  # fmt: skip


@dataclass(frozen=True)
class Environment:
    """The variables, named in capitals, that the commands read besides those of the processes."""

    databank_state: str = setting("", "state folder; `.databank` in the current folder if empty")
    databank_postgres_user: str = setting(
        "", "who runs the own PostgreSQL when `up` is root; else postgres, else nobody"
    )
    database_url: SecretStr = setting(
        SecretStr(""), "PostgreSQL server and admin role; empty: `up` runs its own PostgreSQL"
    )
    ledger_database_url: SecretStr = setting(SecretStr(""), "the ledger's database, made by hand")
    gateway_database_url: SecretStr = setting(SecretStr(""), "the gateway's database, made by hand")
    gifting_database_url: SecretStr = setting(SecretStr(""), "gifting's database, made by hand")
    tasks_database_url: SecretStr = setting(SecretStr(""), "tasks' database, made by hand")
    amqp_url: SecretStr = setting(SecretStr(""), "RabbitMQ; empty: consumers pull logs over HTTP")
    ledger_partitions: int = setting(0, "number of ledger partitions (4); fixed at first start")
    bank_timezone: str = setting("", "time zone of months and days; fixed at first start")
    postgres_enable_db_functions: str = setting("", "must not be set: it bypasses the log's order")

    def service_url(self, service: str) -> str:
        """Return the database that was given for a service, empty when none was."""
        return str(getattr(self, f"{service}_database_url"))


def read_environment() -> Environment:
    """Read the environment. Raises CliError `bad_setting` with the variable's name."""
    try:
        found = ts.load_settings(Environment, loaders=[ts.EnvLoader(prefix="")])
    except Exception as error:
        raise CliError("bad_setting", f"the environment has a wrong value: {error}") from error
    if found.postgres_enable_db_functions:
        raise CliError(
            "db_functions_set",
            "POSTGRES_ENABLE_DB_FUNCTIONS is set: the ledger's log would lose its order; unset it",
        )
    return found


# `python -m` looks for modules in the current folder first: an http.py there would be run.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}


def inherited(**extra: str) -> dict[str, str]:
    """Return this process's environment for a child, without what only `up` may know."""
    kept = {name: value for name, value in os.environ.items() if name not in FOR_UP_ONLY}
    for name in ("LEDGER_RULES_FILE", "GIFTING_RULES_FILE", "TASKS_RULES_FILE"):
        if rules := kept.get(name):
            kept[name] = str(Path(rules).resolve())  # A child has another folder.
    return kept | SAFE_PATH | extra


def environment_table() -> list[dict[str, Any]]:
    """Return name, default and meaning of each variable, for the documents."""
    return [
        {"name": name.upper(), "default": str(part.default or ""), "help": part.metadata["help"]}
        for name, part in Environment.__dataclass_fields__.items()
    ]

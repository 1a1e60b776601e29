"""Settings of every process, read once from the environment; the only reader of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typed_settings as ts
from typed_settings.types import SecretStr


def setting(default: Any, text: str, **kwargs: Any) -> Any:
    """Declare a setting with its default and the line that documents it."""
    return field(default=default, metadata={"help": text}, **kwargs)


@dataclass(frozen=True)
class Settings:
    """Everything that can be set, by environment variable of the same name in capitals."""

    bank_id: str = setting(
        "local", "the bank's id; made at first start and kept in the state folder"
    )
    bank_epoch: int = setting(1, "raised by a restore; part of every event's source")
    bank_timezone: str = setting("Asia/Shanghai", "time zone of months and days")
    bank_sandbox: bool = setting(
        default=False, text="1 makes the clock settable and closes months only on command"
    )
    bank_clock_file: str = setting("", "file with the sandbox clock's offset")
    bank_close_at: str = setting("1 06:00", "day and local time at which the last month is closed")
    ledger_partitions: int = setting(4, "number of ledger partitions; fixed at first start")
    ledger_database_url: SecretStr = setting(SecretStr(""), "database of the ledger (its own role)")
    ledger_rules_file: str = setting(
        "", "rules (plans, order of use, carry-over); built-in if empty"
    )
    ledger_url: str = setting("http://127.0.0.1:8081", "where the ledger's web process answers")
    ledger_port: int = setting(8081, "port of the ledger's web process")
    gateway_database_url: SecretStr = setting(
        SecretStr(""), "database of the gateway (its own role)"
    )
    gateway_url: str = setting("http://127.0.0.1:8080", "where the gateway's web process answers")
    gateway_port: int = setting(8080, "port of the gateway's web process")
    gifting_database_url: SecretStr = setting(SecretStr(""), "database of gifting (its own role)")
    gifting_url: str = setting("http://127.0.0.1:8082", "where gifting's web process answers")
    gifting_port: int = setting(8082, "port of gifting's web process")
    gifting_rules_file: str = setting(
        "", "rules of gifts (limits, fee, expiry of offers, abuse); built-in if empty"
    )
    tasks_database_url: SecretStr = setting(SecretStr(""), "database of tasks (its own role)")
    tasks_url: str = setting("http://127.0.0.1:8083", "where tasks' web process answers")
    tasks_port: int = setting(8083, "port of tasks' web process")
    tasks_rules_file: str = setting(
        "", "rules of completions (free data a month, attribution, clawback); built-in if empty"
    )
    tasks_sealing_keys: SecretStr = setting(
        SecretStr(""), "what seals partners' secrets at rest: keys with commas, newest first"
    )
    bank_content_neutral: bool = setting(
        default=False, text="1 forbids offers that depend on what is looked at; awards stay"
    )
    bind_host: str = setting("127.0.0.1", "address at which processes listen")
    ledger_worker_port: int = setting(
        0, "port of the ledger's worker for metrics and health; 0: none"
    )
    gateway_worker_port: int = setting(
        0, "port of the gateway's worker for metrics and health; 0: none"
    )
    gifting_worker_port: int = setting(
        0, "port of gifting's worker for metrics and health; 0: none"
    )
    tasks_worker_port: int = setting(0, "port of tasks' worker for metrics and health; 0: none")
    amqp_url: SecretStr = setting(
        SecretStr(""), "RabbitMQ; empty: consumers pull the logs over HTTP"
    )
    service_tokens: SecretStr = setting(SecretStr(""), "who may call: `name=token,name=token`")
    service_token: SecretStr = setting(
        SecretStr(""), "the token that this process presents to others"
    )
    log_level: str = setting("INFO", "least level that is logged")

    @property
    def clock_file(self) -> Path | None:
        """Return the sandbox clock's file, None outside a sandbox."""
        return Path(self.bank_clock_file) if self.bank_sandbox and self.bank_clock_file else None

    @property
    def accepted_tokens(self) -> dict[str, str]:
        """Return the accepted tokens by caller name."""
        pairs = (part.partition("=") for part in self.service_tokens.split(","))
        return {name.strip(): token for name, _, token in pairs if token}


def load_settings() -> Settings:
    """Read the environment. Raises an error that names the variable that is wrong."""
    return ts.load_settings(Settings, loaders=[ts.EnvLoader(prefix="")])

"""docs/configuration.md: every environment variable, from the two places that read them."""

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from typed_settings.types import SecretStr

from infra.docs.markdown import code, table
from infra.runtime.environment import Environment
from infra.runtime.programs import SERVICES, service_environment
from infra.runtime.state import Bank
from shared.config import Settings

HEAD = """\
# Configuration

<!-- Made from code by `python -m infra.docs --write`. Do not edit. -->

Everything is set by environment variables. `databank up` needs none of them: it makes what is
missing and keeps it in the state folder. A wrong value ends the command or process at its start,
with a message that names the variable.

Whose a variable is:

* **you**: set it in the shell that runs `databank`, or for a process that you start by itself.
* **you, at first start**: later starts keep the first value and refuse another one.
* **up**: `databank up` fills it for the processes that it starts, whatever your shell holds. Set it
  yourself only to start a process without `up`.

Variables marked *secret* are never logged and never stand on a command line.

"""

TAIL = """
## Where a bank's state lies

The state folder (`--state`, else `DATABANK_STATE`, else `.databank` in the current folder) is
readable by its owner only.

| in it | what |
| --- | --- |
| `bank.json` | the bank's id, ports, partitions, all its secrets; written by `up` |
| `clock` | a sandbox's offset to wall time |
| `postgres` | the data of the bank's own PostgreSQL; a link where root started the bank (below) |
| `run` | lock, sockets, the generated configuration of the supervisor |
| `logs` | one file a process, kept at 20 MB and three older ones |
| `ledger-rules.json` | in a restored bank: the rules file that it ran with (`LEDGER_RULES_FILE`) |
| `gifting-rules.json` | the same for `GIFTING_RULES_FILE` |
| `tasks-rules.json` | the same for `TASKS_RULES_FILE` |
| `rejects` | rows that `import-usage` could not load |

PostgreSQL refuses to run as root. Where `up` is started by root, the server runs as
`DATABANK_POSTGRES_USER` (else `postgres`, else `nobody`) and its data lie in
`/var/lib/databank/<bank id>`, because that user often cannot reach the state folder. `databank
erase` removes a bank that is down with all of it.

## Ports

A bank takes eight ports from `--port N` (8080) on: the gateway N, the ledger N+1, gifting N+2,
tasks N+3, and for metrics and health alone the gateway's worker N+10, the ledger's N+11, gifting's
N+12, tasks' N+13. All listen on loopback unless `BIND_HOST` says otherwise. `/health` and `/ready`
are open; `/metrics` is open on this machine and wants a service token over the network or through a
proxy.

## Databases

* Nothing is set: `up` runs its own PostgreSQL 18 on a private socket.
* `DATABASE_URL` is set: `up` and `migrate` make one database and one role per service on that
  server. Their names carry the bank's id.
* `LEDGER_DATABASE_URL`, `GATEWAY_DATABASE_URL`, `GIFTING_DATABASE_URL` and `TASKS_DATABASE_URL`
  are set: these databases are used as they are; `migrate` makes schemas and tables in them, no
  roles.

Exchange and queues on a broker carry the bank's id too, so that many banks may share one.
"""

# What no settings class holds: who reads it and what it does.
ELSEWHERE = (
    ("DATABANK_DATA", "../shared/data", "you", "tests: folder of the real month of usage"),
    ("DATABANK_PROCESS", "", "up", "a process's name, by which `down` and `status` know it"),
    ("PYTHON", "", "you", "`make`: the Python that makes the virtual environment"),
)


def page() -> str:
    """Return the page."""
    return HEAD + table(["variable", "default", "whose", "what it is"], _rows()) + TAIL


def variables() -> list[str]:
    """Return the names of all documented variables."""
    return [row[0].strip("`") for row in _rows()]


def _rows() -> list[list[str]]:
    by_up = _filled_by_up()
    rows: dict[str, list[str]] = {}
    for part in [*fields(Environment), *fields(Settings)]:
        name = part.name.upper()
        if name not in rows:
            rows[name] = _row(part, by_up)
    for name, default, whose, text in ELSEWHERE:
        rows[name] = [code(name), code(default), whose, text]
    return list(rows.values())


def _row(part: "Field[Any]", by_up: set[str]) -> list[str]:
    name = part.name.upper()
    text = part.metadata["help"]
    if isinstance(part.default, SecretStr):
        text += " (*secret*)"
    return [code(name), code(_default(part)), _whose(name, text, by_up), text]


def _whose(name: str, text: str, by_up: set[str]) -> str:
    if "first start" in text and name in _operators():
        return "you, at first start"
    if name in by_up and name not in _operators():
        return "up"
    return "you"


def _operators() -> set[str]:
    return {part.name.upper() for part in fields(Environment)}


def _default(part: "Field[Any]") -> str:
    """Return the default that counts: the processes' where the command's own says "not given"."""
    default = part.default
    processes = {other.name: other.default for other in fields(Settings)}
    if not default and part.name in processes:
        default = processes[part.name]
    if isinstance(default, bool):
        return str(int(default))
    return str(default)


def _filled_by_up() -> set[str]:
    """Return what `up` gives its children, of any bank."""
    bank = Bank(
        state=Path(), bank_id="", epoch=1, port=0, partitions=1, timezone="", sandbox=False,
        operator_token="", gateway_token="", ledger_token="", postgres_password="",
    )  # fmt: skip
    names: set[str] = set()
    for service in SERVICES:
        names |= set(service_environment(bank, Environment(), service, ""))
    return names

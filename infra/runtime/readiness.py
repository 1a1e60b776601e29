"""Is a bank ready: what its processes say of themselves."""

from dataclasses import dataclass

import httpx2

from infra.runtime.state import Bank
from infra.runtime.supervisor import ProcessInfo, Supervisor

ASK_TIMEOUT_S = 2.0
RUNNING = "RUNNING"
STARTING = "STARTING"
# The database, which is asked by the others, counts as started when it has lived this long.
STARTED_S = 2


@dataclass(frozen=True)
class PartStatus:
    """A process, and whether it does its work."""

    name: str
    pid: int | None
    state: str
    ready: bool
    detail: str


def bank_parts(bank: Bank) -> list[PartStatus]:
    """Return the state of every process; empty when the bank does not run."""
    return [_part(bank, info) for info in Supervisor(bank).processes()]


def process_readiness(url: str) -> tuple[bool, str]:
    """Return whether a process is ready, and what is not."""
    try:
        answer = httpx2.get(f"{url}/ready", timeout=ASK_TIMEOUT_S)
        parts = answer.json().get("parts", {})
    except (httpx2.HTTPError, ValueError) as error:
        return False, f"does not answer ({type(error).__name__})"
    waiting = ", ".join(f"{name}: {state}" for name, state in parts.items() if state != "ok")
    return answer.status_code == httpx2.codes.OK, waiting


def _part(bank: Bank, info: ProcessInfo) -> PartStatus:
    urls = bank.urls
    lives = info.state == RUNNING or (info.state == STARTING and info.lives_s >= STARTED_S)
    ready, detail = lives, info.description
    if info.name in urls and info.pid:
        ready, waiting = process_readiness(urls[info.name])
        detail = waiting or detail
    return PartStatus(info.name, info.pid or None, info.state.lower(), ready, detail)

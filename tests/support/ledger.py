"""A ledger on a real database, in this process or as the real web process."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
from psycopg.rows import tuple_row

from infra.runtime.programs import GUNICORN_CONFIG, ROOT
from services.ledger.application import Ledger
from services.ledger.domain.commands import AnyCommand, Usage
from services.ledger.domain.rules import RuleBook
from services.ledger.integration import PartitionConsumer
from services.ledger.log import PartitionLog
from services.ledger.partition import Partition
from services.ledger.verification import verify_partition
from shared.bus.inbox import Inbox
from shared.bus.stored_log import LocalLogReader
from shared.clock import BankClock, FixedClock
from tests.support.bank import free_port, wait_until
from tests.support.memory import CALENDAR, OPERATOR, RULEBOOK

NOON = "2015-08-10T12:00:00+08:00"
TOKENS = {"operator": "operator-token", "gateway": "gateway-token", "ledger": "ledger-token",
          "gifting": "gifting-token", "tasks": "tasks-token"}  # fmt: skip
MIB = 1 << 20
START_S = 60.0
_requests = count(1)


class RealLedger:
    """A `Ledger` with its inboxes, on the first partitions of a real database."""

    def __init__(
        self, url: str, clock: BankClock | None = None, *,
        rulebook: RuleBook = RULEBOOK, partitions: int = 2,
    ) -> None:  # fmt: skip
        self.url = url
        self.clock = clock or FixedClock(CALENDAR.parse(NOON))
        self.partitions = [
            Partition(n, url, clock=self.clock, calendar=CALENDAR, rulebook=rulebook)
            for n in range(partitions)
        ]
        self.ledger = Ledger(self.partitions)
        self.logs = [PartitionLog(partition, "bank", 1) for partition in self.partitions]
        self.reader = LocalLogReader(self.logs)
        self.consumers = [PartitionConsumer(self.ledger, each) for each in self.partitions]
        self.inboxes = [Inbox([each], self.reader, pause_s=0.001) for each in self.consumers]

    def at(self, text: str) -> None:
        """Set bank time of a fixed clock."""
        assert isinstance(self.clock, FixedClock)
        self.clock.at = CALENDAR.parse(text)

    def do(self, *commands: AnyCommand | Usage) -> list[Any]:
        """Execute commands as the operator; return their outcomes."""
        return self.ledger.execute(commands, "operator", OPERATOR)[0]

    def settle(self) -> None:
        """Let everything that is on its way arrive or return."""
        before = -1
        while (after := sum(log.head("sagas") for log in self.logs)) != before:
            before = after
            for log in self.logs:
                for inbox in self.inboxes:
                    inbox.catch_up(log.source)

    def verified(self) -> dict[str, Any]:
        """Verify every partition; it must be clean. Returns the sums of the reports."""
        reports = [list(verify_partition(partition))[-1] for partition in self.partitions]
        assert [report["first_difference"] for report in reports] == [None] * len(reports)
        return {name: sum(r[name] for r in reports) for name in ("events", "accounts")}

    def rows(self, partition: int, statement: str) -> list[Any]:
        """Return what a query gives in a partition's schema."""
        with self.partitions[partition].connection() as conn:
            return conn.cursor(row_factory=tuple_row).execute(statement).fetchall()

    def close(self) -> None:
        """End the writers and give the connections back."""
        if "writers" in self.ledger.__dict__:
            for writer in self.ledger.writers:
                writer.stop()
        for partition in self.partitions:
            partition.close()


def as_admin(url: str, *statements: str) -> list[Any]:
    """Run statements with the append-only triggers off; return the last one's rows."""
    with psycopg.connect(url) as conn:
        conn.execute("SET session_replication_role = replica")
        rows = [conn.execute(statement) for statement in statements][-1]
        return rows.fetchall() if rows.description else []


def environment(url: str, **more: str) -> dict[str, str]:
    """Return the environment of a ledger process, as `up` makes it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "BANK_ID": "bank",
        "LEDGER_PARTITIONS": "2",
        "LEDGER_DATABASE_URL": url,
        "SERVICE_TOKENS": ",".join(f"{name}={token}" for name, token in TOKENS.items()),
        "SERVICE_TOKEN": TOKENS["ledger"],
        **more,
    }


def sandbox_clock(folder: Path, at: str) -> dict[str, str]:
    """Return the settings of a sandbox whose bank time is `at` now."""
    offset = CALENDAR.parse(at) - BankClock().now()
    file = folder / "clock"
    file.write_text(json.dumps({"offset_ms": offset}))
    return {"BANK_SANDBOX": "1", "BANK_CLOCK_FILE": str(file)}


class LedgerWeb:
    """The real web process of a ledger, on a port of its own."""

    def __init__(self, url: str, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"web-{self.port}.log"
        self._environment = environment(url, LEDGER_PORT=str(self.port), **settings)
        self.client = client(self.base)
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        app = "services.ledger.bootstrap:create_app()"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", str(GUNICORN_CONFIG), app],
                cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self._is_ready, START_S, f"ledger-web is ready: {self._log}")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return self.client.get("/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """End it and its worker with SIGKILL."""
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def close(self) -> None:
        """End it; what it has answered is stored."""
        self.client.close()
        if self.process.poll() is None:
            self.kill()

    def do(self, *commands: dict[str, Any]) -> list[dict[str, Any]]:
        """Execute commands as the operator; return their outcomes."""
        answer = self.client.post("/v1/commands", json={"commands": commands})
        assert answer.status_code == 200, answer.text
        outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
        return outcomes

    def account(self, account_id: str) -> dict[str, Any]:
        """Return an account's state."""
        answer = self.client.get(f"/v1/accounts/{account_id}")
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()["state"]
        return state


def client(base: str, token: str | None = TOKENS["operator"], **kwargs: Any) -> httpx2.Client:
    """Return an HTTP client that presents a token."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    headers["X-Request-Id"] = f"request-{next(_requests)}"
    return httpx2.Client(
        base_url=base, headers=headers, timeout=60, trust_env=False,
        limits=httpx2.Limits(max_connections=100), **kwargs,
    )  # fmt: skip


class LedgerChild:
    """A program of tests.support.ledger_children in a process of its own."""

    def __init__(self, url: str, program: str, *arguments: str, **settings: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ledger_children", program, *arguments],
            cwd=ROOT, env=environment(url, **settings), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.pid = self._process.pid

    @property
    def ended(self) -> bool:
        """Say whether it has ended."""
        return self._process.poll() is not None

    def hear(self) -> str:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip()

    def wait_until_stopped(self) -> None:
        """Wait until it says that it stops, and has."""
        assert self.hear() == "stopped"
        process = psutil.Process(self.pid)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, 10, "the child has stopped")

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def wait(self) -> int:
        """Wait for its end; return its exit status."""
        return self._process.wait(120)

    def close(self) -> None:
        """End it by force."""
        self._process.kill()
        self._process.communicate()


def remaining(state: dict[str, Any]) -> int:
    """Return the bytes in all lots of an account's state."""
    return sum(lot["remaining"] for lot in state.get("lots", {}).values())


def kept(outcome: Any) -> Sequence[Any]:
    """Return what of an outcome must be the same at each repeat."""
    return [
        getattr(outcome, name, None)
        for name in ("key", "usage_id", "account", "status", "code", "events", "result",
                     "spent_bytes", "unfunded_bytes", "request_id")
    ]  # fmt: skip

"""What the ledger says of gifts before they are offered: a dry run, for many at once."""

import queue
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Protocol

import httpx2
import msgspec

from services.gifting import metrics
from services.gifting.domain.checks import Facts
from shared.errors import UnavailableError
from shared.logs import logger

TIMEOUT_S = 2.0
GIFTS_PER_QUESTION_MAX = 500
CONNECTIONS_MAX = 4
QUEUE_MAX = 4_096
ANSWER_SHOWN = 500


class CheckedFee(msgspec.Struct, frozen=True):
    """A fee on top of a gift, or out of it."""

    bytes: int
    payer: str


def fee_in_check(amount: int, payer: str) -> CheckedFee | None:
    """Return a fee as the ledger is asked about it, None without one."""
    return CheckedFee(amount, payer) if amount else None


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to the ledger: would this gift go, as of now? `to` is None for a red packet."""

    account: str
    to: str | None = None
    bytes: int
    fee: CheckedFee | None = None
    purpose: str = "gift"


class Checks(msgspec.Struct):
    """The ledger's answers, in the order of the questions."""

    checks: list[Facts]


Hear = Callable[[Facts | None], None]
# What the ledger would be told of that no account is named: it has no such account either.
UNHEARD = Facts(sender=None, receiver=None)


class Ledger(Protocol):
    """Whom gifting asks."""

    def check(self, checks: list[Check]) -> list[Facts]:
        """Return what the ledger says of each. Raises UnavailableError."""
        ...


class HttpLedger:
    """The ledger over HTTP. Threads may share it."""

    def __init__(self, base_url: str, token: str) -> None:
        self._client = httpx2.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=TIMEOUT_S,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            trust_env=False,
        )

    def check(self, checks: list[Check]) -> list[Facts]:
        """Return what the ledger says of each gift. Raises UnavailableError."""
        body = msgspec.json.encode({"gifts": checks})
        try:
            answer = self._client.post("/v1/gift-checks", content=body)
        except httpx2.TransportError as error:
            raise UnavailableError(f"the ledger is not reachable: {error!r}") from error
        if answer.status_code == httpx2.codes.UNPROCESSABLE_CONTENT:
            # One that the ledger cannot even read must not keep all others waiting.
            logger().error("check_malformed", count=len(checks), answer=answer.text[:ANSWER_SHOWN])
            return [UNHEARD] if len(checks) == 1 else self._apart(checks)
        if answer.status_code != httpx2.codes.OK:
            raise UnavailableError(f"the ledger answered {answer.status_code}")
        try:
            found = msgspec.json.decode(answer.content, type=Checks).checks
        except msgspec.MsgspecError as error:
            raise UnavailableError(f"the ledger's answer is malformed: {error}") from error
        if len(found) != len(checks):
            raise UnavailableError("the ledger's answer is of another length")
        return found

    def _apart(self, checks: list[Check]) -> list[Facts]:
        middle = len(checks) // 2
        return self.check(checks[:middle]) + self.check(checks[middle:])

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()


class Asker:
    """Asks the ledger for all who wait at once: requests that come together share a question."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queue: queue.Queue[tuple[Check, Hear] | None] = queue.Queue(QUEUE_MAX)
        self._thread = Thread(target=self._run, name="asker", daemon=True)
        self._thread.start()

    def ask(self, check: Check, hear: Hear) -> None:
        """Let `hear` have what the ledger says, None while it is away. It must not raise."""
        self._queue.put((check, hear))

    def stop(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting = [first]
            with suppress(queue.Empty):
                while len(waiting) < GIFTS_PER_QUESTION_MAX:
                    more = self._queue.get_nowait()
                    if more is None:
                        self._queue.put(None)
                        break
                    waiting.append(more)
            answers = self._answers([check for check, _ in waiting])
            for (_, hear), answer in zip(waiting, answers, strict=True):
                hear(answer)

    def _answers(self, checks: list[Check]) -> list[Facts] | list[None]:
        try:
            found = self._ledger.check(checks)
        except UnavailableError as error:
            logger().warning("ledger_away", error=error.detail)
        except Exception as error:  # noqa: BLE001 Somebody waits, and the thread must go on.
            logger().error("ledger_check_failed", exc_info=error)
        else:
            metrics.CHECKS.labels("answered").inc(len(checks))
            return found
        metrics.CHECKS.labels("away").inc(len(checks))
        return [None] * len(checks)

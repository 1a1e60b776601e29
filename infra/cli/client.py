"""Talks to the bank's services with the operator's token.

Every request may be repeated safely: it keeps its request id and its body, the ledger knows the
keys in it. So a lost connection or a busy ledger is tried again until a deadline.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2
import orjson
import stamina
from stamina.instrumentation import set_on_retry_hooks

from infra.cli.output import CliError, Output, Report
from infra.runtime.processes import lock_holder
from infra.runtime.state import Bank
from shared.ids import log_name, partition_of
from shared.positions import format_token

# Long enough for a killed process to be started again and to be ready.
PATIENCE_S = 60.0
# Who asks a question wants to hear soon that nobody is there.
READ_PATIENCE_S = 8.0
FRESH_S = 20.0
FRESH_STEP_S = 0.1
CONNECTIONS_MAX = 8
TIMEOUT = httpx2.Timeout(connect=5.0, read=40.0, write=20.0, pool=60.0)
# A long job may be silent between two lines of progress.
STREAM_TIMEOUT = httpx2.Timeout(connect=5.0, read=600.0, write=20.0, pool=60.0)
PASSING_CODES = ("busy", "unavailable")

# The default hook logs to stdout, where the JSON of a result goes.
set_on_retry_hooks([])


Row = Callable[[dict[str, Any]], None]


def _no_row(row: dict[str, Any]) -> None:
    """Take a row that nobody asked for."""
    del row


class _NotNowError(Exception):
    """The service said 503."""

    def __init__(self, problem: CliError) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True)
class Answer:
    """A service's answer and the id of the request that asked for it."""

    body: Any
    request_id: str


class Service:
    """One of the bank's services. May be used by several threads at once."""

    def __init__(
        self, name: str, url: str, token: str, *, patience_s: float = PATIENCE_S,
        note: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.url = url
        self._patience_s = patience_s
        self._note = note
        self._http = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=TIMEOUT,
            limits=httpx2.Limits(max_connections=CONNECTIONS_MAX),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> Any:
        """Return what a path answers. Raises CliError."""
        return self._repeat("GET", path, None, query, READ_PATIENCE_S, {}).body

    def get_all(self, path: str, name: str, **query: str) -> list[Any]:
        """Return what a list has under a name, page by page to its end. Raises CliError."""
        answer = self.get(path, **query)
        rows: list[Any] = answer[name]
        while answer["next_after"] is not None:
            answer = self.get(path, after=answer["next_after"], **query)
            rows += answer[name]
        return rows

    def get_file(self, path: str, **query: str) -> bytes:
        """Return the file that a path answers, as it is. Raises CliError."""
        with self._failures_are_clear():
            for attempt in self._attempts(READ_PATIENCE_S):
                with attempt:
                    response = self._http.request("GET", path, params=query)
                    self._check(response)
                    return response.content
        raise AssertionError

    def post(self, path: str, body: Any, **query: str) -> Answer:
        """Send a body until it is answered. Raises CliError."""
        return self._repeat("POST", path, orjson.dumps(body), query, self._patience_s, {})

    def put(self, path: str, body: Any) -> Answer:
        """Put something in its place, until it is answered. Raises CliError."""
        return self._repeat("PUT", path, orjson.dumps(body), {}, self._patience_s, {})

    def write(self, path: str, body: Any, headers: dict[str, str]) -> Answer:
        """Send a body with headers of its own until it is answered. Raises CliError."""
        return self._repeat("POST", path, orjson.dumps(body), {}, self._patience_s, headers)

    def read(self, path: str, headers: dict[str, str]) -> Any:
        """Return what a path answers, asked with headers of its own. Raises CliError."""
        return self._repeat("GET", path, None, {}, READ_PATIENCE_S, headers).body

    def stream(
        self, path: str, report: Report, body: Any = None, *, row: Row = _no_row
    ) -> dict[str, Any]:
        """Ask for a long job, follow its progress and return its result. Raises CliError.

        Rows that it tells on the way are handed to `row`, one by one; none is kept.
        """
        request_id = uuid4().hex
        with self._failures_are_clear():
            for attempt in self._attempts(READ_PATIENCE_S):
                with attempt, self._open(path, body, request_id) as response:
                    return self._follow(response, report, row)
        raise AssertionError

    def _repeat(
        self,
        method: str,
        path: str,
        content: bytes | None,
        query: dict[str, str],
        patience_s: float,
        more: dict[str, str],
    ) -> Answer:
        request_id = uuid4().hex
        headers = {"X-Request-Id": request_id, **more}
        with self._failures_are_clear():
            for attempt in self._attempts(patience_s):
                with attempt:
                    response = self._http.request(
                        method, path, content=content, params=query, headers=headers
                    )
                    self._check(response)
                    return Answer(_json(self.name, response.content), request_id)
        raise AssertionError

    def _attempts(self, patience_s: float) -> Iterator[Any]:
        return iter(
            stamina.retry_context(
                on=self._may_pass, attempts=None, timeout=patience_s,
                wait_initial=0.1, wait_max=1.0, wait_jitter=0.1,
            )
        )  # fmt: skip

    def _may_pass(self, error: Exception) -> bool:
        passing = isinstance(error, httpx2.TransportError | _NotNowError)
        if passing and self._note is not None:
            self._note(f"the {self.name} does not answer ({_cause(error)}), trying again …")
            self._note = None
        return passing

    @contextmanager
    def _open(self, path: str, body: Any, request_id: str) -> Iterator[httpx2.Response]:
        content = b"{}" if body is None else orjson.dumps(body)
        headers = {"X-Request-Id": request_id}
        with self._http.stream(
            "POST", path, content=content, headers=headers, timeout=STREAM_TIMEOUT
        ) as response:
            if response.is_error:
                response.read()
            self._check(response)
            yield response

    def _check(self, response: httpx2.Response) -> None:
        if not response.is_error:
            return
        problem = _problem(self.name, response)
        if problem.code in PASSING_CODES:
            raise _NotNowError(problem)
        raise problem

    def _follow(self, response: httpx2.Response, report: Report, row: Row) -> dict[str, Any]:
        try:
            for line in response.iter_lines():
                step = _json(self.name, line)
                if "problem" in step:
                    raise _as_error(step["problem"])
                if "result" in step:
                    result: dict[str, Any] = step["result"]
                    return result
                for each in step.get("rows", ()):
                    row(each)
                if "done" in step:
                    report(step["done"], step.get("of"))
        except httpx2.TransportError as error:
            raise self._interrupted(_cause(error)) from error
        raise self._interrupted("the answer has no end")

    def _interrupted(self, cause: str) -> CliError:
        return CliError(
            "interrupted",
            f"the {self.name} broke off in the middle ({cause});"
            " what was done is kept, repeat the command to go on",
        )

    @contextmanager
    def _failures_are_clear(self) -> Iterator[None]:
        try:
            yield
        except _NotNowError as error:
            raise error.problem from error
        except httpx2.HTTPError as error:
            raise CliError(
                "unavailable",
                f"the {self.name} at {self.url} does not answer ({_cause(error)});"
                " `databank status` shows what runs; nothing is lost, repeat the command later",
            ) from error


def ledger_of(bank: Bank, output: Output | None = None) -> Service:
    """Return the bank's ledger; where the bank does not run, nobody waits long for it."""
    return Service(
        "ledger",
        bank.ledger_url,
        bank.operator_token,
        patience_s=PATIENCE_S if lock_holder(bank.run_dir) else READ_PATIENCE_S,
        note=output.note if output else None,
    )


def gateway_of(bank: Bank) -> Service:
    """Return the bank's gateway."""
    return Service("gateway", bank.gateway_url, bank.operator_token)


def gifting_of(bank: Bank, output: Output | None = None) -> Service:
    """Return the bank's gifting; where the bank does not run, nobody waits long for it."""
    patience_s = PATIENCE_S if lock_holder(bank.run_dir) else READ_PATIENCE_S
    note = output.note if output else None
    return Service(
        "gifting", bank.gifting_url, bank.operator_token, patience_s=patience_s, note=note
    )


def tasks_of(bank: Bank, output: Output | None = None) -> Service:
    """Return the bank's tasks; where the bank does not run, nobody waits long for it."""
    patience_s = PATIENCE_S if lock_holder(bank.run_dir) else READ_PATIENCE_S
    note = output.note if output else None
    return Service("tasks", bank.tasks_url, bank.operator_token, patience_s=patience_s, note=note)


def heads_token(bank: Bank, ledger: Service, account: str | None = None) -> str:
    """Return the position token of the logs' heads now; with an account, of its log alone."""
    heads = ledger.get("/v1/heads")["heads"]
    if account is not None:
        log = log_name(partition_of(account, bank.partitions))
        heads = {log: heads[log]} if log in heads else {}
    return format_token(bank.epoch, {log: lanes["all"] for log, lanes in heads.items()})


def read_fresh(
    bank: Bank, output: Output, path: str, account: str | None = None, **query: str
) -> dict[str, Any]:
    """Read a view once it holds all that the ledger holds now; after 20 s as it is, with a note."""
    with ledger_of(bank) as ledger, gateway_of(bank) as gateway:
        token = heads_token(bank, ledger, account)
        deadline = time.monotonic() + FRESH_S
        answer: dict[str, Any] = gateway.get(path, at_least=token, **query)
        while answer.get("stale") and time.monotonic() < deadline:
            time.sleep(FRESH_STEP_S)
            answer = gateway.get(path, at_least=token, **query)
    if answer.get("stale"):
        output.note("note: the views are behind the ledger; this is what they know so far")
    return answer


def read_all_rows(bank: Bank, output: Output, path: str, **query: str) -> dict[str, Any]:
    """Do `read_fresh` for every page; the last one's answer, with the `rows` of all."""
    answer = read_fresh(bank, output, path, **query)
    rows = answer["rows"]
    while answer["next_after"] is not None:
        answer = read_fresh(bank, output, path, after=answer["next_after"], **query)
        rows += answer["rows"]
    return answer | {"rows": rows}


def _problem(name: str, response: httpx2.Response) -> CliError:
    try:
        return _as_error(orjson.loads(response.content))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return CliError(
            "bad_answer", f"the {name} answered HTTP {response.status_code} without saying why"
        )


def _as_error(problem: dict[str, Any]) -> CliError:
    known = ("type", "title", "status", "code", "detail", "instance")
    extra = {key: value for key, value in problem.items() if key not in known}
    return CliError(problem["code"], problem.get("detail") or problem["code"], **extra)


def _json(name: str, text: str | bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CliError("bad_answer", f"the {name} answered something that is no JSON") from error


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__

"""How a start reports itself: to a terminal, or through a pipe to the `up --detach` that waits."""

import json
import os
import sys
from types import TracebackType
from typing import Any, Self

import rich_click as click

from infra.cli.output import Output, program
from infra.runtime.clock import now
from infra.runtime.state import Bank
from shared.calendar import Calendar
from shared.errors import DatabankError

TRANSPORTS = {
    "log": "log (no AMQP_URL: consumers pull the logs over HTTP)",
    "rabbitmq": "RabbitMQ (AMQP_URL)",
}


def summary(bank: Bank) -> dict[str, Any]:
    """Return what an operator needs to know of a running bank; a token only of a sandbox."""
    data = {
        "bank_id": bank.bank_id,
        "state": str(bank.state),
        "sandbox": bank.sandbox,
        "gateway_url": bank.gateway_url,
        "ledger_url": bank.ledger_url,
        "gifting_url": bank.gifting_url,
        "tasks_url": bank.tasks_url,
        "transport": bank.transport,
        "partitions": bank.partitions,
        "timezone": bank.timezone,
        "now": Calendar(bank.timezone).text(now(bank)),
        "tokens_file": str(bank.file),
    }
    return data | ({"operator_token": bank.operator_token} if bank.sandbox else {})


def summary_lines(bank: Bank, *, show_token: bool) -> list[str]:
    """Return the same for people."""
    data = summary(bank)
    kind = "sandbox" if bank.sandbox else "bank"
    rows = {
        kind: f"{bank.bank_id}, {bank.partitions} ledger partitions, months of {bank.timezone}",
        "gateway": bank.gateway_url,
        "ledger": bank.ledger_url,
        "gifting": bank.gifting_url,
        "tasks": bank.tasks_url,
        "operator token": data.get("operator_token") if show_token else None,
        "all tokens": str(bank.file),
        "transport": TRANSPORTS[bank.transport],
        "bank time": data["now"],
        "logs": str(bank.logs_dir),
    }
    return [f"  {name:<15} {value}" for name, value in rows.items() if value]


class TerminalListener:
    """Shows the steps on stderr, as a spinner where it is a terminal, and the result on stdout."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._spinner: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console  # noqa: PLC0415 Slow to import, for terminals only.

            self._spinner = Console(stderr=True).status("start")
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_spinner()

    def step(self, text: str) -> None:
        """Show what is being done now."""
        if self._spinner is not None:
            self._spinner.update(text)
        else:
            click.echo(f"… {text}", err=True)

    def note(self, text: str) -> None:
        """Show a remark."""
        click.echo(text, err=True)

    def ready(self, bank: Bank) -> None:
        """Show where the bank is and how to reach it."""
        self._stop_spinner()

        def render() -> None:
            click.echo("The bank is ready.")
            click.echo("\n".join(summary_lines(bank, show_token=True)))
            click.echo(f"  {'stop':<15} Ctrl-C, or {program()} down --state {bank.state}")

        self._output.show(summary(bank), render)

    def done(self, bank: Bank) -> None:
        """Hear that the bank was filled too."""

    def _stop_spinner(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


class PipeListener:
    """Writes every step as a JSON line into a pipe; the last line says how it ended."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 The standard library's signature.
        self._pipe = os.fdopen(descriptor, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if isinstance(error, DatabankError):
            self._write("error", [error.code, error.detail])
        if not self._pipe.closed:
            self._pipe.close()

    def step(self, text: str) -> None:
        """Tell what is being done now."""
        self._write("step", text)

    def note(self, text: str) -> None:
        """Tell a remark."""
        self._write("note", text)
        click.echo(text, err=True)

    def ready(self, bank: Bank) -> None:
        """Hear that all parts run; those who wait are told when the bank was filled too."""

    def done(self, bank: Bank) -> None:
        """Tell that the bank is ready and close the pipe."""
        self._write("ready", str(bank.state))
        if not self._pipe.closed:
            self._pipe.close()

    def _write(self, kind: str, value: Any) -> None:
        if self._pipe.closed:
            return
        try:
            self._pipe.write(json.dumps({kind: value}) + "\n")
            self._pipe.flush()
        except BrokenPipeError:  # Nobody waits any more; the bank runs on.
            self._pipe = open(os.devnull, "w")  # noqa: PTH123, SIM115

"""What every command shares: its options, tables and JSON, progress bars, errors.

A command is written like this:

    @click.command()
    @click.argument("subscriber")
    @bank_option
    def balance(bank: Bank, output: Output, subscriber: str) -> None:
        \"\"\"Show what a subscriber has.\"\"\"
        answer = ...
        output.show(answer, lambda: output.table("Lots", ["lot", "left"], rows))

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 refused or failed, 2 usage.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Self

import orjson
import rich_click as click

from infra.errors import CliError
from infra.runtime.state import Bank, find_bank

__all__ = ["Bank", "CliError", "Output", "Progress", "bank_option", "output_option", "state_option"]

BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

Report = Callable[[int, int | None], None]
"""`report(done, of)`: moves a progress bar; `of` None keeps the total that is known."""


class Output:
    """Shows results: tables for people, one JSON document for programs (`--json`)."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def show(self, data: Any, render: Callable[[], None]) -> None:
        """Print the data as JSON, or call `render` to print it for people."""
        if self.json:
            sys.stdout.buffer.write(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")
            sys.stdout.flush()
        else:
            render()

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table; whole numbers stand right with thousands marks."""
        from rich.table import Table  # noqa: PLC0415 Rich is slow to import; --json does without.

        table = Table(title=title or None, title_justify="left", header_style="bold")
        printed = [list(row) for row in rows]
        for index, column in enumerate(columns):
            numbers = bool(printed) and all(_is_number(row[index]) for row in printed)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in printed:
            table.add_row(*(_cell(value) for value in row))
        _console(stderr=False).print(table)

    def line(self, text: str) -> None:
        """Print a line of a result; with `--json` nothing."""
        if not self.json:
            click.echo(text)

    def row(self, data: Any, text: str) -> None:
        """Print one of many rows: a line for people, else a JSON document on a line of its own."""
        click.echo(orjson.dumps(data).decode() if self.json else text)

    def note(self, text: str) -> None:
        """Print a remark on stderr."""
        click.echo(text, err=True)

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Iterator[Report]:
        """Show a progress bar on stderr; yields `report(done, of)`. Silent when not a terminal."""
        with Progress() as bars:
            yield bars.add(description, total)


class Progress:
    """Several progress bars or spinners on stderr, shown only on a terminal."""

    def __init__(self) -> None:
        from rich import progress  # noqa: PLC0415 Rich is slow to import; --json does without.

        self._bars = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,.0f}"),
            progress.TimeElapsedColumn(),
            console=_console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def add(self, description: str, total: int | None = None) -> Report:
        """Add a bar and return the function that moves it."""
        task = self._bars.add_task(description, total=total)

        def report(done: int, of: int | None = None) -> None:
            if of is None:
                self._bars.update(task, completed=done)
            else:
                self._bars.update(task, completed=done, total=of)

        return report


def program() -> str:
    """Return how this command was called, so that a hint can be pasted."""
    called = sys.argv[0]
    return called if Path(called).name == "databank" else "databank"


def human_bytes(count: int) -> str:
    """Write an amount for people: exact bytes below 1 KiB, else three digits and a binary unit."""
    size = float(count)
    for unit in BYTE_UNITS:
        if abs(size) < 1024 or unit == BYTE_UNITS[-1]:  # noqa: PLR2004 The step of binary units.
            return f"{count} B" if unit == "B" else f"{size:,.2f} {unit}"
        size /= 1024
    raise AssertionError


def state_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--state`, passed as `state: Path | None`."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="DATABANK_STATE",
        help="State folder of the bank (else $DATABANK_STATE, else .databank here).",
    )(command)


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--json`, passed as `output: Output`."""

    @wraps(command)
    def call(*args: Any, json_output: bool, **kwargs: Any) -> Any:
        return command(*args, output=Output(json=json_output), **kwargs)

    return click.option("--json", "json_output", is_flag=True, help="Print JSON for programs.")(
        call
    )


def bank_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--state` and `--json`, passed as `bank: Bank` and `output: Output`."""

    @wraps(command)
    def call(*args: Any, state: Path | None, **kwargs: Any) -> Any:
        return command(*args, bank=find_bank(state), **kwargs)

    return state_option(output_option(call))


def _console(*, stderr: bool) -> Any:
    from rich.console import Console  # noqa: PLC0415 Rich is slow to import; --json does without.

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)

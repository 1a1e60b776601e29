"""`databank import-usage`: brings usage files into the ledger, as often as you like."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click

from infra.cli.client import ledger_of
from infra.cli.loader import Counts, Loader, Opening
from infra.cli.output import Bank, CliError, Output, Report, bank_option, human_bytes
from infra.cli.rejects import Rejects
from infra.cli.usage_file import UsageFile
from shared.calendar import is_month


@click.command("import-usage")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--open-accounts",
    "plan",
    metavar="PLAN",
    help="Open an account with this plan for unseen subscribers.",
)
@click.option(
    "--active-from",
    metavar="YYYY-MM",
    help="First month of accounts that are opened (needs --open-accounts).",
)
@click.option(
    "--rejects",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for rejected rows (else STATE/rejects).",
)
@bank_option
def import_usage(
    bank: Bank,
    output: Output,
    files: tuple[Path, ...],
    plan: str | None,
    active_from: str | None,
    rejects: Path | None,
) -> None:
    """Load usage from CSV or gzip files.

    A row counts once, however often it is sent: its id is a hash of all ten columns. Rows that
    can't be charged go to a rejects file, the rest is loaded.
    """
    opening = _opening(plan, active_from)
    with _opened(files) as usage_files, ledger_of(bank, output) as ledger:
        _check(usage_files, output)
        sink = Rejects(rejects or bank.rejects_dir)
        loader = Loader(ledger, bank.timezone, sink, opening)
        failure = _load(loader, usage_files, output)
    result = loader.counts.as_dict()
    if sink.path is not None:
        result["rejects_file"] = str(sink.path)
    if failure is not None:
        result |= {"code": failure.code, "detail": failure.detail}
    if failure is None or loader.counts.rows:
        output.show(result, lambda: _show(output, loader.counts, sink.path))
    if failure is not None:
        raise failure


def _load(loader: Loader, files: list[UsageFile], output: Output) -> CliError | None:
    total = sum(file.size for file in files)
    with output.progress("Loading usage", total) as report:
        return loader.load(files, report)


def _check(files: list[UsageFile], output: Output) -> None:
    behind = 0
    with output.progress("Checking files", sum(file.size for file in files)) as report:
        for file in files:
            file.check(partial(_report, report, behind))
            behind += file.size


def _report(report: Report, behind: int, position: int) -> None:
    report(behind + position, None)


@contextmanager
def _opened(paths: tuple[Path, ...]) -> Iterator[list[UsageFile]]:
    with ExitStack() as stack:
        yield [stack.enter_context(UsageFile(path)) for path in paths]


def _opening(plan: str | None, active_from: str | None) -> Opening | None:
    if plan is None and active_from is None:
        return None
    if plan is None:
        raise click.UsageError("--active-from needs --open-accounts PLAN")
    if active_from is None:
        raise click.UsageError("--open-accounts needs --active-from YYYY-MM")
    if not is_month(active_from):
        raise click.UsageError(f"--active-from must be a month YYYY-MM, not {active_from!r}")
    return Opening(plan, active_from)


def _show(output: Output, counts: Counts, rejects: Path | None) -> None:
    rows: list[tuple[str, Any, str]] = [
        ("rows", counts.rows, ""),
        ("accepted", counts.accepted, ""),
        ("duplicates", counts.duplicates, ""),
        ("rejected", counts.rejected, ""),
        ("accounts opened", counts.accounts_opened, ""),
        ("bytes used", counts.used_bytes, human_bytes(counts.used_bytes)),
        ("bytes spent", counts.spent_bytes, human_bytes(counts.spent_bytes)),
        ("bytes sponsored", counts.sponsored_bytes, human_bytes(counts.sponsored_bytes)),
        ("bytes unfunded", counts.unfunded_bytes, human_bytes(counts.unfunded_bytes)),
    ]
    output.table("Usage", ["", "count", " "], rows)
    if rejects is not None:
        output.line(f"rejected rows: {rejects}")
    if counts.seconds:
        output.line(f"{counts.seconds:.1f} s, {counts.rows / counts.seconds:,.0f} rows/s")

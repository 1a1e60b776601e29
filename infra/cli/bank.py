"""Commands that run a bank: up, down, status, clock, migrate."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import rich_click as click
from click.core import ParameterSource

from infra.cli.listeners import PipeListener, TerminalListener, summary, summary_lines
from infra.cli.output import (
    Bank,
    CliError,
    Output,
    bank_option,
    output_option,
    state_option,
)
from infra.runtime import clock as bank_clock
from infra.runtime.detach import start_detached
from infra.runtime.environment import read_environment
from infra.runtime.erase import erase_bank, refuse_running
from infra.runtime.processes import bank_processes, lock_holder, stop_bank
from infra.runtime.readiness import bank_parts
from infra.runtime.state import find_bank, state_path
from infra.runtime.up import run_bank
from infra.runtime.wish import Wish, needs_own_database, wished_bank
from shared.calendar import Calendar

DOWN_S = 12.0
POLL_S = 0.1


@click.command()
@state_option
@output_option
@click.option("--sandbox", is_flag=True, help="A bank for trying: its clock can be set.")
@click.option("--demo", is_flag=True, help="Fill it with a small generated population.")
@click.option("--clock", "clock_text", metavar="TIME", help="Bank time to begin with (ISO 8601).")
@click.option("--port", type=int, metavar="N", help="The gateway's port; the ledger's is N+1.")
@click.option("--detach", is_flag=True, help="Return when the bank is ready; it runs on.")
@click.option("--report-fd", type=int, hidden=True)
def up(
    state: Path | None, output: Output, *, sandbox: bool, demo: bool, clock_text: str | None,
    port: int | None, detach: bool, report_fd: int | None,
) -> None:  # fmt: skip
    """Start the whole bank and keep it running until Ctrl-C or TERM."""
    wish = Wish(state=state_path(state), sandbox=sandbox, clock=clock_text, port=port)
    if clock_text is not None and not sandbox:
        raise click.UsageError("--clock is for sandboxes: add --sandbox")
    if demo and not sandbox:
        raise click.UsageError("--demo is for sandboxes: add --sandbox")
    if detach:
        _up_detached(wish, output, demo=demo)
        return
    listener = PipeListener(report_fd) if report_fd is not None else TerminalListener(output)

    def work(bank: Bank) -> None:
        if demo:
            _run_demo(bank, output)
        listener.done(bank)

    with listener:
        run_bank(wish, read_environment(), listener, work)


def _up_detached(wish: Wish, output: Output, *, demo: bool) -> None:
    with TerminalListener(output) as listener:
        bank = start_detached(wish, step=listener.step, note=listener.note)
        listener.ready(bank)
    if demo:
        _run_demo(bank, output)


def _run_demo(bank: Bank, output: Output) -> None:
    """Generate the demo population; the bank runs on where that fails."""
    try:
        from infra.cli.demo import run_demo  # noqa: PLC0415 Loaded only by those who want it.

        run_demo(bank)
    except Exception as error:  # noqa: BLE001 A demo that fails must not stop the bank.
        output.note(f"the demo failed: {type(error).__name__}: {error}")


@click.command()
@bank_option
def down(bank: Bank, output: Output) -> None:
    """Stop the bank, whatever its condition, and return when every process is gone."""
    holder = lock_holder(bank.run_dir)
    count = len(bank_processes(bank.state))
    if holder is not None:
        _end(holder, bank)
    stop_bank(bank.state)
    stopped = holder is not None or count > 0
    text = "the bank is stopped" if stopped else "the bank did not run"
    output.show({"stopped": stopped, "processes": count}, lambda: output.line(text))


@click.command()
@bank_option
@click.option("--yes", is_flag=True, help="Don't ask.")
def erase(bank: Bank, output: Output, *, yes: bool) -> None:
    """Remove a bank that is down, with all its data, wherever they lie.

    The state folder; the data of its own PostgreSQL, also those outside the folder when root
    started it; its databases on a server that was given (DATABASE_URL); its queues (AMQP_URL).
    Backups stay.
    """
    refuse_running(bank)
    if not yes:
        _confirm(f"Erase the bank {bank.bank_id} in {bank.state} with all its data, for good?")
    removed = erase_bank(bank, read_environment(), output.note)
    data = {"bank_id": bank.bank_id, "removed": removed}
    output.show(data, lambda: output.line("\n".join(f"removed {each}" for each in removed)))


def _confirm(question: str) -> None:
    """Ask the operator; whoever cannot be asked has to say it on the command line."""
    if not sys.stdin.isatty():
        raise CliError("not_confirmed", "nothing was erased: add --yes")
    if not click.confirm(question, err=True):
        raise CliError("not_confirmed", "nothing was erased")


def _end(pid: int, bank: Bank) -> None:
    """Ask `up` to stop; a deaf one is killed."""
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DOWN_S
        while lock_holder(bank.run_dir) == pid:
            if time.monotonic() > deadline:
                process.kill()
                process.wait(timeout=DOWN_S)
            time.sleep(POLL_S)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise CliError("not_stopped", f"pid {pid} is another user's") from error


@click.command()
@bank_option
@click.pass_context
def status(context: click.Context, bank: Bank, output: Output) -> None:
    """Show every process of the bank; ends with 0 only when all are ready."""
    parts = bank_parts(bank)
    ready = bool(parts) and all(part.ready for part in parts)
    processes: list[dict[str, Any]] = [
        {"name": part.name, "pid": part.pid, "state": part.state, "ready": part.ready,
         "detail": part.detail} for part in parts
    ]  # fmt: skip
    data = summary(bank) | {
        "ready": ready,
        "up_pid": lock_holder(bank.run_dir),
        "processes": processes,
    }

    def render() -> None:
        for line in summary_lines(bank, show_token=False):
            output.line(line)
        rows = [[each[key] for key in ("name", "pid", "state", "ready", "detail")]
                for each in processes]  # fmt: skip
        columns = ["process", "pid", "state", "ready", "detail"]
        output.table("", columns, [[row[0], str(row[1] or "-"), *row[2:]] for row in rows])
        output.line("ready" if ready else "not ready" if parts else "the bank does not run")

    output.show(data, render)
    context.exit(0 if ready else 1)


@click.group(invoke_without_command=True)
@state_option
@output_option
@click.pass_context
def clock(context: click.Context, state: Path | None, output: Output) -> None:
    """Show bank time, or move a sandbox's clock; it goes forward only.

    `databank clock` alone shows it.
    """
    if context.invoked_subcommand is None:
        _show_clock(find_bank(state), output)
        return
    for name, word in (("state", "--state"), ("json_output", "--json")):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            # It would be ignored here, and another bank's clock be moved.
            raise click.UsageError(f"{word} goes behind `{context.invoked_subcommand}`")


@clock.command("show")
@bank_option
def clock_show(bank: Bank, output: Output) -> None:
    """Show bank time."""
    _show_clock(bank, output)


@clock.command("set")
@click.argument("time_text", metavar="TIME")
@bank_option
def clock_set(bank: Bank, output: Output, time_text: str) -> None:
    """Move bank time to TIME (ISO 8601); returns when every process has seen it."""
    bank_clock.set_clock(bank, bank_clock.parse_time(bank, time_text))
    _show_clock(bank, output)


@clock.command("advance")
@click.argument("duration", metavar="DURATION")
@bank_option
def clock_advance(bank: Bank, output: Output, duration: str) -> None:
    """Move bank time forward by DURATION (90m, 36h, 1d12h, 2w)."""
    bank_clock.set_clock(bank, bank_clock.now(bank) + bank_clock.parse_duration(duration))
    _show_clock(bank, output)


def _show_clock(bank: Bank, output: Output) -> None:
    now = Calendar(bank.timezone).text(bank_clock.now(bank))
    offset = bank_clock.offset_ms(bank)
    data = {"now": now, "offset_ms": offset, "timezone": bank.timezone, "sandbox": bank.sandbox}
    output.show(data, lambda: output.line(f"{now} ({bank.timezone})"))


@click.command()
@state_option
@output_option
def migrate(state: Path | None, output: Output) -> None:
    """Make or update every service's database; repeating it changes nothing.

    Where databases are given it makes the state folder too, as `up` does.
    """
    from infra.runtime.migration import migrate_bank  # noqa: PLC0415 Slow to import.

    lines: list[str] = []
    environment = read_environment()
    if not needs_own_database(environment) and not (state_path(state) / "bank.json").exists():
        wished_bank(Wish(state=state_path(state)), environment)
    migrate_bank(find_bank(state), environment, lines.append)
    data = {"applied": lines}
    output.show(data, lambda: output.line("\n".join(lines) or "every schema is up to date"))

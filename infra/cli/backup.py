"""Commands that keep a bank: backup and restore."""

import time
from pathlib import Path
from typing import Any

import rich_click as click

from infra.cli.listeners import TerminalListener
from infra.cli.output import Bank, CliError, Output, bank_option, human_bytes, output_option
from infra.cli.reports import rebuild_view, show_verify, verify_bank
from infra.runtime.backup import take_backup
from infra.runtime.environment import read_environment
from infra.runtime.restore import RestoreWish, restore_bank
from infra.runtime.wish import PORT_MAX
from shared.positions import format_token

FOLDER = click.Path(file_okay=False, path_type=Path, resolve_path=True)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@bank_option
def backup(bank: Bank, output: Output, folder: Path) -> None:
    """Copy the whole bank at one instant into DIR, a new folder; it runs on meanwhile.

    DIR then holds the bank's data and secrets and is readable by you only.
    """
    began = time.monotonic()
    manifest = take_backup(bank, read_environment(), folder, output.note)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    data = {
        "backup": str(folder), "bank_id": bank.bank_id, "epoch": bank.epoch,
        "taken_at": manifest.taken_at, "bytes": size,
        "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip
    output.show(data, lambda: output.line(f"{folder}: {human_bytes(size)}, {data['seconds']} s"))


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--state", type=FOLDER, required=True, help="State folder to make; a new one.")
@click.option("--port", type=click.IntRange(1, PORT_MAX), metavar="N",
              help="The gateway's port (else as it was).")  # fmt: skip
@click.option("--epoch", type=click.IntRange(min=2), metavar="N",
              help="The new epoch (else one more): higher where this backup was restored before.",
              )  # fmt: skip
@output_option
def restore(
    folder: Path, output: Output, *, state: Path, port: int | None, epoch: int | None
) -> None:
    """Make a bank of a backup, build every view anew and verify it; then `up` may start it.

    The bank keeps its id and tokens and gets a higher epoch: what happened after the backup never
    happened here, and no position or message of that time means anything to it.
    """

    def prove(bank: Bank) -> dict[str, Any]:
        return {
            "rebuilt": rebuild_view(bank, output, "all"), "verify": verify_bank(bank, output),
        }  # fmt: skip

    wish = RestoreWish(folder, state, port, epoch)
    with TerminalListener(output) as listener:
        bank, result = restore_bank(wish, read_environment(), listener, prove)
    heads = result.pop("heads")
    data = {
        "state": str(state), "bank_id": bank.bank_id, "epoch": bank.epoch, "port": bank.port,
        "position": format_token(bank.epoch, heads), **result,
    }  # fmt: skip
    output.show(data, lambda: _show_restored(output, data))
    if not data["verify"]["ok"]:
        raise CliError("not_equal", "the restored bank does not verify: do not start it")


def _show_restored(output: Output, data: dict[str, Any]) -> None:
    output.line(f"bank {data['bank_id']}, epoch {data['epoch']}, at {data['position']}")
    show_verify(output, data["verify"])
    output.line(f"start it: databank up --state {data['state']}")

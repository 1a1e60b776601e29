"""The `databank` command: finds the command's module only when it is called."""

import importlib
import logging
import sys
from typing import Any, NoReturn

import orjson
import rich_click as click

from shared.errors import DatabankError

COMMANDS = {
    "up": "infra.cli.bank:up",
    "down": "infra.cli.bank:down",
    "erase": "infra.cli.bank:erase",
    "status": "infra.cli.bank:status",
    "clock": "infra.cli.bank:clock",
    "migrate": "infra.cli.bank:migrate",
    "backup": "infra.cli.backup:backup",
    "restore": "infra.cli.backup:restore",
    "do": "infra.cli.commands:do",
    "commands": "infra.cli.commands:commands",
    "import-usage": "infra.cli.usage:import_usage",
    "gift": "infra.cli.gifts:gift",
    "gift-do": "infra.cli.gifts:gift_do",
    "gifts": "infra.cli.gifts:gifts",
    "red-packet": "infra.cli.gifts:red_packet",
    "pack": "infra.cli.supply:pack",
    "order": "infra.cli.supply:order",
    "code": "infra.cli.supply:code",
    "pool": "infra.cli.supply:pool",
    "members": "infra.cli.members:members",
    "audience": "infra.cli.members:audience",
    "task": "infra.cli.tasks:task",
    "close-month": "infra.cli.reports:close_month",
    "rules": "infra.cli.rules:rules",
    "balance": "infra.cli.reports:balance",
    "forecast": "infra.cli.questions:forecast",
    "history": "infra.cli.questions:history",
    "why": "infra.cli.questions:why",
    "partner": "infra.cli.partners:partner",
    "campaign": "infra.cli.campaigns:campaign",
    "partner-spend": "infra.cli.reports:partner_spend",
    "totals": "infra.cli.reports:totals",
    "rebuild": "infra.cli.reports:rebuild",
    "verify": "infra.cli.reports:verify",
    "parked": "infra.cli.reports:parked",
    "demo": "infra.cli.demo:demo",
    "simulate": "infra.cli.simulate:simulate",
}


class LazyGroup(click.RichGroup):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 Click's interface.
        """Return the names in the order in which an operator meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command. Raises UsageError when its module is not part of this installation."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            found: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            return _missing(cmd_name)
        return found


def _missing(name: str) -> click.Command:
    def refuse() -> None:
        raise click.UsageError(f"`{name}` is not part of this installation")

    return click.RichCommand(name=name, callback=refuse, help="(not installed)", hidden=True)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="databank")
def cli() -> None:
    """Run and operate a data bank: its processes, its clock, its usage, its months.

    Every command finds its bank by `--state`, else `DATABANK_STATE`, else `.databank` here.
    """


def main() -> None:
    """Run the command line; every failure is one message on stderr with a stable code."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        cli(prog_name="databank")
    except DatabankError as error:
        fail(error.code, error.detail, **error.extra)
    except Exception as error:
        logging.getLogger(__name__).debug("traceback", exc_info=error)
        # An operator gets a message, never a traceback.
        fail("internal_error", f"{type(error).__name__}: {error}")


def fail(code: str, detail: str, **extra: Any) -> NoReturn:
    """Print an error, as JSON when the command was asked for JSON, and end with 1."""
    if "--json" in sys.argv:
        document = {"code": code, "detail": detail, **extra}
        click.echo(orjson.dumps(document, default=str).decode(), err=True)
    else:
        click.echo(f"error [{code}]: {detail}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()

"""`databank do` and `databank commands`: commands as JSON, and how they look."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import rich_click as click

from infra.cli.client import Service, ledger_of
from infra.cli.output import Bank, CliError, Output, Report, bank_option, human_bytes

CHUNK_COMMANDS = 1_000
FILE_BYTES_MAX = 64 << 20
SHOWN_MAX = 50
# How a refusal of a whole request names a command in it.
PLACE = re.compile(r"\$\.commands\[(\d+)\]")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--dry-run", is_flag=True, help="Only tell what each would do now; nothing is stored."
)
@bank_option
def do(bank: Bank, output: Output, file: Path, *, dry_run: bool) -> None:
    """Send the commands in a JSON file to the ledger (`-` reads them from stdin).

    The file holds a list of commands, or {"commands": [...]}, or one command a line.
    `databank commands` shows what can be asked for. A command's key makes it safe to repeat.
    """
    commands = read_commands(file)
    with ledger_of(bank, output) as ledger, output.progress("Commands", len(commands)) as report:
        outcomes, position = send(ledger, commands, report, dry_run=dry_run)
    refused = sum(outcome["status"] != "done" for outcome in outcomes)
    document = {
        "done": len(outcomes) - refused,
        "refused": refused,
        "position": position,
        "outcomes": outcomes,
        **({"dry_run": True} if dry_run else {}),
    }
    output.show(document, lambda: _show(output, outcomes, dry_run=dry_run))
    if refused:
        sys.exit(1)


@click.command()
@click.argument("name", required=False)
@bank_option
def commands(bank: Bank, output: Output, name: str | None) -> None:
    """Show every command of the ledger, or NAME alone: what it does, its fields, an example."""
    with ledger_of(bank) as ledger:
        answer = ledger.get("/v1/command-schemas")
    if name is not None:
        there = [each["type"] for each in answer["commands"]]
        if name not in there:
            raise CliError("command_unknown", f"no command is called {name}: {', '.join(there)}")
        answer = {"commands": [each for each in answer["commands"] if each["type"] == name]}
    output.show(answer, lambda: _show_schemas(output, answer["commands"]))


def read_commands(file: Path) -> list[dict[str, Any]]:
    """Read commands from a file in any of the three forms. Raises CliError."""
    text = _read(file)
    found = _wrapped(text)
    if found is None:
        found = list(_lines(text))
    for number, command in enumerate(found, start=1):
        if not isinstance(command, dict):
            raise CliError(
                "commands_invalid", f"item {number} is no command (a JSON object); nothing was done"
            )
    if not found:
        raise CliError("commands_missing", "there are no commands in the file; nothing was done")
    return found


def send(
    ledger: Service, commands: list[dict[str, Any]], report: Report, *, dry_run: bool = False
) -> tuple[list[dict[str, Any]], str | None]:
    """Send commands in their order, 1,000 at a time; returns the outcomes and the last position."""
    outcomes: list[dict[str, Any]] = []
    position = None
    if dry_run and len(commands) > CHUNK_COMMANDS:
        # A second part would not see what the first had done.
        raise CliError("too_many_commands", f"a dry run takes at most {CHUNK_COMMANDS:,} commands")
    query = {"dry_run": "1"} if dry_run else {}
    for start in range(0, len(commands), CHUNK_COMMANDS):
        try:
            answer = ledger.post(
                "/v1/commands", {"commands": commands[start : start + CHUNK_COMMANDS]}, **query
            )
        except CliError as error:
            raise _with_progress(error, start) from error
        outcomes += answer.body["outcomes"]
        position = answer.body.get("position", position)
        report(len(outcomes), None)
    return outcomes, position


def _with_progress(error: CliError, sent: int) -> CliError:
    if not sent:
        return error

    def place(text: str) -> str:
        return PLACE.sub(lambda found: f"$.commands[{int(found[1]) + sent}]", text)

    detail = (
        f"{place(error.detail)}; the {sent:,} commands before its part of the file were answered,"
        " repeating them is safe"
    )
    extra = {name: place(text) if name == "pointer" else text for name, text in error.extra.items()}
    return CliError(error.code, detail, **extra)


def _read(file: Path) -> bytes:
    try:
        if str(file) == "-":
            text = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with file.open("rb") as stream:
                text = stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CliError(
            "file_unreadable", f"{file}: {error.strerror or error}; nothing was done"
        ) from error
    if len(text) > FILE_BYTES_MAX:
        raise CliError(
            "file_too_large", f"{file} has more than {FILE_BYTES_MAX >> 20} MiB: send it in parts"
        )
    return text


def _wrapped(text: bytes) -> list[Any] | None:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        if text.lstrip()[:1] == b"[":
            _parse(text, "")
        return None
    if isinstance(document, list):
        return document
    if not isinstance(document, dict) or "commands" not in document:
        return [document]
    if not isinstance(document["commands"], list):
        raise CliError("commands_invalid", '"commands" must be a list; nothing was done')
    return list(document["commands"])


def _lines(text: bytes) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _parse(line, f"line {number}: ")


def _parse(text: bytes, place: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CliError("not_json", f"{place}{error}; nothing was done") from error


def _show(output: Output, outcomes: list[dict[str, Any]], *, dry_run: bool) -> None:
    refused = [outcome for outcome in outcomes if outcome["status"] != "done"]
    shown = outcomes if len(outcomes) <= SHOWN_MAX else refused[:SHOWN_MAX]
    if shown:
        output.table(
            "Outcomes of a dry run" if dry_run else "Outcomes",
            ["key", "account", "status", "what"],
            [_outcome_row(each) for each in shown],
        )
    if len(shown) < len(outcomes):
        output.line(f"{len(outcomes) - len(shown):,} more; --json shows all of them")
    repeated = sum(bool(outcome.get("repeated")) for outcome in outcomes)
    done = len(outcomes) - len(refused)
    if dry_run:
        output.line("a dry run: nothing was stored, no key is bound")
    output.line(
        f"{done:,} {'would be ' if dry_run else ''}done ({repeated:,} of them before),"
        f" {len(refused):,} refused"
    )
    for code, count in Counter(outcome["code"] for outcome in refused).most_common():
        output.line(f"  {code}: {count:,}")


def _outcome_row(outcome: dict[str, Any]) -> tuple[str, str, str, str]:
    if outcome["status"] != "done":
        return (
            outcome["key"],
            outcome.get("account", ""),
            "refused",
            f"{outcome['code']}: {outcome.get('detail', '')}",
        )
    status = "done before" if outcome.get("repeated") else "done"
    return outcome["key"], outcome.get("account", ""), status, _what(outcome)


def _what(outcome: dict[str, Any]) -> str:
    """Say what a command did: its result's facts, else its events, else that it did nothing."""
    result = outcome.get("result") or {}
    facts = [
        _fact(name, value)
        for name, value in result.items()
        if isinstance(value, str | int) and not (name.endswith("_bytes") and value == 0)
    ]
    events = [event["type"].split(".")[-2].replace("_", " ") for event in outcome.get("events", [])]
    return ", ".join(facts or events) or "nothing to do"


def _fact(name: str, value: str | int) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{name.removesuffix('_bytes')} {human_bytes(value)} ({value:,} B)"
    return f"{name} {value}"


def _show_schemas(output: Output, schemas: list[dict[str, Any]]) -> None:
    for each in schemas:
        output.line(f"{each['type']}: {each['description']}\n")
        rows = list(_field_rows(each["schema"], each["schema"].get("$defs", {})))
        output.table("", ["field", "needed", "is", "meaning"], rows)
        output.line(f"{orjson.dumps(each['example']).decode()}\n")


def _field_rows(
    schema: dict[str, Any], parts: dict[str, Any], inside: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row for each field, those of an object behind it: `fee`, `fee.bytes`."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        needed = "yes" if name in required else "no"
        yield f"{inside}{name}", needed, _kind(field), field.get("description", "")
        for each in (field, *field.get("anyOf", [])):
            if "$ref" in each:
                part = parts[each["$ref"].rpartition("/")[2]]
                yield from _field_rows(part, parts, f"{inside}{name}.")


def _kind(field: dict[str, Any]) -> str:
    """Write what a field is: a type, the values that it takes, or an object."""
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field:
        return " | ".join(str(value) for value in field["enum"])
    if "$ref" in field:
        return "object"
    return str(field.get("format") or field.get("type") or "")

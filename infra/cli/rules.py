"""`databank rules`: what is in force and what is to come; compare, try and put new rules."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import rich_click as click

from infra.cli.client import Service, ledger_of
from infra.cli.output import Bank, CliError, Output, bank_option, human_bytes
from infra.cli.reports import minutes

Document = dict[str, Any]
# What a version is called and when it began is no part of what it says.
NAMES = ("version", "effective_from")


@click.group()
def rules() -> None:
    """Show, compare, try and put the rules: plans, carry-over, order of use."""


@rules.command("show")
@click.argument("version", type=int, required=False)
@bank_option
def show(bank: Bank, output: Output, version: int | None) -> None:
    """Show every version of the rules, or one of them (by its number) as a rules file."""
    with ledger_of(bank) as ledger:
        answer = ledger.get("/v1/rules")
    if version is None:
        output.show(answer, lambda: _show_versions(output, answer))
        return
    document = _numbered(answer, version)
    output.show(document, lambda: output.line(_pretty(document)))


@rules.command("diff")
@click.argument("sides", metavar="[OLD] NEW", nargs=-1, required=True)
@bank_option
def diff(bank: Bank, output: Output, sides: tuple[str, ...]) -> None:
    """Compare two versions, each a number or a rules file; without OLD, with the last version."""
    if len(sides) > 2:  # noqa: PLR2004 Two sides.
        raise click.UsageError("compare two versions at most: [OLD] NEW")
    with ledger_of(bank) as ledger:
        answer = ledger.get("/v1/rules")
        before = _named(ledger, answer, sides[0] if sides[1:] else str(answer["latest"]))
        after = _named(ledger, answer, sides[-1])
    changes = differences(before, after)
    output.show({"changes": changes}, lambda: _show_changes(output, changes))


@rules.command("put")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what it would have changed; store nothing.")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="With --dry-run: every account that is changed, a line each; the sums come last.",
)
@click.option(
    "--effective-from", "effective_from", metavar="TIME",
    help="From when it is in force (ISO 8601, at least a minute ahead; else the file's time).",
)  # fmt: skip
@bank_option
def put(
    bank: Bank, output: Output, file: Path, effective_from: str | None, *, dry_run: bool,
    every: bool,
) -> None:  # fmt: skip
    """Put the rules in FILE in force, without a restart; the bank numbers the version.

    --dry-run replays the last closed month under them and shows whom they would have changed, and
    by how much.
    """
    if every and not dry_run:
        raise click.UsageError("--all belongs to --dry-run")
    document = read_rules_file(file)
    with ledger_of(bank, output) as ledger:
        if dry_run:
            _try(output, ledger, document, every=every)
            return
        body: Document = {"rules": document}
        if effective_from is not None:
            body["effective_from"] = effective_from
        result = _put(ledger, body)
    what = "is put" if result["new"] else "says this already: nothing is new"
    when = f"in force from {result['effective_from']}"
    output.show(result, lambda: output.line(f"version {result['version']} {what}; {when}"))


def _put(ledger: Service, body: Document) -> Document:
    try:
        result: Document = ledger.post("/v1/rules", body).body
    except CliError as error:
        if error.code != "rules_too_early" or "effective_from" in body:
            raise
        detail = f"{error.detail} as the file says; --effective-from gives another time"
        raise CliError(error.code, detail, **error.extra) from error
    return result


def read_rules_file(file: Path) -> Document:
    """Read one version from a rules file (an object, or a list of one). Raises CliError."""
    try:
        found = orjson.loads(file.read_bytes())
    except OSError as error:
        raise CliError("file_unreadable", f"{file}: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise CliError("not_json", f"{file}: {error}") from error
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise CliError("rules_invalid", f"{file} must hold one version of the rules, an object")
    return found


def differences(before: Any, after: Any, place: str = "") -> list[Document]:
    """Return where two versions differ: place, before and after (null where there is none)."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*before, *(name for name in after if name not in before)]
        return [
            change
            for name in names
            if place or name not in NAMES
            for change in differences(
                before.get(name), after.get(name), f"{place}.{name}" if place else name
            )
        ]
    return [] if before == after else [{"place": place, "before": before, "after": after}]


def _named(ledger: Service, answer: Document, name: str) -> Document:
    if name.isdecimal():
        return _numbered(answer, int(name))
    # A file may leave out what has its default; the ledger knows what that is.
    document: Document = ledger.post(
        "/v1/rules:check", {"rules": read_rules_file(Path(name))}
    ).body["rules"]
    return document


def _numbered(answer: Document, version: int) -> Document:
    for each in answer["versions"]:
        if each["version"] == version:
            return dict(each)
    known = ", ".join(str(each["version"]) for each in answer["versions"])
    raise CliError("rules_unknown", f"there is no version {version}; there are {known}")


def _try(output: Output, ledger: Service, document: Document, *, every: bool) -> None:
    body = {"rules": document, "every": every}
    # Between lines of a result a bar would be in the way.
    bar = nullcontext(_no_bar) if every else output.progress("Replaying the last month")
    with bar as report:
        result = ledger.stream(
            "/v1/rules:dry-run", report, body, row=lambda row: output.row(row, _changed(row))
        )
    if every and output.json:
        output.row(result, "")
    else:
        output.show(result, lambda: _show_dry_run(output, result, every=every))


def _no_bar(done: int, of: int | None) -> None:
    del done, of


def _changed(row: Document) -> str:
    """Say on a line by how much an account would be changed."""
    parts = [
        f"{what} {row[f'{what}_before_bytes']:,} -> {row[f'{what}_after_bytes']:,} B"
        for what in ("carried", "expired")
    ]
    if row["other_terms_bytes"]:
        before, after = _terms(row["carried_before"]), _terms(row["carried_after"])
        parts.append(f"{row['other_terms_bytes']:,} B on other terms: {before} -> {after}")
    return f"{row['account']}: {', '.join(parts)}"


def _terms(lots: list[Document]) -> str:
    """Say as what bytes are carried over, and until when."""
    return " + ".join(f"{lot['kind']} to {minutes(lot['expires_at'])}" for lot in lots) or "nothing"


def _show_versions(output: Output, answer: Document) -> None:
    rows = [
        (
            each["version"], each["effective_from"],
            "in force" if each["version"] == answer["in_force"]
            else "to come" if each["effective_from"] > answer["now"] else "past",
            len(each["plans"]),
        )
        for each in answer["versions"]
    ]  # fmt: skip
    output.table("Versions of the rules", ["version", "from", "", "plans"], rows)
    now = _numbered(answer, answer["in_force"])
    plans = [
        (name, human_bytes(plan["bytes_per_month"]), plan["carry_over"]["mode"],
         plan["carry_over"]["share_percent"], plan["carry_over"]["cap_bytes"],
         plan["carry_over"]["months"], ", ".join(plan["carry_over"]["excluded_kinds"]))
        for name, plan in now["plans"].items()
    ]  # fmt: skip
    columns = ["plan", "a month", "carry-over", "share %", "cap (B)", "months", "but not"]
    output.table(f"Plans in version {answer['in_force']}", columns, plans)


def _show_changes(output: Output, changes: list[Document]) -> None:
    if not changes:
        output.line("they say the same")
        return
    rows = [(each["place"], _text(each["before"]), _text(each["after"])) for each in changes]
    output.table("Changes", ["where", "before", "after"], rows)


def _show_dry_run(output: Output, result: Document, *, every: bool) -> None:
    output.line(
        f"{result['month']} again under these rules: {result['changed_accounts']:,} of"
        f" {result['accounts']:,} accounts would have closed it otherwise"
    )
    rows = [
        (what, human_bytes(before := result[f"{what}_before_bytes"]),
         human_bytes(after := result[f"{what}_after_bytes"]), after - before)
        for what in ("carried", "expired")
    ]  # fmt: skip
    output.table("", ["bytes", "before", "after", "difference (B)"], rows)
    if result["other_terms_accounts"]:
        output.line(
            f"{result['other_terms_accounts']:,} accounts would have carried"
            f" {human_bytes(result['other_terms_bytes'])} over on other terms (kind or end)"
        )
    if not every:
        _show_examples(output, result)


def _show_examples(output: Output, result: Document) -> None:
    """Show the accounts that are changed most, by how much and by the terms."""
    shown = {row["account"] for row in result["most_changed"] + result["most_on_other_terms"]}
    if result["most_changed"]:
        columns = ["carried_before", "carried_after", "expired_before", "expired_after"]
        output.table(
            "Changed most (bytes)", ["account", *(name.replace("_", " ") for name in columns)],
            [[row["account"], *(row[f"{name}_bytes"] for name in columns)]
             for row in result["most_changed"]],
        )  # fmt: skip
    if result["most_on_other_terms"]:
        output.table(
            "Most on other terms", ["account", "bytes", "before", "after"],
            [(row["account"], row["other_terms_bytes"], _terms(row["carried_before"]),
              _terms(row["carried_after"])) for row in result["most_on_other_terms"]],
        )  # fmt: skip
    more = result["changed_accounts"] - len(shown)
    if more:
        output.line(f"{more:,} more are changed; --all shows every one")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _pretty(document: Document) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()

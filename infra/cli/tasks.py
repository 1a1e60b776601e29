"""`databank task`: what is done for rewards, from the command line; for operators and for tries."""

import re
from typing import Any
from uuid import uuid4

import rich_click as click

from infra.cli.client import Service, tasks_of
from infra.cli.gifts import key_option
from infra.cli.output import Bank, Output, bank_option, human_bytes
from infra.cli.reports import minutes

Document = dict[str, Any]
CLAIM_ID = re.compile(r"[0-9a-f]{32}")


def device_option(command: Any) -> Any:
    """Give a command `--device`."""
    return _hash_option("device", command)


def where_options(command: Any) -> Any:
    """Give a command `--device` and `--address`."""
    return device_option(_hash_option("address", command))


def _hash_option(what: str, command: Any) -> Any:
    text = f"From which {what}: a hash (16 hex digits or more)."
    return click.option(f"--{what}", help=text)(command)


@click.group()
def task() -> None:
    """Show tasks, do them for somebody, show and take back what they earned."""


@task.command("list")
@click.argument("campaign")
@bank_option
def list_tasks(bank: Bank, output: Output, campaign: str) -> None:
    """Show the tasks of a campaign, in its terms in force."""
    with tasks_of(bank, output) as tasks:
        terms = tasks.get(f"/v1/campaigns/{campaign}")["terms"]
    found = terms.get("tasks", [])
    output.show({"tasks": found}, lambda: _show_tasks(output, campaign, found))


@task.command("enter")
@click.argument("campaign")
@click.argument("subscriber")
@click.option("--invited-by", help="Who invited the subscriber.")
@where_options
@key_option
@bank_option
def enter(
    bank: Bank, output: Output, campaign: str, subscriber: str, *, invited_by: str | None,
    device: str | None, address: str | None, key: str | None,
) -> None:  # fmt: skip
    """Let a subscriber come by our entrance to a campaign; prints the token for the partner."""
    body = {"subscriber": subscriber} | _given(
        invited_by=invited_by, device=device, address=address
    )
    with tasks_of(bank, output) as tasks:
        answer = _write(tasks, f"/v1/campaigns/{campaign}/entrances", body, key)
    output.show(answer, lambda: output.line(answer["token"]))


@task.command("start")
@click.argument("campaign")
@click.argument("name", metavar="TASK")
@click.argument("subscriber")
@device_option
@key_option
@bank_option
def start(
    bank: Bank, output: Output, campaign: str, name: str, subscriber: str, *, device: str | None,
    key: str | None,
) -> None:  # fmt: skip
    """Start an ad, or make today's link to share; prints its token."""
    body = {"subscriber": subscriber} | _given(device=device)
    with tasks_of(bank, output) as tasks:
        answer = _write(tasks, f"/v1/tasks/{campaign}/{name}/start", body, key)
    output.show(answer, lambda: output.line(answer["token"]))


@task.command("visit")
@click.argument("campaign")
@click.argument("name", metavar="TASK")
@click.argument("token")
@click.argument("visitor")
@bank_option
def visit(bank: Bank, output: Output, campaign: str, name: str, token: str, visitor: str) -> None:
    """Count a visitor (a hash, 16 hex digits or more) of a shared link."""
    with tasks_of(bank, output) as tasks:
        path = f"/v1/tasks/{campaign}/{name}/visits"
        answer = _write(tasks, path, {"token": token, "visitor": visitor}, None)
    output.show(answer, lambda: output.line(f"{answer['visitors']} visitors"))


@task.command("do")
@click.argument("campaign")
@click.argument("name", metavar="TASK")
@click.argument("subscriber")
@click.option("--token", help="The token of the ad's start, or of the shared link.")
@click.option("--answers", help="A quiz's answers, each a choice's place from 0: `0,2,1`.")
@click.option("--entry", help="The entry of a lucky draw, by any name of yours.")
@where_options
@key_option
@bank_option
def do(
    bank: Bank, output: Output, campaign: str, name: str, subscriber: str, *, token: str | None,
    answers: str | None, entry: str | None, device: str | None, address: str | None,
    key: str | None,
) -> None:  # fmt: skip
    """Do a task that the bank sees, for a subscriber: sign in, redeem an ad, draw."""
    body = {"subscriber": subscriber} | _given(
        token=token, answers=_numbers(answers), entry=entry, device=device, address=address
    )
    with tasks_of(bank, output) as tasks:
        answer = _write(tasks, f"/v1/tasks/{campaign}/{name}/done", body, key)
    output.show(answer, lambda: _show_claim(output, answer))


@task.command("draw")
@click.argument("campaign")
@click.argument("name", metavar="TASK")
@click.option("--day", help="A day of the bank, YYYY-MM-DD (else today).")
@bank_option
def draw(bank: Bank, output: Output, campaign: str, name: str, day: str | None) -> None:
    """Show the commitment to a draw's seed, and the seed itself once the day is over."""
    query = {"day": day} if day else {}
    with tasks_of(bank, output) as tasks:
        answer = tasks.get(f"/v1/tasks/{campaign}/{name}/draw", **query)
    seed = answer["seed"] or "(told when the day is over)"
    text = f"{answer['day']}: commitment {answer['seed_commitment']}, seed {seed}"
    output.show(answer, lambda: output.line(text))


@task.command("claims")
@click.argument("which", metavar="[SUBSCRIBER|CLAIM]", required=False)
@click.option("--campaign", help="Only of this campaign.")
@click.option("--task", "name", help="Only of this task.")
@click.option("--in-state", help="Only those in this state, as `paid` or `noted`.")
@click.option("--after", help="Behind this cursor (`next_after` of the page before).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@bank_option
def claims(
    bank: Bank, output: Output, which: str | None, *, campaign: str | None, name: str | None,
    in_state: str | None, after: str | None, limit: int,
) -> None:  # fmt: skip
    """Show claims, newest first: a subscriber's, everybody's, or one by its id (32 hex digits)."""
    with tasks_of(bank, output) as tasks:
        if which is not None and CLAIM_ID.fullmatch(which):
            answer = tasks.get(f"/v1/claims/{which}")
            output.show(answer, lambda: _show_claim(output, answer))
            return
        query = _given(
            account=which, campaign=campaign, task=name, state=in_state, after=after,
            limit=str(limit),
        )  # fmt: skip
        answer = tasks.get("/v1/claims", **query)
    output.show(answer, lambda: _show_claims(output, answer))


@task.command("claw-back")
@click.argument("claim")
@click.option("--reason", required=True, help="Why; it is kept.")
@key_option
@bank_option
def claw_back(bank: Bank, output: Output, claim: str, reason: str, key: str | None) -> None:
    """Take back what is left of a paid reward."""
    with tasks_of(bank, output) as tasks:
        answer = _write(tasks, f"/v1/claims/{claim}/claw-back", {"reason": reason}, key)
    output.show(answer, lambda: _show_claim(output, answer))


def _write(tasks: Service, path: str, body: Any, key: str | None) -> Any:
    return tasks.write(path, body, {"Idempotency-Key": key or uuid4().hex}).body


def _given(**fields: Any) -> Document:
    return {field: value for field, value in fields.items() if value is not None}


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--answers takes numbers, as 0,2,1, not {text!r}") from None


def _show_tasks(output: Output, campaign: str, found: list[Document]) -> None:
    rows = [
        (each["name"], each["kind"], each.get("title", ""), _earns(each), _credited(each))
        for each in found
    ]
    columns = ["task", "kind", "title", "earns", "credited"]
    output.table(f"Tasks of {campaign}", columns, rows)


def _earns(each: Document) -> str:
    if "prizes" in each:
        return ", ".join(f"{one['name']} {human_bytes(one['bytes'])}" for one in each["prizes"])
    amount = each.get("reward", {}).get("bytes")
    if isinstance(amount, dict):
        return f"{human_bytes(amount['least'])} to {human_bytes(amount['most'])}"
    return human_bytes(amount) if amount else "as usual"


def _credited(each: Document) -> str:
    days = (each.get("reward") or each["terms"]).get("pending_days", 0)
    return f"after {days} days" if days else "at once"


def _show_claim(output: Output, answer: Document) -> None:
    what = f"{answer['campaign']}/{answer['task']}, {answer['step']}, {answer['subscriber']}"
    output.line(f"{answer['claim_id']}: {answer['state']} ({what})")
    if answer["code"]:
        output.line(": ".join(filter(None, [answer["code"], answer["detail"]])))
    if answer["bytes"]:
        ends = minutes(answer["expires_at"])
        output.line(
            f"{human_bytes(answer['bytes'])} from {minutes(answer['valid_from'])} to {ends}"
        )
    if answer["prize"]:
        output.line(f"drew {answer['roll']}: {answer['prize']}")
    if answer["taken_bytes"] or answer["shortfall_bytes"]:
        taken, short = answer["taken_bytes"], answer["shortfall_bytes"]
        output.line(f"taken back {human_bytes(taken)}, short of {human_bytes(short)}")
    for step in answer.get("steps", []):
        why = f"  {step['reason']}" if step["reason"] else ""
        output.line(f"  {minutes(step['at'])}  {step['step']}{why}")


def _show_claims(output: Output, answer: Document) -> None:
    rows = [
        (minutes(each["claimed_at"]), each["claim_id"], each["campaign"], each["task"],
         each["step"], each["subscriber"], human_bytes(each["bytes"]), each["state"],
         each["code"] or "")
        for each in answer["claims"]
    ]  # fmt: skip
    columns = ["claimed", "claim", "campaign", "task", "step", "by", "", "state", "why"]
    output.table("Claims, newest first", columns, rows)
    if answer["next_after"] is not None:
        output.line(f"there is more: --after {answer['next_after']}")

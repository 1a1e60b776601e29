"""What a partner's system does, for tries: signed calls about completions.

The secret is read from the environment or a file, never from the command line, where others see it.
"""

import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import rich_click as click

from infra.cli.client import Service, tasks_of
from infra.cli.output import Bank, CliError, Output, bank_option
from services.tasks.domain.signature import secret_of, sign

SECRET = "DATABANK_PARTNER_SECRET"  # noqa: S105 The name of a variable.


def secret_option(command: Any) -> Any:
    """Give a command `--secret-file`."""
    return click.option(
        "--secret-file", type=click.Path(path_type=Path, dir_okay=False),
        help=f"File with the signing key's secret (else the variable {SECRET}).",
    )(command)  # fmt: skip


@click.command("complete")
@click.argument("partner")
@click.argument("campaign", required=False)
@click.argument("task", required=False)
@click.option("--subscriber", help="Who did it.")
@click.option("--token", help="The token of the entrance by which the subscriber came.")
@click.option("--happened-at", help="When (ISO 8601; else now, by the bank's clock).")
@click.option("--file", type=click.Path(path_type=Path), help="A call's body, as JSON.")
@click.option("--device", help="From which device: a hash (16 hex digits or more).")
@click.option("--address", help="From which address: a hash (16 hex digits or more).")
@click.option(
    "--request-id",
    help="The call's id (else a new one): told again by it, with the same --happened-at, a"
    " completion has the same answer.",
)
@secret_option
@bank_option
def complete(
    bank: Bank, output: Output, partner: str, campaign: str | None, task: str | None, *,
    subscriber: str | None, token: str | None, happened_at: str | None, file: Path | None,
    device: str | None, address: str | None, request_id: str | None, secret_file: Path | None,
) -> None:  # fmt: skip
    """Tell, as the partner, that a subscriber has done a TASK of a CAMPAIGN (or what FILE says)."""
    with tasks_of(bank, output) as tasks:
        if file is not None:
            body = _read(file)
        elif campaign is None or task is None:
            raise click.UsageError("name CAMPAIGN and TASK, or a --file")
        else:
            told = {
                "campaign": campaign, "task": task, "subscriber": subscriber, "token": token,
                "device": device, "address": address,
            }  # fmt: skip
            told["happened_at"] = happened_at or tasks.get("/v1/clock")["now"]
            body = {name: value for name, value in told.items() if value is not None}
        answer = _call(tasks, partner, "completions", body, request_id, secret_file)
    output.show(answer, lambda: _show(output, answer))


@click.command("claw-back")
@click.argument("partner")
@click.argument("completion", metavar="REQUEST_ID")
@click.option("--reason", required=True, help="Why the completion turned out to be none.")
@secret_option
@bank_option
def claw_back(
    bank: Bank, output: Output, partner: str, completion: str, reason: str,
    secret_file: Path | None,
) -> None:  # fmt: skip
    """Ask, as the partner, for what is left of a completion's reward."""
    body = {"request_id": completion, "reason": reason}
    with tasks_of(bank, output) as tasks:
        answer = _call(tasks, partner, "clawbacks", body, None, secret_file)
    output.show(answer, lambda: _show(output, answer))


@click.command("answer")
@click.argument("partner")
@click.argument("request_id")
@secret_option
@bank_option
def answer(
    bank: Bank, output: Output, partner: str, request_id: str, secret_file: Path | None
) -> None:
    """Ask, as the partner, how a completion stands now."""
    headers = signed_headers(_secret(secret_file), request_id, b"")
    with tasks_of(bank, output) as tasks:
        found = tasks.read(f"/v1/partners/{partner}/completions/{request_id}", headers)
    output.show(found, lambda: _show(output, found))


def signed_headers(secret: bytes, request_id: str, content: bytes) -> dict[str, str]:
    """Return the headers with which a body is sent."""
    at = int(time.time())
    return {
        "webhook-id": request_id, "webhook-timestamp": str(at),
        "webhook-signature": sign(secret, request_id, at, content),
    }  # fmt: skip


def _call(
    tasks: Service, partner: str, what: str, body: Any, request_id: str | None,
    secret_file: Path | None,
) -> Any:  # fmt: skip
    # The client sends what orjson writes, with the same bytes each time.
    headers = signed_headers(_secret(secret_file), request_id or uuid4().hex, orjson.dumps(body))
    return tasks.write(f"/v1/partners/{partner}/{what}", body, headers).body


def _secret(file: Path | None) -> bytes:
    text = os.environ.get(SECRET, "") if file is None else _text(file)
    if not text:
        raise CliError("secret_missing", f"set {SECRET} to the key's secret, or give --secret-file")
    try:
        return secret_of(text.strip())
    except ValueError as error:
        raise CliError("secret_malformed", "a secret is `whsec_` and base64") from error


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise CliError("file_unreadable", f"{file} cannot be read: {error.strerror}") from error


def _read(file: Path) -> Any:
    try:
        return orjson.loads(_text(file))
    except orjson.JSONDecodeError as error:
        raise CliError("file_unreadable", f"{file} is no JSON: {error}") from error


def _show(output: Output, found: dict[str, Any]) -> None:
    for each in found.get("answers", [found]):
        why = ": ".join(each[name] for name in ("code", "detail") if name in each)
        output.line(f"{each['request_id']}: {each['status']}" + (f" ({why})" if why else ""))
        for claim in each.get("claims", []):
            output.line(f"  claim {claim['claim_id']}: {claim['state']}, {claim['bytes']:,} bytes")

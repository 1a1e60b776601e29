"""Gifts, red packets and asks from the command line: for operators and for tries."""

import re
from typing import Any
from uuid import uuid4

import rich_click as click

from infra.cli.client import Service, gifting_of
from infra.cli.output import Bank, Output, bank_option, human_bytes
from infra.cli.reports import minutes
from services.gifting.domain.split import check_split

AMOUNT = re.compile(r"([1-9][0-9]{0,15})\s*(B|K|KB|KIB|M|MB|MIB|G|GB|GIB)?", re.IGNORECASE)
UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
WAIT_S = 2
GIFT_STATES = (
    "requested", "delayed", "offered", "held", "accepted", "declined", "cancelled", "sent",
    "completed", "refused", "returned",
)  # fmt: skip
GIFT_VERBS = ("accept", "decline", "cancel", "release", "deny")
BY_HAND = ("release", "deny")


class Amount(click.ParamType[int]):
    """An amount of data: bytes, or with a unit of 1,024 (`10MB`, `512KiB`, `1G`)."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the amount in bytes; ends with a usage error for anything else."""
        found = AMOUNT.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no amount such as 10MB, 512KiB or 10485760", param, ctx)
        return int(found[1]) * UNITS[(found[2] or "")[:1].upper()]


def key_option(command: Any) -> Any:
    """Give a command `--key`, by which it may be repeated."""
    return click.option(
        "--key", help="Idempotency key: with the same one nothing is done twice (else a new one)."
    )(command)


@click.command()
@click.argument("sender", metavar="FROM")
@click.argument("receiver", metavar="TO")
@click.argument("amount", type=Amount())
@click.option("--waits", is_flag=True, help="Hold it until TO accepts (else the rules say).")
@click.option("--message", help="A line for the receiver.")
@click.option("--quote", is_flag=True, help="Only tell what the gift would do.")
@key_option
@bank_option
def gift(
    bank: Bank, output: Output, sender: str, receiver: str, amount: int, *, waits: bool,
    message: str | None, quote: bool, key: str | None,
) -> None:  # fmt: skip
    """Give AMOUNT (10MB, 10485760) of data from one subscriber to another."""
    terms: dict[str, Any] = {
        "sender": sender, "receiver": receiver, "bytes": amount, "confirmed": True,
        **({"waits": True} if waits else {}), **({"message": message} if message else {}),
    }  # fmt: skip
    with gifting_of(bank, output) as gifting:
        if quote:
            answer = gifting.post("/v1/gifts:quote", terms).body
            output.show(answer, lambda: show_quote(output, answer))
        else:
            answer = _write(gifting, "/v1/gifts", terms, key)
            output.show(answer, lambda: show_gift(output, answer))


@click.command("gift-do")
@click.argument("verb", type=click.Choice(GIFT_VERBS))
@click.argument("gift_id", metavar="GIFT")
@click.option("--by", "account", help="Who accepts or declines (the receiver), or cancels.")
@click.option("--reason", help="Why a delayed gift is released or denied.")
@key_option
@bank_option
def gift_do(
    bank: Bank, output: Output, verb: str, gift_id: str, *, account: str | None,
    reason: str | None, key: str | None,
) -> None:  # fmt: skip
    """Accept, decline or cancel a gift for somebody; release or deny a delayed one."""
    needed, given = ("--reason", reason) if verb in BY_HAND else ("--by", account)
    if given is None:
        raise click.UsageError(f"`{verb}` needs {needed}")
    body = {"reason": reason} if verb in BY_HAND else {"account": account}
    with gifting_of(bank, output) as gifting:
        answer = _write(gifting, f"/v1/gifts/{gift_id}/{verb}", body, key)
    output.show(answer, lambda: show_gift(output, answer))


@click.command()
@click.argument("account", metavar="[SUBSCRIBER|GIFT]", required=False)
@click.option("--role", type=click.Choice(["sender", "receiver"]), help="Only given, or only got.")
@click.option("--in-state", type=click.Choice(GIFT_STATES), help="Only those in this state.")
@click.option("--after", help="Behind this cursor (`next_after` of the page before).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 200))
@bank_option
def gifts(
    bank: Bank, output: Output, account: str | None, *, role: str | None, in_state: str | None,
    after: str | None, limit: int,
) -> None:  # fmt: skip
    """Show the gifts of a subscriber (or of all), newest first; or one gift by its id.

    A gift's id has 32 hex digits. `--in-state delayed` alone: what waits for an operator.
    """
    with gifting_of(bank, output) as gifting:
        if account is not None and re.fullmatch(r"[0-9a-f]{32}", account):
            answer = gifting.get(f"/v1/gifts/{account}")
            output.show(answer, lambda: show_gift(output, answer))
            return
        asked = {
            "account": account, "role": role, "state": in_state, "after": after,
            "limit": str(limit),
        }  # fmt: skip
        query = {name: value for name, value in asked.items() if value is not None}
        answer = gifting.get("/v1/gifts", **query)
    output.show(answer, lambda: _show_gifts(output, account, answer))


@click.group("red-packet")
def red_packet() -> None:
    """Make, show and claim red packets."""


@red_packet.command("make")
@click.argument("sender", metavar="FROM")
@click.argument("amount", type=Amount())
@click.argument("shares", type=click.IntRange(1, 1000))
@click.option("--fixed", is_flag=True, help="Every share alike (else by luck).")
@click.option("--message", help="A line for those who claim.")
@key_option
@bank_option
def make(
    bank: Bank, output: Output, sender: str, amount: int, shares: int, *, fixed: bool,
    message: str | None, key: str | None,
) -> None:  # fmt: skip
    """Put AMOUNT of a subscriber's data into a red packet of SHARES shares; prints its token."""
    terms = {
        "sender": sender, "bytes": amount, "shares": shares,
        "split": "fixed" if fixed else "lucky", **({"message": message} if message else {}),
    }  # fmt: skip
    with gifting_of(bank, output) as gifting:
        answer = _write(gifting, "/v1/red-packets", terms, key)
    output.show(answer, lambda: show_packet(output, answer))


@red_packet.command("claim")
@click.argument("token")
@click.argument("receiver", metavar="TO")
@key_option
@bank_option
def claim(bank: Bank, output: Output, token: str, receiver: str, key: str | None) -> None:
    """Take a share of a red packet for a subscriber."""
    with gifting_of(bank, output) as gifting:
        path = f"/v1/red-packets/{token}/claim"
        answer = _write(gifting, path, {"receiver": receiver}, key)
    output.show(answer, lambda: output.line(_share(answer)))


@red_packet.command("show")
@click.argument("token", metavar="TOKEN|ID")
@bank_option
def show(bank: Bank, output: Output, token: str) -> None:
    """Show a red packet and its shares, with the seed that proves them once it has ended."""
    with gifting_of(bank, output) as gifting:
        answer = gifting.get(f"/v1/red-packets/{token}")
    if answer["seed"]:
        answer["split_as_promised"] = is_as_promised(answer)
    output.show(answer, lambda: show_packet(output, answer))


def _write(gifting: Service, path: str, body: Any, key: str | None) -> Any:
    headers = {"Idempotency-Key": key or uuid4().hex, "Prefer": f"wait={WAIT_S}"}
    return gifting.write(path, body, headers).body


def show_quote(output: Output, answer: dict[str, Any]) -> None:
    """Print what a gift would do."""
    rows = [
        (leg["lot_id"], leg["kind"], leg["bytes"], human_bytes(leg["bytes"]),
         minutes(leg["expires_at"]), minutes(leg["arrives_until"]))
        for leg in answer["legs"]
    ]  # fmt: skip
    title = f"{answer['sender']} to {answer['receiver']}: {human_bytes(answer['arrives_bytes'])}"
    output.table(title, ["lot", "kind", "bytes", "", "ends", "ends there"], rows)
    if answer["fee"]["bytes"]:
        output.line(f"fee {answer['fee']['bytes']:,} bytes, paid by the {answer['fee']['payer']}")
    if answer["waits"]:
        output.line(f"held until it is accepted, at most until {minutes(answer['accept_until'])}")
    if not answer["complete"]:
        output.line("the ledger is away: only the rules and what was given before were asked")
    if answer["refused"]:
        output.line(f"would be refused: {answer['refused']['code']}: {answer['refused']['detail']}")
    output.line(f"allowed now: {human_bytes(answer['allowed_bytes'])}")


def show_gift(output: Output, answer: dict[str, Any]) -> None:
    """Print what has become of a gift, and why."""
    what = f"{answer['sender']} to {answer['receiver']}, {human_bytes(answer['bytes'])}"
    output.line(f"{answer['gift_id']}: {answer['state']} ({what})")
    if answer["state"] == "held":
        output.line(f"waits for {answer['receiver']} until {minutes(answer['deadline'])}")
    if answer["code"]:
        output.line(": ".join(filter(None, [answer["code"], answer["detail"]])))
    if answer["reasons"]:
        output.line("looks like: " + ", ".join(answer["reasons"]))
    if answer["clawed_back_bytes"]:
        output.line(f"of it {human_bytes(answer['clawed_back_bytes'])} were taken back")
    for step in answer.get("steps", []):
        codes = step.get("reasons") or step.get("confirmed_for") or []
        why = step["reason"] or step.get("code") or ", ".join(codes)
        output.line(f"  {minutes(step['at'])}  {step['step']}" + (f"  {why}" if why else ""))


def _show_gifts(output: Output, account: str | None, answer: dict[str, Any]) -> None:
    rows = [
        (minutes(each["requested_at"]), each["gift_id"], each["sender"], each["receiver"],
         human_bytes(each["bytes"]), each["state"], each["code"] or "")
        for each in answer["gifts"]
    ]  # fmt: skip
    columns = ["asked", "gift", "from", "to", "", "state", "why"]
    output.table(f"Gifts of {account or 'all'}, newest first", columns, rows)
    if answer["next_after"] is not None:
        output.line(f"there is more: --after {answer['next_after']}")


def is_as_promised(packet: dict[str, Any]) -> bool:
    """Say whether an ended packet's shares are those that its seed's commitment stood for.

    It is computed here, of what was told: nobody has to trust the bank for it.
    """
    terms = (packet["bytes"], packet["shares"], packet["split"], packet["share_bytes_min"])
    claimed = {each["position"]: each["bytes"] for each in packet["claims"]}
    return check_split(bytes.fromhex(packet["seed"]), packet["seed_commitment"], terms, claimed)


def show_packet(output: Output, answer: dict[str, Any]) -> None:
    """Print a red packet and its shares, and whether they are as promised."""
    what = f"{human_bytes(answer['bytes'])} of {answer['sender']} in {answer['shares']} shares"
    output.line(f"{answer['packet_id']}: {answer['state']} ({what}, {answer['split']})")
    if "token" in answer:
        output.line(f"token {answer['token']}, until {minutes(answer['deadline'])}")
    elif answer["state"] == "open":
        output.line(f"can be claimed until {minutes(answer['deadline'])}")
    for each in answer["claims"]:
        output.line("  " + _share(each))
    if answer["seed"]:
        back = human_bytes(answer["returned_bytes"])
        output.line(f"ended ({answer['cause']}), {back} went back; seed {answer['seed']}")
        promised = is_as_promised(answer)
        output.line(
            f"its commitment {answer['seed_commitment']} stood for "
            + ("exactly these shares" if promised else "OTHER SHARES: tell an auditor")
        )


def _share(claim: dict[str, Any]) -> str:
    who = claim.get("receiver") or "somebody"
    return f"share {claim['position']}: {human_bytes(claim['bytes'])} to {who}, {claim['state']}"

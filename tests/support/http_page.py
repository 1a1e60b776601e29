"""The examples of docs/http.md: requests that are sent, answers that are compared.

A block `http` is a request: a line with method and path, then perhaps headers, then perhaps a body.
The next block is its answer. `"…"` stands for whatever is there: as a value for any, as a key (or
the last item of a list) for more of them.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from infra.runtime.state import Bank
from services.tasks.domain.signature import SECRET_PREFIX, secret_of, sign
from tests.support.bank import ROOT

PAGE = ROOT / "docs" / "http.md"
BLOCK = re.compile(r"^## ([\w ]+)$|^```(http|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Which process the examples under a heading ask.
ASKED = {"Ledger": "ledger", "Gateway": "gateway", "Gifting": "gifting", "Tasks": "tasks",
         "Completions and claims": "tasks", "Packs and lists": "tasks", "Offers": "ledger",
         "All": "gateway", "Problems": "ledger", "Refusals of single commands": ""}  # fmt: skip
OPEN_ROUTES = ("/health", "/ready")
# What an answer alone tells; the page has something in its place, here and in later examples.
TOLD = ("token", "secret", "codes")
# Until then a claim or an issue that a later example shows has arrived.
ARRIVAL_S = 15.0
ANY = "…"
# Their values differ from run to run; what kind of value it is does not.
VOLATILE = {
    "request_id", "correlation_id", "causation_id", "correlationid", "causationid", "instance",
    "position", "all", "sagas", "now_ms", "offset_ms", "recorded_at", "seconds", "sequence",
    "previous",
}  # fmt: skip
# Views of other services' logs.
OTHERS = ("gifts", "partners")
# Logs and their events are named by the bank's id.
IN_A_LOG = re.compile(r"^/[a-z0-9]{8}/")


@dataclass(frozen=True)
class Example:
    """A request with the answer that the page shows; a stream's answer has several lines."""

    service: str
    request: str
    headers: dict[str, str]
    body: str
    answer: str


def examples() -> list[Example]:
    """Return the page's examples in order."""
    found: list[Example] = []
    service, asked = "", ""
    for heading, kind, text in BLOCK.findall(PAGE.read_text()):
        if heading:
            service = ASKED[heading]
        elif not service:
            continue
        elif kind == "http":
            assert not asked, f"{asked} has no answer"
            asked = text
        else:
            assert asked, f"no request has this answer: {text}"
            head, _, body = asked.partition("\n\n")
            line, *lines = head.splitlines()
            headers = dict(each.split(": ") for each in lines)
            found.append(Example(service, line, headers, body.strip(), text))
            asked = ""
    return found


def differences(example: Example, bank: Bank, told: dict[str, str]) -> list[str]:
    """Send an example's request; return where the answer is not what the page shows.

    `told` is what answers have told so far, by what the page has in its place. What tasks is asked
    about may still be on its way: it is asked again until it is what the page shows.
    """
    for text, real in told.items():
        example = replace(
            example, request=example.request.replace(text, real),
            body=example.body.replace(text, real),
        )  # fmt: skip
    deadline = time.monotonic() + ARRIVAL_S
    while True:
        found = _differences(example, bank, told)
        moving = example.service == "tasks" and example.request.startswith("GET ")
        if not found or not moving or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _differences(example: Example, bank: Bank, told: dict[str, str]) -> list[str]:
    answer = send(example, bank, told)
    shown, real = list(_values(example.answer)), list(_values(answer.text))
    for one, other in zip(shown, real, strict=False):
        _hear(one, other, told)
    if len(real) > len(shown):
        # Of a stream's progress only the end is the same each time.
        real = real[-len(shown) :]
    if len(shown) != len(real):
        return [f"{len(real)} lines, the page shows {len(shown)}: {answer.text}"]
    pairs = zip(shown, real, strict=True)
    found = [each for one, other in pairs for each in _compare(one, other, "$")]
    return [*found, f"real: {answer.text[:4_000]}"] if found else []


def _hear(shown: Any, real: Any, told: dict[str, str]) -> None:
    """Note what an answer alone tells, and let the page show the same."""
    for name in TOLD:
        if not (isinstance(shown, dict) and name in shown and name in real):
            continue
        if isinstance(real[name], str):
            told[shown[name]] = real[name]
        else:
            told |= dict(zip(shown[name], real[name], strict=True))
        shown[name] = real[name]


def send(example: Example, bank: Bank, told: dict[str, str]) -> httpx2.Response:
    """Send an example's request as the operator, or signed as the partner."""
    method, _, path = example.request.partition(" ")
    bases = {
        "gateway": bank.gateway_url, "gifting": bank.gifting_url, "tasks": bank.tasks_url,
    }  # fmt: skip
    base = bases.get(example.service, bank.ledger_url)
    headers = {"Authorization": f"Bearer {bank.operator_token}", **example.headers}
    if path in OPEN_ROUTES:
        headers = {}
    body = b""
    if example.body:
        body = json.dumps(_filled(json.loads(example.body), bank)).encode()
        headers["Content-Type"] = "application/json"
    if "webhook-id" in headers:
        headers = _signed(headers, body, told)
    return httpx2.request(
        method, base + path, content=body or None, headers=headers, timeout=60, trust_env=False
    )


def _signed(headers: dict[str, str], body: bytes, told: dict[str, str]) -> dict[str, str]:
    """Return the headers of a call that is signed now, with the secret that was told last."""
    *_, secret = (real for real in told.values() if real.startswith(SECRET_PREFIX))
    at = int(time.time())
    signature = sign(secret_of(secret), headers["webhook-id"], at, body)
    made = {**headers, "webhook-timestamp": str(at), "webhook-signature": signature}
    del made["Authorization"]
    return made


def _filled(body: Any, bank: Bank) -> Any:
    """Return a request whose `"rules": "…"` are those in force, carrying over one half.

    What is told to have happened, happens now.
    """
    if isinstance(body, dict) and "completions" in body:
        return {"completions": [_filled(each, bank) for each in body["completions"]]}
    if isinstance(body, dict) and "happened_at" in body:
        return body | {"happened_at": _get(f"{bank.ledger_url}/v1/clock", bank)["now"]}
    if isinstance(body, dict) and body.get("rules") == ANY:
        text = json.dumps(_get(f"{bank.ledger_url}/v1/rules", bank)["versions"][0])
        halved = text.replace('"share_percent": 100', '"share_percent": 50')
        return body | {"rules": json.loads(halved)}
    return body


def is_level(bank: Bank) -> bool:
    """Say whether every view of the ledger has what the ledger has stored."""
    heads = _get(f"{bank.ledger_url}/v1/heads", bank)["position"]
    views = _get(f"{bank.gateway_url}/v1/positions", bank)["positions"]
    return all(position == heads for view, position in views.items() if view not in OTHERS)


def _get(url: str, bank: Bank) -> Any:
    headers = {"Authorization": f"Bearer {bank.operator_token}"}
    return httpx2.get(url, headers=headers, timeout=60, trust_env=False).json()


def _values(text: str) -> Iterator[Any]:
    """Yield the JSON values in a text, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        value, end = decoder.raw_decode(text, at)
        yield value
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _compare(shown: Any, real: Any, place: str) -> Iterator[str]:
    if shown == ANY:
        return
    if isinstance(shown, dict) and isinstance(real, dict):
        yield from _compare_objects(shown, real, place)
    elif isinstance(shown, list) and isinstance(real, list):
        yield from _compare_lists(shown, real, place)
    elif _plain(shown, place) != _plain(real, place):
        yield f"{place} is {real!r}, the page shows {shown!r}"


def _compare_objects(shown: dict[str, Any], real: dict[str, Any], place: str) -> Iterator[str]:
    names = set(shown) - {ANY}
    if ANY not in shown and set(real) - names:
        yield f"{place} has {sorted(set(real) - names)} too"
    for name in sorted(names):
        if name in real:
            yield from _compare(shown[name], real[name], f"{place}.{name}")
        else:
            yield f"{place}.{name} is not there"


def _compare_lists(shown: list[Any], real: list[Any], place: str) -> Iterator[str]:
    more = bool(shown) and shown[-1] == ANY
    wanted = shown[:-1] if more else shown
    if len(real) < len(wanted) or (len(real) > len(wanted) and not more):
        yield f"{place} has {len(real)} items, the page shows {len(wanted)}"
    for index, (one, other) in enumerate(zip(wanted, real, strict=False)):
        yield from _compare(one, other, f"{place}[{index}]")


def _plain(value: Any, place: str) -> Any:
    """Return a value without what differs from run to run."""
    name = place.rpartition(".")[2]
    if isinstance(value, str) and (name in VOLATILE or IN_A_LOG.match(value)):
        return re.sub(r"\d+", "0", IN_A_LOG.sub("/bank/", re.sub(r"[0-9a-f]{32}", "H", value)))
    if isinstance(value, str):
        return re.sub(r"(\d{4}-\d\d-\d\dT\d\d:)[\d:.]+", r"\1mm", value)
    return type(value) if name in VOLATILE or name.startswith("ledger_") else value

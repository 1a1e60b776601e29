"""The examples of docs/http.md: requests that are sent, answers that are compared.

A block `http` is a request: a line with method and path, then perhaps headers, then perhaps a body.
The next block is its answer. `"…"` stands for whatever is there: as a value for any, as a key (or
the last item of a list) for more of them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2

from infra.runtime.state import Bank
from tests.support.bank import ROOT

PAGE = ROOT / "docs" / "http.md"
BLOCK = re.compile(r"^## (\w+)$|^```(http|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Which process the examples under a heading ask.
ASKED = {"Ledger": "ledger", "Gateway": "gateway", "Gifting": "gifting", "Tasks": "", "Offers": "",
         "All": "gateway", "Problems": "ledger"}  # fmt: skip
OPEN_ROUTES = ("/health", "/ready")
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


def differences(example: Example, bank: Bank, tokens: dict[str, str]) -> list[str]:
    """Send an example's request; return where the answer is not what the page shows.

    `tokens` are those that answers have told so far, by what the page has in their place.
    """
    for token, told in tokens.items():
        example = replace(example, request=example.request.replace(token, told))
    answer = send(example, bank)
    shown, real = list(_values(example.answer)), list(_values(answer.text))
    if shown and "token" in shown[0] and "token" in real[0]:
        tokens[shown[0]["token"]] = real[0]["token"]
        shown[0]["token"] = real[0]["token"]
    if len(real) > len(shown):
        # Of a stream's progress only the end is the same each time.
        real = real[-len(shown) :]
    if len(shown) != len(real):
        return [f"{len(real)} lines, the page shows {len(shown)}: {answer.text}"]
    pairs = zip(shown, real, strict=True)
    found = [each for one, other in pairs for each in _compare(one, other, "$")]
    return [*found, f"real: {answer.text[:4_000]}"] if found else []


def send(example: Example, bank: Bank) -> httpx2.Response:
    """Send an example's request as the operator."""
    method, _, path = example.request.partition(" ")
    bases = {"gateway": bank.gateway_url, "gifting": bank.gifting_url}
    base = bases.get(example.service, bank.ledger_url)
    headers = {"Authorization": f"Bearer {bank.operator_token}", **example.headers}
    if path in OPEN_ROUTES:
        headers = {}
    body = None
    if example.body:
        body = json.dumps(_filled(json.loads(example.body), bank)).encode()
        headers["Content-Type"] = "application/json"
    return httpx2.request(
        method, base + path, content=body, headers=headers, timeout=60, trust_env=False
    )


def _filled(body: Any, bank: Bank) -> Any:
    """Return a request whose `"rules": "…"` are those in force, carrying over one half."""
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

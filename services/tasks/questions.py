"""What tasks asks the other services over HTTP: who has an account, whom a rule finds."""

from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
import orjson

from shared.contracts.audiences import AudienceRule
from shared.errors import RefusedError, UnavailableError

CHECKS_PER_QUESTION = 1_000
TIMEOUT = httpx2.Timeout(connect=2.0, read=30.0, write=10.0, pool=10.0)
CONNECTIONS_MAX = 4

encode = msgspec.json.Encoder().encode


class OtherServices:
    """The ledger and the gateway. Threads may share it; nothing connects before it is used."""

    def __init__(self, ledger_url: str, gateway_url: str, token: str) -> None:
        self._ledger = _client(ledger_url, token)
        self._gateway = _client(gateway_url, token)

    def known(self, people: list[str]) -> set[str]:
        """Return who of some people has an account of the ledger. Raises UnavailableError."""
        found: set[str] = set()
        for start in range(0, len(people), CHECKS_PER_QUESTION):
            some = people[start : start + CHECKS_PER_QUESTION]
            body = {"gifts": [{"account": one, "bytes": 1} for one in some]}
            answer = _asked(self._ledger, "POST", "/v1/gift-checks", body)
            told = zip(some, answer["checks"], strict=True)
            found |= {one for one, check in told if check.get("sender") is not None}
        return found

    def audience_count(self, rule: AudienceRule) -> int:
        """Return how many a rule finds now. Raises UnavailableError."""
        return int(_asked(self._gateway, "POST", "/v1/audiences:count", rule)["count"])

    def audience(self, rule: AudienceRule) -> Iterator[list[str]]:
        """Yield whom a rule finds now, some thousands at a time. Raises UnavailableError.

        All of them were told only where it ends without an error.
        """
        path, told = "/v1/audiences:list", 0
        try:
            with self._gateway.stream("POST", path, content=encode(rule)) as answer:
                if answer.is_error:
                    raise UnavailableError(f"{path} answered {answer.status_code}")
                for line in answer.iter_lines():
                    step = orjson.loads(line) if line else {}
                    if some := step.get("subscribers"):
                        told += len(some)
                        yield some
                    elif "result" in step and step["result"]["count"] == told:
                        return
        except httpx2.TransportError as error:
            raise UnavailableError(f"{path} broke off: {error!r}") from error
        raise UnavailableError(f"{path} broke off after {told} subscribers")

    def put_members(self, campaign: str, changed: dict[str, bool]) -> None:
        """Change who an offer of the ledger is for, in every partition. Raises UnavailableError."""
        body = {
            "add": [who for who, is_in in changed.items() if is_in],
            "remove": [who for who, is_in in changed.items() if not is_in],
        }
        _asked(self._ledger, "PUT", f"/v1/offers/{campaign}/members", body)

    def close(self) -> None:
        """Give the connections back."""
        self._ledger.close()
        self._gateway.close()


def _client(url: str, token: str) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    limits = httpx2.Limits(max_connections=CONNECTIONS_MAX)
    return httpx2.Client(
        base_url=url, headers=headers, timeout=TIMEOUT, limits=limits, trust_env=False
    )


def _asked(client: httpx2.Client, method: str, path: str, body: Any) -> Any:
    try:
        answer = client.request(method, path, content=encode(body))
    except httpx2.TransportError as error:
        raise UnavailableError(f"{path} is not reachable: {error!r}") from error
    if answer.status_code == httpx2.codes.UNPROCESSABLE_CONTENT:
        problem = orjson.loads(answer.content)
        raise RefusedError(problem["code"], problem["detail"])
    if answer.is_error:
        raise UnavailableError(f"{path} answered {answer.status_code}")
    return orjson.loads(answer.content)

"""An ASGI front: what is asked often and small is answered on the event loop, the rest by Flask.

A thread for each request and Flask's context cost three times what a single command costs the
ledger. A route that is given here must not block; everything else runs in threads as before.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast
from uuid import uuid4

import orjson
from a2wsgi import WSGIMiddleware
from flask import Flask

from shared.auth import Tokens
from shared.http import PROBLEM, REQUEST_ID, headers_of, known_error, problem_of
from shared.metrics import observe_request

# As many as gunicorn's thread worker has (infra/gunicorn.conf.py).
THREADS = 32
SMALL_BODY_BYTES_MAX = 16 << 10

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Small:
    """A small request: who asks, its id, its body."""

    caller: str
    request_id: str
    body: bytes


Handler = Callable[[Small], Awaitable[bytes]]
"""Returns JSON. Raises DatabankError. Must not block."""


class Front:
    """Answers small POST requests of some paths itself and leaves the others to Flask."""

    def __init__(self, app: Flask, tokens: Tokens, routes: Mapping[str, Handler]) -> None:
        self._rest: Any = WSGIMiddleware(cast("Any", _terminated(app)), workers=THREADS)
        self._tokens = tokens
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, as ASGI says."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]:
            handler = self._routes.get(scope["path"])
            if handler is not None:
                headers = dict(scope["headers"])
                if _is_small(headers):
                    await self._answer(scope["path"], handler, headers, receive, send)
                    return
        await self._rest(scope, receive, send)

    async def _answer(
        self, path: str, handler: Handler, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        began = perf_counter()
        request_id = (
            headers[b"x-request-id"].decode() if b"x-request-id" in headers else uuid4().hex
        )
        status, kind, more = 200, b"application/json", []
        try:
            body = await _body_of(receive)
            caller = self._tokens.caller(headers.get(b"authorization", b"").decode("latin-1"))
            answer = await handler(Small(caller, request_id, body))
        except Exception as error:  # noqa: BLE001 Whatever it is, it is answered.
            known = known_error(error, path)
            status, kind = known.status, PROBLEM.encode()
            more = [
                (name.lower().encode(), text.encode()) for name, text in headers_of(known).items()
            ]
            answer = orjson.dumps(problem_of(known, request_id))
        head = [
            (b"content-type", kind),
            (b"content-length", str(len(answer)).encode()),
            (b"x-request-id", request_id.encode()),
            *more,
        ]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": answer})
        observe_request(path, "POST", status, perf_counter() - began)


def _terminated(app: Flask) -> Callable[..., Any]:
    """Return the app for a server whose input ends by itself: a chunked body tells no length."""

    def called(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input_terminated"] = True
        return app(environ, start_response)

    return called


def _is_small(headers: dict[bytes, bytes]) -> bool:
    """Say whether the body is known to be small, and the request is nothing out of the ordinary."""
    length = headers.get(b"content-length", b"")
    asked = headers.get(b"x-request-id")
    return (
        length.isdigit()
        and int(length) <= SMALL_BODY_BYTES_MAX
        and b"transfer-encoding" not in headers
        and b"expect" not in headers
        and (asked is None or REQUEST_ID.fullmatch(asked.decode("latin-1")) is not None)
    )


async def _body_of(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body

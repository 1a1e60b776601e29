"""What every web process does alike: problems (RFC 9457), tokens, limits, health, JSON."""

import re
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from ipaddress import ip_address
from time import perf_counter
from typing import Any
from uuid import uuid4

import orjson
from flask import Flask, Response, g, request, stream_with_context
from marshmallow import Schema, ValidationError, fields
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from shared.auth import Tokens, identify, is_signed
from shared.calendar import duration_ms
from shared.errors import DatabankError, InvalidError, TooLargeError
from shared.logs import logger
from shared.metrics import CONTENT_TYPE, Measure, exposition, nothing, observe_request

PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"
OPEN_PATHS = ("/health", "/ready")
READS = ("GET", "HEAD")
METRICS_PATH = "/metrics"
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via")
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
BODY_BYTES_MAX = 4 << 20
# How much of a refused body is read and thrown away, and by how much at a time.
DRAIN_BYTES_MAX = 32 << 20
DRAIN_CHUNK_BYTES = 1 << 16
ROUTES_ARE = "docs/http.md has them all, with examples"
# How much of a path that is no route's is told.
PATH_SHOWN_MAX = 200

Check = Callable[[], dict[str, str]]


def json_response(body: Any, status: int = 200, content_type: str = "application/json") -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(body), status=status, content_type=content_type)


def problem(error: DatabankError) -> dict[str, Any]:
    """Return the problem document of an error in this request."""
    return problem_of(error, g.get("request_id", "-") if g else None)


def problem_of(error: DatabankError, request_id: str | None) -> dict[str, Any]:
    """Return the problem document of an error in a request."""
    return {
        "type": f"urn:databank:problem:{error.code}",
        "title": (type(error).__doc__ or "").strip().splitlines()[0],
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "instance": "-" if request_id is None else f"urn:databank:request:{request_id}",
        **error.extra,
    }


def install(
    app: Flask, service: str, tokens: Tokens, ready: Check, measure: Measure = nothing
) -> None:
    """Give an app its error handlers, token check, body limit, health, readiness and metrics.

    `ready` returns the state of each part by name; the process is ready when all are "ok".
    `measure` returns the metrics that are read when Prometheus asks.
    """
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX

    @app.before_request
    def begin() -> None:
        g.began = perf_counter()
        g.request_id = uuid4().hex
        asked = request.headers.get("X-Request-Id")
        if asked:
            if not REQUEST_ID.fullmatch(asked):
                raise InvalidError("X-Request-Id has 1 to 128 letters, digits or . _ : -")
            g.request_id = asked
        if not (request.path in OPEN_PATHS or is_local_scrape() or _is_signed_call(app)):
            identify(tokens)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        route = request.url_rule.rule if request.url_rule else "unknown"
        seconds = perf_counter() - g.began if "began" in g else 0.0
        observe_request(route, request.method, response.status_code, seconds)
        return response

    @app.get("/health")
    def health() -> Response:
        return json_response({"service": service, "status": "ok"})

    @app.get("/ready")
    def readiness() -> Response:
        parts = ready()
        good = all(state == "ok" for state in parts.values())
        body = {"service": service, "ready": good, "parts": parts}
        return json_response(body, 200 if good else 503)

    @app.get(METRICS_PATH)
    def metrics() -> Response:
        return Response(exposition(ready(), measure), content_type=CONTENT_TYPE)

    app.register_error_handler(Exception, answer_error)


def _is_signed_call(app: Flask) -> bool:
    """Say whether this call is for a route whose view checks a signature."""
    return request.endpoint is not None and is_signed(app.view_functions.get(request.endpoint))


def is_local_scrape() -> bool:
    """Say whether this is a scrape from this machine, which needs no token.

    Metrics tell how much business the bank does: whoever comes over the network or through a proxy
    shows a token, and an agent beside the process needs no secret.
    """
    if request.path != METRICS_PATH or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def answer_error(error: Exception) -> Response:
    """Turn any error into a problem document."""
    known = known_error(error, request.path)
    _drain()
    response = json_response(problem(known), known.status, PROBLEM)
    response.headers.update(headers_of(known))
    return response


def known_error(error: Exception, path: str) -> DatabankError:
    """Return what an error is answered as; one that nobody expected is written to the log."""
    known = _known(error)
    if known.code == DatabankError.code:
        logger().error("request_failed", path=path, exc_info=error)
    return known


def headers_of(error: DatabankError) -> dict[str, str]:
    """Return the headers that go with a problem."""
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": "1"}
    if error.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": "Bearer"}
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        return {"Allow": ", ".join(error.extra["allowed"])}
    return {}


def _drain() -> None:
    """Read what is left of the body: a server that closes before loses its answer on the way."""
    body, left = request.environ["wsgi.input"], DRAIN_BYTES_MAX
    try:
        while left > 0 and (chunk := body.read(min(left, DRAIN_CHUNK_BYTES))):
            left -= len(chunk)
    except OSError:
        return


class RouteError(DatabankError):
    """This request does not fit any route here."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(error.description)
        self.status = error.code or 500
        self.code = (error.name or "error").lower().replace(" ", "_")
        asked = f"{request.method} {request.path[:PATH_SHOWN_MAX]}"
        if isinstance(error, MethodNotAllowed):
            self.extra = {"allowed": sorted(error.valid_methods or ())}
            allowed = ", ".join(self.extra["allowed"])
            self.detail = f"{asked} is no route; this path takes {allowed}; {ROUTES_ARE}"
        elif isinstance(error, NotFound):
            self.detail = f"{asked} is no route of this process; {ROUTES_ARE}"


def _known(error: Exception) -> DatabankError:
    if isinstance(error, DatabankError):
        return error
    if isinstance(error, HTTPException):
        if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return _too_large()
        return RouteError(error)
    return DatabankError("an unexpected error; the log has the details under this request's id")


def _too_large() -> TooLargeError:
    return TooLargeError(f"the body may have {BODY_BYTES_MAX} bytes", allowed_bytes=BODY_BYTES_MAX)


def body() -> bytes:
    """Return the request's body. Raises TooLargeError."""
    data = request.get_data()
    # A chunked body tells no length; Flask then cuts it at the limit and says nothing.
    if request.content_length is None and len(data) >= BODY_BYTES_MAX:
        raise _too_large()
    return data


def no_body() -> None:
    """Refuse a body: there may be none, or an empty object. Raises InvalidError, TooLargeError."""
    text = body()
    try:
        said = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        said = None
    if said == {}:
        return
    names = ", ".join(f"`{name}`" for name in said) if isinstance(said, dict) else ""
    what = f"; {names} would have been ignored" if names else ""
    raise InvalidError(f"this route takes no body{what}", pointer="$")


def query(schema: Schema) -> dict[str, Any]:
    """Read the query string. Raises InvalidError.

    What is unknown, malformed or given twice is refused, and so is a body that says what a read
    would have in its query.
    """
    if request.method in READS:
        no_body()
    if twice := [name for name, given in request.args.lists() if len(given) > 1]:
        messages = {name: ["Given more than once; once is right."] for name in twice}
        raise InvalidError(_mistakes(messages), errors=messages)
    if none := [name for name, value in request.args.items() if "\0" in value]:
        # PostgreSQL's text has none, and would not even compare with one.
        messages = {name: ["Has a NUL in it."] for name in none}
        raise InvalidError(_mistakes(messages), errors=messages)
    try:
        loaded: dict[str, Any] = schema.load(request.args.to_dict())
    except ValidationError as error:
        raise InvalidError(_mistakes(error.messages_dict), errors=error.messages) from error
    return loaded


def _mistakes(messages: dict[str, Any]) -> str:
    """Say in one line what is wrong with which parameters."""
    told = [f"`{name}`: {' '.join(map(str, texts))}" for name, texts in messages.items()]
    return f"the query has errors: {' '.join(told)}"


class Duration(fields.Field[int]):
    """A query parameter such as `7d`, `36h` or `90m`; read in milliseconds."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        try:
            return duration_ms(str(value))
        except ValueError as error:
            raise ValidationError(str(error)) from error


def stream(steps: Iterable[dict[str, Any]]) -> Response:
    """Answer a long job line by line: progress, then `result` or `problem`."""

    def lines() -> Iterator[bytes]:
        try:
            for step in steps:
                yield orjson.dumps(step) + b"\n"
        except Exception as error:  # noqa: BLE001 The status line is sent; the error goes in-band.
            known = _known(error)
            if known.code == "internal_error":
                logger().error("job_failed", exc_info=error)
            yield orjson.dumps({"problem": problem(known)}) + b"\n"

    return Response(stream_with_context(lines()), content_type=NDJSON)

"""What every web process refuses alike: repeated parameters, bodies where none belongs, routes."""

import re
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, fields

from shared import http
from shared.auth import Tokens, allow, is_signed
from shared.calendar import duration_ms
from shared.errors import InvalidError
from shared.http import Duration, json_response, query
from shared.positions import parse_token
from tests.support.routes import app_of, blueprints

HEADERS = {"Authorization": "Bearer op-token", "Idempotency-Key": "key-1"}
HEX = "0123456789abcdef0123456789abcdef"


class Asked(Schema):
    limit = fields.Integer(load_default=10)
    kind = fields.String(load_default=None)
    within = Duration(load_default=None)


def installed(app: Flask) -> Flask:
    http.install(app, "test", Tokens({"operator": "op-token"}), dict)
    return app


@pytest.fixture
def client() -> Any:
    app = installed(Flask("test"))

    @app.get("/v1/things")
    @allow()
    def get_things() -> Any:
        return json_response(query(Asked()))

    @app.post("/v1/things:check")
    @allow()
    def check_things() -> Any:
        http.no_body()
        return json_response({})

    return app.test_client()


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    found: dict[str, Any] = answer.get_json()
    assert found["code"] == code
    return found


@pytest.mark.parametrize("asked", ["kind=a&kind=b", "limit=1&kind=a&kind=a", "kind=a&kind="])
def test_a_parameter_that_is_given_twice_is_refused_by_name(client, asked) -> None:
    told = problem(client.get(f"/v1/things?{asked}", headers=HEADERS), 422, "invalid_request")
    assert "`kind`" in told["detail"]
    assert "once" in told["detail"]
    assert set(told["errors"]) == {"kind"}
    assert client.get("/v1/things?kind=a&limit=1", headers=HEADERS).status_code == 200


def test_a_parameter_with_a_nul_is_refused_by_name(client) -> None:
    answer = client.get("/v1/things?kind=a%00b", headers=HEADERS)
    assert set(problem(answer, 422, "invalid_request")["errors"]) == {"kind"}


@pytest.mark.parametrize("text", [b"", b"{}", b" { }\n"])
def test_a_route_without_a_body_takes_an_empty_one(client, text) -> None:
    answer = client.post("/v1/things:check", data=text, headers=HEADERS)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "text", [b'{"dry_run": true}', b"[]", b"null", b"x=1", b"{", b'{"x":\xff}']
)
def test_a_route_without_a_body_refuses_one(client, text) -> None:
    answer = client.post("/v1/things:check", data=text, headers=HEADERS)
    told = problem(answer, 422, "invalid_request")
    assert "no body" in told["detail"]
    assert b"dry_run" not in text or "`dry_run`" in told["detail"]


def test_a_read_with_a_body_is_refused(client) -> None:
    answer = client.get("/v1/things", data=b'{"limit": 1}', headers=HEADERS)
    assert "`limit`" in problem(answer, 422, "invalid_request")["detail"]


def writes() -> list[Any]:
    """Return each route that may change something, with its path filled in."""
    found = []
    for service in blueprints():
        app = app_of(service)
        for rule in app.url_map.iter_rules():
            path = re.sub(r"<any\((\w+)[^)]*\):\w+>", r"\1", rule.rule)
            path = re.sub(r"<month>", "2015-07", path)
            path = re.sub(r"<[^>]+>", HEX, path)
            methods = sorted((rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"})
            if methods and not is_signed(app.view_functions[rule.endpoint]):
                name = f"{service} {rule.rule}"
                found += [pytest.param(service, each, path, id=name) for each in methods]
    return found


@pytest.mark.parametrize(("service", "method", "path"), writes())
def test_every_write_refuses_a_field_that_it_does_not_know(service, method, path) -> None:
    client = installed(app_of(service)).test_client()
    answer = client.open(path, method=method, json={"hocus": 1}, headers=HEADERS)
    told = problem(answer, 422, "invalid_request")
    assert "hocus" in told["detail"]


# What a GET answers that is one thing, not a list.
SINGLE = {
    "/v1/clock", "/v1/command-schemas", "/v1/heads", "/v1/positions", "/v1/rules",
    "/v1/trial-balance",
}  # fmt: skip
PARAMETER_AT_THE_END = re.compile(r"<[^>]+>$")
LISTS_OF_ONE = ("/events", "/gifts", "/history", "/lots", "/spend", "/v1/lists/<name>")


def lists() -> list[Any]:
    """Return each route that lists things, with its path filled in."""
    found = []
    for service in blueprints():
        for rule in app_of(service).url_map.iter_rules():
            is_one = PARAMETER_AT_THE_END.search(rule.rule) or "<" in rule.rule
            if "GET" in (rule.methods or ()) and rule.endpoint != "static":
                is_list = (
                    rule.rule not in SINGLE if not is_one else rule.rule.endswith(LISTS_OF_ONE)
                )
                if is_list:
                    path = re.sub(r"<[^>]+>", HEX, rule.rule)
                    found.append(pytest.param(service, path, id=f"{service} {rule.rule}"))
    return found


@pytest.mark.parametrize(("service", "path"), lists())
@pytest.mark.parametrize(
    ("asked", "mistake"),
    [("limit=0", "Must be greater"), ("limit=x", "Not a valid integer"), ("page=2", "Unknown")],
)
def test_every_list_comes_in_pages_and_refuses_what_is_no_filter(
    service, path, asked, mistake
) -> None:
    client = installed(app_of(service)).test_client()
    told = problem(client.get(f"{path}?{asked}", headers=HEADERS), 422, "invalid_request")
    assert mistake in told["detail"]
    twice = client.get(f"{path}?after=1&after=2", headers=HEADERS)
    assert set(problem(twice, 422, "invalid_request")["errors"]) == {"after"}


@pytest.mark.parametrize(("service", "path"), lists())
def test_every_list_takes_a_cursor(service, path) -> None:
    client = installed(app_of(service)).test_client()
    answer = client.get(f"{path}?after={'x' * 2_000}", headers=HEADERS)
    told = problem(answer, 422, "invalid_request")
    assert set(told["errors"]) == {"after"}
    assert "Unknown" not in told["detail"]


@pytest.mark.parametrize("text", ["0d", "99999999999d", "100000m", "1w", "d", "-1d", "1.5h", ""])
def test_a_duration_that_is_none_is_told_what_one_is(client, text) -> None:
    answer = client.get("/v1/things", query_string={"within": text}, headers=HEADERS)
    detail = problem(answer, 422, "invalid_request")["detail"]
    assert repr(text) in detail
    assert "1 to 99999" in detail
    assert "7d, 36h or 90m" in detail


def test_the_ends_of_a_durations_range_are_taken() -> None:
    assert duration_ms("1m") == 60_000
    assert duration_ms("99999d") == 99_999 * 86_400_000


@pytest.mark.parametrize("path", ["/v1/thing", "/", "/v2/things", "/v1/things/7"])
def test_an_unknown_route_is_named_and_told_where_the_routes_are(client, path) -> None:
    told = problem(client.get(path, headers=HEADERS), 404, "not_found")
    assert f"GET {path}" in told["detail"]
    assert "docs/http.md" in told["detail"]
    assert "URL" not in told["detail"]


def test_a_wrong_method_is_told_the_right_ones(client) -> None:
    answer = client.delete("/v1/things", headers=HEADERS)
    told = problem(answer, 405, "method_not_allowed")
    assert "DELETE /v1/things" in told["detail"]
    assert told["allowed"] == ["GET", "HEAD", "OPTIONS"]
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert "docs/http.md" in told["detail"]


def test_a_position_of_an_earlier_epoch_asks_for_nothing_and_one_of_a_later_is_refused() -> None:
    assert parse_token("2/ledger_00:7", 2) == {"ledger_00": 7}
    assert parse_token("1/ledger_00:7", 2) == {}
    with pytest.raises(InvalidError, match="epoch 3"):
        parse_token("3/ledger_00:7", 2)
    for text in ("9" * 5_000 + "/", "2/ledger_00:" + "9" * 5_000):
        with pytest.raises(InvalidError):
            parse_token(text, 2)

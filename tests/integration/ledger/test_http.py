"""Every command, every refusal and all bad input, over HTTP, each with its status and code."""

import json
from typing import Any

import pytest

from services.ledger.domain.commands import PUBLIC
from tests.support.ledger import MIB, NOON, TOKENS, LedgerWeb, client, sandbox_clock

PROBLEM = "application/problem+json"
BODY_BYTES_MAX = 4 << 20


@pytest.fixture(scope="module")
def web(server, tmp_path_factory):
    """A ledger with two subscribers, a partner and its funded campaign, on 2015-08-10 12:00."""
    folder = tmp_path_factory.mktemp("http")
    made = LedgerWeb(server.new_ledger(), folder, **sandbox_clock(folder, NOON))
    outcomes = made.do(
        {"type": "open_account", "key": "o", "account": "ann", "plan": "std-30mb"},
        {"type": "open_account", "key": "o", "account": "bob", "plan": "std-30mb"},
        {"type": "open_account", "key": "o", "account": "partner:didi"},
        {"type": "open_account", "key": "o", "account": "campaign:ride", "partner": "partner:didi"},
        {"type": "buy", "key": "b", "account": "partner:didi", "bytes": 10 * MIB},
        {"type": "transfer", "key": "taken", "account": "ann", "to": "bob", "bytes": 1},
    )
    assert {outcome["status"] for outcome in outcomes} == {"done"}
    yield made
    made.close()


def command(type_: str, account: str = "ann", key: str = "fresh", **fields: Any) -> dict[str, Any]:
    return {"type": type_, "key": key, "account": account, **fields}


DONE = [
    (command("open_account", "cat", plan="std-1gb", active_from="2015-06"), "kind", "subscriber"),
    (command("open_account", "partner:new"), "kind", "partner"),
    (command("open_account", "campaign:new", partner="partner:new"), "kind", "campaign"),
    (command("buy", bytes=5), "earned_bytes", 5),
    (command("buy", key="until", bytes=5, expires_at="2015-08-11"), "earned_bytes", 5),
    (command("buy", "bob", bytes=2**53 - 1), "earned_bytes", 2**53 - 1),
    (command("buy", "partner:didi", "more", bytes=1), "earned_bytes", 1),
    (command("fund", "partner:didi", campaign="campaign:ride", bytes=1), "to", "campaign:ride"),
    (command("transfer", key="g", to="nobody-yet", bytes=1, reason="a gift"), "to", "nobody-yet"),
    (command("close_month", key="c", month="2015-07"), None, None),
]


@pytest.mark.parametrize(("body", "field", "value"), DONE, ids=lambda each: str(each)[:60])
def test_a_good_command_is_done_once(web, body, field, value):
    (first,) = web.do(body)
    (again,) = web.do(body)

    assert first["status"] == again["status"] == "done"
    assert first["request_id"] == web.client.headers["X-Request-Id"]
    assert field is None or first["result"][field] == value
    assert {**again, "repeated": False} == {**first, "repeated": False}
    assert again.get("repeated", False) == bool(first.get("events"))


TOO_MUCH = 2**53 - 1
REFUSED = [
    (command("open_account", plan="std-30mb"), "account_exists"),
    (command("open_account", "dan"), "plan_required"),
    (command("open_account", "partner:p", plan="std-30mb"), "plan_not_allowed"),
    (command("open_account", "partner:p", active_from="2015-08"), "plan_not_allowed"),
    (command("open_account", "dan", plan="gold"), "plan_unknown"),
    (command("open_account", "d", plan="std-1gb", active_from="2015-09"), "active_from_in_future"),
    (command("open_account", "d", plan="std-1gb", active_from="2013-07"), "active_from_too_old"),
    (command("open_account", "campaign:c"), "partner_required"),
    (command("open_account", "partner:p", partner="partner:didi"), "partner_not_allowed"),
    (command("open_account", "dan", plan="std-1gb", partner="partner:p"), "partner_not_allowed"),
    (command("buy", "nobody", bytes=1), "account_not_found"),
    (command("buy", "campaign:ride", bytes=1), "account_kind"),
    (command("buy", bytes=1, expires_at="soon"), "time_invalid"),
    (command("buy", bytes=1, expires_at="9999-12-31T23:59:59-23:59"), "time_invalid"),
    (command("buy", bytes=1, expires_at="2015-08-10T11:59:59"), "expires_in_past"),
    (command("fund", "partner:p", campaign="campaign:ride", bytes=1), "account_not_found"),
    (command("fund", "partner:didi", campaign="campaign:c", bytes=TOO_MUCH), "insufficient_data"),
    (command("award", "campaign:c", subscriber="ann", bytes=1), "account_not_found"),
    (command("award", "campaign:ride", subscriber="ann", bytes=MIB), "insufficient_data"),
    (command("transfer", "nobody", to="bob", bytes=1), "account_not_found"),
    (command("transfer", to="ann", bytes=1), "same_account"),
    (command("transfer", to="bob", bytes=31 * MIB), "insufficient_data"),
    (command("close_month", "nobody", month="2015-07"), "account_not_found"),
    (command("close_month", month="2015-08"), "month_running"),
    (command("close_month", month="2016-01"), "month_running"),
    (command("transfer", key="taken", to="bob", bytes=2), "conflict"),
    (command("transfer", key="taken", to="bob", bytes=1, reason="other"), "conflict"),
    (command("buy", key="taken", bytes=1), "conflict"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code"), REFUSED, ids=lambda each: str(each)[:60])
def test_a_refusal_is_the_outcome_of_its_command_alone(web, body, code):
    before = web.account("ann")
    good = command("transfer", "bob", key=json.dumps(body)[:128], to="ann", bytes=1)
    refused, done = web.do({**body, "key": body["key"].replace("fresh", code)}, good)

    assert (refused["status"], refused["code"], done["status"]) == ("refused", code, "done")
    assert refused["detail"]
    assert web.account("ann") == before


GOOD_USAGE = {"usage_id": "u", "account": "ann", "bytes": 1, "occurred_at": "2015-08-10T11:00:00"}


def test_usage_has_an_outcome_per_record(web):
    web.do(command("open_account", "eater", plan="std-30mb"))
    lines = [
        {**GOOD_USAGE, "usage_id": "u1"},
        {**GOOD_USAGE, "usage_id": "u1"},
        {**GOOD_USAGE, "usage_id": "u1", "bytes": 2},
        {**GOOD_USAGE, "usage_id": "u1", "occurred_at": "2015-08-10T11:00:01"},
        {**GOOD_USAGE, "usage_id": "u1", "rating_group": "video"},
        {**GOOD_USAGE, "usage_id": "u2", "account": "nobody"},
        {**GOOD_USAGE, "usage_id": "u3", "occurred_at": "2015-08-10T12:06:00"},
        {**GOOD_USAGE, "usage_id": "u4", "account": "eater", "bytes": 2**53 - 1},
        {**GOOD_USAGE, "usage_id": "u5", "occurred_at": "2015-07-31T23:59:59"},
    ]
    answer = web.client.post("/v1/usage", json={"lines": lines})

    outcomes = answer.json()["outcomes"]
    assert [(o["status"], o["repeated"], o.get("code")) for o in outcomes] == [
        ("done", False, None), ("done", True, None), *[("refused", False, "conflict")] * 3,
        ("refused", False, "account_not_found"), ("refused", False, "usage_in_future"),
        ("done", False, None), ("done", False, None),
    ]  # fmt: skip
    assert outcomes[7]["spent_bytes"] + outcomes[7]["unfunded_bytes"] == 2**53 - 1
    assert (outcomes[8]["spent_bytes"], outcomes[8]["unfunded_bytes"]) == (0, 1)


def one(*changes: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a body with one transfer that differs from a good one."""
    return {"commands": [command("transfer", to="bob", bytes=1) | dict(changes) | fields]}


def line(**fields: Any) -> dict[str, Any]:
    """Return a body with one usage record that differs from a good one."""
    return {"lines": [GOOD_USAGE | fields]}


BAD_COMMANDS: list[Any] = [
    [], {}, None, 5, {"commands": {}}, {"commands": []}, {"commands": [5]}, {"commands": [{}]},
    {"commands": [command("transfer", to="bob", bytes=1)] * 1_001},
    {"commands": [command("transfer", to="bob", bytes=1)], "dry_run": True},
    {"commands": [{"key": "k", "account": "ann", "to": "bob", "bytes": 1}]},
    one(type="steal"), one(type="arrive"), one(type="grant_cycle"),
    one(bytes=0), one(bytes=-1), one(bytes=1.5), one(bytes=1.0), one(bytes=True), one(bytes="1"),
    one(bytes=None), one(bytes=2**53), one(bytes=2**70),
    one(tip=1), one(("from", "ann")),
    one(key=""), one(key="k" * 129), one(key=7),
    one(account=""), one(account="an n"), one(account="a" * 65), one(account="ann\n"),
    one(account="partner:didi"), one(account="138@x"), one(to="partner:didi"), one(to="b\n"),
    one(reason=""), one(reason="r" * 501), one(reason="a\0b"), one(key="a\0"), one(key="a\n"),
    {"commands": [command("open_account", "operator:fees")]},
    {"commands": [command("open_account", "dan\n", plan="std-30mb")]},
    {"commands": [command("open_account", "partner:didi\n")]},
    {"commands": [command("open_account", "dan", plan="std-30mb", active_from="2015-13")]},
    {"commands": [command("open_account", "dan", plan="std-30mb", active_from="2015-08\n")]},
    {"commands": [command("open_account", "dan", plan="p" * 65)]},
    {"commands": [command("fund", "ann", campaign="campaign:ride", bytes=1)]},
    {"commands": [command("award", "partner:didi", subscriber="ann", bytes=1)]},
    {"commands": [command("close_month", month="august")]},
]  # fmt: skip
BAD_USAGE: list[Any] = [
    [], {}, {"lines": []}, {"lines": [GOOD_USAGE] * 5_001}, line(bytes=0), line(bytes=-5),
    line(bytes=0.5), line(bytes=2**53), line(bytes="9"), line(host=7), line(roaming="no"),
    line(usage_id=""), line(usage_id="u" * 129), line(account="partner:didi"), line(account="x\n"),
    line(occurred_at="yesterday"), line(occurred_at=-1), line(occurred_at=1.5),
    line(occurred_at=None), line(occurred_at="2015-08-10T25:00:00"), line(occurred_at=2**53),
    line(rating_group=""), line(rating_group="r" * 65), line(rating_group="\0"),
    line(usage_id="u\0"), line(usage_id="u\n"),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_COMMANDS, ids=lambda body: json.dumps(body)[:80])
def test_malformed_commands_are_refused_as_a_whole(web, body):
    before = heads(web)
    check_problem(web.client.post("/v1/commands", json=body), 422, "invalid_request")
    assert heads(web) == before


@pytest.mark.parametrize("body", BAD_USAGE, ids=lambda body: json.dumps(body)[:80])
def test_malformed_usage_is_refused_as_a_whole(web, body):
    before = heads(web)
    check_problem(web.client.post("/v1/usage", json=body), 422, "invalid_request")
    assert heads(web) == before


RAW = [
    b"", b"{", b"\xff\xfe", b'{"commands": [' + b"[" * 50_000, b"\x00", b'{"lines": ["\\ud800"]}',
    b"key=1&account=2", b"NaN",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/commands", "/v1/usage"])
@pytest.mark.parametrize("body", RAW, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_no_json_is_refused(web, path, body):
    check_problem(web.client.post(path, content=body), 422, "invalid_request")


def test_a_nested_body_never_breaks_the_server(web):
    deep = b'{"commands": [{"type": "buy", "x": ' + b'[{"a":' * 200_000
    check_problem(web.client.post("/v1/commands", content=deep), 422, "invalid_request")


def test_a_body_over_its_limit_is_refused_whether_its_length_is_told_or_not(web):
    big = b" " * (BODY_BYTES_MAX + 1)
    for content in (big, iter([big])):
        answer = web.client.post("/v1/commands", content=content)
        assert check_problem(answer, 413, "body_too_large")["allowed_bytes"] == BODY_BYTES_MAX
    assert web.do(command("buy", key="after-big", bytes=1))[0]["status"] == "done"


def test_the_problem_names_the_place_and_the_request(web):
    body = {"commands": [command("buy", bytes=1), command("buy", key="j", bytes=-1)]}
    answer = web.client.post("/v1/commands", json=body, headers={"X-Request-Id": "r-17"})

    problem = check_problem(answer, 422, "invalid_request")
    assert problem["pointer"] == "$.commands[1].bytes"
    assert problem["instance"] == "urn:databank:request:r-17"
    assert answer.headers["X-Request-Id"] == "r-17"


ROUTES = [
    ("POST", "/v1/commands"), ("POST", "/v1/usage"), ("POST", "/v1/months/2015-07:close"),
    ("POST", "/v1/verify"), ("POST", "/v1/parked:retry"), ("GET", "/v1/parked"),
    ("GET", "/v1/accounts/ann"), ("GET", "/v1/accounts/ann/events"), ("GET", "/v1/heads"),
    ("GET", "/v1/clock"), ("GET", "/v1/command-schemas"), ("GET", "/log/0"), ("GET", "/nowhere"),
]  # fmt: skip
OPERATOR_ONLY = ROUTES[2:6]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKENS['operator']}",
     f"Bearer {TOKENS['operator']}x", "Bearer t\xf6ken"],
)  # fmt: skip
def test_nobody_enters_without_a_valid_token(web, method, path, authorization):
    headers = {} if authorization is None else {"Authorization": authorization.encode("latin-1")}
    with client(web.base, token=None) as stranger:
        answer = stranger.request(method, path, headers=headers)
    check_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OPERATOR_ONLY)
@pytest.mark.parametrize("caller", ["gateway", "ledger"])
def test_only_the_operator_closes_verifies_and_retries(web, method, path, caller):
    with client(web.base, TOKENS[caller]) as other:
        check_problem(other.request(method, path), 403, "forbidden")


def test_a_key_belongs_to_its_caller(web):
    body = {"commands": [command("buy", key="mine", bytes=3)]}
    with client(web.base, TOKENS["gifting"]) as gifting:
        theirs = gifting.post("/v1/commands", json=body).json()["outcomes"][0]
    ours = web.do(*body["commands"])[0]
    assert theirs["status"] == ours["status"] == "done"
    assert "repeated" not in ours
    last = web.client.post("/v1/verify").text.splitlines()[-1]
    assert json.loads(last)["result"]["first_difference"] is None


@pytest.mark.parametrize(
    "path",
    ["/log/0?lane=gold", "/log/0?after=-1", "/log/0?after=x", "/log/0?limit=0", "/log/0?limit=501",
     "/log/0?wait=26", "/log/0?wait=nan", "/log/0?nope=1", "/v1/accounts/ann/events?after=-1",
     "/v1/accounts/ann/events?limit=1000", "/v1/accounts/ann?at=now", "/v1/heads?x=1",
     "/v1/parked?x=1", "/v1/clock?barrier=perhaps", "/v1/command-schemas?x=1",
     "/v1/accounts/a%20b", "/v1/accounts/ann%0a", "/v1/accounts/nokind:x"],
)  # fmt: skip
def test_a_query_with_errors_is_refused(web, path):
    check_problem(web.client.get(path), 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/commands", {"commands": [command("buy", key="dry", bytes=1)]}),
        ("/v1/usage", {"lines": [GOOD_USAGE]}),
        ("/v1/months/2015-07:close", None),
        ("/v1/verify", None),
        ("/v1/parked:retry", None),
    ],
)
def test_an_unknown_parameter_is_refused_before_anything_is_done(web, path, body):
    before = heads(web)
    check_problem(web.client.post(path, json=body, params={"nope": "1"}), 422, "invalid_request")
    assert heads(web) == before


@pytest.mark.parametrize("path", ["/v1/months/2015-07:close", "/v1/verify", "/v1/parked:retry"])
def test_a_body_that_would_be_ignored_is_refused_before_anything_is_done(web, path):
    before = heads(web)
    answer = web.client.post(path, json={"dry_run": True})
    assert "`dry_run`" in check_problem(answer, 422, "invalid_request")["detail"]
    assert heads(web) == before


def test_what_is_not_there_is_not_found(web):
    for path in ("/log/2", "/log/-1", "/log/x", "/v2/heads", "/"):
        check_problem(web.client.get(path), 404, "not_found")
    check_problem(web.client.get("/v1/accounts/nobody"), 404, "account_not_found")
    check_problem(web.client.get("/v1/accounts/nobody/events"), 404, "account_not_found")
    check_problem(web.client.get("/v1/commands"), 405, "method_not_allowed")


def test_numbers_beyond_the_logs_end_are_just_beyond_it(web):
    for after in (10**6, 2**63, 10**30):
        answer = web.client.get("/log/0", params={"after": after})
        assert (answer.status_code, answer.json()) == (200, [])
        path = "/v1/accounts/ann/events"
        assert web.client.get(path, params={"after": after}).json()["events"] == []


@pytest.mark.parametrize(
    ("month", "code"),
    [("2015-08", "month_running"), ("2016-01", "month_running"), ("2015-13", "invalid_request"),
     ("\uff12015-07", "invalid_request"), ("x", "invalid_request")],
)  # fmt: skip
def test_a_running_or_malformed_month_is_not_closed(web, month, code):
    before = heads(web)
    check_problem(web.client.post(f"/v1/months/{month}:close"), 422, code)
    assert heads(web) == before


def test_health_and_readiness_need_no_token(web):
    with client(web.base, token=None) as stranger:
        assert stranger.get("/health").json() == {"service": "ledger", "status": "ok"}
        assert stranger.get("/ready").json()["ready"] is True


def test_every_command_says_how_it_is_used_and_its_example_is_taken(web):
    schemas = web.client.get("/v1/command-schemas").json()["commands"]
    assert [each["type"] for each in schemas] == [
        str(each.__struct_config__.tag) for each in PUBLIC
    ]
    outcomes = web.do(*(each["example"] for each in schemas))
    assert all("status" in outcome for outcome in outcomes)
    assert all(each["description"] and each["schema"]["properties"] for each in schemas)


def check_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem document and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:databank:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    return problem


def heads(web: LedgerWeb) -> Any:
    """Return how far every log is."""
    return web.client.get("/v1/heads").json()["heads"]


def test_questions_are_answered_and_unknown_parameters_refused(web):
    usage = {"lines": [{"usage_id": "a/b?c", "account": "bob", "bytes": 7, "occurred_at": NOON}]}
    rehearsed = web.client.post("/v1/usage?dry_run=1", json=usage).json()
    assert rehearsed["dry_run"] is True
    assert web.client.get("/v1/usage/a%2Fb%3Fc").json()["code"] == "usage_not_found"
    done = web.client.post("/v1/usage", json=usage).json()
    assert done["outcomes"] == rehearsed["outcomes"]
    for query in ("", "?account=bob"):
        answer = web.client.get(f"/v1/usage/a%2Fb%3Fc{query}").json()
        assert (answer["account"], answer["bytes"]) == ("bob", 7)
        assert sum(part["bytes"] for part in answer["slices"]) == 7
    assert web.client.get("/v1/usage/none").status_code == 404
    ahead = web.client.get("/v1/accounts/bob/forecast?within=30d").json()
    assert ahead["next_cycle"]["month"] == "2015-09"
    assert {part["kind"] for each in ahead["expiring"] for part in each["lots"]} >= {"plan"}
    for path in (
        "/v1/usage/u?who=bob", "/v1/usage/u?account=rules:book", "/v1/accounts/bob/forecast?days=7",
        "/v1/accounts/bob/forecast?within=soon", "/v1/parked?since=1", "/v1/parked?after=x",
    ):  # fmt: skip
        refused = web.client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), path
    assert (
        "`days`: Unknown field"
        in (web.client.get("/v1/accounts/bob/forecast?days=7").json()["detail"])
    )
    assert web.client.get("/v1/accounts/eve/forecast").json()["code"] == "account_not_found"


def test_a_dry_run_of_commands_binds_no_key(web):
    body = {"commands": [command("buy", "bob", "rehearsed", bytes=5)]}
    rehearsed = web.client.post("/v1/commands?dry_run=1", json=body).json()
    assert "position" not in rehearsed
    again = web.client.post("/v1/commands?dry_run=true", json=body).json()
    assert again == rehearsed
    assert web.do(*body["commands"]) == rehearsed["outcomes"]
    refused = web.client.post("/v1/commands?dryrun=1", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")

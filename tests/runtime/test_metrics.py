"""Every process tells what it does; every metric of a dashboard or an alarm is really told."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.steps import do, settled
from tests.support.bank import ROOT, LocalBank, wait_until

NAME = re.compile(r"\b(?:databank|process)_\w+")
SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")
OPEN = {"key": "open", "type": "open_account", "plan": "std-30mb"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def bank(amqp_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBank]:
    """A bank on a broker, so that there are relays, with a little of everything done."""
    local = LocalBank(tmp_path_factory.mktemp("metrics") / "state", {"AMQP_URL": amqp_url})
    try:
        local.up()
        do(local, [OPEN | {"account": each} for each in ("anna", "ben")])
        do(local, [
            {"key": "gift", "type": "transfer", "account": "anna", "to": "ben", "bytes": 1 << 20},
            {"key": "much", "type": "transfer", "account": "anna", "to": "ben", "bytes": 1 << 40},
        ], code=1)  # fmt: skip
        settled(local)
        yield local
    finally:
        local.erase()


def scrape(bank: LocalBank, process: str) -> Samples:
    """Return what a process tells, by name and labels."""
    answer = httpx2.get(f"{bank.bank.urls[process]}/metrics", timeout=30)
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Add up a metric's samples that have these labels."""
    wanted = set(labels.items())
    return sum(value for (each, have), value in samples.items() if each == name and wanted <= have)


def told(bank: LocalBank) -> set[str]:
    """Return the names of all metrics of all processes, as their HELP lines have them."""
    names: set[str] = set()
    for url in bank.bank.urls.values():
        text = httpx2.get(f"{url}/metrics", timeout=30).text
        names |= {
            SUFFIXES.sub("", name) for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        }
    return names


def wanted(expressions: Iterator[str]) -> set[str]:
    """Return the names in PromQL expressions without what PromQL adds to them."""
    return {SUFFIXES.sub("", name) for each in expressions for name in NAME.findall(each)}


def dashboards() -> Iterator[Any]:
    """Yield each dashboard."""
    for path in sorted((ROOT / "infra" / "grafana").glob("*.json")):
        yield json.loads(path.read_text())


@pytest.mark.slow
def test_every_metric_of_a_panel_or_an_alarm_exists_in_a_running_process(bank: LocalBank):
    panels = wanted(
        target["expr"]
        for board in dashboards()
        for panel in board["panels"]
        for target in panel["targets"]
    )
    alerts = (ROOT / "infra" / "prometheus" / "alerts.yaml").read_text()
    alarms = wanted(iter(re.findall(r"^ +expr: (.+)$", alerts, re.MULTILINE)))
    assert len(panels) > 15
    assert panels | alarms <= told(bank)


@pytest.mark.slow
def test_every_metric_of_ours_is_in_a_panel(bank: LocalBank):
    shown = wanted(
        target["expr"]
        for board in dashboards()
        for panel in board["panels"]
        for target in panel["targets"]
    )
    assert {name for name in told(bank) if name.startswith("databank_")} == {
        name for name in shown if name.startswith("databank_")
    }


@pytest.mark.slow
def test_commands_are_counted_by_type_and_refusals_by_code(bank: LocalBank):
    counted = scrape(bank, "ledger-web")
    commands = "databank_ledger_commands_total"
    assert total(counted, commands, type="open_account", outcome="done") == 2
    assert total(counted, commands, type="transfer", outcome="done") == 1
    assert total(counted, commands, type="transfer", outcome="refused") == 1
    assert total(counted, "databank_ledger_refusals_total", code="insufficient_data") == 1
    items = total(counted, "databank_ledger_batch_items_sum")
    assert items == total(counted, commands)
    batches = total(counted, "databank_ledger_batch_items_count")
    assert batches == total(counted, "databank_ledger_batch_seconds_count")
    assert batches == total(counted, "databank_ledger_lock_wait_seconds_count")
    worker = scrape(bank, "ledger-worker")
    assert total(worker, commands, type="arrive", outcome="done") == 1


@pytest.mark.slow
def test_relays_inboxes_and_views_say_how_far_they_are(bank: LocalBank):
    heads = scrape(bank, "ledger-web")
    head = total(heads, "databank_log_head", lane="all")
    assert head >= 4

    def level() -> bool:
        worker, views = scrape(bank, "ledger-worker"), scrape(bank, "gateway-web")
        return (
            total(worker, "databank_relay_position", lane="all") == head
            and not total(worker, "databank_relay_lag_events")
            and not total(worker, "databank_inbox_lag_events")
            and not total(views, "databank_view_lag_events")
        )

    wait_until(level, 30, "everybody is level")
    gateway = scrape(bank, "gateway-worker")
    assert total(gateway, "databank_inbox_events_total", what="applied") >= 3 * 4
    assert total(gateway, "databank_parked_events") == 0
    assert total(scrape(bank, "gateway-web"), "databank_ready", part="database") == 1


@pytest.mark.slow
def test_reads_and_requests_are_counted_stale_ones_apart(bank: LocalBank):
    headers = {"Authorization": f"Bearer {bank.bank.operator_token}"}
    url = f"{bank.bank.gateway_url}/v1/accounts/anna/balance"
    before = scrape(bank, "gateway-web")
    answer = httpx2.get(url, params={"at_least": "1/ledger_00:999999"}, headers=headers, timeout=9)
    assert answer.json()["stale"] is True
    after = scrape(bank, "gateway-web")
    for name, labels, more in [
        ("databank_gateway_reads_total", {"stale": "yes"}, 1),
        ("databank_gateway_reads_total", {"stale": "no"}, 0),
        ("databank_http_requests_total", {"route": "/v1/accounts/<account>/balance"}, 1),
    ]:
        assert total(after, name, **labels) - total(before, name, **labels) == more
    waited = ("databank_http_request_seconds_sum", "/v1/accounts/<account>/balance")
    assert (
        total(after, waited[0], route=waited[1]) - total(before, waited[0], route=waited[1]) > 1.9
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "process",
    [
        "ledger-web",
        "ledger-worker",
        "gateway-web",
        "gateway-worker",
        "gifting-web",
        "gifting-worker",
        "tasks-web",
        "tasks-worker",
    ],
)
def test_metrics_need_a_token_through_a_proxy_and_health_never(bank: LocalBank, process: str):
    url, forwarded = bank.bank.urls[process], {"X-Forwarded-For": "203.0.113.9"}
    assert httpx2.get(f"{url}/metrics", headers=forwarded, timeout=30).status_code == 401
    token = {"Authorization": f"Bearer {bank.bank.operator_token}"}
    assert httpx2.get(f"{url}/metrics", headers=forwarded | token, timeout=30).status_code == 200
    for path in ("/health", "/ready"):
        assert httpx2.get(url + path, headers=forwarded, timeout=30).status_code == 200
    assert httpx2.get(f"{url}/nothing", timeout=30).status_code == 401


@pytest.mark.slow
def test_status_tells_what_a_worker_says_of_itself(bank: LocalBank):
    answer = httpx2.get(f"{bank.bank.urls['ledger-worker']}/ready", timeout=30).json()
    assert answer["service"] == "ledger-worker"
    assert answer["parts"]["database"] == "ok"
    assert any(part.startswith("relay-ledger_") for part in answer["parts"])
    assert bank.is_ready()

"""Dashboards and alarms ask for labels that their metrics have, and show those that are left."""

import json
import re

import pytest

from tests.support.bank import ROOT
from tests.support.promql import OUTSIDE, metric_labels, mistakes

yaml = pytest.importorskip("yaml", reason="PyYAML is in requirements/dev.txt: run `make setup`")
LABELS = metric_labels()
PANELS = [
    pytest.param(
        target["expr"], target.get("legendFormat", ""), id=f"{path.stem}: {panel['title']}"
    )
    for path in sorted((ROOT / "infra" / "grafana").glob("*.json"))
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
]  # fmt: skip
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "infra/prometheus/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
EXAMPLE = {"databank_a": {"x", "y"}, "databank_b": {"x"}}


@pytest.mark.parametrize(("expression", "legend"), PANELS)
def test_a_panel_asks_and_shows_labels_that_are_there(expression: str, legend: str) -> None:
    assert mistakes(expression, legend, LABELS) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_asks_and_tells_labels_that_are_there(rule) -> None:
    assert mistakes(rule["expr"], " ".join(rule.get("annotations", {}).values()), LABELS) == []


def test_what_prometheus_adds_is_what_its_configuration_says() -> None:
    config = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yaml").read_text())
    told = {
        name
        for job in config["scrape_configs"]
        for each in job["static_configs"]
        for name in each["labels"]
    }
    assert told | {"job", "instance"} == OUTSIDE


@pytest.mark.parametrize(
    ("expression", "legend", "wrong"),
    [
        ("databank_c", "", ["there is no databank_c"]),
        ('databank_a{z="1"}', "", ["databank_a has no label z"]),
        ('databank_a{x=~"1|2", z!="1"}', "", ["databank_a has no label z"]),
        ("sum by (z) (rate(databank_a_total[5m]))", "{{z}}", ["nothing is by z"]),
        ("sum by (x) (databank_a)", "{{x}} {{y}}", ["no y is left to show"]),
        ("sum(databank_a)", "{{x}}", ["no x is left to show"]),
        ("databank_b", "{{y}}", ["no y is left to show"]),
        ("databank_b", "{{ $labels.y }}", ["no y is left to show"]),
        ("sum by (y) (databank_a) / sum by (y) (databank_b)", "", ["nothing is by y"] * 2),
        ("histogram_quantile(0.5, sum by (le, x) (databank_a_bucket))", "{{x}}", []),
        ("histogram_quantile(0.5, sum by (le, x) (databank_a_bucket))", "{{le}}",
         ["no le is left to show"]),
        ('rate(process_cpu_seconds_total{job="databank"}[5m])', "{{process}}", []),
        ("process_open_fds", "{{queue}}", ["no queue is left to show"]),
    ],
)  # fmt: skip
def test_a_wrong_label_is_found(expression: str, legend: str, wrong: list[str]) -> None:
    assert sorted(mistakes(expression, legend, EXAMPLE)) == sorted(wrong)


def test_every_metric_of_a_panel_is_known_with_its_labels() -> None:
    asked = {name for each in PANELS for name in re.findall(r"databank_\w+", str(each.values[0]))}
    assert len(asked) > 30
    assert {"code"} == LABELS["databank_ledger_refusals"]
    assert {"consumer", "log"} == LABELS["databank_inbox_lag_events"]
    assert {"queue", "what"} == LABELS["databank_inbox_events"]

"""What PromQL expressions ask for, held against the labels that metrics really have."""

import ast
import importlib
import re
from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from tests.support.bank import ROOT

# What Prometheus itself puts to every series (infra/prometheus/prometheus.yaml), and what `up` has.
OUTSIDE = {"job", "instance", "process"}
METRIC = re.compile(r"\b((?:databank|process)_\w+|up)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"[^\"]*\"")
BY = re.compile(r"\bby\s*\(([^)]*)\)")
WITHOUT_BY = re.compile(r"\b(?:sum|min|max|avg|count)\s*\(")
SUFFIX = re.compile(r"_(total|bucket|sum|count)$")
LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")
KEPT = ("services.ledger.metrics", "services.gateway.metrics", "services.gifting.metrics",
        "services.tasks.metrics", "shared.metrics")  # fmt: skip
MADE = {"gauge": 2, "CounterMetricFamily": 2, "GaugeMetricFamily": 2}


def metric_labels() -> dict[str, set[str]]:
    """Return each metric's labels by its name without suffixes: what is counted, and what is read.

    What is counted says so itself; what is read at a scrape is found where it is made.
    """
    for module in KEPT:
        importlib.import_module(module)
    found: dict[str, set[str]] = {}
    for collector in list(REGISTRY._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            found[SUFFIX.sub("", collector._name)] = set(collector._labelnames)
    for folder in ("services", "shared"):
        for path in (ROOT / folder).rglob("*.py"):
            for name, labels in _made_in(ast.parse(path.read_text())):
                assert found.setdefault(name, labels) == labels, f"{name} has two sets of labels"
    return found | {"up": set()}


def _made_in(tree: ast.AST) -> Iterator[tuple[str, set[str]]]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        place = MADE.get(call.func.id)
        if place is None or not call.args or not isinstance(call.args[0], ast.Constant):
            continue
        named = [each.value for each in call.keywords if each.arg == "labels"]
        labels: Any = named[0] if named else call.args[place]
        yield str(call.args[0].value), set(ast.literal_eval(labels))


def mistakes(expression: str, legend: str, known: dict[str, set[str]]) -> list[str]:
    """Return what is wrong with the labels of an expression and of the text that shows it."""
    found: list[str] = []
    everywhere: set[str] | None = None
    for name, matchers in METRIC.findall(expression):
        plain = name if name in known or name.startswith("process_") else SUFFIX.sub("", name)
        if plain not in known and not name.startswith("process_"):
            found.append(f"there is no {name}")
            continue
        labels = known.get(plain, set()) | OUTSIDE | ({"le"} if name.endswith("_bucket") else set())
        wrong = set(MATCHER.findall(matchers)) - labels
        found += [f"{name} has no label {each}" for each in sorted(wrong)]
        everywhere = labels if everywhere is None else everywhere & labels
    groups = [set(re.findall(r"\w+", each)) for each in BY.findall(expression)]
    for group in groups:
        found += [f"nothing is by {each}" for each in sorted(group - (everywhere or set()))]
    left = everywhere or set()
    if groups:
        left = set.intersection(*groups)
    elif WITHOUT_BY.search(expression):
        left = set()
    shown = set(LEGEND.findall(legend))
    found += [f"no {each} is left to show" for each in sorted(shown - (left - {"le"}))]
    return found

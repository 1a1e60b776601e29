"""Who is woken by an alarm finds it in the runbook, and finds commands that exist."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command_lines import command_lines, mistake

ROOT = Path(__file__).parents[3]
ALERTS = (ROOT / "infra" / "prometheus" / "alerts.yaml").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
PAGES = [
    page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if page.name != "CHANGELOG.md"
]  # fmt: skip


def test_every_alarm_has_a_section_and_every_section_an_alarm():
    alarms = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.MULTILINE)
    sections = re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE)
    assert len(alarms) == len(set(alarms)) > 10
    assert sections == alarms, "the same, in the same order"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_subcommand_and_option_that_is_named_exists(page):
    wrong = {line: mistake(line) for line in command_lines(page.read_text())}
    assert {line: what for line, what in wrong.items() if what} == {}


def test_the_runbooks_commands_are_found():
    lines = set(command_lines(RUNBOOK))
    assert {"databank parked retry", "databank partner show NAME", "databank down"} <= lines
    assert len(lines) > 20


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("databank status", True),
        ("databank stats", False),
        ("databank partner alarms", True),
        ("databank partner alarm", False),
        ("databank partner", True),
        ("databank clock", True),
        ("databank parked retry", True),
        ("databank parked again", False),
        ("databank rebuild VIEW", True),
        ("databank rebuild balance", False),
        ("databank gift-do release GIFT --reason …", True),
        ("databank gift-do release GIFT --because x", False),
        ("databank gifts --in-state delayed", True),
        ("databank gifts --in-state lost", False),
        ("databank up --state /srv/bank-2 --detach", True),
        ("databank up now", False),
        ("databank rules show|diff|put FILE", True),
        ("databank rules show|drop FILE", False),
    ],
)
def test_a_command_line_that_cannot_be_typed_is_found(line, right):
    assert (mistake(line) is None) == right, mistake(line)


def test_every_dashboard_has_its_own_panels_with_a_title_an_expression_and_a_remark():
    boards = [json.loads(path.read_text()) for path in (ROOT / "infra/grafana").glob("*.json")]
    assert len({board["uid"] for board in boards}) == len(boards) == 5
    for board in boards:
        titles = [panel["title"] for panel in board["panels"]]
        assert len(titles) == len(set(titles))
        for panel in board["panels"]:
            assert panel["description"]
            assert all(target["expr"] for target in panel["targets"])

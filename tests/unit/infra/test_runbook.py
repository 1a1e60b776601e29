"""Who is woken by an alarm finds it in the runbook, and finds commands that exist."""

import json
import re
from pathlib import Path

from infra.cli.main import COMMANDS

ROOT = Path(__file__).parents[3]
ALERTS = (ROOT / "infra" / "prometheus" / "alerts.yaml").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def test_every_alarm_has_a_section_and_every_section_an_alarm():
    alarms = re.findall(r"^ +- alert: (\w+)$", ALERTS, re.MULTILINE)
    sections = re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE)
    assert len(alarms) == len(set(alarms)) > 10
    assert sections == alarms, "the same, in the same order"


def test_every_command_of_the_runbook_exists():
    named = set(re.findall(r"databank ([a-z][a-z-]+)", RUNBOOK))
    assert named
    assert named <= set(COMMANDS)


def test_every_dashboard_has_its_own_panels_with_a_title_an_expression_and_a_remark():
    boards = [json.loads(path.read_text()) for path in (ROOT / "infra/grafana").glob("*.json")]
    assert len({board["uid"] for board in boards}) == len(boards) == 5
    for board in boards:
        titles = [panel["title"] for panel in board["panels"]]
        assert len(titles) == len(set(titles))
        for panel in board["panels"]:
            assert panel["description"]
            assert all(target["expr"] for target in panel["targets"])

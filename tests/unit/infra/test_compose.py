"""The containers run what `up` runs: the same processes, commands, settings and versions."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.runtime.environment import Environment
from infra.runtime.postgres import MAJOR
from infra.runtime.programs import ROOT, Program, service_programs
from infra.runtime.state import Bank
from shared.config import Settings

yaml = pytest.importorskip("yaml", reason="PyYAML is in requirements/dev.txt: run `make setup`")

# What only a sandbox has, and the two marks by which `down` knows a child.
UP_ALONE = {"BANK_SANDBOX", "BANK_CLOCK_FILE", "DATABANK_STATE", "DATABANK_PROCESS"}
KNOWN = {name.upper() for name in Settings.__dataclass_fields__}
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def programs() -> list[Program]:
    bank = Bank(
        state=Path("/state"), bank_id="mybank01", epoch=1, port=8080, partitions=4,
        timezone="Asia/Shanghai", sandbox=False, operator_token="o", gateway_token="g",
        ledger_token="l", postgres_password="p", gifting_token="i", tasks_token="t",
        tasks_sealing_keys=["s"],
    )  # fmt: skip
    databases = {"ledger": "l", "gateway": "g", "gifting": "i", "tasks": "t"}
    return service_programs(bank, Environment(), databases)


PROGRAMS = {program.name: program for program in programs()}


def test_there_are_the_eight_processes_a_migration_and_what_they_need():
    assert set(SERVICES) == {*PROGRAMS, "migrate", "postgres", "rabbitmq"}
    assert SERVICES["postgres"]["image"] == f"postgres:{MAJOR}"
    assert SERVICES["rabbitmq"]["image"] == "rabbitmq:4"
    assert {SERVICES[name]["image"] for name in [*PROGRAMS, "migrate"]} == {"databank"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_container_runs_the_command_of_its_process(name):
    command = [part.removeprefix(f"{ROOT}/") for part in PROGRAMS[name].command]
    assert SERVICES[name]["command"] == ["python", *command[1:]]
    assert command[0] == sys.executable.removeprefix(f"{ROOT}/")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_container_has_every_setting_that_up_gives_and_none_that_is_unknown(name):
    given = SERVICES[name]["environment"]
    assert set(PROGRAMS[name].environment) - UP_ALONE <= set(given)
    assert set(given) <= KNOWN


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_container_is_healthy_when_its_own_port_says_ready(name):
    service, _, role = name.partition("-")
    variable = f"{service}_port" if role == "web" else f"{service}_worker_port"
    port = SERVICES[name]["environment"][variable.upper()]
    assert SERVICES[name]["healthcheck"]["test"][-1] == str(port)
    assert str(port) == PROGRAMS[name].environment[variable.upper()]
    assert SERVICES[name]["environment"]["BIND_HOST"] == "0.0.0.0"
    assert SERVICES[name]["depends_on"]["migrate"] == {
        "condition": "service_completed_successfully"
    }


def test_no_secret_stands_in_the_file_and_every_one_is_in_the_example():
    text = (ROOT / "infra" / "compose.yaml").read_text()
    needed = set(re.findall(r"\$\{(\w+):\?\}", text))
    example = (ROOT / "infra" / "docker" / "env.example").read_text()
    assert needed == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    for name in needed - {"BANK_ID"}:
        assert re.search(rf"^{name}=$", example, re.MULTILINE), f"{name} has no value there"


def test_only_loopback_ports_are_published():
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_image_copies_every_package():
    dockerfile = (ROOT / "infra" / "docker" / "Dockerfile").read_text()
    for package in ("shared", "services", "infra", "requirements/main.txt"):
        assert f"COPY {package} {package}" in dockerfile
    assert "--require-hashes" in dockerfile
    assert "USER databank" in dockerfile


def test_prometheus_asks_every_process_at_its_port():
    config = yaml.safe_load((ROOT / "infra" / "prometheus" / "prometheus.yaml").read_text())
    asked = {
        each["labels"]["process"]: each["targets"]
        for each in config["scrape_configs"][0]["static_configs"]
    }
    ports = {name: program.environment[variable_of(name)] for name, program in PROGRAMS.items()}
    assert asked == {name: [f"127.0.0.1:{port}"] for name, port in ports.items()}


def variable_of(name: str) -> str:
    """Return the setting that holds a process's port."""
    service, _, role = name.upper().partition("-")
    return f"{service}_PORT" if role == "WEB" else f"{service}_WORKER_PORT"

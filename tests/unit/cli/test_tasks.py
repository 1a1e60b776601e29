"""What `databank task` asks for."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.cli.client import Answer, Service
from infra.cli.tasks import task
from infra.runtime.state import make_bank
from tests.support.bank import free_port

DEVICE = "a" * 16


def test_a_start_tells_the_device_so_that_it_counts_for_the_devices_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make_bank(tmp_path, port=free_port())
    asked: list[tuple[str, Any]] = []

    def write(_: Service, path: str, body: Any, headers: dict[str, str]) -> Answer:
        assert headers["Idempotency-Key"]
        asked.append((path, body))
        return Answer({"token": "t" * 22}, "r")

    monkeypatch.setattr(Service, "write", write)
    words = ["start", "august", "ad", "ann", "--state", str(tmp_path)]
    for more in ([], ["--device", DEVICE]):
        told = CliRunner().invoke(task, words + more)
        assert (told.exit_code, told.output) == (0, "t" * 22 + "\n"), told.output
    path = "/v1/tasks/august/ad/start"
    assert asked == [
        (path, {"subscriber": "ann"}),
        (path, {"subscriber": "ann", "device": DEVICE}),
    ]

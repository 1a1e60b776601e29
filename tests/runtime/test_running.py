"""A bank is started, watched and stopped by one command, whatever happens to its processes."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support.bank import LocalBank, wait_until

STOP_S = 8.0
RESTART_S = 5.0
READY_S = 40.0
NAMES = {
    "postgres", "ledger-web", "ledger-worker", "gateway-web", "gateway-worker", "gifting-web",
    "gifting-worker", "tasks-web", "tasks-worker",
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBank]:
    local = LocalBank(tmp_path_factory.mktemp("bank") / "state")
    try:
        local.up()
        yield local
    finally:
        local.erase()


def begin(local: LocalBank, *arguments: str) -> subprocess.Popen[str]:
    """Start `up` in the foreground and wait until it says that the bank is ready."""
    up = local.popen(
        "up", "--sandbox", "--port", str(local.port), *arguments,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert up.stdout is not None
    for line in up.stdout:
        if "stop" in line:
            return up
    raise AssertionError(f"up ended with {up.wait()}")


def end(up: subprocess.Popen[str], number: int = signal.SIGTERM) -> float:
    """Send a signal to `up` and return how many seconds it took to end."""
    begun = time.monotonic()
    up.send_signal(number)
    up.wait(timeout=30)
    assert up.stdout is not None
    up.stdout.close()
    return time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_ends_with_0_within_8_seconds_and_leaves_no_process(
    local_bank: LocalBank, number: int
) -> None:
    up = begin(local_bank)
    assert set(local_bank.pids()) == NAMES
    assert local_bank.is_ready()

    seconds = end(up, number)

    assert up.returncode == 0
    assert seconds < STOP_S
    assert local_bank.living() == {}
    assert not local_bank.is_ready()


def test_every_child_names_its_service_and_no_command_line_holds_a_secret(
    shared_bank: LocalBank,
) -> None:

    bank = shared_bank.bank
    secrets = [
        bank.operator_token, bank.gateway_token, bank.ledger_token, bank.gifting_token,
        bank.tasks_token,
        bank.postgres_password,
        *bank.tasks_sealing_keys,
        *bank.service_passwords.values(),
    ]  # fmt: skip
    for name, pid in shared_bank.pids().items():
        process = psutil.Process(pid)
        line = " ".join(process.cmdline())
        assert name.split("-")[0] in line
        assert not [secret for secret in secrets if secret in line]
        assert process.environ()["DATABANK_STATE"] == str(shared_bank.state)
        # What seals partners' secrets is tasks' alone.
        assert ("TASKS_SEALING_KEYS" in process.environ()) == name.startswith("tasks-")
        assert process.memory_info().rss < 300 << 20


def test_secrets_are_readable_by_their_owner_only(shared_bank: LocalBank) -> None:

    assert shared_bank.state.stat().st_mode & 0o777 == 0o700
    for path in [shared_bank.bank.file, *shared_bank.bank.run_dir.iterdir()]:
        if path.suffix != ".pid":
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_taken_port_is_named_with_the_way_out(local_bank: LocalBank) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", local_bank.port + 1))
        other.listen()
        refused = local_bank.run("up", "--sandbox", "--port", str(local_bank.port))
    assert refused.returncode == 1
    assert "port_taken" in refused.stderr
    assert str(local_bank.port + 1) in refused.stderr
    assert "--port" in refused.stderr
    assert local_bank.living() == {}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_killed_process_is_running_again_within_seconds(
    shared_bank: LocalBank, name: str
) -> None:
    wait_until(shared_bank.is_ready, READY_S, "the bank is ready")
    before = shared_bank.pids()[name]

    os.kill(before, signal.SIGKILL)

    def runs_again() -> bool:
        return shared_bank.pids().get(name, before) != before

    wait_until(runs_again, RESTART_S, f"{name} runs again")
    wait_until(shared_bank.is_ready, READY_S, f"the bank is ready after {name} was killed")


def test_a_killed_supervisor_is_replaced(shared_bank: LocalBank) -> None:
    supervisor = next(pid for pid, name in shared_bank.living().items() if name == "supervisord")

    os.kill(supervisor, signal.SIGKILL)

    wait_until(lambda: supervisor not in shared_bank.living(), RESTART_S, "it is gone")
    wait_until(shared_bank.is_ready, READY_S, "the bank is ready again")


def test_a_second_up_on_the_same_state_is_refused_and_names_the_first(
    shared_bank: LocalBank,
) -> None:
    first = json.loads(shared_bank.run("status", "--json").stdout)["up_pid"]

    second = shared_bank.run("up", "--sandbox")

    assert second.returncode == 1
    assert "already_running" in second.stderr
    assert str(first) in second.stderr
    assert "Traceback" not in second.stderr
    assert shared_bank.is_ready()


def test_a_shell_that_exported_the_state_is_no_part_of_the_bank(shared_bank: LocalBank) -> None:
    shell = subprocess.Popen(["sleep", "60"], env=shared_bank.environment)
    try:
        assert shell.pid not in shared_bank.living()
    finally:
        shell.kill()
        shell.wait()


def test_a_killed_up_leaves_a_state_from_which_the_next_up_starts(local_bank: LocalBank) -> None:
    up = begin(local_bank)
    identity = local_bank.bank
    end(up, signal.SIGKILL)
    left = set(local_bank.living())
    assert left != set()

    again = begin(local_bank)

    assert local_bank.is_ready()
    assert not left & set(local_bank.living())
    assert local_bank.bank == identity

    end(again, signal.SIGKILL)
    assert local_bank.json("down")["stopped"] is True
    assert local_bank.living() == {}
    assert local_bank.json("down")["stopped"] is False


def test_a_bank_in_the_background_runs_until_down(local_bank: LocalBank) -> None:
    said = local_bank.up()
    assert said["gateway_url"].endswith(str(local_bank.port))

    local_bank.done("down")

    assert local_bank.living() == {}
    assert local_bank.run("status").returncode == 1

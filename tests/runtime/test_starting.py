"""A bank starts on whatever machine it meets, or says in one message why it does not."""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.bank import ROOT, LocalBank, free_port, wait_until
from tests.support.database import Databases

MakeBank = Callable[..., LocalBank]

pytestmark = pytest.mark.slow


def test_a_bank_runs_on_a_server_that_is_given(
    make_local_bank: MakeBank, databases: Databases
) -> None:
    local = make_local_bank(DATABASE_URL=databases.admin_url, LEDGER_PARTITIONS="2")
    local.up()
    assert "postgres" not in local.pids()
    assert local.is_ready()
    assert local.json("migrate") == {"applied": []}
    name = f"databank_{local.bank.bank_id}_ledger"
    with psycopg.connect(databases.admin_url) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        assert found.fetchone() is not None
    local.done("down")

    del local.environment["DATABASE_URL"]
    refused = local.run("up", "--sandbox")

    assert refused.returncode == 1
    assert "database_differs" in refused.stderr


def test_two_banks_run_side_by_side(make_local_bank: MakeBank) -> None:
    one, other = make_local_bank(), make_local_bank()
    one.up()
    # Where somebody stands has nothing to do with it: what lies there is not the bank's.
    for name in ("http", "services", "shared"):
        (other.state.parent / f"{name}.py").write_text("raise SystemExit('not the bank')")
    command = Path(sys.executable).with_name("databank")
    subprocess.run(
        [command, "up", "--sandbox", "--detach", "--port", str(other.port)],
        cwd=other.state.parent, env=other.environment, check=True, timeout=120,
    )  # fmt: skip
    assert one.is_ready()
    assert other.is_ready()
    one.done("down")
    assert other.is_ready()


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({"DATABASE_URL": "postgresql://admin:pw@127.0.0.1:9/postgres"}, "unavailable"),
        ({"DATABASE_URL": "postgresql://%%%"}, "bad_database_url"),
        ({"LEDGER_PARTITIONS": "many"}, "bad_setting"),
        ({"LEDGER_PARTITIONS": "-1"}, "bad_setting"),
        ({"POSTGRES_ENABLE_DB_FUNCTIONS": "y"}, "db_functions_set"),
    ],
)
def test_a_wrong_setting_is_one_message_with_a_code(
    make_local_bank: MakeBank, environment: dict[str, str], code: str
) -> None:
    local = make_local_bank(**environment)
    refused = local.run("up", "--sandbox", "--port", str(local.port))
    assert refused.returncode == 1
    assert f"[{code}]" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "pw@" not in refused.stderr
    assert local.living() == {}


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    local = LocalBank(tmp_path / "file" / "state")
    refused = local.run("up", "--sandbox")
    assert refused.returncode == 1
    assert "state_unusable" in refused.stderr


def test_a_detached_start_that_fails_says_why(make_local_bank: MakeBank) -> None:
    local = make_local_bank(DATABASE_URL="postgresql://admin:pw@127.0.0.1:9/postgres")
    refused = local.run("up", "--sandbox", "--detach", "--port", str(local.port), "--json")
    assert refused.returncode == 1
    assert '"code":"unavailable"' in refused.stderr
    assert local.living() == {}


def test_a_start_that_is_interrupted_leaves_nothing_behind(local_bank: LocalBank) -> None:
    for after_s in (0.8, 2.0, 3.5):
        up = local_bank.popen(
            "up", "--sandbox", "--port", str(local_bank.port),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(after_s)
        up.send_signal(signal.SIGINT)
        up.wait(timeout=20)
        assert local_bank.living() == {}
    local_bank.up()
    assert local_bank.is_ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here runs as an ordinary user")
def test_an_ordinary_user_runs_a_bank(tmp_path: Path) -> None:
    user = pwd.getpwnam("nobody")
    as_user: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        probe = subprocess.run([sys.executable, "-c", "import infra"], cwd=ROOT, check=False,
                               capture_output=True, **as_user).returncode  # fmt: skip
    except PermissionError:
        probe = 1
    if probe != 0:
        pytest.skip("the user nobody cannot reach this checkout or its Python")
    folder = Path("/var/tmp") / tmp_path.name  # tmp_path lies below a folder of root's.
    folder.mkdir()
    os.chown(folder, user.pw_uid, user.pw_gid)
    local = LocalBank(folder / "state")
    try:
        up = local.popen("up", "--sandbox", "--port", str(free_port()),
                         stderr=subprocess.DEVNULL, **as_user)  # fmt: skip
        wait_until(local.is_ready, 40, "the bank is ready")
        assert not (local.state / "postgres").is_symlink()
        up.send_signal(signal.SIGTERM)
        assert up.wait(timeout=20) == 0
    finally:
        local.erase()
        folder.rmdir()

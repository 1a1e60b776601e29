"""A backup is one instant of a bank at work; what is restored from it lives under a new epoch."""

import dataclasses
import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from infra.cli.client import gifting_of, tasks_of
from infra.migrate import targets
from infra.runtime.environment import Environment
from infra.runtime.migration import serving
from infra.runtime.postgres import find_cluster, prepare_cluster
from infra.runtime.state import make_bank
from tests.acceptance.steps import do, settled
from tests.support.bank import LocalBank, wait_until

SUBSCRIBERS = [f"sub-{number}" for number in range(40)]
OPEN = {"key": "open", "type": "open_account", "plan": "std-30mb"}
GIB = 1 << 30
AWAY = 1_000_000
GHOST = ("ghost", "awaits a retry")


class Load:
    """Sends commands of every kind until it is stopped; `acked` are the keys that were answered."""

    def __init__(self, bank: LocalBank) -> None:
        self.acked: list[dict[str, Any]] = []
        self._url = bank.bank.ledger_url
        self._headers = {"Authorization": f"Bearer {bank.bank.operator_token}"}
        self._stop = threading.Event()

    def run(self) -> None:
        """Send batches one after the other."""
        with httpx2.Client(base_url=self._url, headers=self._headers, timeout=60) as client:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                commands = [self._command(number, subscriber) for subscriber in SUBSCRIBERS]
                answer = client.post("/v1/commands", json={"commands": commands}).json()
                assert all(each["status"] == "done" for each in answer["outcomes"])
                self.acked += commands

    def _command(self, number: int, subscriber: str) -> dict[str, Any]:
        key = f"{number}-{subscriber}"
        if number % 2:
            to = SUBSCRIBERS[(int(subscriber[4:]) + number) % len(SUBSCRIBERS)]
            if to != subscriber:
                return {
                    "key": key, "type": "transfer", "account": subscriber, "to": to, "bytes": 1000,
                }  # fmt: skip
        return {"key": key, "type": "buy", "account": subscriber, "bytes": GIB}

    @contextmanager
    def going(self) -> Iterator[None]:
        """Run in the background while the block runs."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(60)


@pytest.mark.slow
def test_a_bank_is_backed_up_under_load_and_lives_again_under_a_new_epoch(
    make_local_bank: Callable[..., LocalBank], tmp_path: Path
):
    old, new, folder = make_local_bank(), make_local_bank(), tmp_path / "backup"
    old.up()
    do(old, [OPEN | {"account": each} for each in SUBSCRIBERS])
    ask_a_friend(old)
    put_aside(old)
    load = Load(old)
    with load.going():
        wait_until(lambda: len(load.acked) > 400, 60, "the load runs")
        before = len(load.acked)
        assert old.json("backup", str(folder))["epoch"] == 1
        after = len(load.acked)
        wait_until(lambda: len(load.acked) > after + 400, 60, "the load goes on")
    assert {oct(path.stat().st_mode & 0o077) for path in folder.rglob("*")} == {"0o0"}

    restored = new.json("restore", str(folder), "--state", str(new.state), "--port", str(new.port))
    assert restored["verify"]["ok"]
    assert (restored["bank_id"], restored["epoch"]) == (old.bank.bank_id, 2)
    assert set(restored["rebuilt"]) >= {"balances", "partner_spend", "trial_balance"}
    assert not new.living()
    heads = heads_of(restored["position"])
    check_positions(new, heads)

    new.up()
    then = log_until(old, heads)
    assert log_until(new, heads) == then, "the restored logs are the old ones' beginnings"
    totals = settled(new)
    assert totals["earned"] == sum_of(then, "data_earned")
    assert totals["transferred"] == sum_of(then, "data_transferred")
    assert totals["balanced"]
    assert totals["available"] == totals["earned"]

    repeated = do(new, load.acked[:before])["outcomes"]
    assert all(each["repeated"] for each in repeated), (
        "what was answered before the backup is in it"
    )
    fresh = do(new, [{"key": "n", "type": "buy", "account": SUBSCRIBERS[0], "bytes": 5}])
    assert fresh["outcomes"][0]["status"] == "done"
    balance = ask(new, f"/v1/accounts/{SUBSCRIBERS[0]}/balance", at_least=f"1/ledger_00:{AWAY}")
    assert balance["stale"] is False, "a position of the lost future asks for nothing"
    assert new.json("verify")["ok"]

    do(old, [{"key": "n", "type": "buy", "account": SUBSCRIBERS[0], "bytes": 7}])
    assert settled(old)["earned"] > totals["earned"] + 5
    assert all(each["repeated"] for each in do(old, load.acked[-40:])["outcomes"])
    assert old.json("verify")["ok"]


def test_a_stopped_bank_is_backed_up_too_and_a_damaged_backup_is_refused(
    local_bank: LocalBank, make_local_bank: Callable[..., LocalBank], tmp_path: Path
):
    folder, new = tmp_path / "backup", make_local_bank()
    local_bank.up()
    local_bank.done("down")
    local_bank.done("backup", str(folder))
    assert refusal(local_bank, "backup", str(folder)) == "backup_exists"

    restore = ("restore", str(folder), "--state", str(new.state), "--port", str(new.port))
    stopped = new.popen(*restore, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until(lambda: "ledger-web" in new.living().values(), 60, "the services start")
    stopped.terminate()
    assert "[stopped]" in stopped.communicate(timeout=60)[1]
    assert not new.living()
    assert not any(new.state.iterdir()), "a restore that was stopped leaves nothing"

    victim = max((folder / "postgres" / "base").rglob("*"), key=lambda path: path.stat().st_size)
    with victim.open("r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    assert refusal(new, *restore) == "backup_damaged"
    assert refusal(new, *restore[:2], "--state", str(local_bank.state)) == "state_taken"
    assert refusal(new, "restore", str(tmp_path / "none"), "--state", str(new.state)) == "no_backup"


def test_a_backup_that_knows_nothing_of_a_service_that_came_later_is_restored(
    local_bank: LocalBank, make_local_bank: Callable[..., LocalBank], tmp_path: Path
):
    folder, new = tmp_path / "backup", make_local_bank()
    local_bank.up()
    local_bank.done("down")
    bank = local_bank.bank
    passwords = {name: each for name, each in bank.service_passwords.items() if name != "tasks"}
    dataclasses.replace(
        bank, tasks_token="", tasks_sealing_keys=[], service_passwords=passwords
    ).save()
    local_bank.done("backup", str(folder))

    restore = ("restore", str(folder), "--state", str(new.state), "--port", str(new.port))
    assert new.json(*restore)["verify"]["ok"]
    assert new.bank.tasks_token
    assert new.bank.tasks_sealing_keys
    assert new.bank.service_passwords["tasks"]


def test_a_restored_bank_still_verifies_partners_signatures_whatever_key_sealed_them(
    local_bank: LocalBank, make_local_bank: Callable[..., LocalBank], tmp_path: Path
):
    folder, new = tmp_path / "backup", make_local_bank()
    local_bank.up()
    contract = tmp_path / "contract.json"
    terms = {"starts_at": "2020-01-01", "ends_at": "2090-01-01", "terms_version": "1"}
    contract.write_text(json.dumps({"partner": "didi", **terms}))
    local_bank.done("partner", "register", "didi", "--sponsor-id", "S-800")
    local_bank.done("partner", "app", "add", "didi", "app")
    local_bank.done("partner", "contract", str(contract))
    secret = local_bank.json("partner", "key", "issue", "didi", "app")["secret"]
    assert refusal(local_bank, "partner", "new-sealing-key") == "already_running"
    assert answered(local_bank, secret) == "completion_not_found"
    local_bank.done("down")
    local_bank.done("backup", str(folder))
    assert local_bank.json("partner", "new-sealing-key")["sealing_keys"] == 2
    local_bank.up()
    assert answered(local_bank, secret) == "completion_not_found"
    wait_until(lambda: "sealed_anew" in worker_log(local_bank), 30, "all is sealed anew")
    local_bank.done("down")
    newest = local_bank.bank.tasks_sealing_keys[:1]
    dataclasses.replace(local_bank.bank, tasks_sealing_keys=newest).save()
    local_bank.up()
    assert answered(local_bank, secret) == "completion_not_found"

    restore = ("restore", str(folder), "--state", str(new.state), "--port", str(new.port))
    assert new.json(*restore)["verify"]["ok"]
    assert len(new.bank.tasks_sealing_keys) == 1
    new.up()
    assert answered(new, secret) == "completion_not_found"
    assert answered(new, "whsec_" + "A" * 43 + "=") == "signature_invalid"


def worker_log(bank: LocalBank) -> str:
    """Return what tasks' worker has told."""
    return bank.bank.log_file("tasks-worker").read_text()


def answered(bank: LocalBank, secret: str) -> str:
    """Ask for a completion that nobody told, signed with a secret; return why it is refused."""
    bank.environment["DATABANK_PARTNER_SECRET"] = secret
    return refusal(bank, "partner", "answer", "didi", "r-1")


def test_a_bank_on_a_given_server_is_told_what_to_use_instead(
    make_local_bank: Callable[..., LocalBank], tmp_path: Path
):
    given = make_local_bank()
    dataclasses.replace(make_bank(given.state), database="given").save()
    ended = given.run("backup", str(tmp_path / "backup"))
    assert ended.returncode == 1
    assert "given_database" in ended.stderr
    assert "pg_basebackup" in ended.stderr
    given.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:9/none"
    restore = ("restore", str(tmp_path), "--state", str(tmp_path / "new"))
    assert refusal(given, *restore) == "given_database"


def refusal(bank: LocalBank, *arguments: str) -> str:
    """Run a command that must be refused and return its code."""
    ended = bank.run(*arguments, "--json")
    assert ended.returncode == 1, ended.stdout
    return str(json.loads(ended.stderr.splitlines()[-1])["code"])


def partition_database(bank: LocalBank) -> psycopg.Connection[Any]:
    """Open the ledger's database as its owner, at the first partition."""
    cluster = find_cluster(bank.bank, Environment())
    target = targets(bank.bank, Environment(), cluster.admin_url)[0]
    return psycopg.connect(target.owner_url, autocommit=True, options="-c search_path=ledger_00")


def ask_a_friend(bank: LocalBank) -> None:
    """Let gifting's and tasks' logs have an event each that nobody, or the ledger, acts on."""
    with gifting_of(bank.bank) as gifting:
        ask = {"asker": SUBSCRIBERS[0], "giver": SUBSCRIBERS[1], "bytes": 10 << 20}
        gifting.write("/v1/asks", ask, {"Idempotency-Key": "ask"})
    with tasks_of(bank.bank) as tasks:
        partner = {"partner": "didi", "sponsor_id": "S-800"}
        tasks.write("/v1/partners", partner, {"Idempotency-Key": "partner"})


def put_aside(bank: LocalBank) -> None:
    """Let the first partition have a parked event, and be past the end of a log."""
    source = f"/{bank.bank.bank_id}/1/ledger_03"
    event = json.dumps({"source": source, "id": f"{source}/7"})
    with partition_database(bank) as conn:
        conn.execute(
            "INSERT INTO parked VALUES ('ghost', %s, 7, 'ghost', %s, %s, 5, 0)",
            (source, event, GHOST[1]),
        )
        conn.execute("INSERT INTO inbox_positions VALUES ('ghost', %s, 'sagas', %s)",
                     (source, AWAY))  # fmt: skip
        conn.execute("INSERT INTO relay_positions VALUES ('all', 3)")


def check_positions(bank: LocalBank, heads: dict[str, int]) -> None:
    """Expect every position in the new epoch, none beyond a log's end; no relay's."""
    source = f"/{bank.bank.bank_id}/2/ledger_03"
    cluster = prepare_cluster(bank.bank, Environment(), lambda _: None)
    with serving(cluster, bank.bank.log_file("postgres")), partition_database(bank) as conn:
        rows = conn.execute("SELECT consumer, source, sequence FROM inbox_positions").fetchall()
        assert ("ghost", source, heads["ledger_03"]) in rows
        assert all(at <= heads[name.rpartition("/")[2]] for _, name, at in rows)
        assert {name.split("/")[2] for _, name, _ in rows} == {"2"}
        assert conn.execute("SELECT count(*) FROM relay_positions").fetchone() == (0,)
        parked = conn.execute("SELECT source, event->>'id', error FROM parked").fetchall()
        assert parked == [(source, f"{source}/7", GHOST[1])]


def heads_of(token: str) -> dict[str, int]:
    """Read a position token."""
    pairs = (part.split(":") for part in token.partition("/")[2].split(","))
    return {log: int(at) for log, at in pairs}


def ask(bank: LocalBank, path: str, **query: Any) -> Any:
    """Ask the gateway."""
    return _get(bank, bank.bank.gateway_url + path, query).json()


def _get(bank: LocalBank, url: str, query: dict[str, Any]) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {bank.bank.operator_token}"}
    answer = httpx2.get(url, params=query, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer


def log_until(bank: LocalBank, heads: dict[str, int]) -> list[tuple[Any, ...]]:
    """Return the events of every log up to a position, without what names the epoch."""
    found = []
    for log, head in sorted(heads.items()):
        service, _, number = log.partition("_")
        served = bank.bank.urls[f"{service}-web"]
        after = 0
        while after < head:
            url = f"{served}/log/{int(number)}"
            page = _get(bank, url, {"lane": "all", "after": after, "limit": 500}).json()
            after = int(page[-1]["sequence"])
            found += [
                (log, each["sequence"], each["type"], each["subject"], each["data"])
                for each in page
                if int(each["sequence"]) <= head
            ]
    return found


def sum_of(events: list[tuple[Any, ...]], kind: str) -> int:
    """Add up what events of a kind earned or sent away."""
    data = [each[4] for each in events if each[2] == f"bank.ledger.{kind}.v1"]
    if kind == "data_earned":
        return sum(lot["granted"] for each in data for lot in each["lots"])
    return sum(leg["bytes"] for each in data for leg in each["legs"])

"""11. Single commands over HTTP: 32 clients, each waits for its answer before it asks again."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import quantiles
from urllib.error import URLError
from urllib.request import urlopen

from infra.cli.client import Service
from infra.runtime.environment import Environment, inherited
from infra.runtime.programs import ROOT, service_programs
from infra.runtime.state import Bank
from tests.benchmarks.bench import Bench
from tests.benchmarks.data import PLAN
from tests.benchmarks.http_clients import load
from tests.benchmarks.results import Row, Target, number
from tests.benchmarks.scale import account, noon
from tests.support.bank import free_port, wait_until

WEB = "ledger-web"
ACCOUNTS = 10_000
CLIENTS = 32
WARM_S = 2
READY_S = 60.0
STOP_S = 10.0
TIMES_PGBENCH = 0.5


def measure(bench: Bench) -> list[Row]:
    """Measure the web process alone, as pgbench is; then in a whole bank, without a target."""
    with _web(bench) as bank:
        target = Target(times_pgbench=TIMES_PGBENCH)
        alone = _row(bench, bank, "http", "the ledger's web process alone", target)
    with bench.running() as local:
        whole = _row(bench, local.bank, "http-bank", "a whole bank, views following", Target())
    return [alone, whole]


def _row(bench: Bench, bank: Bank, name: str, where: str, target: Target) -> Row:
    names = [account(each) for each in range(ACCOUNTS)]
    with bench.step(f"{name}: open accounts"):
        _open(bank, names)
    seconds, rates, told = bench.plan.pgbench_s, [], ""
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        with bench.step(f"{name}, run {each} of {bench.plan.runs}"):
            bench.server.checkpoint()
            for key, lasting in (("warm", WARM_S), ("run", seconds)):
                latencies = load(
                    bank.ledger_port, bank.operator_token, names, CLIENTS, lasting, f"{key}-{each}"
                )
        rates.append(len(latencies) / seconds)
        percents = quantiles(latencies, n=100)
        told = f"p50 {percents[49] * 1e3:.1f} ms, p99 {percents[98] * 1e3:.1f} ms"
        bench.say(f"{name}, run {each}: {number(rates[-1])} commands/s, {told}")
        bench.reference()
    what = f"single commands over HTTP, {CLIENTS} clients, {where}"
    return Row(name, what, "commands/s", rates, target, f"{told} (last run)")


def _open(bank: Bank, names: list[str]) -> None:
    with Service("ledger", bank.ledger_url, bank.operator_token) as ledger:
        for start in range(0, len(names), 1_000):
            commands = [
                {"key": "open", "type": "open_account", "account": name, "plan": PLAN}
                for name in names[start : start + 1_000]
            ]
            ledger.post("/v1/commands", {"commands": commands})


@contextmanager
def _web(bench: Bench) -> Iterator[Bank]:
    """Run the ledger's web process, as `up` starts it, on the server that pgbench runs on."""
    with bench.server.ledger("http") as (made, url):
        bank = replace(made, port=free_port())
        offset = noon() - time.time_ns() // 1_000_000
        bank.clock_file.write_text(json.dumps({"offset_ms": offset}))
        programs = service_programs(bank, Environment(), {"ledger": url, "gateway": ""})
        program = next(each for each in programs if each.name == WEB)
        environment = inherited(**program.environment)
        with bank.log_file(WEB).open("wb") as log:
            process = subprocess.Popen(
                program.command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            with bench.step("start the ledger's web process"):
                wait_until(lambda: _is_ready(bank), READY_S, "the ledger's web process is ready")
            yield bank
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(bank: Bank) -> bool:
    try:
        with urlopen(f"{bank.ledger_url}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False

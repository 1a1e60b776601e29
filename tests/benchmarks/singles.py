"""11. Single commands over HTTP: 32 clients, each waits for its answer before it asks again."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import quantiles
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from infra.cli.client import Service
from infra.runtime.environment import Environment, inherited
from infra.runtime.programs import ROOT, SERVICES, service_programs
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


@dataclass(frozen=True)
class Run:
    """What the clients saw, and what it took the web process."""

    seconds: int
    latencies: list[float]
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Return commands per second."""
        return len(self.latencies) / self.seconds

    def told(self) -> str:
        """Write the latency and the CPU of the web process."""
        percents = quantiles(self.latencies, n=100)
        cpu_us = self.cpu_seconds / len(self.latencies) * 1e6
        return (
            f"p50 {percents[49] * 1e3:.1f} ms, p99 {percents[98] * 1e3:.1f} ms,"
            f" {number(cpu_us)} µs of the web process's CPU each"
            f" ({self.cpu_seconds / self.seconds:.0%} of a core)"
        )


def measure(bench: Bench) -> list[Row]:
    """Measure the web process alone, as pgbench is; then in a whole bank, without a target."""
    with _web(bench) as (bank, process):
        target = Target(times_pgbench=TIMES_PGBENCH)
        runs = _runs(bench, bank, process, "http")
        alone = _row("http", "the ledger's web process alone", runs, target)
    with bench.running() as local:
        process = psutil.Process(local.pids()[WEB])
        runs = _runs(bench, local.bank, process, "http-bank")
        whole = _row("http-bank", "a whole bank, views following", runs, Target())
    return [alone, whole]


def _row(name: str, where: str, runs: list[Run], target: Target) -> Row:
    what = f"single commands over HTTP, {CLIENTS} clients, {where}"
    middle = sorted(runs, key=lambda run: run.per_second)[len(runs) // 2]
    rates = [run.per_second for run in runs]
    return Row(name, what, "commands/s", rates, target, middle.told())


def _runs(bench: Bench, bank: Bank, process: psutil.Process, name: str) -> list[Run]:
    names = [account(each) for each in range(ACCOUNTS)]
    with bench.step(f"{name}: open accounts"):
        _open(bank, names)
    runs = []
    bench.reference()
    for each in range(1, bench.plan.runs + 1):
        with bench.step(f"{name}, run {each} of {bench.plan.runs}"):
            bench.server.checkpoint()
            _load(bank, process, names, WARM_S, f"warm-{each}")
            runs.append(_load(bank, process, names, bench.plan.pgbench_s, f"run-{each}"))
        bench.say(
            f"{name}, run {each}: {number(runs[-1].per_second)} commands/s, {runs[-1].told()}"
        )
        bench.reference()
    return runs


def _load(bank: Bank, process: psutil.Process, names: list[str], seconds: int, key: str) -> Run:
    cpu = _cpu_seconds(process)
    latencies = load(bank.ledger_port, bank.operator_token, names, CLIENTS, seconds, key)
    return Run(seconds, latencies, _cpu_seconds(process) - cpu)


def _cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of its children that live."""
    times = (each.cpu_times() for each in (process, *process.children(recursive=True)))
    return float(sum(each.user + each.system for each in times))


def _open(bank: Bank, names: list[str]) -> None:
    with Service("ledger", bank.ledger_url, bank.operator_token) as ledger:
        for start in range(0, len(names), 1_000):
            commands = [
                {"key": "open", "type": "open_account", "account": name, "plan": PLAN}
                for name in names[start : start + 1_000]
            ]
            ledger.post("/v1/commands", {"commands": commands})


@contextmanager
def _web(bench: Bench) -> Iterator[tuple[Bank, psutil.Process]]:
    """Run the ledger's web process, as `up` starts it, on the server that pgbench runs on."""
    with bench.server.ledger("http") as (made, url):
        bank = replace(made, port=free_port())
        offset = noon() - time.time_ns() // 1_000_000
        bank.clock_file.write_text(json.dumps({"offset_ms": offset}))
        urls = dict.fromkeys(SERVICES, "") | {"ledger": url}
        programs = service_programs(bank, Environment(), urls)
        program = next(each for each in programs if each.name == WEB)
        environment = inherited(**program.environment)
        with bank.log_file(WEB).open("wb") as log:
            process = subprocess.Popen(
                program.command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            with bench.step("start the ledger's web process"):
                wait_until(lambda: _is_ready(bank), READY_S, "the ledger's web process is ready")
            yield bank, psutil.Process(process.pid)
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

"""A bank's processes as /proc knows them, and commands that are run with their memory noted."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil

from infra.runtime.processes import lock_holder
from tests.support.bank import LocalBank


def peak_memory(local: LocalBank) -> dict[str, float]:
    """Return the peak resident memory (MB) by name of each process of a running bank.

    Shared memory counts in full in each process that touched it, as VmHWM does.
    """
    roots = local.living()
    up = lock_holder(local.bank.run_dir)
    if up is not None:
        roots[up] = "up"
    peaks: dict[str, float] = {}
    for pid in roots:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            owner = _owner(process, roots)
            peaks[owner] = max(_peak_mb(process.pid), peaks.get(owner, 0.0))
    return peaks


def _owner(process: psutil.Process, roots: dict[int, str]) -> str:
    """Return the name of the nearest named process: a backend is PostgreSQL's, not `up`'s."""
    try:
        line = (process, *process.parents())
    except psutil.NoSuchProcess:  # A backend ended between the list and the question.
        return "gone"
    return next((roots[each.pid] for each in line if each.pid in roots), "gone")


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return int(kilobytes) / 1024


def run_noted(local: LocalBank, *arguments: str) -> tuple[Any, float]:
    """Run a command with `--json`; return its answer and its peak resident memory (MB)."""
    with (local.state / "command.err").open("w+") as errors:
        process = local.popen(*arguments, "--json", stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        output = process.stdout.read()
        # Not `process.wait()`: only this tells the memory of this very process.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            raise RuntimeError(f"{arguments[0]} failed: {output}{errors.read()}")
    return json.loads(output), usage.ru_maxrss / 1024

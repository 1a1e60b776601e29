"""The README's tour: its commands with the lines shown below them, and how they are run."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.bank import ROOT, LocalBank

CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The reader's own shell; the test has its own.
FOR_READERS = ("make setup", "export ")
COLUMNS = "100"
COMMAND_S = 180


@dataclass(frozen=True)
class Step:
    """A command of the tour, the lines that the README shows below it, and what it printed."""

    command: str
    shown: list[str]
    printed: list[str]


def take_tour(bank: LocalBank, folder: Path) -> list[Step]:
    """Run the tour's commands one after the other, as a reader does."""
    bin_ = folder / "bin"
    bin_.mkdir()
    script = bin_ / "databank"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m infra.cli.main "$@"\n')
    script.chmod(0o755)
    environment = bank.environment | {
        "PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": COLUMNS,
    }  # fmt: skip
    taken = []
    for command, lines in _commands():
        port = f" --port {bank.port}" if command.startswith("databank up") else ""
        ended = subprocess.run(
            ["bash", "-c", command + port], cwd=folder, env=environment, text=True,
            capture_output=True, timeout=COMMAND_S, check=False,
        )  # fmt: skip
        taken.append(Step(command, lines, (ended.stdout + ended.stderr).splitlines()))
    return taken


def _commands() -> list[tuple[str, list[str]]]:
    """Return the tour's commands, here documents included, each with the lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for block in CONSOLE.findall((ROOT / "README.md").read_text()):
        inside = False
        for line in block.splitlines():
            if inside:
                inside = line != "END"
                found[-1] = (f"{found[-1][0]}\n{line}", [])
            elif line.startswith("$ "):
                inside = "<<'END'" in line
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return [each for each in found if not each[0].startswith(FOR_READERS)]

"""The README's tour, command by command: what it shows is what the bank prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bank import ROOT, LocalBank

CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FRAMES = str.maketrans("", "", "│┃┡╇┩┏┳┓└┴┘━─")
# The reader's own shell; the test has its own.
FOR_READERS = ("make setup", "export ")
# Of these only lines without numbers are the same for everybody.
VOLATILE = ("databank up", "databank status")
COLUMNS = "100"


def steps() -> list[tuple[str, list[str]]]:
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
    return found


def plain(line: str) -> str:
    """Return a printed line without frames and without what differs from run to run."""
    line = " ".join(line.translate(FRAMES).split())
    line = re.sub(r"(\d{4}-\d\d-\d\d[ T]\d\d:)\d\d(:\d\d\.\d+\S*)?", r"\1mm", line)
    line = re.sub(r"rejected rows: .*", "rejected rows: …", line)
    return re.sub(r"\d+\.\d{3}$", "s.sss", line)


def shown(command: str, lines: list[str]) -> list[str]:
    """Return the lines that everybody must see."""
    if command.startswith(VOLATILE):
        lines = [line for line in lines if not re.search(r"\d|…|/tmp|process", line)]
    return [text for text in map(plain, lines) if text]


@pytest.mark.slow
def test_every_line_of_the_tour_is_printed(local_bank: LocalBank, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    script = bin_ / "databank"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m infra.cli.main "$@"\n')
    script.chmod(0o755)
    environment = local_bank.environment | {
        "PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": COLUMNS,
    }  # fmt: skip
    for command, lines in steps():
        if command.startswith(FOR_READERS):
            continue
        asked = command
        if command.startswith("databank up"):
            asked += f" --port {local_bank.port}"
        ended = subprocess.run(
            ["bash", "-c", asked], cwd=tmp_path, env=environment, text=True,
            capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        printed = [plain(line) for line in (ended.stdout + ended.stderr).splitlines()]
        for line in shown(command, lines):
            assert line in printed, f"{command}\nprinted:\n" + "\n".join(printed)

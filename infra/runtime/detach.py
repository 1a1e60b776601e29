"""`up --detach`: the same `up` in a session of its own, watched until it is ready."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

from infra.errors import CliError
from infra.runtime.environment import SAFE_PATH
from infra.runtime.state import Bank, find_bank, make_folders
from infra.runtime.supervisor import tail
from infra.runtime.wish import Wish

Say = Callable[[str], None]


def start_detached(wish: Wish, *, step: Say, note: Say) -> Bank:
    """Start a bank in the background and return it when it is ready. Raises CliError."""
    make_folders(wish.state)
    log = wish.state / "logs" / "up.log"
    reader, writer = os.pipe()
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.cli.main", "up", *_arguments(wish, writer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writer],
            env=os.environ | SAFE_PATH,
            start_new_session=True,
        )
    os.close(writer)
    try:
        with os.fdopen(reader) as reports:
            for line in reports:
                report = json.loads(line)
                if "ready" in report:
                    return find_bank(wish.state)
                if "error" in report:
                    child.wait()
                    raise CliError(*report["error"])
                (step if "step" in report else note)(next(iter(report.values())))
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    raise CliError("failed", f"the bank did not start{tail(log)}")


def _arguments(wish: Wish, report_fd: int) -> list[str]:
    arguments = ["--state", str(wish.state), "--report-fd", str(report_fd)]
    if wish.sandbox:
        arguments.append("--sandbox")
    if wish.clock is not None:
        arguments += ["--clock", wish.clock]
    if wish.port is not None:
        arguments += ["--port", str(wish.port)]
    return arguments

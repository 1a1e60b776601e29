"""Finding RabbitMQ on this machine, or getting it: the package by apt, else a container."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "rabbitmq-server"
INSTALL_TIMEOUT_S = 600
IMAGE = "rabbitmq:4"
# Processes that run tests side by side install it one after the other.
LOCK = Path(tempfile.gettempdir()) / f"databank-tests-{os.geteuid()}.lock"
# Where packages put the real script. /usr/sbin has Debian's wrapper, which insists on a user.
SCRIPTS = (
    "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "usr/local/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
    "opt/rabbitmq/sbin/rabbitmq-server",
    "opt/rabbitmq_server-*/sbin/rabbitmq-server",
    "opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
)


class BrokerMissingError(Exception):
    """There is no RabbitMQ for the tests and no way to get one."""


def find_script() -> Path | None:
    """Return the server's own start script, None where RabbitMQ is not installed."""
    for pattern in SCRIPTS:
        found = sorted(Path("/").glob(pattern))
        if found and shutil.which("erl"):
            return found[-1]
    return None


def docker_answers() -> bool:
    """Tell whether containers can be run here."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def get_broker() -> Path | None:
    """Return the start script of an installed RabbitMQ, installing it if need be.

    None means: there is none, but containers can be run. Raises BrokerMissingError.
    """
    script = find_script()
    if script is not None:
        return script
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tried = "" if find_script() else _install()
    script = find_script()
    if script is not None:
        return script
    if docker_answers():
        return None
    raise BrokerMissingError(
        "the tests need a real RabbitMQ. Set AMQP_URL, install rabbitmq-server, or start Docker."
        f" Tried: {tried}; Docker does not answer"
    )


def _install() -> str:
    """Install the package; return what was tried and how it ended."""
    apt = shutil.which("apt-get")
    if apt is None:
        return "no apt-get here"
    as_root: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            return "apt-get needs root, and there is no sudo"
        as_root = ["sudo", "-n"]
    settings = ["env", "DEBIAN_FRONTEND=noninteractive"]
    for arguments in (["update", "-q"], ["install", "-qy", "--no-install-recommends", PACKAGE]):
        command = [*as_root, *settings, apt, *arguments]
        print("tests: no RabbitMQ here,", " ".join(command), flush=True)  # noqa: T201 Takes long.
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"apt-get {arguments[0]} took too long"
        if done.returncode != 0 and arguments[0] == "install":
            return f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}"
    return "apt-get installed it, but its script is in no known place"

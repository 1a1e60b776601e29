"""A real RabbitMQ for the tests: AMQP_URL, else a private node on ports and folders of its own.

A private node shares nothing with a broker that runs on the machine already: own port, own
distribution port, own epmd, own HOME with its cookie, own data. It may be killed and wiped.
"""

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pika
from pika.exceptions import AMQPError

from tests.support.rabbit_install import IMAGE, BrokerMissingError, get_broker

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
PORTS_FROM, PORTS_UNTIL = 20_000, 32_000
USER = "tests"

CONFIG = """
default_user = {user}
default_pass = {password}
loopback_users.{user} = false
disk_free_limit.absolute = 20MB
vm_memory_high_watermark.absolute = 512MB
log.console = false
log.file.level = warning
"""


class Broker(Protocol):
    """A handle to a broker; `url` stays the same from start to start."""

    url: str

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it in order, keeping its data."""

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""

    def pause(self) -> None:
        """Make it fall silent: connections stay, nothing is answered."""

    def resume(self) -> None:
        """Let it go on."""

    def wipe(self) -> None:
        """Delete all its data (it must not run)."""

    def close(self) -> None:
        """Stop it and leave nothing behind."""


def make_broker() -> Broker:
    """Return a started private broker. Raises BrokerMissingError."""
    script = get_broker()
    broker: Broker = ContainerNode() if script is None else LocalNode(script)
    try:
        broker.start()
    except BaseException:
        broker.close()
        raise
    return broker


class LocalNode:
    """A node of the installed RabbitMQ, run by this user from the package's own script."""

    def __init__(self, script: Path) -> None:
        self._script = script
        self._home = Path(tempfile.mkdtemp(prefix="databank-rabbit-"))
        self._port, self._dist_port, self._epmd_port = free_ports(3)
        password = secrets.token_urlsafe(16)
        self.url = amqp_url(self._port, password)
        self._name = f"databank-{secrets.token_hex(4)}@localhost"
        config = self._home / "rabbitmq.conf"
        config.write_text(CONFIG.format(user=USER, password=password))
        (self._home / "enabled_plugins").write_text("[].\n")
        (self._home / "rabbitmq-env.conf").write_text("")
        self._node: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._start_epmd()
        with (self._home / "console.log").open("ab") as console:
            self._node = subprocess.Popen(
                [str(self._script)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                cwd=self._home,
                # A group of its own, so that a kill reaches the script and the Erlang machine.
                start_new_session=True,
            )
        try:
            wait_until_it_answers(self.url, self._node)
        except BrokerMissingError as error:
            raise BrokerMissingError(f"{error}\n{self._last_words()}") from None

    def stop(self) -> None:
        """Stop it in order, keeping its data."""
        if self._node is None:
            return
        self._node.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._node.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        if self._node is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait(STOP_TIMEOUT_S)
            wait_until_port_is_free(self._port)
            self._node = None

    def pause(self) -> None:
        """Make it fall silent: connections stay, nothing is answered."""
        if self._node is not None:
            os.killpg(self._node.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self._node is not None:
            os.killpg(self._node.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Delete all its data (it must not run)."""
        shutil.rmtree(self._home / "mnesia", ignore_errors=True)

    def close(self) -> None:
        """Stop it and its epmd, and leave nothing behind."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_TIMEOUT_S)
        shutil.rmtree(self._home, ignore_errors=True)

    def _start_epmd(self) -> None:
        """Run the name server of this node in the foreground, so that it ends by its process id."""
        if self._epmd is not None:
            return
        epmd = shutil.which("epmd")
        if epmd is None:
            raise BrokerMissingError("RabbitMQ is installed, but Erlang's epmd is not on the PATH")
        self._epmd = subprocess.Popen(
            [epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
            start_new_session=True,
        )
        wait_until_port_answers(self._epmd_port)

    def _environment(self) -> dict[str, str]:
        home = self._home
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_HOME_DIR": str(home),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "rabbit.pid"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "mnesia" / "feature_flags"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+sbwt none +S 2:2 -kernel inet_dist_use_interface {127,0,0,1}"
            ),
        }

    def _last_words(self) -> str:
        logs = [self._home / "console.log", *sorted((self._home / "log").glob("*.log"))]
        return "\n".join(log.read_text(errors="replace")[-1500:] for log in logs if log.exists())


class ContainerNode:
    """A node in a container, where RabbitMQ is not installed but Docker answers."""

    def __init__(self) -> None:
        self._name = f"databank-{secrets.token_hex(4)}"
        self._port = free_ports(1)[0]
        self._password = secrets.token_urlsafe(16)
        self.url = amqp_url(self._port, self._password)
        self._exists = False

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self._exists:
            docker("start", self._name)
        else:
            environment = {
                "RABBITMQ_DEFAULT_USER": USER,
                "RABBITMQ_DEFAULT_PASS": self._password,
            }
            docker(
                "run", "--detach", "--name", self._name, "--hostname", self._name,
                "--publish", f"127.0.0.1:{self._port}:5672",
                "--env", "RABBITMQ_DEFAULT_USER", "--env", "RABBITMQ_DEFAULT_PASS", IMAGE,
                environment=environment,
            )  # fmt: skip
            self._exists = True
        wait_until_it_answers(self.url, None)

    def stop(self) -> None:
        """Stop it in order, keeping its data."""
        docker("stop", self._name)

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        docker("kill", "--signal", "KILL", self._name)

    def pause(self) -> None:
        """Make it fall silent: connections stay, nothing is answered."""
        docker("pause", self._name)

    def resume(self) -> None:
        """Let it go on."""
        docker("unpause", self._name)

    def wipe(self) -> None:
        """Delete all its data (it must not run)."""
        docker("rm", "--force", "--volumes", self._name)
        self._exists = False

    def close(self) -> None:
        """Stop it and leave nothing behind."""
        if self._exists:
            self.wipe()


def docker(*arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run a docker command. Raises BrokerMissingError with what it said."""
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BrokerMissingError(f"docker {arguments[0]} failed: {done.stderr.strip()}")


def amqp_url(port: int, password: str) -> str:
    """Return the URL of a broker on this machine."""
    return f"amqp://{USER}:{password}@127.0.0.1:{port}/%2F"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on.

    They lie below those that the system gives to clients: while a broker is down, a client that
    tries again and again is given its very port one day, and then the broker cannot come back.
    """
    found: list[int] = []
    while len(found) < count:
        port = PORTS_FROM + secrets.randbelow(PORTS_UNTIL - PORTS_FROM)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found += {port} - set(found)
    return found


def answers(url: str) -> bool:
    """Tell whether a broker takes connections."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = 2
    parameters.connection_attempts = 1
    try:
        pika.BlockingConnection(parameters).close()
    except (AMQPError, OSError):
        return False
    return True


def wait_until_it_answers(url: str, process: "subprocess.Popen[bytes] | None") -> None:
    """Wait for a broker. Raises BrokerMissingError."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers(url):
        if process is not None and process.poll() is not None:
            raise BrokerMissingError(f"RabbitMQ ended at once with status {process.returncode}")
        if time.monotonic() > deadline:
            raise BrokerMissingError(f"RabbitMQ did not answer within {START_TIMEOUT_S} s")
        time.sleep(0.2)


def wait_until_port_answers(port: int, *, wanted: bool = True, timeout_s: float = 10) -> None:
    """Wait until somebody listens on a port of this machine, or nobody does."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if (probe.connect_ex(("127.0.0.1", port)) == 0) == wanted:
                return
        time.sleep(0.05)


def wait_until_port_is_free(port: int) -> None:
    """Wait until nobody listens on a port."""
    wait_until_port_answers(port, wanted=False)

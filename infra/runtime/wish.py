"""From what the operator asked for to the bank that is started: new or kept, never half of each."""

import dataclasses
import socket
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from infra.errors import CliError
from infra.runtime import clock
from infra.runtime.environment import Environment
from infra.runtime.programs import SERVICES
from infra.runtime.state import (
    DEFAULT_PARTITIONS,
    DEFAULT_PORT,
    DEFAULT_TIMEZONE,
    Bank,
    find_bank,
    make_bank,
)

OWN_DATABASE = "own"
GIVEN_DATABASE = "given"
PARTITIONS_MAX = 64
PORT_MAX = 65_523


@dataclass(frozen=True)
class Wish:
    """What the operator asked for on the command line."""

    state: Path
    sandbox: bool = False
    clock: str | None = None
    port: int | None = None


def wished_bank(wish: Wish, environment: Environment) -> Bank:
    """Return the state's bank, made now if there is none, with this start's settings.

    Raises CliError where the wish contradicts what was fixed at the first start.
    """
    _check_values(wish, environment)
    if not (wish.state / "bank.json").exists():
        bank = make_bank(
            wish.state,
            partitions=environment.ledger_partitions or DEFAULT_PARTITIONS,
            timezone=environment.bank_timezone or DEFAULT_TIMEZONE,
            sandbox=wish.sandbox,
            port=wish.port or DEFAULT_PORT,
        )
    else:
        bank = find_bank(wish.state)
        _check_fixed(bank, wish, environment)
    database = OWN_DATABASE if needs_own_database(environment) else GIVEN_DATABASE
    bank = dataclasses.replace(
        bank,
        port=wish.port or bank.port,
        database=database,
        transport="rabbitmq" if environment.amqp_url else "log",
    )
    bank.save()
    return bank


def needs_own_database(environment: Environment) -> bool:
    """Say whether no database was given, so that `up` runs its own."""
    given = [bool(environment.service_url(service)) for service in SERVICES]
    return not environment.database_url and not all(given)


def wished_clock(bank: Bank, wish: Wish) -> str | None:
    """Set a sandbox's clock before the start; returns a remark where it stands later already."""
    if wish.clock is None:
        return None
    if not bank.sandbox:
        raise CliError("not_a_sandbox", "--clock is for sandboxes: add --sandbox")
    at = clock.parse_time(bank, wish.clock)
    if bank.clock_file.exists() and at < clock.now(bank):
        return "the bank's clock is past --clock already and goes forward only: it stays"
    clock.store_clock(bank, at)
    return None


def check_ports(bank: Bank) -> None:
    """Refuse to start where another program listens already. Raises CliError `port_taken`."""
    ports = [int(url.rpartition(":")[2]) for url in bank.urls.values()]
    for port in sorted(ports):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise CliError(
                    "port_taken",
                    f"port {port} cannot be used ({error.strerror}); the bank needs "
                    f"{', '.join(map(str, sorted(ports)))}: choose others with --port N",
                    port=port,
                ) from error


def _check_values(wish: Wish, environment: Environment) -> None:
    if not 0 <= environment.ledger_partitions <= PARTITIONS_MAX:
        raise CliError("bad_setting", f"LEDGER_PARTITIONS must be 1 to {PARTITIONS_MAX}")
    if wish.port is not None and not 1 <= wish.port <= PORT_MAX:
        raise CliError("bad_setting", f"--port must be 1 to {PORT_MAX}")
    try:
        ZoneInfo(environment.bank_timezone or DEFAULT_TIMEZONE)
    except (ValueError, KeyError, OSError) as error:
        raise CliError(
            "bad_setting", f"BANK_TIMEZONE {environment.bank_timezone!r} is no time zone"
        ) from error


def _check_fixed(bank: Bank, wish: Wish, environment: Environment) -> None:
    wanted = environment.ledger_partitions
    if wanted and wanted != bank.partitions:
        raise CliError(
            "partitions_differ",
            f"this bank has {bank.partitions} ledger partitions, LEDGER_PARTITIONS is {wanted}; "
            "their number is fixed at the first start",
        )
    if environment.bank_timezone and environment.bank_timezone != bank.timezone:
        raise CliError(
            "timezone_differs",
            f"this bank's months are those of {bank.timezone}, BANK_TIMEZONE is "
            f"{environment.bank_timezone}; it is fixed at the first start",
        )
    if wish.sandbox and not bank.sandbox:
        raise CliError("not_a_sandbox", f"the bank in {bank.state} was not made as a sandbox")
    own = needs_own_database(environment)
    if bank.database == OWN_DATABASE and not own:
        raise CliError(
            "database_differs",
            "this bank's data lie in its own PostgreSQL: start it without DATABASE_URL",
        )
    if bank.database == GIVEN_DATABASE and own:
        raise CliError(
            "database_differs", "this bank's data lie in a database that you gave: set DATABASE_URL"
        )

"""What was fixed at the first start stays; what is written into configuration comes out again."""

import dataclasses
import re
from pathlib import Path

import pytest
from supervisor.options import ServerOptions
from typed_settings.types import SecretStr

from infra.errors import CliError
from infra.runtime.environment import Environment
from infra.runtime.postgres import SOCKET_NAME_LENGTH, SOCKET_PATH_MAX, short_folder
from infra.runtime.programs import service_programs
from infra.runtime.state import find_bank, make_bank
from infra.runtime.urls import database_url
from infra.runtime.wish import Wish, wished_bank

GIVEN = Environment(database_url=SecretStr("postgresql://admin:x@db.example/postgres"))


def test_a_bank_keeps_its_id_and_tokens(tmp_path: Path) -> None:
    wish = Wish(state=tmp_path / "state", sandbox=True)
    first = wished_bank(wish, Environment())
    second = wished_bank(wish, Environment())
    assert re.fullmatch("[a-z0-9]{8}", first.bank_id)
    assert second == first == find_bank(wish.state)
    assert first.operator_token not in repr(first)


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        (Environment(ledger_partitions=8), "partitions_differ"),
        (Environment(ledger_partitions=99), "bad_setting"),
        (Environment(bank_timezone="Europe/Paris"), "timezone_differs"),
        (Environment(bank_timezone="Atlantis/City"), "bad_setting"),
        (GIVEN, "database_differs"),
    ],
)
def test_what_was_fixed_at_the_first_start_cannot_change(
    tmp_path: Path, environment: Environment, code: str
) -> None:
    wish = Wish(state=tmp_path / "state")
    bank = wished_bank(wish, Environment())
    with pytest.raises(CliError) as refused:
        wished_bank(wish, environment)
    assert refused.value.code == code
    assert find_bank(wish.state) == bank


def test_a_bank_on_a_given_database_does_not_start_without_it(tmp_path: Path) -> None:
    wish = Wish(state=tmp_path / "state")
    wished_bank(wish, GIVEN)
    with pytest.raises(CliError, match="set DATABASE_URL"):
        wished_bank(wish, Environment())


def test_a_real_bank_never_becomes_a_sandbox(tmp_path: Path) -> None:
    wished_bank(Wish(state=tmp_path / "state"), Environment())
    with pytest.raises(CliError, match="not made as a sandbox"):
        wished_bank(Wish(state=tmp_path / "state", sandbox=True), Environment())


def test_a_damaged_bank_file_is_named(tmp_path: Path) -> None:
    bank = make_bank(tmp_path / "state")
    bank.file.write_text("{")
    with pytest.raises(CliError, match=r"bank\.json"):
        find_bank(bank.state)


def test_a_folder_without_a_bank_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="databank up") as refused:
        find_bank(tmp_path)
    assert refused.value.code == "no_bank"


def test_every_character_of_a_url_survives_supervisords_configuration(tmp_path: Path) -> None:
    url = "amqp://us%2Fer:p%40ss'#;,=%s%(here)s@broker.example:5672/%2Fvhost"
    bank = make_bank(tmp_path / "state")
    environment = dataclasses.replace(Environment(), amqp_url=SecretStr(url))
    databases = {"ledger": "l", "gateway": "g", "gifting": "i", "tasks": "t"}
    programs = service_programs(bank, environment, databases)
    config = tmp_path / "supervisor.conf"
    config.write_text(
        "[supervisord]\n"
        + "".join(each.section(tmp_path / f"{each.name}.log") for each in programs)
    )
    options = ServerOptions()
    options.realize(["-c", str(config)])
    for group in options.process_group_configs:
        for process in group.process_configs:
            assert process.environment["AMQP_URL"] == url
            assert process.environment["DATABANK_STATE"] == str(bank.state)


def test_a_database_url_keeps_what_it_does_not_replace() -> None:
    given = "host=/var/run/x port=5433 user=admin password='p@ s' dbname=postgres sslmode=disable"
    url = database_url(given, dbname="other", user="role", password="a/b")
    assert url == ("postgresql://role:a%2Fb@/other?host=%2Fvar%2Frun%2Fx&port=5433&sslmode=disable")


def test_a_socket_gets_a_short_folder_where_the_state_lies_deep(tmp_path: Path) -> None:
    assert short_folder(Path("/srv/bank/run")) == Path("/srv/bank/run")
    deep = tmp_path / ("x" * 100) / "run"
    short = short_folder(deep)
    assert short == short_folder(deep)
    assert len(str(short)) + SOCKET_NAME_LENGTH <= SOCKET_PATH_MAX

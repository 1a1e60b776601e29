"""The pages that are made from code say what the code says."""

import pytest

from infra.docs import FOLDER, PAGES, sponsoring_texts
from infra.docs.configuration import variables
from infra.docs.event_schemas import PARTS, meaning
from infra.docs.event_texts import EXAMPLES, READ_BY, WRITTEN_BY
from infra.docs.events import missing_envelope_fields
from infra.runtime.environment import environment_table
from shared.config import Settings
from shared.contracts.ledger import EVENTS


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_up_to_date(name):
    assert (FOLDER / name).read_text() == PAGES[name](), "run `python -m infra.docs --write`"


def test_there_is_no_schema_of_an_event_that_is_gone():
    there = {f"events/{path.name}" for path in (FOLDER / "events").iterdir()}
    assert there == {name for name in PAGES if name.startswith("events/")}


def test_every_variable_of_processes_and_commands_is_documented_once():
    documented = variables()
    wanted = {name.upper() for name in Settings.__dataclass_fields__}
    wanted |= {row["name"] for row in environment_table()}
    assert wanted <= set(documented)
    assert len(documented) == len(set(documented))


def test_every_event_has_an_example_a_producer_and_readers():
    examples = [*EXAMPLES, *sponsoring_texts.EXAMPLES]
    assert [type(example) for example in examples] == list(EVENTS)
    assert WRITTEN_BY.keys() | sponsoring_texts.WRITTEN_BY.keys() == set(EVENTS)
    assert READ_BY.keys() | sponsoring_texts.READ_BY.keys() == set(EVENTS)


@pytest.mark.parametrize("kind", [*EVENTS, *PARTS], ids=lambda kind: kind.__name__)
def test_every_field_of_an_event_has_a_meaning(kind):
    assert all(meaning(kind, field) for field in kind.__struct_fields__)


def test_every_field_of_the_envelope_has_a_meaning():
    assert missing_envelope_fields() == set()

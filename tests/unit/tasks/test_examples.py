"""The example files are what they say they are."""

from pathlib import Path

import msgspec
import pytest

from infra.cli.files import read_document
from services.tasks.domain.catalogue import read_pack
from services.tasks.domain.terms import DraftTerms, terms_of
from shared.calendar import Calendar
from shared.contracts.audiences import Audience

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


@pytest.mark.parametrize("file", sorted((EXAMPLES / "packs").glob("*.json")), ids=lambda f: f.stem)
def test_an_example_of_a_pack_can_be_published(file: Path) -> None:
    assert read_pack(msgspec.json.decode(file.read_bytes())).name == file.stem


@pytest.mark.parametrize(
    "file", sorted((EXAMPLES / "audiences").glob("*.json")), ids=lambda f: f.stem
)
def test_an_example_of_an_audience_can_be_asked(file: Path) -> None:
    assert msgspec.json.decode(file.read_bytes(), type=Audience).rule is not None


@pytest.mark.parametrize(
    "file", sorted((EXAMPLES / "campaigns").glob("*.yaml")), ids=lambda f: f.stem
)
def test_an_example_of_a_campaign_can_be_drafted(file: Path) -> None:
    document = read_document(file, "campaign", "partner", "asp_id")
    for name in ("campaign", "partner", "asp_id"):
        del document[name]
    terms_of(msgspec.convert(document, DraftTerms), Calendar("Asia/Shanghai"), None)

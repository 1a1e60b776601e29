"""The README's tour and the page of HTTP: what they show is what the bank prints and answers."""

import re
from collections.abc import Iterator

import pytest

from tests.support.bank import LocalBank, wait_until
from tests.support.http_page import differences, examples, is_level
from tests.support.tour import Step, take_tour

FRAMES = str.maketrans("", "", "│┃┡╇┩┏┳┓└┴┘━─")
# Of these only lines without numbers are the same for everybody.
VOLATILE = ("databank up", "databank status")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBank]:
    local = LocalBank(tmp_path_factory.mktemp("bank") / "state")
    try:
        yield local
    finally:
        local.erase()


@pytest.fixture(scope="module")
def tour(bank: LocalBank, tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return take_tour(bank, tmp_path_factory.mktemp("tour"))


def plain(line: str) -> str:
    """Return a printed line without frames and without what differs from run to run."""
    line = " ".join(line.translate(FRAMES).split())
    line = re.sub(r"(\d{4}-\d\d-\d\d[ T]\d\d:)\d\d(:\d\d\.\d+\S*)?", r"\1mm", line)
    line = re.sub(r"rejected rows: .*", "rejected rows: …", line)
    return re.sub(r"\d+\.\d{3}$", "s.sss", line)


def shown(step: Step) -> list[str]:
    """Return the lines that everybody must see."""
    lines = step.shown
    if step.command.startswith(VOLATILE):
        lines = [line for line in lines if not re.search(r"\d|…|/tmp|process", line)]
    return [text for text in map(plain, lines) if text]


def test_every_line_of_the_tour_is_printed(tour: list[Step]) -> None:
    for step in tour:
        printed = [plain(line) for line in step.printed]
        for line in shown(step):
            assert line in printed, f"{step.command}\nprinted:\n" + "\n".join(printed)


def test_every_example_of_the_http_page_is_what_the_toured_bank_answers(
    bank: LocalBank, tour: list[Step]
) -> None:
    assert tour[-1].command == "databank down"
    bank.up()
    wrong = []
    told: dict[str, str] = {}
    for example in examples():
        if example.service == "gateway":
            wait_until(lambda: is_level(bank.bank), 30, "the views are level")
        wrong += [f"{example.request}: {each}" for each in differences(example, bank.bank, told)]
    assert not wrong, "\n" + "\n".join(wrong)

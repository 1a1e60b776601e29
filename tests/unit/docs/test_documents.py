"""The documents name only what is there: targets, commands, files, tests, routes."""

import re
from pathlib import Path

import pytest

from infra.cli.main import COMMANDS
from services.gateway.history import KINDS
from tests.support.routes import app_of, blueprints

ROOT = Path(__file__).parents[3]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "services").rglob("*.md"),
]
CODE_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ROUTE = re.compile(r"`(GET|POST) (/[^`?]*)`")
REQUEST = re.compile(r"^```http\n(GET|POST) (\S+)$", re.MULTILINE)
COMMON_ROUTES = {("GET", "/health"), ("GET", "/ready")}

README = (ROOT / "README.md").read_text()
HTTP = (ROOT / "docs" / "http.md").read_text()


def anchors(page: Path) -> set[str]:
    """Return the names by which a page's headings can be linked, as GitHub makes them."""
    headings = HEADING.findall(CODE_BLOCK.sub("", page.read_text()))
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {each.replace(" ", "-") for each in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for link in LINK.findall(CODE_BLOCK.sub("", page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_picture_is_empty_and_every_block_is_closed(page):
    text = page.read_text()
    assert text.count("```") % 2 == 0
    for picture in MERMAID.findall(text):
        assert picture.startswith(("flowchart ", "sequenceDiagram"))
        assert len(picture.splitlines()) > 3


def test_every_make_target_is_in_the_readme_with_its_own_words():
    targets = re.findall(r"^([a-z-]+):.*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    documented = re.findall(r"^\| `make ([a-z-]+)` \| (.+?) \|$", README, re.MULTILINE)
    assert documented == targets


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z-]+)`", page.read_text()))
        assert named <= targets, page


def test_the_readme_shows_every_command_and_no_other():
    named = set(re.findall(r"databank\s([a-z-]+)", README)) - {"command"}
    assert named == set(COMMANDS)


def test_every_test_that_is_named_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)
    assert named
    for path, name in named:
        assert f"def {name}" in (ROOT / path).read_text()


def test_every_route_is_documented_and_no_other():
    documented = {(method, plain(path)) for method, path in ROUTE.findall(HTTP)}
    there = set().union(*map(routes, blueprints()))
    assert documented == there | COMMON_ROUTES


def routes(service: str) -> set[tuple[str, str]]:
    """Return the methods and paths of a service."""
    return {
        (method, plain(path))
        for rule in app_of(service).url_map.iter_rules()
        for path in verbs(rule.rule)
        for method in (rule.methods or set()) & {"GET", "POST"}
        if rule.endpoint != "static"
    }


def verbs(path: str) -> list[str]:
    """Return a path that ends in one of several verbs once for each."""
    found = re.search(r"<any\(([^)]*)\):\w+>", path)
    if found is None:
        return [path]
    return [path.replace(found[0], verb.strip()) for verb in found[1].split(",")]


def test_every_route_has_an_example():
    shown = {(method, path.partition("?")[0]) for method, path in REQUEST.findall(HTTP)}
    before, _, rest = HTTP.partition("## Gifting\n")
    for method, path in ROUTE.findall(before + rest.partition("\n## ")[2]):
        fits = re.compile(re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(path)))
        assert any(each == method and fits.fullmatch(asked) for each, asked in shown), path


def test_the_page_of_http_names_every_kind_of_a_historys_entries_and_no_other():
    listed = HTTP.partition("Kinds: ")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", listed))
    assert sorted(named) == sorted(KINDS)


def plain(path: str) -> str:
    """Return a path with its parameters unnamed."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "*", path)


def test_the_glossary_has_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text()
    cells = re.findall(r"^\| (\*\*.+?) \|", text, re.MULTILINE)
    words = [word for cell in cells for word in re.findall(r"\*\*(.+?)\*\*", cell)]
    assert len(words) == len(set(words))
    assert len(words) > 50


def test_decisions_are_listed_and_have_their_three_parts():
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    for page in folder.glob("0*.md"):
        text = page.read_text()
        assert f"({page.name})" in index
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], page.name
        assert len(text.splitlines()) <= 60

"""The table of refusals of packs and lists in docs/errors.md has each of them, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "errors.md").read_text().partition("\n## Packs and lists\n")[2]
PAGE = PAGE.partition("\n## ")[0]
ROW = re.compile(r"^\| [^|]+ \| `(\w+)` \| [^|]+ \| \d+ \|$", re.MULTILINE)
TASKS = ROOT / "services" / "tasks"
MADE = re.compile(r"\bRefusedError\(\s*\"(\w+)\"")
FILES = (
    "domain/catalogue.py", "domain/order.py", "domain/pool.py", "domain/code.py",
    "domain/issue.py", "lists.py", "lists_api.py", "pools.py", "supply.py",
)  # fmt: skip


def test_every_refusal_that_the_code_makes_is_in_the_table_and_no_other() -> None:
    made = {code for name in FILES for code in MADE.findall((TASKS / name).read_text())}
    assert set(ROW.findall(PAGE)) - made == {"conflict", "partner_not_found"}
    assert made <= set(ROW.findall(PAGE))

"""The table of tasks' refusals in docs/errors.md has each of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "errors.md").read_text().partition("\n## Tasks\n")[2].partition("\n## ")[0]
ROW = re.compile(r"^\| [^|]+ \| ((?:`\w+`(?:, )?)+) \| [^|]+ \| [\d, ]+ \|$", re.MULTILINE)
TASKS = ROOT / "services" / "tasks"
# How a refusal is made: the code is the first argument.
MADE = re.compile(r"\bRefusedError\(\s*\"(\w+)\"")
# Whose refusals the table has to have: those of partners and campaigns.
FILES = (
    "domain/partner.py", "domain/campaign.py", "domain/terms.py", "partners.py", "campaigns.py",
)  # fmt: skip


def test_every_refusal_that_the_code_makes_is_in_the_table() -> None:
    documented = {code for cell in ROW.findall(PAGE) for code in re.findall(r"`(\w+)`", cell)}
    made = {code for name in FILES for code in MADE.findall((TASKS / name).read_text())}
    assert len(made) > 10
    assert made <= documented

"""The table of what completions and claims are refused with has every code of the code."""

import re
from pathlib import Path

import services.tasks.domain.tasks.limits as limits_module

ROOT = Path(__file__).parents[3]
HEADING = "\n## Completions and claims\n"
PAGE = (ROOT / "docs" / "errors.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
ROW = re.compile(r"^\| ([^|]+) \| `(\w+)` \| [^|]+ \| [\d, ]+ \|$", re.MULTILINE)
TASKS = ROOT / "services" / "tasks"
FILES = [
    *(TASKS / "domain" / "tasks").glob("*.py"),
    TASKS / "domain" / "claim.py",
    TASKS / "domain" / "signature.py",
    *(
        TASKS / f"{name}.py"
        for name in (
            "claiming", "claims", "clawbacks", "completions", "completions_api", "observing",
            "partner_calls", "running", "tokens",
        )
    ),
]  # fmt: skip
MADE = re.compile(r"\b(?:RefusedError|_refused|_over|_reached|check_day)\(\s*\"(\w+)\"")
NOTED = re.compile(r"\bcode(?:, issued_at)? ?= ?\"(\w+)\"")
CHOSEN = re.compile(r"\"(no_prize|prize_out_of_stock)\"")


def test_every_refusal_that_the_code_makes_is_in_the_table_and_no_other():
    text = "\n".join(path.read_text() for path in FILES)
    made = {*MADE.findall(text), *NOTED.findall(text), *CHOSEN.findall(text)}
    documented = {code for _, code in ROW.findall(PAGE)}
    made -= {"noted"}  # A state.
    assert made - documented == set()
    # The campaign's domain says it of an unknown one.
    assert documented - made == {"campaign_not_found"}


def test_the_order_of_limits_is_that_of_the_code():
    rows = re.findall(r"^\| (\w+) +\|", limits_module.__doc__ or "", re.MULTILINE)
    assert [code for what, code in ROW.findall(PAGE) if what == "a limit"] == rows[1:]

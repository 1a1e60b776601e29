"""The table of gifting's refusals in docs/errors.md has each of them, in the order of the code."""

import re
from pathlib import Path

import services.gifting.domain.limits as limits_module
import services.gifting.domain.packet_limits as packet_limits_module

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "errors.md").read_text().partition("\n## Gifting\n")[2]
PAGE = PAGE.partition("\n## ")[0]
ROW = re.compile(r"^\| ([^|]+) \| ((?:`\w+`(?:, )?)+) \| [^|]+ \| [\d, ]+ \|$", re.MULTILINE)
GIFTING = ROOT / "services" / "gifting"
# How a refusal is made: the code is the first argument.
MADE = re.compile(
    r"\b(?:RefusedError|_conflict|Cap|count_refusals)\(\s*(f?)\"(\w+(?:\{\w+\}\w*)?|\{\w+\}\w+)\""
)
COUNTED = re.compile(r"^\s+\(\"(shares_\w+_limit)\"", re.MULTILINE)
SHORTAGES = {"insufficient_data", "regift_not_allowed", "data_not_giftable"}
DOCUMENTED_ELSEWHERE = {"denied_by_operator", "step_up_required", "abuse_suspected"}
ROLES = ("sender", "receiver", "asker", "giver")
STATUSES = ("not_found", "closed", "suspended")


def codes(what: str) -> list[str]:
    """Return the codes of one kind of request, in the order of the table."""
    return [
        code
        for kind, cell in ROW.findall(PAGE)
        if kind == what
        for code in re.findall(r"`(\w+)`", cell)
    ]


def in_table_of(docstring: str | None, column: int) -> list[str]:
    """Return the codes in a module's own table, in order."""
    rows = re.findall(r"^\|(.+)\|$", docstring or "", re.MULTILINE)
    cells = [[cell.strip() for cell in row.split("|")][column] for row in rows]
    return [cell for cell in cells if re.fullmatch(r"[a-z_]+", cell) and cell != "code"]


def test_every_refusal_that_the_code_makes_is_in_the_table() -> None:
    documented = {code for _, cell in ROW.findall(PAGE) for code in re.findall(r"`(\w+)`", cell)}
    text = "\n".join(path.read_text() for path in GIFTING.rglob("*.py"))
    made = {code for is_pattern, code in MADE.findall(text) if not is_pattern}
    made |= set(COUNTED.findall(text)) | SHORTAGES
    made |= {f"{role}_{status}" for role in ROLES for status in STATUSES}
    made |= {f"not_the_{role}" for role in ("sender", "receiver", "giver")}
    made |= {f"gift_{state}" for state in ("declined", "cancelled")}
    assert made - documented <= DOCUMENTED_ELSEWHERE
    assert documented - made <= {"conflict"} | DOCUMENTED_ELSEWHERE


def test_the_order_is_that_of_the_rules() -> None:
    gift = in_table_of(limits_module.__doc__, 1)
    assert codes("a gift")[1 : len(gift) + 1] == gift
    packet = in_table_of(packet_limits_module.__doc__, 0)
    assert codes("a red packet")[1:] == packet

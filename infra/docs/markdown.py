"""Markdown as the made pages need it."""

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar inside a cell is escaped."""
    lines = [_row(columns), _row(["---"] * len(columns))]
    lines += [_row([cell.replace("|", "\\|") for cell in row]) for row in rows]
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return a text in code letters, a hyphen for an empty one."""
    return f"`{text}`" if text else "-"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

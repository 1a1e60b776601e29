"""Pages of docs/ that are made from code, so that they cannot say anything else."""

from collections.abc import Callable
from pathlib import Path

from infra.docs import configuration, event_schemas, events

FOLDER = Path(__file__).parents[2] / "docs"

# By file name, the function that writes the page.
PAGES: dict[str, Callable[[], str]] = {
    "configuration.md": configuration.page,
    "events.md": events.page,
    **event_schemas.pages(),
}

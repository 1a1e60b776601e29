"""Documents that an operator writes by hand: JSON or YAML; `-` reads one from stdin.

A file that ends in .json is JSON, anything else is YAML, of which JSON is a part.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from infra.errors import CliError

FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
STDIN = Path("-")


def read_document(path: Path, *needed: str) -> dict[str, Any]:
    """Return the object in a file. Raises CliError invalid_file, also where a field lacks.

    A date or time that YAML understands as such is text again.
    """
    try:
        content = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise CliError("invalid_file", f"{path} cannot be read: {error.strerror}") from error
    decode = msgspec.json.decode if path.suffix.lower() == ".json" else msgspec.yaml.decode
    try:
        document = msgspec.to_builtins(decode(content))
    except msgspec.DecodeError as error:
        raise CliError("invalid_file", f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise CliError("invalid_file", f"{path} holds no object (`name: value`)")
    for name in needed:
        if not isinstance(document.get(name), str):
            raise CliError("invalid_file", f"{path} has no `{name}`, or it is no text")
    return document

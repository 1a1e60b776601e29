"""The refusal that an operator sees: one message on stderr with a stable code."""

from typing import Any

from shared.errors import DatabankError


class CliError(DatabankError):
    """A command was refused or failed; `exit_code` is what the shell gets."""

    code = "failed"
    exit_code = 1

    def __init__(self, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.code = code

"""The file of rejected usage rows: who may read it, and what it never holds."""

import csv
import os
import time
from pathlib import Path
from typing import IO, Any

from infra.cli.output import CliError
from infra.cli.usage_file import COLUMNS, HOST

KEPT_COLUMNS = tuple(name for name in COLUMNS if name != "host")


class Rejects:
    """Writes rejected rows to a new file of mode 0600, made at the first one.

    A row's host is left out: it is a person's browsing. A row whose columns are unsure is named by
    its number only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._file: IO[str] | None = None
        self._writer: Any = None

    def write(self, file: Path, number: int, reason: str, columns: list[str]) -> None:
        """Add a row. Raises CliError `rejects_unwritable`."""
        kept = [value for index, value in enumerate(columns) if index != HOST]
        try:
            if self._writer is None:
                self._open()
            self._writer.writerow([file.name, number, reason, *kept])
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Write everything out. Raises CliError `rejects_unwritable`."""
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            self._file = None

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.path = self.folder / f"rejects-{stamp}-{os.getpid()}.csv"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(handle, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(["file", "row", "reason", *KEPT_COLUMNS])

    def _unwritable(self, error: OSError) -> CliError:
        return CliError(
            "rejects_unwritable",
            f"cannot write rejected rows to {self.path or self.folder}: {error.strerror or error}",
        )

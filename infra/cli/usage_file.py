"""Reads usage files: CSV or gzip of CSV, one row a line, ten columns.

Nothing here keeps more than one line in memory. A bad row is a Reject and reading goes on. A
damaged gzip file is found by its checksum before the first row is used: a flipped bit could change
a row into another that looks right.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple, Self, cast
from zoneinfo import ZoneInfo

from infra.cli.output import CliError
from shared.ids import SUBSCRIBER_PATTERN, digest

COLUMNS = (
    "subscriber", "start_time", "end_time", "uplink_bytes", "downlink_bytes",
    "apn", "rat", "destination_port", "host", "file_date",
)  # fmt: skip
HOST = COLUMNS.index("host")
AMOUNT_MAX = 2**53 - 1
LINE_BYTES_MAX = 64 << 10
CHECK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
SHORTEST_TIME = len("2015-08-01 00:00")
MINUTES_AND_SECONDS = re.compile(r"\d{1,2}:\d{2}(\.\d+)?")
FILE_DATE = re.compile(r"[0-9]{8}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UsageRow(NamedTuple):
    """A row that can be charged: `bytes` used from `occurred_at` (milliseconds UTC)."""

    number: int
    usage_id: str
    subscriber: str
    bytes: int
    occurred_at: int
    columns: list[str]


class Reject(NamedTuple):
    """A row that can't be charged and why.

    `columns` is empty where it is unsure which of them is the host.
    """

    number: int
    reason: str
    columns: list[str]


class DamagedFileError(Exception):
    """The file can't be read any further."""


class BadRowError(Exception):
    """The row can't be charged; the text is the stable reason."""


class UsageFile:
    """An open usage file whose header has been checked."""

    def __init__(self, path: Path) -> None:
        """Open the file and check its header. Raises CliError."""
        self.path = path
        self._number = 1
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size
        except OSError as error:
            raise self._error("file_unreadable", error) from error
        try:
            self._begin()
        except CliError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        try:
            self._stream = self._decompressed()
            header = self._line()
        except (OSError, DamagedFileError) as error:
            raise self._error("file_damaged", error) from error
        _check_header(self.path, header)

    def check(self, report: Callable[[int], None]) -> None:
        """Prove a gzip file whole by reading it to its end, then go back. Raises CliError."""
        if self._stream is self._raw or not self._raw.seekable():
            return
        self._raw.seek(0)
        try:
            with gzip.GzipFile(fileobj=self._raw) as stream:
                while stream.read(CHECK_BYTES):
                    report(self._raw.tell())
        except (OSError, EOFError, zlib.error) as error:
            raise self._error("file_damaged", error) from error
        self._raw.seek(0)
        self._stream = self._decompressed()
        self._line()

    def position(self) -> int:
        """Return how many bytes of the file (as it lies on disk) have been read; 0 of a pipe."""
        return self._raw.tell() if self._raw.seekable() else 0

    def rows(self, zone: ZoneInfo) -> Iterator[UsageRow | Reject]:
        """Yield every row; the header is row 1, blank lines are none. Raises DamagedFileError."""
        while line := self._line():
            self._number += 1
            if stripped := line.rstrip(b"\r\n"):
                yield read_row(stripped, self._number, zone)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def _error(self, code: str, error: Exception) -> CliError:
        return CliError(code, f"{self.path}: {_why(error)}; nothing was loaded")

    def _decompressed(self) -> IO[bytes]:
        start = self._raw.peek(len(GZIP_MAGIC))[: len(GZIP_MAGIC)]
        if start == GZIP_MAGIC:
            return cast("IO[bytes]", gzip.GzipFile(fileobj=self._raw))
        if self.path.suffix == ".gz":
            raise DamagedFileError("its name ends in .gz but it is no gzip file")
        return self._raw

    def _line(self) -> bytes:
        try:
            line = self._stream.readline(LINE_BYTES_MAX + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedFileError(_why(error)) from error
        if len(line) > LINE_BYTES_MAX:
            raise DamagedFileError(f"line {self._number + 1} is longer than {LINE_BYTES_MAX} bytes")
        return line


def read_row(line: bytes, number: int, zone: ZoneInfo) -> UsageRow | Reject:
    """Read one line of a usage file, without its line end."""
    columns: list[str] = []
    try:
        columns = _split(line)
        return usage_row(columns, number, zone)
    except BadRowError as error:
        return Reject(number, str(error), columns)


def usage_id(columns: list[str]) -> str:
    """Return 32 hex digits that stand for all ten columns; equal rows have equal ids."""
    return digest(*columns).hex()


def usage_row(columns: list[str], number: int, zone: ZoneInfo) -> UsageRow:
    """Read the ten columns of a row. Raises BadRowError."""
    subscriber = columns[0]
    if not SUBSCRIBER_PATTERN.fullmatch(subscriber):
        raise BadRowError("subscriber_invalid" if subscriber else "subscriber_missing")
    if not FILE_DATE.fullmatch(columns[-1]):
        raise BadRowError("file_date_invalid")
    at = occurred_at(columns[1], zone)
    total = _amount(columns[3]) + _amount(columns[4])
    if total > AMOUNT_MAX:
        raise BadRowError("bytes_too_large")
    if total == 0:
        raise BadRowError("bytes_zero")
    return UsageRow(number, usage_id(columns), subscriber, total, at, columns)


def occurred_at(text: str, zone: ZoneInfo) -> int:
    """Read a time as milliseconds UTC, cut off, never rounded up. Raises BadRowError."""
    if len(text) < SHORTEST_TIME:
        raise BadRowError(
            "time_truncated" if MINUTES_AND_SECONDS.fullmatch(text) else "time_invalid"
        )
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        since = moment.astimezone(UTC) - EPOCH
    except (ValueError, OverflowError) as error:
        raise BadRowError("time_invalid") from error
    if since.days < 0:
        raise BadRowError("time_invalid")
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _split(line: bytes) -> list[str]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadRowError("not_utf8") from error
    if "\0" in text:
        raise BadRowError("control_character")
    columns = _quoted(text) if '"' in text else text.split(",")
    if len(columns) != len(COLUMNS):
        raise BadRowError("column_count")
    return columns


def _quoted(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise BadRowError("quotes_unbalanced") from error
    return rows[0]


def _amount(text: str) -> int:
    if text.isascii() and text.isdigit():
        if len(text) > len(str(AMOUNT_MAX)):
            raise BadRowError("bytes_too_large")
        return int(text)
    if text.startswith("-") and text[1:].isascii() and text[1:].isdigit():
        raise BadRowError("bytes_negative")
    raise BadRowError("bytes_not_an_integer")


def _check_header(path: Path, header: bytes) -> None:
    names = header.decode("utf-8-sig", "replace").strip().split(",")
    found = tuple(name.strip().strip('"') for name in names)
    if found == COLUMNS:
        return
    missing = [name for name in COLUMNS if name not in found]
    unknown = [repr(name[:40]) for name in found if name not in COLUMNS]
    problems = [
        f"missing: {', '.join(missing)}" if missing else "",
        f"unknown: {', '.join(unknown[:12])}" if unknown else "",
        "" if missing or unknown else "they are repeated or in another order",
    ]
    raise CliError(
        "columns_wrong",
        f"{path}: the first line must name these columns: {','.join(COLUMNS)}"
        f" ({'; '.join(filter(None, problems))}); nothing was loaded",
    )


def _why(error: Exception) -> str:
    if isinstance(error, gzip.BadGzipFile | zlib.error):
        return f"the gzip data are damaged ({error})"
    if isinstance(error, EOFError):
        return "the gzip data are cut off before their end"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)

"""What a day of a partner's spend costs: lines, prices, and the file that settles it. Pure.

A line group is a campaign, a kind and a rating group on one bank day. Its amount is its bytes at
the price of the day, in fen for 1 GiB, rounded once, half to even. The price of a day is the one
that had been set before the day was over and holds from the latest day up to it; so a day that is
over keeps its price. Without a price the version is 0 and the amount too.
"""

import csv
import io
from typing import Any

import msgspec

GIB = 1 << 30
COLUMNS = (
    "day", "campaign", "rating_group", "sponsor_id", "asp_id", "bytes", "count", "price_version",
    "amount_fen",
)  # fmt: skip
Document = dict[str, Any]


class Price(msgspec.Struct, frozen=True):
    """A version of a partner's prices: fen for 1 GiB by kind of spend, from a bank day on."""

    price_version: int
    from_day: str
    recorded_at: int
    fen_per_gib: dict[str, int]


NO_PRICE = Price(0, "", 0, {})


def price_of(prices: list[Price], day: str, day_end: int) -> Price:
    """Return the price of a day that ends at this instant (milliseconds)."""
    known = [one for one in prices if one.from_day <= day and one.recorded_at < day_end]
    return max(known, key=lambda one: (one.from_day, one.price_version), default=NO_PRICE)


def amount_fen(amount: int, fen_per_gib: int) -> int:
    """Return what so many bytes cost, rounded half to even; of a negative amount a negative one."""
    whole, rest = divmod(amount * fen_per_gib, GIB)
    up = rest * 2 > GIB or (rest * 2 == GIB and whole % 2 == 1)
    return whole + up


def priced(line: Document, price: Price) -> Document:
    """Return what a line group costs: `price_version` and `amount_fen`."""
    fen = amount_fen(line["bytes"], price.fen_per_gib.get(line["kind"], 0))
    return {"price_version": price.price_version, "amount_fen": fen}


def settlement_document(
    partner: str, day: str, lines: list[Document], price: Price, sponsor_id: str,
    asp_ids: dict[str, str],
) -> Document:  # fmt: skip
    """Return a day's settlement; its lines sorted, so that it is the same whenever it is made."""
    ordered = sorted(lines, key=lambda each: (each["campaign"], each["kind"], each["rating_group"]))
    settled = [
        {
            "day": day, **line, "sponsor_id": sponsor_id,
            "asp_id": asp_ids.get(line["campaign"], ""), **priced(line, price),
        }
        for line in ordered
    ]  # fmt: skip
    return {
        "partner": partner, "day": day, "lines": settled,
        "total_bytes": sum(line["bytes"] for line in settled),
        "total_count": sum(line["count"] for line in settled),
        "total_fen": sum(line["amount_fen"] for line in settled),
    }  # fmt: skip


def settlement_csv(document: Document) -> str:
    """Return a settlement as CSV: a header and a line for each group, each ended by a newline.

    What has no rating group has its kind in parentheses there: `(award)`, `(pack)`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in document["lines"]:
        group = line["rating_group"] or f"({line['kind']})"
        writer.writerow([group if name == "rating_group" else line[name] for name in COLUMNS])
    return text.getvalue()

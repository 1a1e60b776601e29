"""An account on a batch's desk: its state as the batch changes it, and lines not written yet."""

from services.ledger.domain.account import Account
from services.ledger.domain.closing import Ending
from services.ledger.domain.context import Meta
from services.ledger.domain.lots import Lot
from services.ledger.items import Item
from shared.contracts.ledger import UsageLine
from shared.contracts.offers import Offer
from shared.ids import stream_id


class Desk:
    """One account while a batch works on it."""

    __slots__ = (
        "account_id",
        "borrowed",
        "changed",
        "credit",
        "have",
        "line_items",
        "line_meta",
        "lines",
        "offer",
        "only_spent",
        "order",
        "parts",
        "state",
        "stream",
        "unwatched",
        "version",
    )

    def __init__(self, account_id: str, state: Account | None, version: int) -> None:
        self.account_id = account_id
        self.stream = stream_id(account_id)
        self.state = state
        self.version = version
        self.changed = False
        self.only_spent = True
        self.unwatched = False
        self.order: list[Lot] | None = None
        # What is about to end of it, as long as no event has come between.
        self.parts: list[Ending] | None = None
        self.lines: list[UsageLine] = []
        self.line_items: list[Item] = []
        self.line_meta: Meta | None = None
        # Of a quota: the offer that it pays for, and what it charged on credit and not told yet.
        self.offer: Offer | None = None
        self.credit = 0
        # What a quota can pay now; counted anew with the order of its lots.
        self.have = 0
        # The lot out of which it pays on credit, as long as no other event has come between.
        self.borrowed: Lot | None = None

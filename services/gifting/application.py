"""Gifting's use cases, as routes, jobs and tests call them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from services.gifting import documents, listing
from services.gifting.checks import Asker, Ledger
from services.gifting.domain.aggregate import rebuild
from services.gifting.domain.gift import Gift, unknown_gift
from services.gifting.gifts import (
    ActOnGift,
    DecideDelayed,
    GiftTerms,
    GoOn,
    RequestGift,
    check_again,
    check_of,
)
from services.gifting.requests import Answer, Asking
from services.gifting.store import Store
from services.gifting.waiting import Waiting
from services.gifting.writer import Writer, wait_for
from shared.bus.doorbell import Doorbell

Document = dict[str, Any]


class Gifting:
    """The gifting of one bank in this process. Threads may share it."""

    def __init__(self, store: Store, ledger: Ledger, doorbell: Doorbell) -> None:
        self.store = store
        self.ledger = ledger
        self.waiting = Waiting(store, doorbell)

    @cached_property
    def writer(self) -> Writer:
        """Return the writer, started at first use (after a server's fork)."""
        return Writer(self.store)

    @cached_property
    def asker(self) -> Asker:
        """Return who asks the ledger, started at first use."""
        return Asker(self.ledger)

    def close(self) -> None:
        """End the threads and give the connections back."""
        for name in ("writer", "asker"):
            if name in self.__dict__:
                getattr(self, name).stop()
        self.waiting.stop()
        self.store.close()

    def request_gift(self, asking: Asking, terms: GiftTerms, wait_s: float) -> tuple[Gift, Answer]:
        """Ask for a gift, and wait up to so long until it comes to rest.

        Raises what limits, suspicion and the ledger refuse, ConflictError, UnavailableError.
        """
        check = check_of(terms, self.store.rules())
        facts = wait_for(self.asker.ask(check))
        return self._settled(RequestGift(asking, terms, facts), asking.subject.hex, wait_s)

    def act_on_gift(
        self, asking: Asking, gift: UUID, verb: str, wait_s: float
    ) -> tuple[Gift, Answer]:
        """Accept, decline or cancel a gift. Raises its refusals, ConflictError."""
        return self._settled(ActOnGift(asking, gift, verb), gift.hex, wait_s)

    def decide_delayed(
        self, asking: Asking, gift: UUID, reason: str, *, release: bool
    ) -> tuple[Gift, Answer]:
        """Let a delayed gift go on, or deny it. Raises its refusals, ConflictError."""
        job = DecideDelayed(asking, gift, reason, release=release)
        found = self._settled(job, gift.hex, 0)
        if release:
            self.go_on([found[0]])
        return self.gift(gift), found[1]

    def _settled(
        self, job: RequestGift | ActOnGift | DecideDelayed, saga: str, wait_s: float
    ) -> tuple[Gift, Answer]:
        if wait_s <= 0:
            answer = self.writer.run(job)
        else:
            with self.waiting.for_rest(saga) as bell:
                answer = self.writer.run(job)
                if documents.is_moving(self.gift(answer.subject)):
                    bell.wait(wait_s)
        return self.gift(answer.subject), answer

    def go_on(self, gifts: Sequence[Gift]) -> int:
        """Decide about requested gifts now that the ledger may be back; return about how many.

        Raises UnavailableError while it is not.
        """
        facts = self.ledger.check([check_again(gift) for gift in gifts])
        jobs = [GoOn(gift, each) for gift, each in zip(gifts, facts, strict=True)]
        for future in [self.writer.submit(job) for job in jobs]:
            wait_for(future)
        return len(jobs)

    def gift(self, gift: UUID, viewer: str | None = None) -> Gift:
        """Return a gift. Raises RefusedError gift_not_found, for a viewer also of a foreign one."""
        events = self.store.events([gift]).get(gift, [])
        found = rebuild(events)
        if not isinstance(found, Gift) or viewer not in (None, found.sender, found.receiver):
            raise unknown_gift(gift.hex)
        return found

    def gift_document(self, gift: UUID, viewer: str | None = None) -> Document:
        """Return all that is to be told of a gift, its steps too. Raises gift_not_found."""
        found = self.gift(gift, viewer)
        events = self.store.events([gift])[gift]
        return documents.gift_document(found, self.store.calendar, events)

    def gifts(self, asked: Document, limit: int) -> tuple[list[Document], listing.Place | None]:
        """Return a page of gifts, newest first, and the place behind which the next one lies."""
        sides = {"sender": ("sender",), "receiver": ("receiver",)}
        both = ("sender", "receiver")
        found, more = listing.page(
            self.store, "gifts", sides.get(asked["role"] or "", both), asked, limit
        )
        return [documents.gift_document(gift, self.store.calendar) for gift in found], more

"""Gifting's use cases, as routes, jobs and tests call them."""

from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property, partial
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from services.gifting import asks, gifts, packets
from services.gifting.documents import is_moving
from services.gifting.domain.ask import Ask, unknown_ask
from services.gifting.domain.checks import Facts
from services.gifting.domain.gift import Gift, unknown_gift
from services.gifting.domain.quote import Quote, quote_gift
from services.gifting.domain.red_packet import RedPacket, claim_name, unknown_packet
from services.gifting.ledger import Asker, Check, Ledger
from services.gifting.requests import Request
from services.gifting.store import Store
from shared.bus.doorbell import Doorbell
from shared.errors import UnavailableError
from shared.sagas import listing
from shared.sagas.aggregate import Aggregate, rebuild
from shared.sagas.requests import Answer, Asking
from shared.sagas.waiting import Waiting
from shared.sagas.writer import Writer, wait_for

T = TypeVar("T", Gift, RedPacket, Ask)
Place = listing.Place
# The columns of a table of which one is the account whose things are listed, by role.
SIDES = {
    "gifts": {"sender": ("sender",), "receiver": ("receiver",)},
    "asks": {"asker": ("asker",), "giver": ("giver",)},
    "red_packets": {"sender": ("sender",)},
}
# After these nothing more comes by itself soon.
RESTS = tuple(
    f"bank.gifting.{name}.v1"
    for name in (
        "gift_delayed", "gift_held", "gift_completed", "gift_refused", "gift_returned",
        "red_packet_opened", "red_packet_refused", "share_delivered", "share_returned",
    )
)  # fmt: skip


class Gifting:
    """The gifting of one bank in this process. Threads may share it."""

    def __init__(self, store: Store, ledger: Ledger, doorbell: Doorbell) -> None:
        self.store = store
        self.ledger = ledger
        self.waiting = Waiting(store, doorbell, RESTS)

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

    def _facts(self, check: Check) -> Facts | None:
        heard: Future[Facts | None] = Future()
        self.asker.ask(check, heard.set_result)
        return wait_for(heard)

    def _run(self, job: Request, check: Check | None) -> Answer:
        """Run a job, if it needs a check with what the ledger says of it."""
        if check is None:
            return self.writer.run(job)
        self.asker.ask(check, partial(self._run_with, job))
        return wait_for(job.future)

    def _run_with(self, job: Request, facts: Facts | None) -> None:
        job.facts = facts
        try:
            self.writer.submit(job)
        except UnavailableError as error:
            job.future.set_exception(error)

    def _settled(
        self, job: Request, saga: str, kind: type[T], wait_s: float, check: Check | None = None
    ) -> tuple[T, Answer]:
        """Run a job; wait up to so long for its saga to come to rest; return what it is about."""
        if wait_s <= 0:
            answer = self._run(job, check)
            return _of(kind, answer), answer
        until = monotonic() + wait_s
        with self.waiting.for_rest(saga) as bell:
            answer = self._run(job, check)
            found = _of(kind, answer)
            if bell is not None and is_moving(found, saga):
                # What it took to ask a ledger that hangs is part of the time.
                bell.wait(max(until - monotonic(), 0.0))
                found = self._get(kind, found.id)
        return found, answer

    # Gifts.

    def quote(self, terms: gifts.GiftTerms) -> tuple[Quote, bool]:
        """Say what a gift would do now, and whether it would need a second factor.

        Nothing is stored.
        """
        facts = self._facts(gifts.check_of(terms, self.store.rules()))
        with self.store.glance() as turn:
            turn.needs.pairs.add((terms.sender, terms.receiver))
            turn.read()
            question = gifts.question_of(turn, terms.sender, terms.receiver, terms.bytes, facts)
            step_up = gifts.verdict_on(turn, terms, facts).outcome == "step_up"
            return quote_gift(question, waits=gifts.waits(terms, turn.rules)), step_up

    def request_gift(
        self, asking: Asking, terms: gifts.GiftTerms, wait_s: float
    ) -> tuple[Gift, Answer]:
        """Ask for a gift, and wait up to so long until it comes to rest.

        Raises what limits, suspicion and the ledger refuse, ConflictError, UnavailableError.
        """
        check = gifts.check_of(terms, self.store.rules())
        job = gifts.RequestGift(asking, terms)
        return self._settled(job, asking.subject.hex, Gift, wait_s, check)

    def act_on_gift(
        self, asking: Asking, gift: UUID, verb: str, wait_s: float
    ) -> tuple[Gift, Answer]:
        """Accept, decline or cancel a gift. Raises its refusals, ConflictError."""
        return self._settled(gifts.ActOnGift(asking, gift, verb), gift.hex, Gift, wait_s)

    def decide_delayed(
        self, asking: Asking, gift: UUID, reason: str, wait_s: float, *, release: bool
    ) -> tuple[Gift, Answer]:
        """Let a delayed gift go on, or deny it, and wait up to so long until it comes to rest.

        Raises its refusals, ConflictError.
        """
        until = monotonic() + wait_s
        with self.waiting.for_rest(gift.hex) as bell:
            answer = self.writer.run(gifts.DecideDelayed(asking, gift, reason, release=release))
            found = self._get(Gift, gift)
            if found.state == "requested" and (facts := self._facts(gifts.check_again(found))):
                self.writer.run(gifts.GoOn(found, facts))
                found = self._get(Gift, gift)
            if bell is not None and is_moving(found, gift.hex):
                bell.wait(max(until - monotonic(), 0.0))
                found = self._get(Gift, gift)
        return found, answer

    def gift(self, gift: UUID, viewer: str | None = None) -> tuple[Gift, list[Aggregate.Event]]:
        """Return a gift and its events.

        Raises RefusedError gift_not_found, for a viewer also of a foreign one.
        """
        events = self.store.events([gift]).get(gift, [])
        found = rebuild(events)
        if not isinstance(found, Gift) or viewer not in (None, found.sender, found.receiver):
            raise unknown_gift(gift.hex)
        return found, events

    # Red packets.

    def make_packet(
        self, asking: Asking, terms: packets.PacketTerms, wait_s: float
    ) -> tuple[RedPacket, Answer]:
        """Make a red packet, and wait up to so long until it is open.

        Raises what limits and the ledger refuse, ConflictError, UnavailableError.
        """
        check = packets.check_of(terms, self.store.rules())
        job = packets.MakePacket(asking, terms)
        return self._settled(job, asking.subject.hex, RedPacket, wait_s, check)

    def token(self, packet: RedPacket) -> str:
        """Return the token of a packet's link, for who made it."""
        return packets.token_of(self.store.seed(packet.id))

    def claim(self, asking: Asking, token: str, wait_s: float) -> tuple[RedPacket, Answer]:
        """Take a share, and wait up to so long until it has arrived.

        Raises what the packet, limits and the ledger refuse, ConflictError, UnavailableError.
        """
        stream = self.store.packet_of(packets.token_hash(token))
        if stream is None:
            raise unknown_packet()
        check = packets.check_person(asking.account)
        saga = claim_name(stream.hex, asking.account)
        return self._settled(packets.ClaimShare(asking, token), saga, RedPacket, wait_s, check)

    def packet_by_token(self, token: str) -> RedPacket:
        """Return a packet for who has its link. Raises RefusedError packet_not_found."""
        stream = self.store.packet_of(packets.token_hash(token))
        if stream is None:
            raise unknown_packet()
        return self._get(RedPacket, stream)

    def packet(self, packet: UUID, viewer: str | None) -> RedPacket:
        """Return a packet for its sender. Raises RefusedError packet_not_found."""
        found = self._get(RedPacket, packet)
        if viewer not in (None, found.sender):
            raise unknown_packet()
        return found

    # Asks.

    def make_ask(self, asking: Asking, terms: asks.AskTerms) -> tuple[Ask, Answer]:
        """Ask a friend. Raises what the ledger and limits refuse, ConflictError."""
        return self._settled(asks.MakeAsk(asking, terms), "", Ask, 0, asks.check_of(terms))

    def ask(self, ask: UUID, viewer: str | None = None) -> Ask:
        """Return an ask. Raises RefusedError ask_not_found, for a viewer also of a foreign one."""
        found = self._get(Ask, ask)
        if viewer not in (None, found.asker, found.giver):
            raise unknown_ask(ask.hex)
        return found

    def answer_ask(
        self, asking: Asking, ask: UUID, terms: asks.AnswerTerms, wait_s: float
    ) -> tuple[Gift, Answer]:
        """Answer an ask with a gift. Raises the ask's and the gift's refusals, ConflictError."""
        found = self.ask(ask, terms.account)
        gift = gifts.GiftTerms(
            sender=terms.account, receiver=found.asker, bytes=terms.bytes or found.bytes,
            waits=terms.waits, message=terms.message, confirmed=terms.confirmed,
        )  # fmt: skip
        check = gifts.check_of(gift, self.store.rules())
        job = asks.AnswerAsk(asking, ask, gift)
        return self._settled(job, asking.subject.hex, Gift, wait_s, check)

    def decline_ask(self, asking: Asking, ask: UUID) -> tuple[Ask, Answer]:
        """Say no to an ask. Raises its refusals, ConflictError."""
        return self._settled(asks.DeclineAsk(asking, ask), "", Ask, 0)

    # All of them.

    def page(self, table: str, asked: dict[str, Any]) -> tuple[list[Any], Place | None]:
        """Return a page of gifts, packets or asks, newest first, and where the next begins."""
        sides = SIDES[table]
        either = tuple(side for each in sides.values() for side in each)
        columns = sides.get(asked.get("role") or "", either)
        return listing.page(self.store, table, columns, asked, asked["limit"])

    def _get(self, kind: type[T], stream: UUID) -> T:
        found = rebuild(self.store.events([stream]).get(stream, []))
        if not isinstance(found, kind):
            raise UNKNOWN[kind](stream.hex)
        return found

    # Jobs.

    def go_on(self, due: Sequence[Gift | RedPacket]) -> None:
        """Decide about what was asked for while the ledger was away.

        Raises UnavailableError while it still is.
        """
        checks = [
            gifts.check_again(each) if isinstance(each, Gift) else packets.check_again(each)
            for each in due
        ]
        jobs = [
            gifts.GoOn(each, facts)
            if isinstance(each, Gift)
            else packets.GoOnWithPacket(each, facts)
            for each, facts in zip(due, self.ledger.check(checks), strict=True)
        ]
        for future in [self.writer.submit(job) for job in jobs]:
            wait_for(future)

    def expire_asks(self, due: Sequence[Ask]) -> int:
        """End asks whose deadline has come; return how many."""
        return self.writer.run(asks.ExpireAsks([each.id for each in due]))


def _of(kind: type[T], answer: Answer) -> T:
    assert isinstance(answer.subject, kind)
    return answer.subject


UNKNOWN: dict[type, Any] = {
    Gift: unknown_gift, Ask: unknown_ask, RedPacket: lambda _: unknown_packet(),
}  # fmt: skip

"""Whatever is said, by whom, when and how often: one end, and no byte lost on the way to it.

The machines let the sender, the receivers, operators, the clock and the ledger act in any order;
the ledger's answers are heard in any order, more than once. In the end everything is heard, and
the ends of gifting and of the ledger are the same.
"""

from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.gifting.domain.red_packet import PacketWish, RedPacket
from services.gifting.domain.split import Split, check_split, commitment_of
from shared.contracts.ledger import Event
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate
from tests.unit.gifting.world import (
    DEADLINE,
    MIB,
    NOW,
    Ledger,
    a_gift,
    facts_of,
    meta,
    said,
    state_of,
    stored_and_read,
)

SEED = bytes(range(32))
# What would end most stories before they have begun.
SELDOM = st.integers(0, 9).map(lambda number: number == 4)
# Every round but the last makes a fact or an answer that was not there.
ROUNDS_MAX = 20
OFTEN = st.integers(0, 9).map(lambda number: number != 4)
FINAL_GIFT = {"GiftCompleted", "GiftRefused", "GiftReturned"}
FINAL_PACKET = {"RedPacketEnded", "RedPacketRefused"}
PEOPLE = ["ann", "bob", "cat", "dan", "eve"]


class Machine(RuleBasedStateMachine):
    """What gifts and packets have in common: a ledger, a clock, and answers that get about."""

    aggregate: Aggregate
    ledger: Ledger
    final: set[str]

    def hear(self, answer: Event) -> None:
        raise NotImplementedError

    def begin(self) -> None:
        self.now = NOW
        self.taken = 0

    def names(self) -> list[str]:
        """Return the facts but for a departure that was heard after its arrival."""
        late = [getattr(fact, "late", False) for fact in said(self.aggregate)]
        return [name for name, is_late in zip(facts_of(self.aggregate), late, strict=True)
                if not is_late]  # fmt: skip

    @rule()
    def the_ledger_takes_a_fact(self) -> None:
        facts = said(self.aggregate)
        if self.taken < len(facts):
            self.taken += 1
            self.ledger.take(facts[self.taken - 1])

    @rule()
    def a_transfer_arrives(self) -> None:
        self.ledger.arrive()

    @rule(which=st.integers(0, 10_000))
    def an_answer_is_heard(self, which: int) -> None:
        if self.ledger.told:
            self.hear(self.ledger.told[which % len(self.ledger.told)])

    @rule()
    def they_talk(self) -> None:
        """Let the ledger take what there is, and everything be heard once more."""
        while self.taken < len(self.aggregate.pending_events):
            self.the_ledger_takes_a_fact()
        for answer in self.ledger.told:
            self.hear(answer)

    @rule(seldom=SELDOM, to=st.sampled_from([DEADLINE - 1, DEADLINE, DEADLINE + 1]))
    def time_passes(self, *, seldom: bool, to: int) -> None:
        if seldom:
            self.now = self.ledger.now = max(self.now, to)

    @rule()
    def holds_time_out(self) -> None:
        self.ledger.time_out()

    @rule(seldom=SELDOM)
    def the_senders_account_is_closed(self, *, seldom: bool) -> None:
        if seldom:
            self.ledger.close()

    @invariant()
    def no_byte_is_lost(self) -> None:
        self.ledger.check()

    @invariant()
    def the_stored_facts_give_the_same_state(self) -> None:
        assert state_of(stored_and_read(self.aggregate)) == state_of(self.aggregate)

    @invariant()
    def there_is_one_end_at_most_and_nothing_after_it(self) -> None:
        names = self.names()
        assert not self.final.intersection(names[:-1])

    @invariant()
    def no_fact_is_told_twice(self) -> None:
        told = [
            (type(fact).__name__, getattr(fact, "claim_id", "")) for fact in said(self.aggregate)
        ]
        assert len(set(told)) == len(told)

    def settle(self) -> None:
        """Let the deadline pass and everything be heard, the last word first."""
        self.now = self.ledger.now = DEADLINE + 1
        for _ in range(ROUNDS_MAX):
            before = (len(self.ledger.told), len(self.aggregate.pending_events))
            while self.taken < len(self.aggregate.pending_events):
                self.the_ledger_takes_a_fact()
            self.ledger.time_out()
            while self.ledger.transit:
                self.ledger.arrive()
            for answer in [*reversed(self.ledger.told), *self.ledger.told]:
                self.hear(answer)
            if before == (len(self.ledger.told), len(self.aggregate.pending_events)):
                break
        else:
            raise AssertionError(f"they talk for ever: {self.names()}")
        assert self.names()[-1] in self.final
        assert self.ledger.held == self.ledger.on_the_way == 0
        self.ledger.check()


class GiftMachine(Machine):
    """One gift."""

    final = FINAL_GIFT

    @initialize(
        waits=st.booleans(),
        fee=st.sampled_from([0, MIB]),
        payer=st.sampled_from(["sender", "receiver"]),
        have=st.sampled_from([10 * MIB, 11 * MIB, 30 * MIB, 30 * MIB]),
        closed=SELDOM,
        offered=OFTEN,
    )
    def ask(
        self, *, waits: bool, fee: int, payer: str, have: int, closed: bool, offered: bool
    ) -> None:
        self.begin()
        self.ledger = Ledger(have, closed=("bob",) if closed else ())
        self.aggregate = self.gift = a_gift(waits=waits, fee_bytes=fee, fee_payer=payer)
        if offered:
            self.the_checks_pass()

    def hear(self, answer: Event) -> None:
        self.gift.on(answer, meta(self.now))

    @rule()
    def the_checks_pass(self) -> None:
        self.gift.offer(meta(self.now))

    @rule()
    def it_looks_like_abuse(self) -> None:
        self.gift.delay(["star"], meta(self.now))

    @rule()
    def an_operator_releases_it(self) -> None:
        with suppress(RefusedError):
            self.gift.release(meta(self.now))

    @rule(seldom=SELDOM)
    def a_limit_denies_it(self, *, seldom: bool) -> None:
        if seldom:
            self.gift.deny("day_gifts_limit", "3 a day", meta(self.now))

    @precondition(lambda self: self.gift.state == "held")
    @rule(verb=st.sampled_from(["accept", "decline"]))
    def the_receiver_answers(self, verb: str) -> None:
        self.somebody_says(verb, "bob")

    @precondition(lambda self: self.gift.state in {"delayed", "offered", "held"})
    @rule()
    def the_sender_cancels(self) -> None:
        self.somebody_says("cancel", "ann")

    @rule(
        verb=st.sampled_from(["accept", "decline", "cancel"]),
        by=st.sampled_from(["ann", "bob", "bob", "eve"]),
    )
    def somebody_says(self, verb: str, by: str) -> None:
        with suppress(RefusedError):
            getattr(self.gift, verb)(by, meta(self.now))

    def teardown(self) -> None:
        if self.gift.state == "delayed":
            self.gift.release(meta(self.now))
        # What is offered that late is refused by the ledger, which is an end as well.
        self.gift.offer(meta(self.now))
        self.settle()
        gift, ledger = self.gift, self.ledger
        gone = ledger.have - ledger.free
        assert gone == sum(ledger.arrived.values())
        assert (gift.state == "completed") == (gone > 0)
        if gift.state == "completed":
            fee = gift.fee_bytes
            arrives = gift.bytes - (fee if gift.fee_payer == "receiver" else 0)
            assert ledger.arrived["bob"] == arrives == sum(lot.granted for lot in gift.lots)
            assert ledger.arrived["operator:fees"] == fee
        assert not (gift.gives_back and (gone or ledger.returned))


class PacketMachine(Machine):
    """One red packet, and people who want a share; eve's account is closed."""

    final = FINAL_PACKET

    @initialize(
        split=st.sampled_from(["fixed", "lucky"]),
        shares=st.integers(1, 4),
        fee=st.sampled_from([0, 1_001]),
        poor=SELDOM,
        offered=OFTEN,
    )
    def ask(self, *, split: Split, shares: int, fee: int, poor: bool, offered: bool) -> None:
        self.begin()
        self.ledger = Ledger(10 * MIB if poor else 30 * MIB, closed=("eve",))
        wish = PacketWish(
            packet_id="5" * 32, sender="ann", token_hash="", bytes=10 * MIB + 77, shares=shares,
            split=split, seed_commitment=commitment_of(SEED), share_bytes_min=MIB,
            deadline=DEADLINE, fee_bytes=fee,
        )  # fmt: skip
        self.aggregate = self.packet = RedPacket.request(wish, meta())
        if offered:
            self.the_checks_pass()
            self.they_talk()

    def hear(self, answer: Event) -> None:
        self.packet.on(answer, meta(self.now), SEED)

    @rule()
    def the_checks_pass(self) -> None:
        self.packet.offer(meta(self.now))

    @precondition(lambda self: self.packet.state == "open")
    @rule(by=st.sampled_from(PEOPLE))
    def somebody_claims(self, by: str) -> None:
        before = self.packet.claim_of(by)
        with suppress(RefusedError):
            claim = self.packet.claim(by, SEED, meta(self.now))
            assert before is None or claim is before

    @rule(by=st.sampled_from(PEOPLE))
    def somebody_claims_in_any_state(self, by: str) -> None:
        with suppress(RefusedError):
            self.packet.claim(by, SEED, meta(self.now))

    def teardown(self) -> None:
        self.packet.offer(meta(self.now))
        self.settle()
        packet, ledger = self.packet, self.ledger
        claims = list(packet.claims.values())
        assert len({claim.receiver for claim in claims}) == len(claims) <= packet.shares
        fees = ledger.arrived.pop("operator:fees", 0)
        arrived = sum(ledger.arrived.values())
        assert ledger.have - ledger.free == arrived + fees
        if packet.state == "refused":
            assert not claims
            assert not arrived
            return
        ended = said(packet)[-1]
        assert ended.claimed_bytes == arrived
        assert ended.claimed_bytes + ended.returned_bytes == packet.bytes
        terms = (packet.bytes, packet.shares, packet.split, packet.share_bytes_min)
        claimed = {claim.position: claim.bytes for claim in claims}
        assert check_split(bytes.fromhex(ended.seed), packet.seed_commitment, terms, claimed)
        if arrived == packet.bytes:
            assert (ended.cause, fees) == ("all_claimed", packet.fee_bytes)
        assert ledger.arrived == {
            claim.receiver: sum(lot.granted for lot in claim.lots) for claim in claims if claim.lots
        }
        assert ledger.arrived == {
            claim.receiver: claim.bytes for claim in claims if claim.state == "delivered"
        }


GiftMachine.TestCase.settings = settings(
    max_examples=400, stateful_step_count=20, deadline=None, derandomize=True
)
PacketMachine.TestCase.settings = settings(
    max_examples=300, stateful_step_count=25, deadline=None, derandomize=True
)
TestAnyInterleavingOfAGift = GiftMachine.TestCase
TestAnyInterleavingOfARedPacket = PacketMachine.TestCase

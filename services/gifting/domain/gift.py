"""A gift: it arrives, or its sender has it back; exactly one final state, whatever happens when.

    requested -> (delayed ->) offered -> [held -> accepted ->] sent -> completed
                     any of them before `sent`  -> refused (nothing was taken)
      held -> declined | cancelled, or time out -> returned
                                           sent -> returned (the arrival was refused)

What is in brackets is for a gift that waits for its receiver. The ledger is the truth: what it
says counts in any state that is not final, so an answer that comes twice, late or before its
turn changes nothing or ends the gift as it ended there. A refused arrival is no end, the return
that follows is. What an operator takes back of a completed gift is told beside its state.
"""

from typing import Any, ClassVar, Self

import msgspec

from shared.contracts.gifting import (
    FeePayer,
    GiftAccepted,
    GiftCancelled,
    GiftClawedBack,
    GiftCompleted,
    GiftDeclined,
    GiftDelayed,
    GiftHeld,
    GiftOffered,
    GiftRefused,
    GiftReleased,
    GiftRequested,
    GiftReturned,
    GiftSent,
)
from shared.contracts.ledger import (
    DataClawedBack,
    DataHeld,
    DataReceived,
    DataTransferred,
    Event,
    HoldRefused,
    HoldReleased,
    Leg,
    LotTerms,
    TransferRefused,
    TransferReturned,
)
from shared.errors import RefusedError
from shared.sagas.aggregate import Aggregate, Meta, beginning, fact

FINAL = frozenset({"completed", "refused", "returned"})
# Codes with which a gift returns that was held at most.
NEVER_LEFT = frozenset({"declined", "cancelled", "timed_out", "hold_released"})

# What the ledger can still say of bytes that have left their sender.
AFTER_DEPARTURE = (DataReceived, TransferReturned)


class Wish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the sender confirmed: `bytes` for the receiver, now or once it accepts (`waits`)."""

    gift_id: str
    sender: str
    receiver: str
    bytes: int
    waits: bool = False
    deadline: int = 0
    fee_bytes: int = 0
    fee_payer: FeePayer = "sender"
    message: str | None = None
    ask_id: str | None = None
    confirmed_for: list[str] = []


class Gift(Aggregate):
    """One gift from its request to its end."""

    TOPIC = "gifting.gift"

    Requested = beginning(GiftRequested)
    Delayed = fact(GiftDelayed)
    Released = fact(GiftReleased)
    Offered = fact(GiftOffered)
    Held = fact(GiftHeld)
    Accepted = fact(GiftAccepted)
    Declined = fact(GiftDeclined)
    Cancelled = fact(GiftCancelled)
    Sent = fact(GiftSent)
    Completed = fact(GiftCompleted)
    Refused = fact(GiftRefused)
    Returned = fact(GiftReturned)
    ClawedBack = fact(GiftClawedBack)

    def __init__(self) -> None:
        self.state = ""
        self.hold_id = ""
        self.transfer_id = ""
        self.code = ""
        self.detail = ""
        self.reasons: list[str] = []
        self.released = False
        self.legs: list[Leg] = []
        self.lots: list[LotTerms] = []
        self.clawed_back_bytes = 0

    @classmethod
    def request(cls, wish: Wish, meta: Meta) -> Self:
        """Note down what was confirmed; nothing is moved or held yet."""
        return cls._begin(
            wish.gift_id,
            GiftRequested(
                **meta.facts(wish.sender, wish.gift_id), gift_id=wish.gift_id,
                receiver=wish.receiver, bytes=wish.bytes, waits=wish.waits,
                deadline=wish.deadline, fee_bytes=wish.fee_bytes, fee_payer=wish.fee_payer,
                message=wish.message, ask_id=wish.ask_id, confirmed_for=wish.confirmed_for,
            ),
        )  # fmt: skip

    @property
    def is_final(self) -> bool:
        """Say whether the gift has ended."""
        return self.state in FINAL

    @property
    def came_to_nothing(self) -> bool:
        """Say whether the gift has ended without anything that arrived."""
        return self.state in {"refused", "returned"}

    @property
    def gives_back(self) -> bool:
        """Say whether the gift has ended without anything having left: it counts no more."""
        return self.state == "refused" or (self.state == "returned" and self.code in NEVER_LEFT)

    # What gifting does by itself, or an operator; repeated it does nothing, and says so by False.

    def delay(self, reasons: list[str], meta: Meta) -> bool:
        """Keep the gift for an operator's decision; once released it is not delayed again."""
        if self.state != "requested" or self.released:
            return False
        return self._record(GiftDelayed(**self._facts(meta), reasons=reasons))

    def release(self, meta: Meta) -> bool:
        """Let a delayed gift go on (by an operator). Raises RefusedError gift_not_delayed."""
        if self.state != "delayed":
            raise _conflict("gift_not_delayed", f"the gift is not delayed but {self.state}")
        return self._record(GiftReleased(**self._facts(meta), reasons=self.reasons))

    def deny(self, code: str, detail: str, meta: Meta) -> bool:
        """End a gift that was not offered yet: a limit, abuse or an operator says no."""
        if self.state not in {"requested", "delayed"}:
            return False
        return self._record(GiftRefused(**self._facts(meta), code=code, detail=detail))

    def offer(self, meta: Meta, deadline: int = 0) -> bool:
        """Ask the ledger to move the bytes, or to hold them until `deadline`."""
        if self.state != "requested":
            return False
        return self._record(
            GiftOffered(
                **self._facts(meta), receiver=self.receiver, bytes=self.bytes, waits=self.waits,
                deadline=(deadline or self.deadline) if self.waits else 0,
                fee_bytes=self.fee_bytes, fee_payer=self.fee_payer,
            )
        )  # fmt: skip

    # What the sender and the receiver do.

    def accept(self, by: str, meta: Meta) -> bool:
        """Take the gift (by its receiver): the ledger posts the hold.

        Accepting again does nothing. Refusals, in order: gift_not_found, not_the_receiver,
        gift_not_waiting, gift_declined, gift_cancelled, gift_ended, gift_not_held, gift_timed_out.
        """
        self._check_party(by, self.receiver, "receiver")
        if self.waits and self.state in {"accepted", "sent", "completed"}:
            return False
        self._check_waiting()
        if self.state != "held":
            raise _conflict("gift_not_held", "the gift is not held yet; try again in a moment")
        if meta.now >= self.deadline:
            raise _conflict(
                "gift_timed_out", "the gift's deadline has passed; it is on its way back"
            )
        return self._record(
            GiftAccepted(
                **self._facts(meta), receiver=self.receiver, hold_id=self.hold_id,
                fee_bytes=self.fee_bytes, fee_payer=self.fee_payer,
            )
        )  # fmt: skip

    def decline(self, by: str, meta: Meta) -> bool:
        """Send the gift back (by its receiver): the ledger releases the hold.

        Declining again does nothing. Refusals, in order: gift_not_found, not_the_receiver,
        gift_not_waiting, gift_accepted, gift_cancelled, gift_ended, gift_not_held.
        """
        self._check_party(by, self.receiver, "receiver")
        if self.state == "declined" or (self.state == "returned" and self.code == "declined"):
            return False
        self._check_waiting()
        if self.state in {"requested", "delayed"}:
            raise _conflict("gift_not_held", "the gift is not held yet; try again in a moment")
        return self._record(GiftDeclined(**self._facts(meta), hold_id=self.hold_id))

    def cancel(self, by: str, meta: Meta) -> bool:
        """Take the gift back (by its sender) before it is accepted or on its way.

        Before the offer it ends at once; afterwards the ledger releases the hold. Cancelling again
        does nothing. Refusals, in order: gift_not_found, not_the_sender, gift_not_waiting,
        gift_accepted, gift_declined, gift_ended.
        """
        self._check_party(by, self.sender, "sender")
        if self.state == "cancelled" or (self.state == "returned" and self.code == "cancelled"):
            return False
        if self.state in {"requested", "delayed"}:
            return self._record(GiftReturned(**self._facts(meta), code="cancelled"))
        self._check_waiting()
        return self._record(GiftCancelled(**self._facts(meta), hold_id=self.hold_id))

    def _check_party(self, by: str, allowed: str, name: str) -> None:
        if by not in {self.sender, self.receiver}:
            # A foreign gift looks like an unknown one.
            raise unknown_gift(self.gift_id)
        if by != allowed:
            raise RefusedError(f"not_the_{name}", f"only the gift's {name} may do that", 403)

    def _check_waiting(self) -> None:
        """Raise what stands against a word of the sender or receiver in this state."""
        if self.state in {"refused", "returned"}:
            raise _conflict("gift_ended", f"the gift was {self.state}: {self.code}")
        if not self.waits:
            raise _conflict("gift_not_waiting", "the gift arrives by itself, it waits for nobody")
        if self.state in {"accepted", "sent", "completed"}:
            raise _conflict("gift_accepted", "the gift has been accepted")
        if self.state in {"declined", "cancelled"}:
            raise _conflict(f"gift_{self.state}", f"the gift was {self.state}")

    # What the ledger says.

    def on(self, event: Event, meta: Meta) -> bool:
        """Take a fact of the ledger in; False if it tells nothing new here (late, repeated)."""
        if isinstance(event, DataClawedBack):
            return self._on_clawed_back(event, meta)
        answer = self._ANSWERS.get(type(event))
        if isinstance(event, DataTransferred) and self.state == "completed" and not self.legs:
            # Its arrival was heard first. What left the sender belongs to the whole story.
            return self._sent_late(event, meta)
        if answer is None or self.state in FINAL:
            return False
        if self.state == "sent" and not isinstance(event, AFTER_DEPARTURE):
            return False
        return bool(answer(self, event, meta))

    def _on_held(self, event: DataHeld, meta: Meta) -> bool:
        if self.state != "offered":
            return False
        return self._record(
            GiftHeld(
                **self._facts(meta), hold_id=event.hold_id, deadline=event.deadline,
                slices=event.slices,
            )
        )  # fmt: skip

    def _on_hold_refused(self, event: HoldRefused, meta: Meta) -> bool:
        return self._record(GiftRefused(**self._facts(meta), code=event.code, detail=event.detail))

    def _on_hold_released(self, event: HoldReleased, meta: Meta) -> bool:
        code = "timed_out" if event.cause == "timed_out" else "hold_released"
        if self.state in {"declined", "cancelled"}:
            code = self.state
        return self._record(GiftReturned(**self._facts(meta), code=code))

    def _on_departed(self, event: DataTransferred, meta: Meta) -> bool:
        return self._record(
            GiftSent(**self._facts(meta), transfer_id=event.transfer_id, legs=event.legs)
        )

    def _sent_late(self, event: DataTransferred, meta: Meta) -> bool:
        return self._record(
            GiftSent(
                **self._facts(meta), transfer_id=event.transfer_id, legs=event.legs, late=True
            )
        )  # fmt: skip

    def _on_transfer_refused(self, event: TransferRefused, meta: Meta) -> bool:
        if not self.waits:
            return self._record(
                GiftRefused(**self._facts(meta), code=event.code, detail=event.detail)
            )
        if event.code != "hold_not_found":
            return False  # The hold is there: its release tells, at its deadline at the latest.
        code = "timed_out" if event.recorded_at >= self.deadline else "hold_released"
        return self._record(GiftReturned(**self._facts(meta), code=code))

    def _on_arrived(self, event: DataReceived, meta: Meta) -> bool:
        if event.account != self.receiver:
            return False  # The fee's arrival at the operator has the same correlation id.
        return self._record(
            GiftCompleted(**self._facts(meta), transfer_id=event.transfer_id, lots=event.lots)
        )

    def _on_returned(self, event: TransferReturned, meta: Meta) -> bool:
        return self._record(GiftReturned(**self._facts(meta), code=event.code))

    def _on_clawed_back(self, event: DataClawedBack, meta: Meta) -> bool:
        # Logs are read one by one: it may be heard before the arrival. The ledger takes back once.
        if self.clawed_back_bytes:
            return False
        because = msgspec.structs.replace(meta, reason=event.reason)
        return self._record(
            GiftClawedBack(
                **self._facts(because), transfer_id=event.transfer_id,
                taken_bytes=sum(leg.bytes for leg in event.legs),
                shortfall_bytes=event.shortfall_bytes,
            )
        )  # fmt: skip

    _ANSWERS: ClassVar[dict[type[Event], Any]] = {
        DataHeld: _on_held,
        HoldRefused: _on_hold_refused,
        HoldReleased: _on_hold_released,
        DataTransferred: _on_departed,
        TransferRefused: _on_transfer_refused,
        DataReceived: _on_arrived,
        TransferReturned: _on_returned,
    }

    def _facts(self, meta: Meta) -> dict[str, Any]:
        return {**meta.facts(self.sender, self.gift_id), "gift_id": self.gift_id}

    # How the state follows from the facts.

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        self._EVOLVE[type(data)](self, data)

    def _requested(self, data: GiftRequested) -> None:
        self.state = "requested"
        self.gift_id, self.sender, self.receiver = data.gift_id, data.account, data.receiver
        self.bytes, self.waits, self.deadline = data.bytes, data.waits, data.deadline
        self.fee_bytes, self.fee_payer = data.fee_bytes, data.fee_payer
        self.message, self.ask_id = data.message, data.ask_id
        self.requested_at = data.recorded_at

    def _delayed(self, data: GiftDelayed) -> None:
        self.state, self.reasons = "delayed", data.reasons

    def _released(self, _: GiftReleased) -> None:
        self.state, self.released = "requested", True

    def _offered(self, data: GiftOffered) -> None:
        self.state, self.deadline = "offered", data.deadline

    def _held(self, data: GiftHeld) -> None:
        self.state, self.hold_id, self.deadline = "held", data.hold_id, data.deadline

    def _accepted(self, _: GiftAccepted) -> None:
        self.state = "accepted"

    def _declined(self, _: GiftDeclined) -> None:
        self.state = "declined"

    def _cancelled(self, _: GiftCancelled) -> None:
        self.state = "cancelled"

    def _sent(self, data: GiftSent) -> None:
        self.transfer_id, self.legs = data.transfer_id, data.legs
        if not data.late:
            self.state = "sent"

    def _completed(self, data: GiftCompleted) -> None:
        self.state, self.transfer_id, self.lots = "completed", data.transfer_id, data.lots

    def _refused(self, data: GiftRefused) -> None:
        self.state, self.code, self.detail = "refused", data.code, data.detail

    def _returned(self, data: GiftReturned) -> None:
        self.state, self.code = "returned", data.code

    def _clawed_back(self, data: GiftClawedBack) -> None:
        self.clawed_back_bytes = data.taken_bytes

    _EVOLVE: ClassVar[dict[type[Event], Any]] = {
        GiftRequested: _requested,
        GiftDelayed: _delayed,
        GiftReleased: _released,
        GiftOffered: _offered,
        GiftHeld: _held,
        GiftAccepted: _accepted,
        GiftDeclined: _declined,
        GiftCancelled: _cancelled,
        GiftSent: _sent,
        GiftCompleted: _completed,
        GiftRefused: _refused,
        GiftReturned: _returned,
        GiftClawedBack: _clawed_back,
    }


def unknown_gift(gift_id: str) -> RefusedError:
    """Return what is said of a gift that does not exist, or is not the asker's business."""
    return RefusedError("gift_not_found", f"there is no gift {gift_id}", 404, gift_id=gift_id)


def _conflict(code: str, detail: str) -> RefusedError:
    return RefusedError(code, detail, 409)

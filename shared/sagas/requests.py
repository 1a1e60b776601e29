"""What a caller asks for once: its key, so that asking again changes nothing."""

from typing import Any
from uuid import UUID

import msgspec

from shared.ids import digest
from shared.sagas.aggregate import Aggregate
from shared.sagas.writer import Job

encode = msgspec.json.Encoder().encode


class Asking(msgspec.Struct, frozen=True):
    """Who asks (a caller, for an account), by which key, for what (`body`: all that matters)."""

    caller: str
    account: str
    key: str
    body: Any

    @property
    def bound_key(self) -> bytes:
        """Return the key as it is stored: unique per caller and account."""
        return digest("request", self.caller, self.account, self.key)

    @property
    def subject(self) -> UUID:
        """Return the id of what this request begins, if it begins something."""
        return UUID(bytes=digest("subject", self.caller, self.account, self.key))

    @property
    def terms(self) -> bytes:
        """Return a hash of what is asked for."""
        return digest(encode(self.body).decode())


class Answer(msgspec.Struct, frozen=True):
    """What a request is about, as its turn left it; `repeated` where it was asked before."""

    subject: Aggregate
    repeated: bool = False


class Request(Job[Answer]):
    """A job that takes effect once per key; a refusal leaves the key free."""

    def __init__(self, asking: Asking) -> None:
        super().__init__()
        self.asking = asking

    def need(self, needs: Any) -> None:
        """Say what has to be read."""
        needs.keys.add(self.asking.bound_key)
        needs.streams.add(self.asking.subject)

    def decide(self, turn: Any) -> Answer:
        """Do it, or answer as before. Raises its refusals, ConflictError for other terms."""
        key, terms = self.asking.bound_key, self.asking.terms
        bound = turn.bound(key, terms)
        if bound is not None:
            # It may be about another thing than the key's own, which nobody has named.
            turn.fetch(bound)
            return Answer(turn.get(bound), repeated=True)
        subject = self.act(turn)
        turn.bind(key, terms, subject)
        return Answer(turn.get(subject))

    def act(self, turn: Any) -> UUID:
        """Do it and return what it is about. Raises its refusals before anything is changed."""
        raise NotImplementedError

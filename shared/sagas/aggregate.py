"""What aggregates with sagas share: an event is a fact of the public contract in a stream.

An aggregate's event of the library carries one Struct of `shared.contracts` as its `data` and has
its type as topic. So what is stored is the contract's JSON, byte by byte, the log serves it
undecoded, and no field is declared twice:

    stored row   = stream, version, topic, state
    event     ->   event.originator_id, event.originator_version, event.TOPIC, encode(event.data)
    row       ->   event_of(stream, version, topic, state)
    aggregate  =   rebuild(events of one stream, in order)

Commands check and record; only `evolve` changes state, from the fact alone, and has no rules: a
rule that is tightened later leaves old streams readable. Bodies decorated with `@event` would
restate every field and cost a copy of the arguments per event.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, cast
from uuid import UUID

import msgspec
from eventsourcing.domain import AggregateCreated, AggregateEvent, BaseAggregate

from shared.contracts.ledger import Event as Contract

encode: Any = msgspec.json.Encoder().encode
# By topic: the decoder of its fact, the event's class, the topic of the aggregate whose it is.
_kinds: dict[str, tuple[Any, type["Aggregate.Event"], str]] = {}


class Meta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who does this, when (bank time, milliseconds), because of what, by which rules."""

    now: int
    actor: str
    causation_id: str = ""
    reason: str | None = None
    rule_version: int = 0

    def facts(self, account: str, correlation_id: str) -> dict[str, Any]:
        """Return the fields that every event has."""
        return {
            "account": account,
            "recorded_at": self.now,
            "actor": self.actor,
            "correlation_id": correlation_id,
            "causation_id": self.causation_id,
            "reason": self.reason,
            "rule_version": self.rule_version,
        }


class Aggregate(BaseAggregate[UUID]):
    """A stream of facts; its id's hex digits are the id that the contract speaks of."""

    TOPIC = "databank.aggregate"  # Makes a topic compulsory on every subclass and its events.
    FACTS: ClassVar[dict[type[Contract], type["Aggregate.Event"]]] = {}

    class Event(AggregateEvent):
        """A fact at its place in a stream."""

        TOPIC: ClassVar[str]
        FACT: ClassVar[type[Contract]]
        data: Contract

        def apply(self, aggregate: Any) -> None:
            """Let the aggregate take the fact in."""
            aggregate.evolve(self.data)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.FACTS = {}
        # After the library, which replaces the classes that the body names.
        for value in vars(cls).values():
            kind = getattr(value, "FACT", None)
            if kind is not None:
                cls.FACTS[kind] = value
                _kinds[kind.TYPE] = (msgspec.json.Decoder(kind), value, cls.TOPIC)

    def evolve(self, data: Any) -> None:
        """Change the state as the fact says."""
        raise NotImplementedError

    def collect_events(self) -> list["Aggregate.Event"]:
        """Return what was recorded since the last time, to be stored."""
        collected, self._pending_events = self._pending_events, []
        return cast("list[Aggregate.Event]", collected)

    @staticmethod
    def stream(name: str) -> UUID:
        """Return the stream of a thing by its id (32 hex digits)."""
        return UUID(hex=name)

    @classmethod
    def _begin(cls, name: str, data: Contract) -> Self:
        return cls._create(
            cls.FACTS[type(data)],  # type: ignore[arg-type]
            id=cls.stream(name),
            timestamp=_moment(data.recorded_at),
            data=data,
        )

    def _record(self, data: Contract) -> bool:
        """Add a fact; True, so that a caller can say that something happened."""
        self.trigger_event(self.FACTS[type(data)], timestamp=_moment(data.recorded_at), data=data)
        return True


def fact(kind: type[Contract]) -> type[Aggregate.Event]:
    """Return the event class of a fact."""
    return _event_class(kind, (Aggregate.Event,))


def beginning(kind: type[Contract]) -> type[Aggregate.Event]:
    """Return the event class of the fact with which a stream begins."""
    return _event_class(kind, (Aggregate.Event, AggregateCreated))


def _event_class(kind: type[Contract], bases: tuple[type, ...]) -> type[Aggregate.Event]:
    # A docstring of its own, because the library's dataclass would write a signature.
    named = {"TOPIC": kind.TYPE, "FACT": kind, "__doc__": kind.__doc__}
    return type(kind.__name__, bases, named)


def event_of(stream: UUID, version: int, topic: str, state: bytes) -> Aggregate.Event:
    """Read a stored event. Raises KeyError for an unknown topic, msgspec.DecodeError."""
    decoder, kind, owner = _kinds[topic]
    data = decoder.decode(state)
    values = {
        "originator_id": stream, "originator_version": version, "data": data,
        "timestamp": _moment(data.recorded_at),
    }  # fmt: skip
    if issubclass(kind, AggregateCreated):
        values["originator_topic"] = owner
    # As the library's mapper does it: what was checked once is not checked again.
    found = object.__new__(kind)
    found.__dict__.update(values)
    return found


def rebuild(events: Iterable[Aggregate.Event]) -> Any:
    """Return the aggregate of a stream's events, None without any."""
    aggregate: Any = None
    for each in events:
        aggregate = each.mutate(aggregate)
    return aggregate


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)

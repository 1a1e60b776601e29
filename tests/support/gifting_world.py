"""Gifting beside a ledger, both on real databases in this process; events travel when told to."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from threading import Event, Thread
from time import sleep
from typing import Any, NamedTuple

import msgspec
from typed_settings.types import SecretStr
from werkzeug.test import TestResponse

from services.gifting.bootstrap import make_app, make_bank
from services.gifting.domain.checks import Facts
from services.gifting.domain.rules import BUILT_IN, RuleBook, Rules
from services.gifting.jobs import expire_asks, go_on
from services.gifting.ledger import Check, Checks
from services.ledger.checks import GiftCheck, check_gifts
from services.ledger.domain.commands import OpenAccount, PublicCommand, Touch, Usage
from services.ledger.items import Item
from shared.auth import Tokens
from shared.bus.inbox import Inbox
from shared.bus.readers import Readers
from shared.bus.stored_log import LocalLogReader
from shared.clock import FixedClock
from shared.config import Settings
from shared.errors import UnavailableError
from tests.support.ledger import TOKENS, RealLedger
from tests.support.memory import OPERATOR

MIB = 1 << 20
_keys = count(1)


class Reply(NamedTuple):
    """An answer of the web process: a JSON object, or problem."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def code(self) -> str | None:
        """Return the problem's code, None where there is no problem."""
        return self.body.get("code")


def reply(answer: TestResponse) -> Reply:
    """Read an answer."""
    return Reply(answer.status_code, answer.get_json(force=True), answer.headers)  # type: ignore[arg-type]


class NearLedger:
    """Asks a ledger of this process; it can be away."""

    def __init__(self, ledger: RealLedger) -> None:
        self._ledger = ledger
        self.away = False
        # How long it takes to find that out.
        self.hangs_s = 0.0
        self.asked = 0

    def check(self, checks: list[Check]) -> list[Facts]:
        """Return what the ledger says, read as it would come over HTTP."""
        if self.away:
            sleep(self.hangs_s)
            raise UnavailableError("the ledger is away")
        self.asked += len(checks)
        gifts = msgspec.json.decode(msgspec.json.encode(checks), type=list[GiftCheck])
        answer = {"checks": check_gifts(self._ledger.ledger, gifts)}
        return msgspec.json.decode(msgspec.json.encode(answer), type=Checks).checks


class World:
    """One bank's ledger and gifting, at a clock that stands until it is set."""

    def __init__(self, ledger: RealLedger, gifting_url: str, rules: Rules = BUILT_IN) -> None:
        assert isinstance(ledger.clock, FixedClock)
        self.ledger, self.clock, self.url, self.rules = ledger, ledger.clock, gifting_url, rules
        self.near = NearLedger(ledger)
        settings = Settings(bank_id="bank", gifting_database_url=SecretStr(gifting_url))
        self.bank = make_bank(settings, self.clock, self.near)
        self.gifting = self.bank.gifting
        self.gifting.store.rulebook = RuleBook([(0, rules)])
        self.bank.doorbell.start()
        self.app = make_app(self.bank, Tokens(TOKENS))
        own = LocalLogReader([self.bank.log])
        both = Readers(ledger.reader, own)
        self.inboxes = [Inbox([each], both, pause_s=0.001) for each in ledger.consumers]
        self.inboxes.append(Inbox([self.bank.consumer], ledger.reader, pause_s=0.001))
        self.logs = [*ledger.logs, self.bank.log]

    @contextmanager
    def twin(self) -> Iterator["World"]:
        """Let another process of gifting work on the same database while the block runs."""
        other = World(self.ledger, self.url, self.rules)
        try:
            yield other
        finally:
            other.close()

    def open(self, *people: str, plan: str = "std-1gb", active_from: str = "2015-07") -> None:
        """Open accounts that are old enough to give, and to be given something unused."""
        commands = [
            OpenAccount(key="o", account=one, plan=plan, active_from=active_from) for one in people
        ]
        assert {each.status for each in self.ledger.do(*commands)} == {"done"}

    def use(self, account: str, at: str) -> None:
        """Let somebody have used a little data at a bank time."""
        began = self.ledger.partitions[0].calendar.parse(at)
        usage = Usage(account=account, usage_id=f"u-{next(_keys)}", bytes=1, occurred_at=began)
        assert {each.status for each in self.ledger.do(usage)} == {"done"}

    def settle(self) -> None:
        """Let every event travel and take effect, until nothing moves any more."""
        before = -1
        while (after := sum(log.head("all") for log in self.logs)) != before:
            before = after
            for inbox in self.inboxes:
                inbox.level()

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Let events travel by themselves while the block runs."""
        stop = Event()

        def run() -> None:
            while not stop.is_set():
                for inbox in self.inboxes:
                    inbox.level()
                stop.wait(0.005)

        thread = Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)

    def look_at_due(self) -> None:
        """Let the ledger do what is due by its clock, as its worker's job does."""
        for partition in self.ledger.partitions:
            due = partition.accounts_due(self.clock.now(), 1_000)
            touches = [
                Item(Touch(key="due", account=one.account), "ledger", OPERATOR) for one in due
            ]
            if touches:
                self.ledger.ledger.writers[partition.number].submit(touches).result(60)

    def go_on(self) -> None:
        """Do what gifting's jobs do by themselves."""
        with suppress(UnavailableError):
            go_on(self.bank, Event())
        expire_asks(self.bank, Event())

    def command(self, kind: str, account: str, **more: Any) -> Any:
        """Return a command to the ledger."""
        body = {"type": kind, "key": f"{kind}-{next(_keys)}", "account": account, **more}
        return msgspec.convert(body, PublicCommand)

    def post(
        self,
        path: str,
        body: Any,
        *,
        key: str | None = None,
        caller: str = "operator",
        wait_s: int = 0,
    ) -> Reply:
        """Ask for something, by a key of its own unless one is given."""
        headers = {
            "Authorization": f"Bearer {TOKENS[caller]}",
            "Idempotency-Key": key or f"key-{next(_keys)}",
            **({"Prefer": f"wait={wait_s}"} if wait_s else {}),
        }
        return reply(self.app.test_client().post(path, json=body, headers=headers))

    def get(self, path: str, *, caller: str = "operator", **query: Any) -> Reply:
        """Read something."""
        headers = {"Authorization": f"Bearer {TOKENS[caller]}"}
        asked = {"query_string": query} if query else {}
        return reply(self.app.test_client().get(path, headers=headers, **asked))

    def give(self, sender: str, receiver: str, amount: int = 10 * MIB, **more: Any) -> Reply:
        """Ask for a gift that the sender has confirmed."""
        terms = {"sender": sender, "receiver": receiver, "bytes": amount, "confirmed": True}
        keys = {name: more.pop(name) for name in ("key", "caller", "wait_s") if name in more}
        return self.post("/v1/gifts", terms | more, **keys)

    def gift(self, gift_id: str) -> dict[str, Any]:
        """Return a gift as it is shown."""
        answer = self.get(f"/v1/gifts/{gift_id}")
        assert answer.status == 200, answer.body
        return answer.body

    def available(self, account: str) -> int:
        """Return the bytes in all lots of an account, held ones too."""
        state, _ = self.ledger.ledger.account(account)
        return sum(lot.remaining for lot in state.lots.values())

    def held(self, account: str) -> int:
        """Return the bytes of an account that are held."""
        state, _ = self.ledger.ledger.account(account)
        return sum(lot.held for lot in state.lots.values())

    def close(self) -> None:
        """End what was started."""
        self.bank.doorbell.stop()
        self.gifting.close()


MakeWorld = Callable[..., World]

"""Tasks beside a ledger, both on real databases in this process; events travel when told to."""

from collections.abc import Callable
from itertools import count
from threading import Event
from typing import Any

import msgspec
from typed_settings.types import SecretStr

from services.tasks.bootstrap import make_app, make_bank
from services.tasks.jobs import put_offers
from shared.auth import Tokens
from shared.bus.inbox import Inbox
from shared.bus.readers import Readers
from shared.bus.stored_log import LocalLogReader
from shared.clock import FixedClock
from shared.config import Settings
from shared.contracts.offers import Offer
from shared.errors import UnavailableError
from tests.support.gifting_world import Reply, reply
from tests.support.ledger import TOKENS, RealLedger

GIB, MIB = 1 << 30, 1 << 20
_keys = count(1)
SEALING_KEY = SecretStr("a-sealing-key-of-tests-that-nobody-else-has")
DIDI: dict[str, Any] = {
    "title": "Didi pays for Didi",
    "starts_at": "2015-08-01T00:00:00",
    "budget": {"total_bytes": 100 * MIB},
    "offer": {"rating_group": "didi", "hosts": ["xiaojukeji.com", "udache.com"]},
}


class NearLedger:
    """A ledger of this process as tasks asks it; it can be away. It keeps the offers it is told."""

    def __init__(self, ledger: RealLedger) -> None:
        self._ledger = ledger
        self.away = False
        self.offers: dict[str, Offer] = {}

    def put_offer(self, name: str, offer: Offer) -> None:
        """Take an offer in, as it would come over HTTP."""
        if self.away:
            raise UnavailableError("the ledger is away")
        read = msgspec.json.decode(msgspec.json.encode(offer), type=Offer)
        if read.version >= self.offers.get(name, read).version:
            self.offers[name] = read

    def account(self, account: str) -> dict[str, Any] | None:
        """Return an account's state."""
        if self.away:
            raise UnavailableError("the ledger is away")
        state, version = self._ledger.ledger.account(account)
        made: dict[str, Any] = msgspec.to_builtins(state)
        return made if version else None


class World:
    """One bank's ledger and tasks, at a clock that stands until it is set."""

    def __init__(self, ledger: RealLedger, tasks_url: str, *, neutral: bool = False) -> None:
        assert isinstance(ledger.clock, FixedClock)
        self.ledger, self.clock = ledger, ledger.clock
        self.near = NearLedger(ledger)
        settings = Settings(
            bank_id="bank",
            tasks_database_url=SecretStr(tasks_url),
            bank_content_neutral=neutral,
            tasks_sealing_keys=SEALING_KEY,
        )
        self.bank = make_bank(settings, self.clock, self.near)
        self.tasks = self.bank.tasks
        self.bank.doorbell.start()
        self.app = make_app(self.bank, Tokens(TOKENS))
        both = Readers(ledger.reader, LocalLogReader([self.bank.log]))
        self.inboxes = [Inbox([each], both, pause_s=0.001) for each in ledger.consumers]
        self.inboxes.append(Inbox([self.bank.consumer], ledger.reader, pause_s=0.001))
        self.logs = [*ledger.logs, self.bank.log]

    def settle(self) -> None:
        """Let every event travel and take effect, until nothing moves any more."""
        before = -1
        while (after := sum(log.head("all") for log in self.logs)) != before:
            before = after
            for inbox in self.inboxes:
                inbox.level()

    def put_offers(self) -> None:
        """Do what the job does that tells the ledger of offers."""
        put_offers(self.bank, Event())

    def post(self, path: str, body: Any, *, key: str | None = None,
             caller: str = "operator") -> Reply:  # fmt: skip
        """Ask for something, by a key of its own unless one is given."""
        headers = {
            "Authorization": f"Bearer {TOKENS[caller]}",
            "Idempotency-Key": key or f"key-{next(_keys)}",
        }
        return reply(self.app.test_client().post(path, json=body, headers=headers))

    def done(self, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Ask for something that must succeed; return the answer."""
        answer = self.post(path, {} if body is None else body, **more)
        assert answer.status < 300, answer.body
        return answer.body

    def get(self, path: str, **query: Any) -> Reply:
        """Read something."""
        headers = {"Authorization": f"Bearer {TOKENS['operator']}"}
        asked = {"query_string": query} if query else {}
        return reply(self.app.test_client().get(path, headers=headers, **asked))

    def register(self, partner: str = "didi", bought: int = GIB) -> None:
        """Register a partner with an app, a contract and data that it has bought."""
        self.done("/v1/partners", {"partner": partner, "sponsor_id": f"S-{partner}"})
        self.done(f"/v1/partners/{partner}/apps", {"asp_id": f"{partner}-app"})
        contract = {"starts_at": "2015-07-01", "ends_at": "2016-07-01", "terms_version": "t1"}
        self.done(f"/v1/partners/{partner}/contracts", contract)
        if bought:
            self.done(f"/v1/partners/{partner}/purchases", {"bytes": bought})
        self.settle()

    def draft(self, campaign: str = "didi-august", partner: str = "didi", **terms: Any) -> None:
        """Write a campaign down, on Didi's terms but for what is given."""
        wish = {
            "campaign": campaign, "partner": partner, "asp_id": f"{partner}-app",
            "terms": DIDI | terms,
        }  # fmt: skip
        self.done("/v1/campaigns", wish)

    def start(self, campaign: str = "didi-august", amount: int = 100 * MIB) -> None:
        """Approve, fund and start a campaign."""
        self.done(f"/v1/campaigns/{campaign}/approve")
        self.settle()
        if amount:
            self.done(f"/v1/campaigns/{campaign}/fundings", {"bytes": amount})
            self.settle()
        self.done(f"/v1/campaigns/{campaign}/start")

    def campaign(self, name: str = "didi-august") -> dict[str, Any]:
        """Return a campaign as it is shown."""
        answer = self.get(f"/v1/campaigns/{name}")
        assert answer.status == 200, answer.body
        return answer.body

    def available(self, account: str) -> int:
        """Return the bytes in all lots of an account."""
        state, _ = self.ledger.ledger.account(account)
        return sum(lot.remaining for lot in state.lots.values())

    def verify(self) -> dict[str, Any]:
        """Return what a verification finds."""
        *_, last = self.app.test_client().post(
            "/v1/verify", headers={"Authorization": f"Bearer {TOKENS['operator']}"}
        ).data.splitlines()  # fmt: skip
        found: dict[str, Any] = msgspec.json.decode(last)["result"]
        return found

    def close(self) -> None:
        """End what was started."""
        self.bank.doorbell.stop()
        self.tasks.close()


MakeWorld = Callable[..., World]

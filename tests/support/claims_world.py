"""Tasks beside a ledger, both on real databases in this process; events travel when told to."""

from itertools import count
from typing import Any
from uuid import UUID, uuid4

import msgspec
from typed_settings.types import SecretStr

from services.ledger.domain.commands import Buy, OpenAccount, Usage
from services.tasks.bootstrap import make_app, make_bank
from services.tasks.completions import Asked, Completion, body_hash
from services.tasks.domain.campaign import Campaign, campaign_stream
from services.tasks.domain.claim import Claim
from services.tasks.domain.partner import Partner, partner_stream
from services.tasks.domain.tasks.completion import Token
from services.tasks.domain.tasks.kinds import FirstOrder, Task
from services.tasks.domain.tasks.rewards import Reward
from services.tasks.domain.terms import Budget, CampaignTerms
from services.tasks.observing import Doing
from services.tasks.tokens import Issue
from services.tasks.turn import Needs, Turn
from shared.auth import Tokens
from shared.bus.inbox import Inbox
from shared.bus.readers import Readers
from shared.bus.stored_log import LocalLogReader
from shared.config import Settings
from shared.contracts.audiences import EVERYONE, Audience, AudienceRule
from shared.sagas.requests import Asking
from shared.sagas.writer import Job, Writer
from tests.support.ledger import TOKENS, RealLedger
from tests.support.tasks_world import SEALING_KEY

MIB = 1 << 20
RIDE = FirstOrder(name="ride", reward=Reward(bytes=MIB, kind="award"))
_keys = count(1)


class Begin(Job[None]):
    """Let aggregates begin, as they are."""

    def __init__(self, *made: Any) -> None:
        super().__init__()
        self._made = made

    def need(self, needs: Needs) -> None:
        """Need nothing."""

    def decide(self, turn: Turn) -> None:
        """Take them in."""
        for each in self._made:
            turn.add(each)


class ClaimsWorld:
    """One bank's ledger and tasks, at a clock that stands until it is set."""

    def __init__(self, ledger: RealLedger, url: str) -> None:
        self.ledger, self.clock = ledger, ledger.clock
        settings = Settings(
            bank_id="bank", tasks_database_url=SecretStr(url), tasks_sealing_keys=SEALING_KEY
        )
        self.bank = make_bank(settings, self.clock)
        self.tasks, self.store = self.bank.tasks, self.bank.tasks.store
        self.claims = self.tasks.claims
        self.app = make_app(self.bank, Tokens(TOKENS))
        both = Readers(ledger.reader, LocalLogReader([self.bank.log]))
        self.inboxes = [Inbox([each], both, pause_s=0.001) for each in ledger.consumers]
        self.inboxes.append(Inbox([self.bank.consumer], ledger.reader, pause_s=0.001))
        self.logs = [*ledger.logs, self.bank.log]

    @property
    def writer(self) -> Writer:
        """Return the writer."""
        return self.tasks.writer

    def settle(self) -> None:
        """Let every event travel and take effect, until nothing moves any more."""
        before = -1
        while (after := sum(log.head("all") for log in self.logs)) != before:
            before = after
            for inbox in self.inboxes:
                inbox.level()

    def open(self, *people: str) -> None:
        """Open accounts of subscribers without any data of their own."""
        commands = [OpenAccount(key="o", account=one, plan="std-30mb") for one in people]
        assert {each.status for each in self.ledger.do(*commands)} == {"done"}

    def campaign(
        self,
        name: str,
        *tasks: Task,
        funded: int = 100 * MIB,
        members_of: str | None = None,
        rule: AudienceRule | None = None,
        dates: tuple[int, int | None] = (0, None),
        **budget: Any,
    ) -> Campaign:
        """Return a running campaign of the partner didi, its account funded."""
        audience = Audience(list=members_of) if members_of else EVERYONE
        if rule is not None:
            audience = Audience(rule=rule)
        starts_at, ends_at = dates
        terms = CampaignTerms(
            budget=Budget(**budget), tasks=list(tasks or [RIDE]), audience=audience,
            starts_at=starts_at, ends_at=ends_at,
        )  # fmt: skip
        with self.store.turn() as turn:
            meta = turn.meta("operator")
        partner = Partner.register("didi", "1069", "", meta)
        made = Campaign.draft(name, "didi", "app", terms, meta)
        made.approve(meta)
        known = self.store.events([partner.id])
        self.writer.run(Begin(made, *([] if known else [partner])))
        self.settle()
        self.fund(name, funded)
        self.change(name, lambda campaign, meta: campaign.start(meta))
        return made

    def fund(self, name: str, amount: int) -> None:
        """Put bytes into a campaign's escrow."""
        body = {"key": f"buy-{next(_keys)}", "account": "partner:didi", "bytes": amount}
        self.ledger.do(msgspec.convert(body, Buy))
        funding_id = uuid4().hex
        self.change(name, lambda campaign, meta: campaign.fund(funding_id, amount, meta))
        self.settle()

    def change(self, name: str, act: Any) -> None:
        """Do something with a campaign, as an operator: `act(campaign, meta)`."""
        self._change(campaign_stream(name), act)

    def change_partner(self, act: Any) -> None:
        """Do something with the partner didi, as an operator: `act(partner, meta)`."""
        self._change(partner_stream("didi"), act)

    def _change(self, stream: str, act: Any) -> None:
        class Change(Job[None]):
            """The change, in a turn."""

            def need(self, needs: Needs) -> None:
                """Need the stream."""
                needs.streams.add(UUID(hex=stream))

            def decide(self, turn: Turn) -> None:
                """Do it."""
                act(turn.get(UUID(hex=stream)), turn.meta("operator"))

        self.writer.run(Change())

    def enter(self, campaign: str, subscriber: str, **more: Any) -> tuple[str, Token]:
        """Let somebody come by our entrance; return the token."""
        issue = Issue(
            use="entrance",
            campaign=campaign,
            subscriber=subscriber,
            key=(str(next(_keys)),),
            **more,
        )
        return self.claims.enter(issue)[:2]

    def asked(self, request_id: str, campaign: str, entrance: Token | None, **more: Any) -> Asked:
        """Return a completion as a signed call tells it."""
        subscriber = more.get("subscriber") or (entrance.subscriber if entrance else None)
        told = Completion(
            campaign=campaign, task=more.pop("task", "ride"),
            happened_at=more.pop("happened_at", "now"), subscriber=subscriber,
            **{name: more[name] for name in ("device", "address") if name in more},
        )  # fmt: skip
        return Asked(
            request_id=request_id, body=body_hash(told), completion=told,
            happened_at=more.get("at", self.clock.now()), subscriber=subscriber, entrance=entrance,
        )  # fmt: skip

    def complete(self, *asked: Asked) -> list[dict[str, Any]]:
        """Tell completions as one batch; return the answers."""
        outcomes = self.claims.complete("didi", "app", list(asked))
        return [msgspec.json.decode(each.answer) for each in outcomes]

    def do(self, campaign: str, task: str, subscriber: str, **more: Any) -> Claim:
        """Do a task that the bank sees; return its claim."""
        key = more.pop("key", f"k{next(_keys)}")
        doing = Doing(subscriber=subscriber, **more)
        asking = Asking("gateway", subscriber, key, ["task", campaign, task, doing])
        claim = self.claims.do(asking, campaign, task, doing).subject
        assert isinstance(claim, Claim)
        return claim

    def lots(self, subscriber: str, kind: str) -> list[Any]:
        """Return a subscriber's lots of a kind."""
        state, _ = self.ledger.ledger.account(subscriber)
        return [lot for lot in state.lots.values() if lot.kind == kind]

    def escrow(self, campaign: str) -> int:
        """Return the bytes of a campaign's account."""
        state, _ = self.ledger.ledger.account(f"campaign:{campaign}")
        return sum(lot.remaining for lot in state.lots.values())

    def use(self, subscriber: str, amount: int) -> None:
        """Let a subscriber use data now."""
        usage = Usage(
            account=subscriber, usage_id=f"u-{next(_keys)}", bytes=amount,
            occurred_at=self.clock.now(),
        )  # fmt: skip
        assert {each.status for each in self.ledger.do(usage)} == {"done"}

    def close(self) -> None:
        """End what was started."""
        self.tasks.close()

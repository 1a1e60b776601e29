"""What tasks asks for arrives on the terms that were promised, and every refusal is told."""

from typing import Any

import pytest

from services.ledger import tasks
from services.ledger.domain.commands import (
    AwardOnTerms,
    Buy,
    ClawBack,
    Fund,
    OpenAccount,
    Transfer,
    Usage,
)
from services.ledger.domain.context import Context, Meta
from services.ledger.domain.refusing import refusal_event
from shared.contracts.ledger import Event, TransferRefused
from shared.contracts.offers import RewardTerms
from shared.contracts.tasks import (
    CampaignApproved,
    CampaignFunded,
    ClaimAccepted,
    ClaimPaid,
    ClawbackAsked,
    DataBought,
    PackIssued,
    PartnerRegistered,
)
from shared.errors import RefusedError
from tests.support.memory import CALENDAR, MemoryBank

MIB = 1 << 20
DAY_MS = 86_400_000
ID = "0" * 31 + "1"


@pytest.fixture
def bank() -> MemoryBank:
    made = MemoryBank(partitions=4)
    made.do(*(OpenAccount(key="open", account=name, plan="std-30mb") for name in ("ann", "bob")))
    made.do(OpenAccount(key="open", account="partner:didi"))
    made.do(OpenAccount(key="open", account="campaign:ride", partner="partner:didi"))
    made.do(Buy(key="buy", account="partner:didi", bytes=100 * MIB))
    made.do(Fund(key="fund", account="partner:didi", campaign="campaign:ride", bytes=10 * MIB))
    made.settle()
    return made


def terms(bank: MemoryBank, pending_days: int = 0, **more: Any) -> RewardTerms:
    valid_from = bank.clock.at + pending_days * DAY_MS
    given = {"kind": "reward", "valid_from": valid_from, **more}
    return RewardTerms(expires_at=valid_from + 30 * DAY_MS, **given)


def award(bank: MemoryBank, with_terms: RewardTerms, account: str = "campaign:ride") -> Any:
    asked = AwardOnTerms(
        key="a", account=account, subscriber="ann", bytes=4 * MIB, terms=with_terms
    )
    (outcome,) = bank.do(asked)
    bank.settle()
    assert outcome.status == "done"
    return next(lot for lot in bank.account("ann").lots.values() if lot.kind == with_terms.kind)


def test_a_reward_arrives_on_its_own_terms_whatever_the_rules_say_of_awards(bank: MemoryBank):
    asked = terms(bank, scope=["music"], carries=True)
    lot = award(bank, asked)
    assert (lot.valid_from, lot.expires_at) == (asked.valid_from, asked.expires_at)
    assert (lot.scope, lot.carries, lot.giftable) == (["music"], True, False)
    assert (lot.source.partner, lot.source.campaign) == ("partner:didi", "campaign:ride")


def test_a_partner_pays_a_pack_itself(bank: MemoryBank):
    lot = award(bank, terms(bank, kind="pack", giftable=True), "partner:didi")
    assert (lot.kind, lot.giftable) == ("pack", True)
    assert (lot.source.partner, lot.source.campaign) == ("partner:didi", None)


def test_a_pending_reward_is_neither_used_nor_given_away(bank: MemoryBank):
    lot = award(bank, terms(bank, pending_days=3, giftable=True))
    now = bank.clock.at
    bank.do(Usage(usage_id="u", account="ann", bytes=31 * MIB, occurred_at=now))
    assert bank.account("ann").lots[lot.lot_id].remaining == 4 * MIB
    (given,) = bank.do(Transfer(key="g", account="ann", to="bob", bytes=MIB))
    assert (given.status, given.code) == ("refused", "insufficient_data")
    bank.clock.at += 3 * DAY_MS
    bank.do(Usage(usage_id="v", account="ann", bytes=MIB, occurred_at=bank.clock.at))
    assert bank.account("ann").lots[lot.lot_id].remaining == 3 * MIB


def common(account: str) -> dict[str, Any]:
    return {"account": account, "recorded_at": 1, "actor": "x", "correlation_id": ID}


TERMS = RewardTerms(kind="reward", valid_from=1, expires_at=2)
CLAIM = ClaimAccepted(
    **common("campaign:ride"), claim_id=ID, campaign="ride", partner="didi", version=1, task="t",
    step="s", subscriber="ann", bytes=MIB, terms=TERMS,
)  # fmt: skip
ASKED = [
    (PartnerRegistered(**common("partner:didi"), partner="didi", sponsor_id="1"), OpenAccount),
    (
        CampaignApproved(**common("campaign:ride"), campaign="ride", partner="didi", version=1),
        OpenAccount,
    ),
    (DataBought(**common("partner:didi"), order_id="o", bytes=MIB, expires_at=9), Buy),
    (
        CampaignFunded(**common("partner:didi"), campaign="ride", funding_id="f", bytes=MIB),
        Fund,
    ),
    (CLAIM, AwardOnTerms),
    (
        PackIssued(**common("partner:didi"), issue_id=ID, order_id="o", partner="didi",
                   subscriber="ann", bytes=MIB, terms=TERMS),
        AwardOnTerms,
    ),
    (ClawbackAsked(**common("ann"), claim_id=ID, transfer_id=ID), ClawBack),
]  # fmt: skip


@pytest.mark.parametrize(("event", "command"), ASKED, ids=lambda each: type(each).__name__)
def test_an_event_of_tasks_asks_for_its_command_in_its_sagas_name(event: Event, command: type):
    item = tasks.item_of(event, "e1", lambda asked: asked)
    assert item is not None
    assert type(item.what) is command
    assert item.what.account == event.account
    assert (item.meta.correlation_id, item.meta.causation_id) == (ID, "e1")
    again = tasks.item_of(event, "e2", lambda asked: asked)
    assert again is not None
    assert (again.key, again.body) == (item.key, item.body)


def test_other_events_of_tasks_ask_for_nothing():
    paid = ClaimPaid(**common("campaign:ride"), claim_id=ID, transfer_id=ID)
    assert tasks.item_of(paid, "e", lambda asked: asked) is None


@pytest.mark.parametrize("event", [CLAIM, ASKED[3][0], ASKED[6][0]], ids=lambda e: type(e).__name__)
def test_what_a_saga_of_tasks_waits_for_is_told_when_it_is_refused(event: Event, bank: MemoryBank):
    item = tasks.item_of(event, "e", lambda asked: asked)
    assert item is not None
    meta = Meta(actor="x", correlation_id=ID)
    error = RefusedError("nothing_left", "nothing is left")
    context = Context(1, CALENDAR, bank.partitions[0].rulebook)
    told = refusal_event(item.what, error, context, meta, item.key.hex())  # type: ignore[arg-type]
    assert isinstance(told, TransferRefused)
    assert (told.code, told.correlation_id) == ("nothing_left", ID)

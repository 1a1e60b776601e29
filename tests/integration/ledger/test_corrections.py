"""Corrections on a real log: each has a key as every command, and undoes a thing once."""

from itertools import pairwise

from services.ledger.domain.commands import (
    Award,
    Buy,
    ClawBack,
    CloseMonth,
    Fund,
    OpenAccount,
    Reverse,
    Transfer,
    Usage,
)
from services.ledger.outcomes import Outcome
from tests.support.ledger import MIB, RealLedger, kept
from tests.support.memory import OPERATOR


def test_a_reversal_repeats_its_first_outcome_and_a_record_is_reversed_once(
    ledger: RealLedger,
) -> None:
    at = ledger.clock.now()
    ledger.do(OpenAccount(key="o", account="ann", plan="std-30mb"))
    ledger.do(*(Usage(usage_id=u, account="ann", bytes=MIB, occurred_at=at) for u in ("u", "v")))
    asked = Reverse(key="r", account="ann", usage_id="u", reason="a broken element")
    (first,) = ledger.do(asked)
    (again,) = ledger.do(asked)
    assert (first.status, first.repeated, again.repeated) == ("done", False, True)
    assert kept(again) == kept(first)
    others = ledger.do(
        Reverse(key="r", account="ann", usage_id="u", reason="something else"),
        Reverse(key="r", account="ann", usage_id="v", reason="a broken element"),
        Reverse(key="r", account="ann", usage_id="none", reason="a broken element"),
        Reverse(key="other", account="ann", usage_id="u", reason="a broken element"),
    )
    assert [each.code for each in others] == ["conflict"] * 3 + ["already_reversed"]
    assert others[3].extra == {"event_id": first.events[0].id}
    assert ledger.ledger.account("ann")[0].spent == MIB
    ledger.verified()


def test_an_award_and_a_gift_are_clawed_back_across_partitions(ledger: RealLedger) -> None:
    people = [f"p{number}" for number in range(8)]
    ledger.do(
        *(OpenAccount(key="o", account=name, plan="std-30mb") for name in people),
        OpenAccount(key="o", account="partner:didi"),
        OpenAccount(key="o", account="campaign:ride", partner="partner:didi"),
        Buy(key="b", account="partner:didi", bytes=100 * MIB),
        Fund(key="f", account="partner:didi", campaign="campaign:ride", bytes=50 * MIB),
    )
    ledger.settle()
    sent = ledger.do(
        *(
            Award(key=name, account="campaign:ride", subscriber=name, bytes=2 * MIB)
            for name in people
        ),
        *(
            Transfer(key="g", account=giver, to=to, bytes=MIB)
            for giver, to in pairwise([*people, people[0]])
        ),
    )
    early = ClawBack(key="c0", account="p0", transfer_id=ids(sent)[0], reason="too early")
    assert ledger.do(early)[0].code == "transfer_not_found"
    ledger.settle()
    at = ledger.clock.now()
    ledger.do(Usage(usage_id="u", account="p0", bytes=31 * MIB, occurred_at=at))
    ledger.at("2015-09-02T00:00:00+08:00")
    ledger.do(*(CloseMonth(key="c", account=name, month="2015-08") for name in people[1:4]))
    receivers = [*people, *people[1:], people[0]]
    asked = [
        ClawBack(key=f"c-{name}", account=account, transfer_id=name, reason="sent by mistake")
        for account, name in zip(receivers, ids(sent), strict=True)
    ]
    rehearsed = ledger.ledger.rehearse(asked, "operator", OPERATOR)
    first = ledger.do(*asked)
    assert rehearsed == first
    ledger.settle()
    assert [kept(each) for each in ledger.do(*asked) if each.status == "done"] == [
        kept(each) for each in first if each.status == "done"
    ]
    # p0 has used one of two MiB, and the gift, which ended first; p1 to p3 lost theirs with August.
    codes = [each.code for each in first]
    assert codes[8:] == ["nothing_left"] * 3 + [None] * 4 + ["nothing_left"]
    assert codes[:8] == [None] * 8
    assert [each.result["shortfall_bytes"] for each in first[:8]] == [MIB] + [0] * 7
    campaign = ledger.ledger.account("campaign:ride")[0]
    assert sum(lot.remaining for lot in campaign.lots.values()) == 50 * MIB - MIB
    everybody = [
        ledger.ledger.account(name)[0] for name in (*people, "partner:didi", "campaign:ride")
    ]
    assert sum(each.transferred - each.received - each.returned for each in everybody) == 0
    ledger.verified()


def ids(outcomes: list[Outcome]) -> list[str]:
    return [each.result["transfer_id"] for each in outcomes]

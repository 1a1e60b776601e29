"""Corrections on a real log: each has a key as every command, and undoes a thing once."""

from services.ledger.domain.commands import OpenAccount, Reverse, Usage
from tests.support.ledger import MIB, RealLedger, kept


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

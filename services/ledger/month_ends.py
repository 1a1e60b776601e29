"""What the close of a month came to over all accounts: the sums, and who refused it."""

from collections.abc import Sequence

import msgspec

from services.ledger.items import Item
from services.ledger.outcomes import Outcome

# So many of the accounts that refused are named, the first ones; of all others only the number is.
NAMED_MAX = 100
# A refusal that goes away by itself, or once the rules or the code have what they lack.
PASSING = ("newer_version", "plan_unknown")


class RefusedClose(msgspec.Struct, frozen=True):
    """An account that could not be closed, and why."""

    account: str
    code: str
    detail: str


class MonthSums(msgspec.Struct):
    """What a close has done so far; accounts that had been closed before are not counted."""

    accounts: int = 0
    carried_accounts: int = 0
    carried_bytes: int = 0
    expired_bytes: int = 0
    refused: int = 0
    refused_by_code: dict[str, int] = {}
    refused_accounts: list[RefusedClose] = []


class MonthEnd(msgspec.Struct):
    """How far a close is: `done` of `of` accounts; `waiting`: logs with accounts to try again."""

    of: int
    done: int = 0
    sums: MonthSums = msgspec.field(default_factory=MonthSums)
    waiting: set[str] = set()

    def add(self, log: str, items: Sequence[Item]) -> None:
        """Count a batch of a log's accounts; every item has its outcome."""
        self.done += len(items)
        for item in items:
            outcome = item.outcome
            assert isinstance(outcome, Outcome)
            if outcome.status != "done":
                self._refuse(log, outcome)
            elif outcome.events:
                self._close(outcome)

    def _close(self, outcome: Outcome) -> None:
        carried = outcome.result.get("carried_bytes", 0)
        self.sums.accounts += 1
        self.sums.carried_accounts += carried > 0
        self.sums.carried_bytes += carried
        self.sums.expired_bytes += outcome.result.get("expired_bytes", 0)

    def _refuse(self, log: str, outcome: Outcome) -> None:
        sums, code = self.sums, str(outcome.code)
        sums.refused += 1
        sums.refused_by_code[code] = sums.refused_by_code.get(code, 0) + 1
        if len(sums.refused_accounts) < NAMED_MAX:
            refused = RefusedClose(outcome.account, code, outcome.detail or "")
            sums.refused_accounts.append(refused)
        if code in PASSING:
            self.waiting.add(log)

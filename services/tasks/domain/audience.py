"""Who a campaign is for, as a list: the operator's own, or whom a rule found.

A rule is asked when its campaign starts, when a campaign that has started gets another rule, and
when an operator says so. Whom it found is a list from then on (`campaign:NAME:VERSION`, by the
first version of the terms with that rule), so that a claim is judged by who was meant, not by who
would be now. While a rule is asked again the list of before counts.
"""

import msgspec

from services.tasks.domain.terms import CampaignTerms
from shared.contracts.tasks import AudienceRefused, AudienceTaken


class Taken(msgspec.Struct, frozen=True, gc=False):
    """Whom a rule found: so many, in a version of a list, at an instant of bank time."""

    list: str
    version: int
    members: int
    at: int


class AudienceState:
    """How far a campaign's rule is: how often it was asked and answered, and the last answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.taken: Taken | None = None
        # Why the last answer was none.
        self.code = ""

    @property
    def is_asked(self) -> bool:
        """Say whether an answer is due."""
        return self.answered < self.asked

    def ask(self) -> None:
        """Want an answer."""
        self.asked += 1

    def hear(self, data: AudienceTaken | AudienceRefused) -> None:
        """Take an answer in."""
        self.answered = data.taking
        if isinstance(data, AudienceRefused):
            self.code = data.code
            return
        self.code = ""
        self.taken = Taken(data.list_name, data.list_version, data.members, data.recorded_at)

    def is_taken(self, name: str) -> bool:
        """Say whether a list is whom the rule found."""
        return self.taken is not None and self.taken.list == name


def list_for(
    campaign: str, version: int, terms: CampaignTerms, before: CampaignTerms | None,
    list_before: str | None,
) -> str | None:  # fmt: skip
    """Return the list that a version of the terms is for, None: everybody."""
    if terms.audience.rule is None:
        return terms.audience.list
    if before is not None and before.audience == terms.audience:
        return list_before
    return f"campaign:{campaign}:{version}"

"""What is checked of a lot's terms where somebody puts them; those in a log are read as they are.

Bytes that nobody could ever use are a mistake of whoever writes them down. So is a lot that ends
within a month and carries: it would end, lie for weeks, and be alive again after the close.
"""

import re

from shared.contracts.offers import ANY_TRAFFIC, Hours

# A rating group as a usage record may have one.
GROUP = re.compile(r"[^\x00-\x1f\x7f]{1,64}")


def use_mistake(scope: str | list[str], hours: Hours | None) -> str | None:
    """Return why bytes of this scope and these hours could never be used, None if they could."""
    if not isinstance(scope, str):
        if not scope:
            return f"`scope` names no rating group: leave it out for `{ANY_TRAFFIC}` traffic"
        if ANY_TRAFFIC in scope:
            return f"`scope` is `{ANY_TRAFFIC}` or a list of rating groups, not both"
        if not all(GROUP.fullmatch(group) for group in scope):
            return "`scope` has a name that no rating group has: 1 to 64 characters in one line"
    return None if hours is None else hours_mistake(hours)


def hours_mistake(hours: Hours) -> str | None:
    """Return why no minute of a day lies in the band, None if one does."""
    if hours.is_empty:
        return "`hours` hold no minute of a day: leave them out for the whole day"
    return None


def carry_mistake(*, carries: bool, ends_with_month: bool) -> str | None:
    """Return why a lot may not carry, None if it may or does not."""
    if carries and not ends_with_month:
        return (
            "only what ends with a month can be carried over by its close: `carries` needs a"
            " `valid` of `months`, so that neither a validity in days nor a reward has it"
        )
    return None

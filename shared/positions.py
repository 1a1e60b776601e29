"""Position tokens: how far each log was when something was done or read.

A token is text such as `1/ledger_00:120,ledger_02:77`: the bank's epoch, then log and sequence.
"""

import re

from shared.errors import InvalidError

TOKEN_PATTERN = re.compile(
    r"([0-9]{1,9})/([a-z]+_[0-9]+:[0-9]{1,19}(?:,[a-z]+_[0-9]+:[0-9]{1,19})*)?"
)

Positions = dict[str, int]


def format_token(epoch: int, positions: Positions) -> str:
    """Write a token."""
    return f"{epoch}/" + ",".join(f"{log}:{at}" for log, at in sorted(positions.items()))


def parse_token(token: str, epoch: int) -> Positions:
    """Read a token; one of an earlier epoch asks for nothing. Raises InvalidError.

    What was done in an earlier epoch is in the restored logs or lost: waiting would not bring it.
    One of a later epoch is another bank's, or of a backup that this is not: there is none yet.
    """
    match = TOKEN_PATTERN.fullmatch(token)
    if match is None:
        raise InvalidError(
            "at_least must be a position token such as 1/ledger_00:120", at_least=token
        )
    if int(match.group(1)) > epoch:
        raise InvalidError(
            f"at_least is of epoch {match.group(1)}, this bank lives in epoch {epoch}",
            at_least=token,
        )
    if int(match.group(1)) < epoch or not match.group(2):
        return {}
    pairs = (part.split(":") for part in match.group(2).split(","))
    return {log: int(at) for log, at in pairs}


def merge(*all_positions: Positions) -> Positions:
    """Return the later of each log's positions."""
    merged: Positions = {}
    for positions in all_positions:
        for log, at in positions.items():
            merged[log] = max(at, merged.get(log, 0))
    return merged

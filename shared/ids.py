"""Names of accounts, partitions and logs, and the one function that knows who lives where."""

import hashlib
import re
from functools import lru_cache

KINDS_WITH_PREFIX = ("partner", "campaign", "operator", "quota")
SUBSCRIBER_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
PREFIXED_PATTERN = re.compile(
    r"(partner|campaign|operator):[A-Za-z0-9._-]{1,64}|(quota):[A-Za-z0-9._-]{1,64}:[0-9]{2}"
)
QUOTA = "quota:"


def account_kind(account: str) -> str | None:
    """Return the kind that an account's id tells: subscriber, partner, campaign, operator.

    None if the text is no account id. A subscriber's id is bare, the others have their kind
    in front: `partner:didi`, `campaign:didi-august`.
    """
    if SUBSCRIBER_PATTERN.fullmatch(account):
        return "subscriber"
    match = PREFIXED_PATTERN.fullmatch(account)
    return match.group(1) or match.group(2) if match else None


@lru_cache(maxsize=262_144)
def stream_id(name: str) -> bytes:
    """Return the id (16 bytes, a uuid in the log) of the event stream of an account or transfer."""
    return digest(name)


def digest(*parts: str) -> bytes:
    """Return 16 bytes that stand for the parts; no other parts give the same."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()


@lru_cache(maxsize=262_144)
def partition_of(account: str, partitions: int) -> int:
    """Return the ledger partition where an account lives; a quota's is the end of its id."""
    if account.startswith(QUOTA):
        return int(account[-2:])
    return int.from_bytes(hashlib.blake2b(account.encode(), digest_size=8).digest()) % partitions


# Gifting's only log, and the name of its schema.
GIFTING_LOG = "gifting_00"
# Tasks' only log, and the name of its schema.
TASKS_LOG = "tasks_00"


def quota_of(campaign: str, partition: int) -> str:
    """Return the account of a campaign's share in a ledger partition."""
    return f"{QUOTA}{campaign.partition(':')[2]}:{partition:02d}"


def campaign_of(quota: str) -> str:
    """Return the campaign of a quota."""
    return f"campaign:{quota[len(QUOTA) : -3]}"


def log_name(partition: int) -> str:
    """Return the name of a ledger partition's log and schema."""
    return f"ledger_{partition:02d}"

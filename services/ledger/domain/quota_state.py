"""What an account knows of sponsored traffic: a quota of its campaign, a campaign of its quotas."""

import msgspec

# The end of 9999: exhausted with no end in sight.
FOREVER = 253_402_300_799_999


class QuotaState(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A campaign's share in one partition.

    `asked` bytes are requested and not refilled yet (None: nothing is); `requests` and `refills`
    count what was ever requested and has come; `last_refill` in bytes; `day` is the bank day for
    which its bytes are, where the campaign has a daily cap. Records that were put off needed
    `needed` bytes when a refill came and `spent_before` was spent; until `kept_until` they are
    waited for. `recall`: the round that is answered after that.
    """

    partner: str
    campaign: str
    asked: int | None = None
    requests: int = 0
    refills: int = 0
    last_refill: int = 0
    exhausted_until: int = 0
    day: str | None = None
    needed: int = 0
    spent_before: int = 0
    kept_until: int = 0
    recall: int | None = None

    @property
    def due_at(self) -> int | None:
        """Return by when a recall is answered that was deferred, None without one."""
        return None if self.recall is None else self.kept_until


class Waiting(msgspec.Struct, array_like=True):
    """A quota's request that the campaign has not answered."""

    quota: str
    request_id: str
    bytes: int


class EscrowState(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a campaign has sent to its quotas, and who waits for what.

    `out`: bytes sent to each quota less what it gave back (it may have spent them); `refills`: how
    often it was sent some; `shares`: what each got last, unless it has given back what was left of
    that; `round` is the last recall, `awaited` the quotas that have not answered it; `sent_day` and
    `sent_bytes` what was sent out, net, for a bank day.
    """

    out: dict[str, int] = {}
    refills: dict[str, int] = {}
    shares: dict[str, int] = {}
    waiting: list[Waiting] = []
    round: int = 0
    awaited: list[str] = []
    # How often quotas were recalled since somebody has been waiting, and which have nothing since.
    recalls: int = 0
    asked_back: list[str] = []
    exhausted_until: int = 0
    # Which quotas know that the campaign is exhausted.
    told: list[str] = []
    ending: bool = False
    refunds: int = 0
    sent_day: str | None = None
    sent_bytes: int = 0

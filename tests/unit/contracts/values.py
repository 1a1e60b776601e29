"""What the golden files say, as values: per event one with every field and one with the least.

A golden file never changes. A new field gets another entry here and in the file.
"""

from typing import Any

from msgspec.structs import replace

from shared.contracts.gifting import GiftRequested, GiftSent
from shared.contracts.ledger import (
    FEES_ACCOUNT,
    RULES_STREAM,
    AccountClosed,
    AccountOpened,
    AccountResumed,
    AccountSuspended,
    ArrivalRefused,
    CampaignExhausted,
    DataAdjusted,
    DataCarriedOver,
    DataClawedBack,
    DataEarned,
    DataExpired,
    DataHeld,
    DataReceived,
    DataSpent,
    DataTransferred,
    Event,
    HoldRefused,
    HoldReleased,
    Leg,
    LotTerms,
    MonthClosed,
    PlanChanged,
    QuotasRecalled,
    RefillRequested,
    RulesPublished,
    Slice,
    Source,
    Sponsored,
    ThresholdCrossed,
    Thresholds,
    ThresholdsSet,
    TransferRefused,
    TransferReturned,
    UsageLine,
    UsageReversed,
)
from shared.contracts.offers import Hours, RewardTerms
from shared.contracts.tasks import PackIssued
from tests.unit.contracts import gifting_values, sponsoring_values, tasks_values

AUG, SEP, OCT = 1438358400000, 1441036800000, 1443628800000
LEAST: dict[str, Any] = {"account": "ann", "recorded_at": 1440200000000, "actor": "operator"}
ALL: dict[str, Any] = {
    "account": "a50e2f674b137b04",
    "recorded_at": 1440200000001,
    "actor": "gateway",
    "correlation_id": "6a502d46ca784186bbea041b18fc96b8",
    "causation_id": "/k2b1xq7d/1/ledger_00/124",
    "reason": 'outage of 3 August: "半天"',
    "rule_version": 3,
}
TRANSFER = "7b3bdb70e14bfef4215cbce0e41628ee"
CLAWBACK = "9d0e4c6b2a1f48d7b3c5e6f708192a3b"
HOLD = "1c5f0c2d8a3b4e6f9d7a2b1c3d4e5f60"
SOURCE = Source("award", TRANSFER, partner="partner:didi", campaign="campaign:august")
LOT = LotTerms(
    lot_id=f"award:{TRANSFER}:0", kind="award", granted=2**53 - 1, valid_from=AUG, expires_at=SEP,
    scope=["video", "music"], giftable=True, carries=True, source=SOURCE,
    parent_lot="plan:2015-08",
)  # fmt: skip
SMALL_LOT = LotTerms(lot_id="pack:1", kind="pack", granted=1, valid_from=AUG, expires_at=SEP,
                     source=Source("purchase"))  # fmt: skip
LEG = Leg(
    lot_id="plan:2015-08", bytes=5242880, kind="plan", valid_from=AUG, expires_at=SEP,
    scope=["video"], giftable=True, carries=True, source=SOURCE,
)  # fmt: skip
SMALL_LEG = Leg(lot_id="pack:1", bytes=1, kind="pack", valid_from=AUG, expires_at=SEP,
                source=Source("purchase"))  # fmt: skip
SLICES = [Slice("plan:2015-08", 5242880), Slice("carry:2015-07:any", 1)]
LINE = UsageLine(usage_id="b4dc7de54028aa30", bytes=5242890, occurred_at=AUG + 1, slices=SLICES,
                 unfunded_bytes=9, rating_group="video", late=True)  # fmt: skip
SMALL_LINE = UsageLine(usage_id="u", bytes=0, occurred_at=AUG)
SPONSOR: dict[str, Any] = {"partner": "partner:didi", "campaign": "campaign:august"}
MONTH: dict[str, Any] = {"month": "2015-08", "month_ends_at": SEP}
RULES = {"plans": {"std-30mb": {"bytes_per_month": 31457280, "carry_over": {"mode": "none"}}}}

FULL: list[Event] = [
    AccountOpened(**ALL, kind="campaign", plan="std-30mb", active_from="2015-08",
                  partner="partner:didi"),
    PlanChanged(**ALL, plan="std-1gb", from_month="2015-09"),
    AccountSuspended(**ALL),
    AccountResumed(**ALL),
    AccountClosed(**ALL),
    DataEarned(**ALL, lots=[LOT, SMALL_LOT], months=["2015-07", "2015-08"]),
    DataSpent(**ALL, lines=[LINE, SMALL_LINE]),
    UsageReversed(**ALL, usage_id="u", legs=[LEG, SMALL_LEG], unfunded_bytes=9),
    DataAdjusted(**ALL, lots=[LOT], slices=SLICES),
    DataHeld(**ALL, hold_id=HOLD, purpose="red_packet", deadline=SEP, slices=SLICES),
    HoldRefused(**ALL, hold_id=HOLD, code="insufficient_data", detail="0 bytes can be given"),
    HoldReleased(**ALL, hold_id=HOLD, cause="timed_out", slices=SLICES),
    DataTransferred(**ALL, transfer_id=TRANSFER, to="bob", purpose="award", legs=[LEG, SMALL_LEG],
                    **SPONSOR, hold_id=HOLD),
    DataReceived(**ALL, transfer_id=TRANSFER, sender="bob", purpose="award", lots=[LOT, SMALL_LOT],
                 **SPONSOR),
    TransferRefused(**ALL, transfer_id=TRANSFER, to="bob", code="hold_not_found", detail="no hold",
                    hold_id=HOLD),
    ArrivalRefused(**ALL, transfer_id=TRANSFER, to="bob", code="account_not_found"),
    TransferReturned(**ALL, transfer_id=TRANSFER, to="bob", purpose="award", code="account_closed",
                     legs=[LEG, SMALL_LEG], **SPONSOR),
    DataClawedBack(**ALL, transfer_id=CLAWBACK, undoes=TRANSFER, sender="bob", purpose="award",
                   legs=[LEG, SMALL_LEG], shortfall_bytes=17, **SPONSOR),
    DataCarriedOver(**ALL, **MONTH, slices=SLICES, lot=LOT),
    DataExpired(**ALL, **MONTH, slices=SLICES),
    MonthClosed(**ALL, **MONTH),
    ThresholdsSet(**ALL, thresholds=Thresholds(plan_used_percent=[50, 90], low_balance_bytes=1,
                                               expiring_days=[7, 3])),
    ThresholdCrossed(**ALL, threshold="expiring", value=7, available_bytes=5242881,
                     level_bytes=6291456, lot_id="plan:2015-08", slices=SLICES, expires_at=SEP),
    RulesPublished(**ALL | {"account": RULES_STREAM}, version=2, effective_from=SEP, rules=RULES),
]  # fmt: skip
MINIMAL: list[Event] = [
    AccountOpened(**LEAST, kind="partner"),
    PlanChanged(**LEAST, plan="std-1gb", from_month="2015-09"),
    AccountSuspended(**LEAST),
    AccountResumed(**LEAST),
    AccountClosed(**LEAST),
    DataEarned(**LEAST, lots=[SMALL_LOT]),
    DataSpent(**LEAST, lines=[SMALL_LINE]),
    UsageReversed(**LEAST, usage_id="u"),
    DataAdjusted(**LEAST),
    DataHeld(**LEAST, hold_id=HOLD, purpose="gift", deadline=SEP, slices=[Slice("pack:1", 1)]),
    HoldRefused(**LEAST, hold_id=HOLD, code="account_closed"),
    HoldReleased(**LEAST, hold_id=HOLD, cause="released", slices=[Slice("pack:1", 1)]),
    DataTransferred(**LEAST, transfer_id=TRANSFER, to="bob", purpose="gift", legs=[SMALL_LEG]),
    DataReceived(**LEAST, transfer_id=TRANSFER, sender="bob", purpose="gift", lots=[SMALL_LOT]),
    TransferRefused(**LEAST, transfer_id=TRANSFER, to="bob", code="insufficient_data"),
    ArrivalRefused(**LEAST, transfer_id=TRANSFER, to="bob", code="account_closed"),
    TransferReturned(**LEAST, transfer_id=TRANSFER, to="bob", purpose="gift",
                     code="account_closed", legs=[SMALL_LEG]),
    DataClawedBack(**LEAST, transfer_id=CLAWBACK, undoes=TRANSFER, sender="bob", purpose="gift",
                   legs=[SMALL_LEG]),
    DataCarriedOver(**LEAST, **MONTH, slices=[Slice("pack:1", 1)], lot=SMALL_LOT),
    DataExpired(**LEAST, slices=[Slice("pack:1", 1)]),
    MonthClosed(**LEAST, **MONTH),
    ThresholdsSet(**LEAST),
    ThresholdCrossed(**LEAST, threshold="low_balance", value=1, available_bytes=0),
    RulesPublished(**LEAST | {"account": RULES_STREAM}, version=2, effective_from=OCT, rules={}),
]  # fmt: skip

FEE_LEG = replace(SMALL_LEG, to=FEES_ACCOUNT)
# Fields that came later; by the entry's name.
TERMS = RewardTerms(kind="reward", valid_from=AUG, expires_at=SEP, scope=["video"],
                    hours=Hours(1380, 420), giftable=True, carries=True)  # fmt: skip
TIMED_LOT = replace(SMALL_LOT, hours=Hours(1380, 420))
SPONSORED = Sponsored(campaign="campaign:rides", quota="quota:rides:00", bytes=17,
                      offer_version=2, slices=[Slice("refill:1:0", 17)],
                      counted=["2015-08"])  # fmt: skip
LATER: list[tuple[str, Event]] = [
    ("confirmed", GiftRequested(**LEAST, **gifting_values.GIVEN, confirmed_for=["new_receiver"])),
    ("late", GiftSent(**LEAST, gift_id="5d0a1f3c", transfer_id=TRANSFER, legs=[SMALL_LEG],
                      late=True)),
    ("with_fee", DataTransferred(**LEAST, transfer_id=TRANSFER, to="bob", purpose="gift",
                                 legs=[SMALL_LEG, FEE_LEG])),
    ("with_fee", DataReceived(**LEAST, transfer_id=TRANSFER, sender="ann", purpose="gift",
                              lots=[SMALL_LOT], fee_legs=[FEE_LEG])),
    ("clawback", DataTransferred(**LEAST, transfer_id=CLAWBACK, to="campaign:august",
                                 purpose="clawback", legs=[SMALL_LEG], **SPONSOR, undoes=TRANSFER,
                                 shortfall_bytes=17)),
    ("of_a_claim", DataClawedBack(**LEAST, transfer_id=CLAWBACK, undoes=TRANSFER, sender="bob",
                                  purpose="award", legs=[SMALL_LEG], **SPONSOR,
                                  undone_correlation_id=ALL["correlation_id"])),
    ("tried_again", PackIssued(**LEAST, **tasks_values.ISSUED, terms=tasks_values.SHORT,
                               campaign="didi-rides", grant="monthly", cycle="2015-08",
                               attempt=2)),
    ("of_funds", ThresholdCrossed(**LEAST | {"account": "partner:didi"}, threshold="funds_left",
                                  value=20, available_bytes=19922944, level_bytes=20971519)),
    ("on_terms", DataTransferred(**LEAST, transfer_id=TRANSFER, to="bob", purpose="award",
                                 legs=[SMALL_LEG], **SPONSOR, terms=TERMS)),
    ("on_terms", DataReceived(**LEAST, transfer_id=TRANSFER, sender="ann", purpose="award",
                              lots=[TIMED_LOT], **SPONSOR)),
    ("sponsored", DataSpent(**LEAST, lines=[replace(SMALL_LINE, sponsored=SPONSORED)])),
    ("of_a_quota", DataSpent(**LEAST | {"account": "quota:rides:00"}, **SPONSOR,
                             lines=[replace(SMALL_LINE, subscriber="ann")])),
    ("sponsored", UsageReversed(**LEAST, usage_id="u", sponsored=SPONSORED)),
    ("of_a_quota", UsageReversed(**LEAST | {"account": "quota:rides:00"}, usage_id="u", **SPONSOR,
                                 legs=[SMALL_LEG], subscriber="ann", rating_group="didi")),
    ("refill", DataTransferred(**LEAST, transfer_id=TRANSFER, to="quota:rides:00",
                               purpose="refill", legs=[SMALL_LEG], **SPONSOR, day="2015-08-03")),
    ("give_back", DataTransferred(**LEAST, transfer_id=TRANSFER, to="campaign:rides", recall=3,
                                  purpose="give_back", day="2015-08-03", **SPONSOR,
                                  legs=[replace(SMALL_LEG, parent_lot="pack:1")])),
    ("give_back", DataReceived(**LEAST, transfer_id=TRANSFER, sender="quota:rides:00", recall=3,
                               purpose="give_back", lots=[SMALL_LOT], day="2015-08-03",
                               **SPONSOR)),
    ("day", CampaignExhausted(**LEAST, quotas=["quota:rides:00"], until=SEP)),
    ("last", CampaignExhausted(**LEAST, quotas=["quota:rides:00"], last=True)),
    ("final", QuotasRecalled(**LEAST, round=2, quotas=["quota:rides:00"], final=True)),
    ("later", RefillRequested(**LEAST, campaign="campaign:rides", request_id="quota:rides:00:2",
                              bytes=0, refills=1)),
]  # fmt: skip

# By type, then by the entry's name in the golden file.
VALUES: dict[str, dict[str, Event]] = {
    full.TYPE: {"full": full, "minimal": minimal}
    for full, minimal in zip(
        [*FULL, *sponsoring_values.values(ALL), *gifting_values.FULL, *tasks_values.FULL],
        [
            *MINIMAL,
            *sponsoring_values.values(LEAST),
            *gifting_values.MINIMAL,
            *tasks_values.MINIMAL,
        ],
        strict=True,
    )
}
for _name, _event in LATER:
    VALUES[_event.TYPE][_name] = _event

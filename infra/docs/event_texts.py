"""What the page of events says beyond the contract's code: meanings, readers, examples."""

from typing import Any

import msgspec

from shared.contracts.ledger import (
    RULES_STREAM,
    AccountClosed,
    AccountOpened,
    AccountResumed,
    AccountSuspended,
    ArrivalRefused,
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
    RulesPublished,
    Slice,
    Source,
    ThresholdCrossed,
    Thresholds,
    ThresholdsSet,
    TransferRefused,
    TransferReturned,
    UsageLine,
    UsageReversed,
)

# Meanings by field name; one that differs in one place has the struct's name in front.
MEANINGS: dict[str, str] = {
    "account": "whose event it is",
    "recorded_at": "bank time at which it was decided, ms",
    "actor": "who asked: `operator`, `gateway`, `ledger` (the bank's own jobs and arrivals)",
    "correlation_id": "id of the request (`X-Request-Id`) that began it",
    "causation_id": "id of the event that caused it",
    "reason": "the caller's words",
    "rule_version": "version of the rules that decided",
    "AccountOpened.kind": "`subscriber`, `partner`, `campaign` or `operator`",
    "plan": "a subscriber's plan",
    "from_month": "first month of the new plan",
    "UsageReversed.legs": "what went back into which lot, with the lot's terms",
    "UsageReversed.unfunded_bytes": "bytes that no lot had covered",
    "DataAdjusted.lots": "the lots that were given",
    "DataAdjusted.slices": "what was taken from which lots",
    "hold_id": "32 hex digits, the same in all events of a hold",
    "DataHeld.purpose": "`gift` or `red_packet`",
    "deadline": "when it times out, ms",
    "DataHeld.slices": "what is pinned in which lots",
    "HoldReleased.slices": "what is free again in which lots",
    "cause": "`released` or `timed_out`",
    "HoldRefused.code": "why nothing was held",
    "TransferRefused.code": "why nothing left",
    "TransferRefused.hold_id": "the hold that was to be posted",
    "DataReceived.fee_legs": "what goes on to the operator, with the lots' terms",
    "Leg.to": "where this leg goes, if not to the transfer's receiver: a fee, to `operator:fees`",
    "detail": "the same for people",
    "undoes": "the transfer that a clawback undoes",
    "shortfall_bytes": "what was not left of it: used, expired or held",
    "DataTransferred.hold_id": "the hold that it was posted from",
    "thresholds": "its own thresholds; null for the rules' ones",
    "plan_used_percent": "percent of the month's plan lot that are used",
    "low_balance_bytes": "bytes that can be used now, or fewer",
    "expiring_days": "days before bytes expire that will not be carried over",
    "threshold": "`plan_used`, `low_balance`, `expiring` or `funds_left`",
    "value": "which one: percent, bytes or days",
    "available_bytes": "what can be used now",
    "level_bytes": "it was crossed at this or less; it is armed again above",
    "ThresholdCrossed.lot_id": "the month's plan lot, for `plan_used`",
    "ThresholdCrossed.slices": "what expires, for `expiring`",
    "ThresholdCrossed.expires_at": "by when all of it has, ms",
    "version": "the version's number; 1 is built in",
    "effective_from": "from when it is in force, ms",
    "rules": "the version, as in a rules file",
    "active_from": "first month with a plan lot",
    "AccountOpened.partner": "whose campaign it is",
    "partner": "who pays, where a partner does",
    "campaign": "out of which campaign",
    "DataEarned.lots": "the lots that were created",
    "DataReceived.lots": "the lots that arrived, one for each leg that is no fee; a month's fees "
    "are one lot, which grows",
    "months": "months whose plan lots these are; empty for a pack",
    "lines": "the usage records, at most 200",
    "usage_id": "the record's id, unique per subscriber",
    "UsageLine.bytes": "bytes used = Σ slices + `unfunded_bytes`",
    "Slice.bytes": "bytes taken from it",
    "Leg.bytes": "bytes that left it",
    "occurred_at": "when the usage began, ms",
    "UsageLine.slices": "which lots paid",
    "DataCarriedOver.slices": "from which lots the bytes were moved",
    "DataExpired.slices": "from which lots bytes are gone",
    "unfunded_bytes": "bytes that no lot covered",
    "rating_group": "kind of traffic, for directed lots",
    "late": "the record's month was over when it came",
    "transfer_id": "32 hex digits, the same in all events of a transfer",
    "to": "receiver",
    "sender": "giver",
    "DataClawedBack.sender": "from whom it was clawed back",
    "undone_correlation_id": "the correlation id of the transfer that is undone: of an award by "
    "tasks, the claim's or issue's id",
    "DataClawedBack.legs": "what went back into which lot, with the lot's terms",
    "purpose": "`gift`, `red_packet`, `funding` (of a campaign) or `award`",
    "DataTransferred.purpose": "`gift`, `red_packet`, `funding` (of a campaign), `award` or "
    "`clawback`",
    "DataReceived.purpose": "`gift`, `red_packet`, `funding` (of a campaign), `award` or `fee`",
    "legs": "what left which lot, with the lot's terms",
    "code": "why it could not arrive: `account_not_found`, `account_kind`, "
    "`campaign_of_other_partner`",
    "month": "the month that was closed",
    "DataExpired.month": "the month whose close took it; absent where a transfer arrived too late",
    "month_ends_at": "the month's end, ms",
    "lot": "the carry lot; its `granted` is what this event moved",
    "lot_id": "unique within the account",
    "LotTerms.kind": "`plan`, `pack`, `carry`, `voucher`, `gift`, `red_packet`, `award`, "
    "`adjustment` or `fee`",
    "Leg.kind": "the lot's kind",
    "granted": "bytes it begins with",
    "valid_from": "first instant of use, ms",
    "expires_at": "end of use, ms; not included",
    "scope": "`any`, or rating groups",
    "giftable": "whether it may be given away",
    "carries": "whether the close carries it over",
    "source": "where it came from",
    "parent_lot": "lot of the giver that it was part of",
    "hours": "time band of each bank day in which it can be used; null for all day",
    "begins": "first minute of the band, from midnight",
    "ends": "first minute after the band; before `begins` it passes midnight",
    "RewardTerms.kind": "`award`, `reward` or `pack`",
    "terms": "terms on which it arrives; null for those of the lots that it is taken from",
    "Source.type": "`plan`, `purchase`, `carry_over`, `gift`, `funding` or `award`",
    "Source.id": "plan, purchase, month or transfer",
}

# Who writes an event and what its readers do with it.
WRITTEN_BY: dict[type[Event], str] = {
    AccountOpened: "`open_account`",
    PlanChanged: "`change_plan`",
    AccountSuspended: "`suspend`",
    AccountResumed: "`resume`",
    AccountClosed: "`close_account`",
    UsageReversed: "`reverse`",
    DataAdjusted: "`adjust`",
    DataHeld: "`hold`",
    HoldRefused: "the giver's partition, in answer to gifting; on the hold's own stream",
    HoldReleased: "`release`, `close_account`, and the job that times holds out",
    DataEarned: "`open_account`, `buy`, and the first touch of an account in a new month",
    DataSpent: "`POST /v1/usage`; the records of one account in a batch share an event",
    DataTransferred: "`transfer`, `fund`, `award`, `post`, `claw_back`; also in answer to gifting",
    TransferRefused: "the giver's partition, in answer to gifting; it lies on the transfer's own "
    "stream",
    DataReceived: "the receiver's partition, in answer to a `data_transferred`; the operator's, in "
    "answer to a `data_received` with a fee",
    ArrivalRefused: "the receiver's partition, in answer to a `data_transferred`; it lies on the "
    "transfer's own stream in that partition's log",
    TransferReturned: "the giver's partition, in answer to an `arrival_refused`",
    DataClawedBack: "the giver's partition, in answer to a `data_transferred` that undoes one",
    DataCarriedOver: "`close_month`, and a return to a lot whose month is closed",
    DataExpired: "`close_month`, a return to a closed lot, a transfer that arrives too late",
    MonthClosed: "`close_month`, where nothing was left",
    ThresholdsSet: "`set_thresholds`",
    ThresholdCrossed: "whatever crossed it, in the same transaction; `expiring`: a job, too",
    RulesPublished: "`databank rules put`; on the stream `rules:book`, in every partition's log",
}
READ_BY: dict[type[Event], str] = {
    AccountOpened: "views: the account appears, with its plan; `partner_spend` knows the partner",
    PlanChanged: "views: the account's next plan",
    AccountSuspended: "views: the account's status",
    AccountResumed: "views: the account's status",
    AccountClosed: "views: the account's status",
    UsageReversed: "views: lots grow again; *spent* -= Σ legs, *unfunded* -= `unfunded_bytes`; on "
    "a quota a row's bytes in `partner_spend` -= Σ legs",
    DataAdjusted: "views: lots appear and shrink; *adjusted* += Σ slices, -= Σ granted",
    DataHeld: "views: *held* += Σ slices",
    HoldRefused: "gifting: the gift is refused. Views: nothing changes",
    HoldReleased: "views: *held* -= Σ slices",
    DataEarned: "views: each lot appears; *earned* += Σ granted",
    DataSpent: "views: lots shrink; *spent* += Σ slices, *unfunded* += Σ unfunded, "
    "*sponsored* += Σ sponsored; on a quota each line is a record in `partner_spend`",
    DataTransferred: "the receiver's partition: arrival or refusal. Views: lots shrink; "
    "*transferred* and *in transit* += Σ legs",
    TransferRefused: "gifting: the gift is refused. Views: nothing changes",
    DataReceived: "gifting, and the operator's partition where there is a fee. Views: each lot "
    "appears, or grows; *received* += Σ granted, *in transit* -= the same; with purpose `award` or "
    "`pack` it is a row's bytes in `partner_spend`",
    ArrivalRefused: "the giver's partition: return. Views: nothing changes",
    TransferReturned: "views: lots grow again; *returned* += Σ legs, *in transit* -= the same",
    DataClawedBack: "views: lots grow again; *received* += Σ legs, *in transit* -= the same; with "
    "purpose `award` or `pack` a row's bytes in `partner_spend` -= Σ legs",
    DataCarriedOver: "views: lots shrink, the carry lot appears or grows; no sum changes",
    DataExpired: "views: lots shrink; *expired* += Σ slices",
    MonthClosed: "views: nothing changes",
    ThresholdsSet: "views: nothing changes",
    ThresholdCrossed: "who sends messages to subscribers. Views: of `funds_left`, "
    "an alarm of `campaigns`",
    RulesPublished: "auditors, and `verify`; views: nothing changes",
}

_AUG, _SEP, _OCT = 1438358400000, 1441036800000, 1443628800000
_HOLD = "1c5f0c2d8a3b4e6f9d7a2b1c3d4e5f60"
_CLAWBACK = "9d0e4c6b2a1f48d7b3c5e6f708192a3b"
_TRANSFER = "7b3bdb70e14bfef4215cbce0e41628ee"
_PLAN = LotTerms(
    lot_id="plan:2015-08", kind="plan", granted=31457280, valid_from=_AUG, expires_at=_SEP,
    giftable=True, carries=True, source=Source(type="plan", id="std-30mb"),
)  # fmt: skip
_LEG = Leg(
    lot_id="plan:2015-08", bytes=5242880, kind="plan", valid_from=_AUG, expires_at=_SEP,
    giftable=True, carries=True, source=Source(type="plan", id="std-30mb"),
)  # fmt: skip
_GIFT = LotTerms(
    lot_id=f"gift:{_TRANSFER}:0", kind="gift", granted=5242880, valid_from=_AUG, expires_at=_SEP,
    source=Source(type="gift", id=_TRANSFER), parent_lot="plan:2015-08",
)  # fmt: skip
_CARRY = LotTerms(
    lot_id="carry:2015-08:any", kind="carry", granted=26000000, valid_from=_SEP, expires_at=_OCT,
    giftable=True, source=Source(type="carry_over", id="2015-08"),
)  # fmt: skip
_LINE = UsageLine(
    usage_id="b4dc7de54028aa30964cdf37a023ac6d", bytes=214400, occurred_at=1440100000000,
    slices=[Slice("plan:2015-08", 214400)],
)  # fmt: skip


def _by_operator(account: str, recorded_at: int = 1440200000000) -> dict[str, Any]:
    return {
        "account": account, "recorded_at": recorded_at, "actor": "operator",
        "correlation_id": "6a502d46ca784186bbea041b18fc96b8", "rule_version": 1,
    }  # fmt: skip


def _by_ledger(account: str, cause: int) -> dict[str, Any]:
    causation = {"causation_id": f"/k2b1xq7d/1/ledger_00/{cause}"}
    return _by_operator(account) | {"actor": "ledger"} | causation


_GIVER, _RECEIVER = "a50e2f674b137b04", "b61f30785c248c15"
EXAMPLES: list[Event] = [
    AccountOpened(**_by_operator(_GIVER), kind="subscriber", plan="std-30mb",
                  active_from="2015-08"),
    PlanChanged(**_by_operator(_GIVER), plan="std-1gb", from_month="2015-09"),
    AccountSuspended(**_by_operator(_GIVER), reason="lost phone"),
    AccountResumed(**_by_operator(_GIVER)),
    AccountClosed(**_by_operator(_GIVER), reason="left"),
    DataEarned(account=_GIVER, recorded_at=1440200000000, actor="ledger", rule_version=1,
               lots=[_PLAN], months=["2015-08"]),
    DataSpent(**_by_operator(_GIVER), lines=[_LINE]),
    UsageReversed(**_by_operator(_GIVER), reason="counted by a broken element",
                  usage_id="b4dc7de54028aa30964cdf37a023ac6d",
                  legs=[msgspec.structs.replace(_LEG, bytes=214400)]),
    DataAdjusted(**_by_operator(_GIVER), reason="outage of 3 August",
                 slices=[Slice("plan:2015-08", 1048576)]),
    DataHeld(**_by_operator(_GIVER), hold_id=_HOLD, purpose="gift", deadline=1440300000000,
             slices=[Slice("plan:2015-08", 5242880)]),
    HoldRefused(**_by_operator(_GIVER), hold_id=_HOLD, code="insufficient_data"),
    HoldReleased(**_by_ledger(_GIVER, 131), hold_id=_HOLD, cause="timed_out",
                 slices=[Slice("plan:2015-08", 5242880)]),
    DataTransferred(**_by_operator(_GIVER), transfer_id=_TRANSFER, to=_RECEIVER, purpose="gift",
                    legs=[_LEG]),
    TransferRefused(**_by_ledger(_GIVER, 124), transfer_id=_TRANSFER, to=_RECEIVER,
                    code="insufficient_data", detail="0 bytes can be given"),
    DataReceived(**_by_ledger(_RECEIVER, 124), transfer_id=_TRANSFER, sender=_GIVER,
                 purpose="gift", lots=[_GIFT]),
    ArrivalRefused(**_by_ledger(_GIVER, 124), transfer_id=_TRANSFER, to=_RECEIVER,
                   code="account_not_found"),
    TransferReturned(**_by_ledger(_GIVER, 77), transfer_id=_TRANSFER, to=_RECEIVER,
                     purpose="gift", code="account_not_found", legs=[_LEG]),
    DataClawedBack(**_by_ledger(_GIVER, 140), reason="sent by mistake", transfer_id=_CLAWBACK,
                   undoes=_TRANSFER, sender=_RECEIVER, purpose="gift",
                   legs=[msgspec.structs.replace(_LEG, bytes=4194304)], shortfall_bytes=1048576),
    DataCarriedOver(**_by_operator(_GIVER, _SEP), month="2015-08", month_ends_at=_SEP,
                    slices=[Slice("plan:2015-08", 26000000)], lot=_CARRY),
    DataExpired(**_by_operator(_RECEIVER, _SEP), month="2015-08", month_ends_at=_SEP,
                slices=[Slice(f"gift:{_TRANSFER}:0", 5242880)]),
    MonthClosed(**_by_operator("partner:didi", _SEP), month="2015-08", month_ends_at=_SEP),
    ThresholdsSet(**_by_operator(_GIVER), thresholds=Thresholds(plan_used_percent=[50, 90])),
    ThresholdCrossed(**_by_operator(_GIVER), threshold="plan_used", value=80,
                     available_bytes=5242880, level_bytes=6291456, lot_id="plan:2015-08"),
    RulesPublished(**_by_operator(RULES_STREAM), version=2, effective_from=_SEP, rules={
        "plans": {"std-30mb": {"bytes_per_month": 31457280, "carry_over": {"mode": "none"}}},
        "order_of_use": {"by": ["directed", "expiry", "oldest"], "kinds": ["carry", "plan"]},
    }),
]  # fmt: skip

"""Rules put at run time: in every partition, in the log, followed by every process, once."""

import msgspec
import pytest

from services.ledger.domain.commands import Buy, ChangePlan, CloseMonth, OpenAccount
from services.ledger.domain.context import Meta
from services.ledger.domain.rules import Rules
from services.ledger.publishing import add_versions, versions_in
from services.ledger.rehearsal import SHARE, rehearse
from services.ledger.rulebooks import put_rules, read_rules, spread_rules
from services.ledger.verification import verify_partition
from shared.contracts.ledger import RULES_STREAM, RulesPublished
from shared.errors import InvalidError, RefusedError
from shared.ids import partition_of
from tests.support.ledger import MIB, RealLedger, as_admin
from tests.support.memory import RULEBOOK

BY = Meta(actor="operator", correlation_id="r1")
FIRST = msgspec.to_builtins(RULEBOOK.latest())
LATER = "2015-08-11T00:00:00+08:00"


def changed(**changes: object) -> Rules:
    return read_rules({**FIRST, "effective_from": "", **changes})


def put(ledger: RealLedger, rules: Rules, at: str | None = LATER) -> tuple[int, bool]:
    version, new = put_rules(ledger.ledger, rules, at, BY)
    return version.version, new


def stored(ledger: RealLedger) -> list[list[int]]:
    numbers = []
    for partition in ledger.partitions:
        with partition.connection() as conn:
            numbers.append([each.version for each in versions_in(conn)])
    return numbers


def names(count: int, partition: int, of: int = 2) -> list[str]:
    every = (f"p{number}" for number in range(1_000))
    return [name for name in every if partition_of(name, of) == partition][:count]


def test_a_version_that_is_put_decides_from_its_instant_on_in_every_process(make_ledger):
    ledger, other = make_ledger(), make_ledger()
    people = [*names(1, 0), *names(1, 1)]
    for each in (ledger, other):
        each.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in people))

    assert put(ledger, changed(purchase_valid_months=6)) == (2, True)
    assert stored(ledger) == [[2], [2]]

    for number, (at, version) in enumerate([("2015-08-10T23:59:59", 1), (LATER, 2)]):
        for each in (ledger, other):
            each.at(at)
            outcomes = each.do(*(Buy(key=f"b{number}", account=name, bytes=1) for name in people))
            assert {outcome.status for outcome in outcomes} == {"done"}
        for name in people:
            partition = ledger.ledger.partition_for(name)
            last = msgspec.json.decode(partition.account_events(name, 0, 100)[-1][2])
            assert last["rule_version"] == version
    assert ledger.verified()["accounts"] == 2


def test_the_log_tells_each_version_on_a_stream_of_its_own(ledger):
    put(ledger, changed(purchase_valid_months=6))
    for partition in ledger.partitions:
        version, topic, state = partition.account_events(RULES_STREAM, 0, 10)[0]
        event = msgspec.json.decode(state, type=RulesPublished)
        assert (version, topic, event.version) == (1, RulesPublished.TYPE, 2)
        assert event.actor == "operator"
        assert event.rules["purchase_valid_months"] == 6


def test_the_same_again_adds_nothing_and_versions_rise(ledger):
    half_year = changed(purchase_valid_months=6)
    assert [put(ledger, half_year), put(ledger, half_year), put(ledger, half_year, None)] == [
        (2, True), (2, False), (2, False),
    ]  # fmt: skip
    assert put(ledger, changed(purchase_valid_months=7)) == (3, True)
    assert put(ledger, half_year) == (4, True)
    assert stored(ledger) == [[2, 3, 4]] * 2
    ledger.verified()


def test_the_built_in_rules_are_version_one_and_putting_them_adds_nothing(ledger):
    assert put(ledger, changed(), None) == (1, False)
    assert stored(ledger) == [[], []]


@pytest.mark.parametrize("at", ["2015-08-10T12:00:59+08:00", "2015-08-01T00:00:00+08:00"])
def test_a_version_within_a_minute_is_refused_with_the_earliest_time(ledger, at):
    with pytest.raises(RefusedError) as refused:
        put(ledger, changed(purchase_valid_months=6), at)
    assert refused.value.code == "rules_too_early"
    assert refused.value.extra["earliest"] == "2015-08-10T12:01:00+08:00"
    assert stored(ledger) == [[], []]


def test_without_a_time_a_version_comes_into_force_in_a_minute(ledger):
    version, _ = put_rules(ledger.ledger, changed(purchase_valid_months=6), None, BY)
    assert version.effective_from == ledger.clock.now() + 60_000


def test_a_plan_that_somebody_is_on_or_goes_to_is_not_removed(ledger):
    plans = {name: plan for name, plan in FIRST["plans"].items() if name == "std-1gb"}
    (name,) = names(1, 1)
    ledger.do(OpenAccount(key="o", account=name, plan="std-30mb"))
    ledger.do(ChangePlan(key="c", account=name, plan="std-5gb"))
    with pytest.raises(RefusedError) as refused:
        put(ledger, changed(plans=plans))
    assert refused.value.code == "plan_in_use"
    assert refused.value.extra["plans"] == {"std-30mb": 1, "std-5gb": 1}
    plans.update({name: FIRST["plans"][name] for name in ("std-30mb", "std-5gb")})
    assert put(ledger, changed(plans=plans)) == (2, True)


def test_a_put_that_broke_off_between_partitions_is_finished_by_repeating_it(ledger, monkeypatch):
    rules = changed(purchase_valid_months=6)

    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("services.ledger.rulebooks.spread_rules", die)
        with pytest.raises(KeyboardInterrupt):
            put(ledger, rules)
    assert stored(ledger) == [[2], []]
    ledger.verified()
    assert put(ledger, rules) == (2, False)
    assert stored(ledger) == [[2], [2]]
    ledger.verified()


def test_the_workers_look_finishes_it_too_and_once(ledger):
    first = ledger.partitions[0]
    put(ledger, changed(purchase_valid_months=6))
    with first.turn() as (conn, now):
        version = msgspec.structs.replace(versions_in(conn)[0], version=3)
        event = RulesPublished(
            account=RULES_STREAM, recorded_at=now, actor="operator", version=3,
            effective_from=version.effective_from, rules=msgspec.json.decode(version.rules),
        )  # fmt: skip
        assert add_versions(conn, first.recorder, [version], lambda _: event) == 1
    assert [spread_rules(ledger.ledger, BY), spread_rules(ledger.ledger, BY)] == [1, 0]
    ledger.verified()


def test_verify_finds_rules_that_the_log_does_not_tell(ledger, admin_url):
    put(ledger, changed(purchase_valid_months=6))
    as_admin(admin_url, "UPDATE ledger_01.rules SET effective_from = effective_from + 1")
    reports = [list(verify_partition(partition))[-1] for partition in ledger.partitions]
    assert reports[0]["first_difference"] is None
    assert reports[1]["first_difference"]["field"] == "rules"


def test_the_dry_run_says_whom_rules_would_change_and_touches_nothing(ledger):
    people = [*names(2, 0), *names(2, 1)]
    ledger.do(*(OpenAccount(key="o", account=name, plan="std-30mb") for name in people))
    ledger.at("2015-09-01T06:00:00")
    ledger.do(*(CloseMonth(key="c", account=name, month="2015-08") for name in people[:3]))
    before = ledger.verified()
    plans = {**FIRST["plans"], "std-30mb": {"bytes_per_month": 20 * MIB}}

    *steps, end = rehearse(ledger.ledger, changed(plans=plans))

    assert all("rows" not in step for step in steps)
    report = end["result"]
    assert ledger.verified() == before
    assert report["month"] == "2015-08"
    assert (report["accounts"], report["changed_accounts"]) == (3, 3)
    assert (report["carried_before_bytes"], report["carried_after_bytes"]) == (90 * MIB, 0)
    assert (report["expired_before_bytes"], report["expired_after_bytes"]) == (0, 60 * MIB)
    assert {row["account"] for row in report["most_changed"]} == set(people[:3])
    *_, end = rehearse(ledger.ledger, changed())
    same = end["result"]
    assert (same["accounts"], same["changed_accounts"], same["most_changed"]) == (3, 0, [])


def test_the_dry_run_tells_of_every_changed_account_how_it_is_changed(ledger):
    people = [*names(13, 0), *names(12, 1)]
    plan = {name: "basic-10mb" if name in people[:5] else "std-30mb" for name in people}
    ledger.do(*(OpenAccount(key="o", account=name, plan=plan[name]) for name in people))
    ledger.at("2015-09-01T06:00:00")
    ledger.do(*(CloseMonth(key="c", account=name, month="2015-08") for name in people))
    half = {"bytes_per_month": 30 * MIB, "carry_over": {"mode": "auto_extend", "share_percent": 50}}
    rules = changed(plans={**FIRST["plans"], "std-30mb": half})

    *steps, end = rehearse(ledger.ledger, rules, every=True)

    report = end["result"]
    pages = [step["rows"] for step in steps if "rows" in step]
    assert max(map(len, pages)) <= SHARE
    rows = [row for page in pages for row in page]
    assert sorted(row.pop("account") for row in rows) == sorted(people[5:])
    carried = {"kind": "carry", "expires_at": "2015-10-01T00:00:00+08:00"}
    assert rows == [
        {
            "carried_before_bytes": 30 * MIB, "carried_after_bytes": 15 * MIB,
            "expired_before_bytes": 0, "expired_after_bytes": 15 * MIB,
            "other_terms_bytes": 0, "carried_before": [carried | {"bytes": 30 * MIB}],
            "carried_after": [carried | {"bytes": 15 * MIB}],
        }
    ] * 20  # fmt: skip
    assert (report["other_terms_accounts"], report["other_terms_bytes"]) == (0, 0)
    assert report["most_on_other_terms"] == []
    assert (report["changed_accounts"], len(report["most_changed"])) == (20, 10)
    assert report["carried_after_bytes"] == sum(row["carried_after_bytes"] for row in rows)


@pytest.mark.parametrize(
    ("carry_over", "after"),
    [
        ({"mode": "convert_to_voucher"}, ("voucher", "2015-10-01T00:00:00+08:00")),
        ({"mode": "auto_extend", "months": 12}, ("carry", "2016-09-01T00:00:00+08:00")),
    ],
)
def test_the_dry_run_tells_whose_carried_bytes_would_be_on_other_terms(ledger, carry_over, after):
    people = [*names(7, 0), *names(6, 1)]
    plan = {name: "std-30mb" if name == people[0] else "std-100mb" for name in people}
    ledger.do(*(OpenAccount(key="o", account=name, plan=plan[name]) for name in people))
    ledger.at("2015-09-01T06:00:00")
    ledger.do(*(CloseMonth(key="c", account=name, month="2015-08") for name in people))
    changed_plan = {"bytes_per_month": 100 * MIB, "carry_over": carry_over}
    rules = changed(plans={**FIRST["plans"], "std-100mb": changed_plan})

    *steps, end = rehearse(ledger.ledger, rules, every=True)

    report = end["result"]
    assert (report["accounts"], report["changed_accounts"]) == (13, 12)
    assert (report["other_terms_accounts"], report["other_terms_bytes"]) == (12, 1200 * MIB)
    assert report["carried_before_bytes"] == report["carried_after_bytes"] == 1230 * MIB
    assert report["most_changed"] == []
    assert len(report["most_on_other_terms"]) == 10
    (row, *_) = report["most_on_other_terms"]
    assert row["account"] in people[1:]
    assert row["other_terms_bytes"] == 100 * MIB
    assert [(each["kind"], each["expires_at"], each["bytes"]) for each in row["carried_after"]] == [
        (*after, 100 * MIB)
    ]
    assert row["carried_before"][0]["kind"] == "carry"
    assert sum(len(step["rows"]) for step in steps if "rows" in step) == 12


def test_a_mistake_in_a_plan_is_told_with_the_plans_name():
    wrong = {
        **FIRST["plans"],
        "std-1gb": {"bytes_per_month": 1, "carry_over": {"mode": "sometimes"}},
    }
    with pytest.raises(InvalidError) as refused:
        changed(plans=wrong)
    assert refused.value.extra["pointer"] == "$.plans.std-1gb.carry_over.mode"


def test_before_any_close_there_is_nothing_to_rehearse(ledger):
    with pytest.raises(RefusedError) as refused:
        list(rehearse(ledger.ledger, changed()))
    assert refused.value.code == "no_month_closed"

"""Packs from order to lot beside a real ledger; codes, pools, lists, grants."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from services.ledger.checks import GiftCheck, check_gifts
from services.ledger.domain.commands import (
    ClawBack,
    CloseAccount,
    OpenAccount,
    Resume,
    Suspend,
    Usage,
)
from services.tasks.codes import CodesTerms, RedeemTerms
from services.tasks.domain.catalogue import PackTerms, read_pack
from services.tasks.domain.grants import RETRY_AFTER_MS
from services.tasks.domain.issue import Issue
from services.tasks.domain.order import Order
from services.tasks.domain.pool import Pool, pool_of_order
from services.tasks.grants import give_due
from services.tasks.growth import grow_pools
from services.tasks.lists import Batch
from services.tasks.packs import OrderTerms
from services.tasks.pools import DrawTerms, HandDownTerms
from services.tasks.supply import Supply
from shared.calendar import add_months
from shared.contracts.audiences import Audience
from shared.errors import RefusedError
from shared.sagas.requests import Asking
from tests.support.memory import CALENDAR
from tests.support.tasks_world import MIB, MakeWorld, World

_keys = count(1)


class KnownPeople:
    """Who has an account, as the ledger beside tells; and no gateway."""

    def __init__(self, world: World) -> None:
        self._world = world

    def known(self, people: list[str]) -> set[str]:
        asked = [GiftCheck(account=one, bytes=1) for one in people]
        answers = check_gifts(self._world.ledger.ledger, asked)
        told = zip(people, answers, strict=True)
        return {one for one, answer in told if answer["sender"] is not None}


def asking(*about: Any, key: str = "") -> Asking:
    return Asking("operator", "", key or f"s{next(_keys)}", list(about))


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(RefusedError) as refused:
        call(*arguments)
    return refused.value.code


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A bank with ten accounts and the partner didi."""
    made = make_world()
    open_accounts(made, *(f"s{each}" for each in range(10)))
    made.register()
    return made


@pytest.fixture
def supply(world: World) -> Supply:
    """The bank's packs: `small` and the pool `shared` are in the catalogue."""
    made = world.tasks.supply
    made.others = KnownPeople(world)  # type: ignore[assignment]
    price = [{"from_day": "2015-01-01", "fen": 100}]
    small = read_pack({"name": "small", "bytes": MIB, "prices": price, "valid": {"months": 1}})
    shared = read_pack(
        {"name": "shared", "kind": "pool", "bytes": 10 * MIB, "prices": price,
         "member_limit_bytes": 4 * MIB}
    )  # fmt: skip
    for each in (small, shared):
        made.publish(asking(each), each)
    return made


def open_accounts(world: World, *people: str) -> None:
    opened = [OpenAccount(key="o", account=one, plan="std-30mb") for one in people]
    assert {each.status for each in world.ledger.do(*opened)} == {"done"}


def close_account(world: World, who: str) -> None:
    world.ledger.do(CloseAccount(key="close", account=who))


def month_after(world: World, months: int) -> str:
    return add_months(CALENDAR.month_of(world.clock.now()), months) + "-01"


def drawn_lots(world: World) -> int:
    people = [f"s{each}" for each in range(10)]
    return sum(lot.remaining for who in people for lot in pack_lots(world, who))


def pack_lots(world: World, who: str) -> list[Any]:
    state, _ = world.ledger.ledger.account(who)
    return [lot for lot in state.lots.values() if lot.kind == "pack"]


def ordered(supply: Supply, pack: str = "small", number: int = 3, **more: Any) -> Order:
    terms = OrderTerms(partner="didi", pack=pack, count=number, **more)
    order = supply.order(asking(terms), terms).subject
    assert isinstance(order, Order)
    return order


def paid(supply: Supply, *arguments: Any, **more: Any) -> Order:
    order = ordered(supply, *arguments, **more)
    supply.pay(asking("pay"), order.id)
    return order


def test_an_unpaid_order_gives_nothing_and_a_paid_one_its_bytes(supply: Supply, world) -> None:
    before = world.available("partner:didi")
    order = ordered(supply)
    assert refusal(supply.issue, asking("i"), order.id, ["s0"]) == "order_not_paid"
    world.settle()
    assert world.available("partner:didi") == before
    supply.pay(asking("p"), order.id)
    supply.pay(asking("p"), order.id)
    world.settle()
    assert world.available("partner:didi") == before + 3 * MIB
    assert refusal(supply.cancel, asking("c"), order.id) == "order_paid"


def test_a_batch_tells_of_each_row_and_asked_again_gives_nobody_twice(supply, world) -> None:
    order = paid(supply)
    rows, wish = ["s0", "s1", "s0", "nobody", "no number"], asking("batch", key="b1")
    for _ in range(2):
        issued, rejected, _ = supply.issue(wish, order.id, rows)
        assert [each.parcel.subscriber for each in issued] == ["s0", "s1"]
        reasons = [(each.row, each.reason) for each in rejected]
        assert reasons == [(3, "duplicate"), (4, "not_ours"), (5, "bad_number")]
    world.settle()
    assert supply.used(order.id) == 2
    (lot,) = pack_lots(world, "s0")
    assert (lot.remaining, CALENDAR.text(lot.expires_at)[:10]) == (MIB, month_after(world, 2))
    assert supply.issue_of(issued[0].id).state == "delivered"
    assert refusal(supply.issue, asking("more"), order.id, ["s2", "s3"]) == "inventory_empty"


def test_a_price_change_leaves_what_was_ordered_alone(supply: Supply) -> None:
    order = ordered(supply)
    dearer = read_pack(
        {"name": "small", "bytes": 2 * MIB, "prices": [{"from_day": "2015-01-01", "fen": 500}]}
    )
    assert supply.publish(asking(dearer), dearer).subject.number == 2  # type: ignore[attr-defined]
    again = supply.order_of(order.id)
    assert (again.amount_fen, again.bytes, again.pack_version) == (300, 3 * MIB, 1)
    assert ordered(supply).amount_fen == 1500
    assert [each.number for each in supply.versions("small")] == [1, 2]


def test_what_cannot_arrive_lies_in_the_inventory_again(supply: Supply, world) -> None:
    order = paid(supply)
    world.settle()
    close_account(world, "s5")
    issued, _, _ = supply.issue(asking("i"), order.id, ["s5"])
    assert supply.used(order.id) == 1
    world.settle()
    assert supply.issue_of(issued[0].id).state == "refused"
    assert supply.used(order.id) == 0


def take_back(world: World, who: str, transfer_id: str) -> None:
    """Take back in the ledger, as an operator, what is left of a pack."""
    command = ClawBack(key="c", account=who, transfer_id=transfer_id, reason="a fraud")
    assert [each.status for each in world.ledger.do(command)] == ["done"]
    world.settle()


def test_what_an_operator_takes_back_of_a_pack_in_the_ledger_is_told_of_the_issue(supply, world):
    order = paid(supply)
    issued, _, _ = supply.issue(asking("i"), order.id, ["s0"])
    world.settle()
    before = world.available("partner:didi")
    used = Usage(account="s0", usage_id="u", bytes=30 * MIB + 1000, occurred_at=world.clock.now())
    world.ledger.do(used)
    (left,) = [lot.remaining for lot in pack_lots(world, "s0")]
    assert 0 < left < MIB
    take_back(world, "s0", supply.issue_of(issued[0].id).transfer_id)
    issue = supply.issue_of(issued[0].id)
    assert (issue.state, issue.taken_bytes, issue.shortfall_bytes) == (
        "clawed_back", left, MIB - left,
    )  # fmt: skip
    # It is the partner's, not the order's: the pack was given.
    assert world.available("partner:didi") == before + left
    assert supply.used(order.id) == 1
    assert world.verify()["ok"]


def test_a_grant_that_was_taken_back_is_not_given_again(supply, world):
    monthly_grants(supply, world, "s1", amount=9 * MIB)
    assert give(world) == 1
    (row,) = world.tasks.store.rows("SELECT id FROM issues WHERE grant_name IS NOT NULL")
    take_back(world, "s1", supply.issue_of(row[0]).transfer_id)
    assert supply.issue_of(row[0]).state == "clawed_back"
    assert world.available("campaign:club") == 9 * MIB
    world.clock.at += RETRY_AFTER_MS
    assert give(world) == 0
    assert world.verify()["ok"]


def make_codes(supply: Supply, order: Order, number: int = 2) -> list[str]:
    terms = CodesTerms(
        count=number, expires_at=CALENDAR.text(supply.store.clock.now() + 86_400_000)
    )
    made, _, _ = supply.make_codes(asking(terms), order.id, terms)
    return made


def redeem(supply: Supply, code: str, who: str) -> Issue:
    terms = RedeemTerms(code=code, subscriber=who)
    issue = supply.redeem(asking(terms), terms).subject
    assert isinstance(issue, Issue)
    return issue


def test_a_code_is_used_once_by_one_of_ten_at_once(supply: Supply, world) -> None:
    order = paid(supply)
    code, other = make_codes(supply, order)
    assert supply.used(order.id) == 2

    def use(who: str) -> str:
        try:
            return redeem(supply, code, who).state
        except RefusedError as refused:
            return refused.code

    with ThreadPoolExecutor(10) as pool:
        answers = sorted(pool.map(use, [f"s{each}" for each in range(10)]))
    assert answers == ["code_used"] * 9 + ["issued"]
    world.settle()
    assert sum(len(pack_lots(world, f"s{each}")) for each in range(10)) == 1
    assert supply.code_counts(order.id) == {"bound": 1, "made": 1}
    assert refusal(redeem, supply, code, "s0") == "code_used"
    assert refusal(redeem, supply, "2222-2222-2222-2222", "s0") == "code_not_found"
    assert redeem(supply, other.lower().replace("-", ""), "s1").state == "issued"


def test_a_redemption_and_a_draw_again_by_the_same_key_are_answered_as_before(supply, world):
    code, _ = make_codes(supply, paid(supply))
    pool = pool_id(paid(supply, "shared", 1))
    for path, body in (
        ("/v1/codes:redeem", {"code": code, "subscriber": "s0"}),
        (f"/v1/pools/{pool.hex}/draws", {"subscriber": "s0", "bytes": MIB}),
    ):
        first, again = (world.post(path, body, key=path) for _ in range(2))
        assert (first.status, first.headers.get("Idempotency-Hit")) == (202, None), first.body
        assert (again.status, again.headers.get("Idempotency-Hit")) == (202, "true")
        assert again.body == first.body
    assert supply.pool_of(pool)[1] == MIB


def test_codes_are_shown_once_and_nowhere_kept(supply: Supply, world) -> None:
    order = paid(supply)
    terms = CodesTerms(count=1, expires_at="2099-01-01T00:00:00")
    wish = asking(terms, key="codes")
    (code,), batch, _ = supply.make_codes(wish, order.id, terms)
    again, same, answer = supply.make_codes(wish, order.id, terms)
    assert (again, same, answer.repeated) == ([], batch, True)
    with world.tasks.store.connection() as conn:
        kept = conn.execute("SELECT count(*) FROM codes WHERE encode(hash, 'escape') LIKE %s",
                            (f"%{code}%",)).fetchone()  # fmt: skip
    assert kept is not None
    assert next(iter(kept.values() if isinstance(kept, dict) else kept)) == 0


def test_a_code_whose_pack_could_not_arrive_is_good_again_and_expires_in_time(supply, world):
    order = paid(supply)
    code, _ = make_codes(supply, order)
    world.settle()
    close_account(world, "s5")
    redeem(supply, code, "s5")
    world.settle()
    assert supply.code_counts(order.id) == {"made": 2}
    world.clock.at += 86_400_000
    assert refusal(redeem, supply, code, "s0") == "code_expired"
    assert supply.expire_codes() == 2
    assert supply.expire_codes() == 0
    assert (supply.code_counts(order.id), supply.used(order.id)) == ({"expired": 2}, 0)


def draw(supply: Supply, pool: UUID, who: str, amount: int) -> str:
    terms = DrawTerms(subscriber=who, bytes=amount)
    try:
        issue = supply.draw(asking(terms), pool, terms).subject
    except RefusedError as refused:
        return refused.code
    assert isinstance(issue, Issue)
    return issue.state


def pool_id(order: Order) -> UUID:
    return UUID(hex=pool_of_order(order.order_id))


def test_draws_at_once_never_pass_the_pool_and_no_member_its_limit(supply: Supply, world) -> None:
    pool = pool_id(paid(supply, "shared", 1))
    assert draw(supply, pool, "s0", 5 * MIB) == "pool_member_limit"
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda n: draw(supply, pool, f"s{n}", 3 * MIB), range(10)))
    assert sorted(answers) == ["issued"] * 3 + ["pool_empty"] * 7
    found, drawn, _ = supply.pool_of(pool)
    assert (drawn, found.total_bytes, found.is_low) == (9 * MIB, 10 * MIB, True)
    world.settle()
    assert drawn_lots(world) == 9 * MIB
    top_up = ordered(supply, "shared", 1, pool_id=pool.hex)
    supply.pay(asking("top"), top_up.id)
    found, _, _ = supply.pool_of(pool)
    assert (found.total_bytes, found.is_low) == (20 * MIB, False)


def test_a_pool_for_all_is_not_topped_up_with_bytes_of_the_night(
    supply: Supply, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = read_pack(
        {"name": "night", "kind": "pool", "bytes": 10 * MIB, "hours": {"begins": 0, "ends": 360},
         "prices": [{"from_day": "2015-01-01", "fen": 1}]}
    )  # fmt: skip
    supply.publish(asking(night), night)
    pool = pool_id(paid(supply, "shared", 1))
    terms = OrderTerms(partner="didi", pack="night", pool_id=pool.hex)
    assert refusal(supply.order, asking(terms), terms) == "pool_terms_differ"
    with monkeypatch.context() as before_it_was_asked:
        before_it_was_asked.setattr(Pool, "check_top_up", lambda *_: None)
        old, old_paid = (ordered(supply, "night", 1, pool_id=pool.hex) for _ in range(2))
        supply.pay(asking("p"), old_paid.id)
    assert refusal(supply.pay, asking("p"), old.id) == "pool_terms_differ"
    assert supply.order_of(old.id).state == "ordered"
    supply.pay(asking("p"), old_paid.id)
    assert supply.pool_of(pool)[0].total_bytes == 20 * MIB


def test_a_part_that_is_handed_down_is_the_parents_no_more(supply: Supply) -> None:
    pool = pool_id(paid(supply, "shared", 1))
    terms = HandDownTerms(bytes=8 * MIB, title="east", member_limit_bytes=8 * MIB)
    child = supply.hand_down(asking(terms), pool, terms).subject
    assert isinstance(child, Pool)
    assert draw(supply, pool, "s0", 3 * MIB) == "pool_empty"
    assert draw(supply, child.id, "s0", 8 * MIB) == "issued"
    assert draw(supply, child.id, "s1", 1) == "pool_empty"
    found, _, below = supply.pool_of(pool)
    assert (found.total_bytes, below) == (2 * MIB, [child.id.hex])


def test_what_is_drawn_in_vain_comes_back_into_the_pool(supply: Supply, world) -> None:
    pool = pool_id(paid(supply, "shared", 1))
    world.settle()
    close_account(world, "s5")
    assert draw(supply, pool, "s5", 4 * MIB) == "issued"
    world.settle()
    assert supply.pool_of(pool)[1] == 0
    assert draw(supply, pool, "s5", 4 * MIB) == "issued"


def change(supply: Supply, batch: Batch, key: str = "") -> tuple[Any, Any]:
    return supply.change_members(asking(batch, key=key), "drivers", batch)


def test_ten_rows_with_three_bad_are_seven_members_and_told_again_the_same(supply, world) -> None:
    open_accounts(world, "s10")
    rows = [*(f"s{each}" for each in range(7)), "no number", "s0", "stranger"]
    for _ in range(2):
        job, answer = change(supply, Batch(add=rows), "import")
        assert (answer.subject.added, answer.subject.members) == (7, 7)
        reasons = [each.reason for each in job.rejected_additions]
        assert reasons == ["bad_number", "duplicate", "not_ours"]
    job, answer = change(supply, Batch(add=["s8", "s1"], remove=["s0", "s9"]))
    assert (answer.subject.number, answer.subject.members) == (2, 7)
    assert [each.reason for each in job.rejected_additions] == ["duplicate"]
    assert [each.reason for each in job.rejected_removals] == ["not_a_member"]
    assert supply.lists.page("drivers", "", 3) == ["s1", "s2", "s3"]
    changes = list(supply.lists.changes("drivers", 0, 2, 100))
    assert changes[0] == {"s0": False, **{f"s{n}": True for n in (1, 2, 3, 4, 5, 6, 8)}}
    assert refusal(change, supply, Batch(add=["s1"])) == "nothing_taken"


def family(size: int, *prices: tuple[str, int]) -> PackTerms:
    told = [{"from_day": day, "fen": fen} for day, fen in prices or (("2015-01-01", 100),)]
    return read_pack(
        {"name": "family", "kind": "pool", "bytes": size, "prices": told, "grows_with": "drivers"}
    )


def growing_pool(supply: Supply, terms: PackTerms) -> UUID:
    supply.publish(asking(terms), terms)
    return pool_id(paid(supply, "family", 1))


def grow(world: World) -> int:
    return grow_pools(world.tasks.store, world.tasks.writer)


def amounts(supply: Supply) -> list[int]:
    return sorted(order.amount_fen for order in supply.orders("didi", None, None, 200)[0])


def test_a_pool_grows_with_each_member_that_joins_once(supply: Supply, world: World) -> None:
    pool = growing_pool(supply, family(MIB))
    change(supply, Batch(add=["s1", "s2"]))
    assert [grow(world), grow(world)] == [1, 0]
    change(supply, Batch(add=["s3"], remove=["s1"]))
    change(supply, Batch(add=["s1"]))
    assert grow(world) == 1
    assert supply.pool_of(pool)[0].total_bytes == 4 * MIB
    assert amounts(supply) == [100, 100, 200]
    assert world.verify()["ok"]


def test_a_pool_never_counts_who_left_before_it_was_opened(supply: Supply, world: World) -> None:
    change(supply, Batch(add=["s1", "s2"]))
    change(supply, Batch(add=["s3"], remove=["s1"]))
    pool = growing_pool(supply, family(MIB))
    assert grow(world) == 1
    assert supply.pool_of(pool)[0].total_bytes == 3 * MIB
    change(supply, Batch(remove=["s2"]))
    change(supply, Batch(add=["s1", "s2"]))
    assert [grow(world), grow(world)] == [1, 0]
    assert supply.pool_of(pool)[0].total_bytes == 4 * MIB


def test_a_pool_on_an_empty_list_grows_from_its_first_member_on(supply: Supply, world) -> None:
    pool = growing_pool(supply, family(MIB))
    assert grow(world) == 0
    change(supply, Batch(add=["s1"]))
    assert [grow(world), grow(world)] == [1, 0]
    assert supply.pool_of(pool)[0].total_bytes == 2 * MIB


def test_a_pool_grows_by_the_version_that_was_ordered_at_its_price_of_the_day(
    supply: Supply, world
) -> None:
    tomorrow = CALENDAR.day_of(world.clock.now() + 86_400_000)
    pool = growing_pool(supply, family(MIB, ("2015-01-01", 100), (tomorrow, 150)))
    new = family(5 * MIB, ("2015-01-01", 900))
    supply.publish(asking(new), new)
    world.clock.at += 86_400_000
    change(supply, Batch(add=["s1"]))
    assert grow(world) == 1
    assert supply.pool_of(pool)[0].total_bytes == 2 * MIB
    assert amounts(supply) == [100, 150]


def test_one_pool_that_would_be_too_large_keeps_no_other_from_growing(supply, world) -> None:
    growing_pool(supply, family(2**52))
    small = growing_pool(supply, family(MIB))
    change(supply, Batch(add=["s1", "s2", "s3"]))
    assert grow(world) == 1
    assert supply.pool_of(small)[0].total_bytes == 4 * MIB


def test_members_alone_draw_from_what_members_brought(supply: Supply, world: World) -> None:
    pool = growing_pool(supply, family(MIB))
    change(supply, Batch(add=["s1"]))
    grow(world)
    terms = HandDownTerms(bytes=MIB, title="east")
    below = supply.hand_down(asking(terms), pool, terms).subject.id
    assert [draw(supply, each, "s2", 1) for each in (pool, below)] == ["not_a_member"] * 2
    assert [draw(supply, each, "s1", 1) for each in (pool, below)] == ["issued"] * 2


def test_a_partner_never_sees_an_audience_below_fifty(supply: Supply) -> None:
    change(supply, Batch(add=["s1", "s2"]))
    drivers = Audience(list="drivers")
    assert supply.audience_count(drivers, for_partner=False) == 2
    with pytest.raises(RefusedError) as refused:
        supply.audience_count(drivers, for_partner=True)
    assert (refused.value.code, refused.value.extra) == ("audience_too_small", {})


def test_a_grant_comes_once_per_member_and_month_however_often_it_is_looked_for(supply, world):
    change(supply, Batch(add=["s1", "s2"]))
    grant = {"name": "monthly", "bytes": MIB, "valid": {"months": 0}, "cycles": 2}
    start = CALENDAR.text(world.clock.now())
    world.draft("club", audience={"list": "drivers"}, grants=[grant], starts_at=start, offer=None)
    world.start("club")
    given = [give_due(world.tasks.store, world.tasks.writer, "club", Event()) for _ in range(2)]
    assert given == [2, 0]
    change(supply, Batch(add=["s3"], remove=["s1"]))
    assert give_due(world.tasks.store, world.tasks.writer, "club", Event()) == 1
    world.settle()
    assert [len(pack_lots(world, who)) for who in ("s1", "s2", "s3", "s4")] == [1, 1, 1, 0]
    world.clock.at = CALENDAR.month_end(CALENDAR.month_of(world.clock.at))
    assert give_due(world.tasks.store, world.tasks.writer, "club", Event()) == 2
    world.clock.at = CALENDAR.month_end(CALENDAR.month_of(world.clock.at))
    assert give_due(world.tasks.store, world.tasks.writer, "club", Event()) == 0


def monthly_grants(supply: Supply, world: World, *members: str, amount: int) -> None:
    """Let the campaign `club` run for these members, with so many bytes to pay from."""
    change(supply, Batch(add=list(members)))
    grant = {"name": "monthly", "bytes": MIB, "valid": {"months": 0}}
    start = CALENDAR.text(world.clock.now())
    world.draft("club", audience={"list": "drivers"}, grants=[grant], starts_at=start, offer=None)
    world.start("club", amount)


def test_no_grant_is_given_at_the_cost_of_a_partner_without_a_contract(supply, world):
    monthly_grants(supply, world, "s1", amount=9 * MIB)
    world.clock.at = CALENDAR.parse("2016-07-01T00:00:00")
    assert give(world) == 0
    contract = {"starts_at": "2016-07-01", "ends_at": "2017-07-01", "terms_version": "t2"}
    world.done("/v1/partners/didi/contracts", contract)
    assert give(world) == 1


def give(world: World) -> int:
    """Look once for what is due, as the job does, and let it arrive."""
    given = give_due(world.tasks.store, world.tasks.writer, "club", Event())
    world.clock.at += 1_000
    world.settle()
    return given


def test_a_grant_that_could_not_be_paid_is_tried_again_when_new_funds_arrive(supply, world):
    monthly_grants(supply, world, "s1", "s2", "s3", amount=MIB)
    assert [give(world), give(world)] == [3, 0]
    assert sorted(len(pack_lots(world, who)) for who in ("s1", "s2", "s3")) == [0, 0, 1]
    (told,) = world.campaign("club")["unpaid_grants"]
    assert (told["grant"], told["code"], told["members"]) == ("monthly", "insufficient_data", 2)
    world.done("/v1/campaigns/club/fundings", {"bytes": 4 * MIB})
    world.settle()
    with ThreadPoolExecutor(4) as pool:
        looks = [
            pool.submit(give_due, world.tasks.store, world.tasks.writer, "club", Event())
            for _ in range(4)
        ]
        assert sum(each.result() for each in looks) == 2
    world.settle()
    assert [len(pack_lots(world, who)) for who in ("s1", "s2", "s3")] == [1, 1, 1]
    assert world.available("campaign:club") == 2 * MIB
    assert world.campaign("club")["unpaid_grants"] == []
    world.clock.at += 2 * RETRY_AFTER_MS
    assert give(world) == 0
    assert world.verify()["ok"]


def test_a_grant_that_could_not_be_paid_is_tried_again_each_day_until_the_month_ends(supply, world):
    monthly_grants(supply, world, "s1", "s2", amount=10 * MIB)
    closed = [CloseAccount(key="c", account="s2"), Suspend(key="s", account="campaign:club")]
    assert {each.status for each in world.ledger.do(*closed)} == {"done"}
    assert [give(world), give(world)] == [2, 0]
    (told,) = world.campaign("club")["unpaid_grants"]
    assert (told["code"], told["members"]) == ("account_suspended", 2)
    world.clock.at += RETRY_AFTER_MS
    assert [give(world), give(world)] == [2, 0]
    world.ledger.do(Resume(key="r", account="campaign:club"))
    world.clock.at += RETRY_AFTER_MS
    assert give(world) == 2
    assert len(pack_lots(world, "s1")) == 1
    (told,) = world.campaign("club")["unpaid_grants"]
    assert (told["code"], told["members"]) == ("account_closed", 1)
    world.clock.at += RETRY_AFTER_MS
    assert give(world) == 0, "a closed account stays closed"
    world.clock.at = CALENDAR.month_end(CALENDAR.month_of(world.clock.at))
    assert give(world) == 2, "a new month, and nothing is owed of the old one"
    assert len(pack_lots(world, "s1")) == 2

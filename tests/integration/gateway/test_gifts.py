"""The view `gifts` on a real database: what became of each gift, packet and share."""

import random
from collections.abc import Callable
from threading import Event as Stop
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.application import Gateway
from services.gateway.bootstrap import make_app
from services.gateway.consumers import fold
from services.gateway.gifts import GiftsView
from shared.bus.inbox import Inbox
from shared.contracts.envelope import Batch
from shared.contracts.gifting import (
    AskMade,
    GiftAccepted,
    GiftClawedBack,
    GiftCompleted,
    GiftDeclined,
    GiftDelayed,
    GiftHeld,
    GiftOffered,
    GiftRefused,
    GiftReleased,
    GiftRequested,
    GiftReturned,
    GiftSent,
    RedPacketClosed,
    RedPacketEnded,
    RedPacketOffered,
    RedPacketOpened,
    RedPacketRequested,
    ShareClaimed,
    ShareClawedBack,
    ShareDelivered,
    ShareReturned,
)
from shared.contracts.ledger import Event, LotTerms, Slice, Source
from tests.integration.gateway.test_http import TOKENS, Api
from tests.support.gateway import (
    EPOCH,
    MIB,
    BankReader,
    empty_views,
    last,
    opened_bank,
    stored_rows,
)
from tests.support.gifting import SOURCE, GiftingLog
from tests.support.memory import CALENDAR

NOON = CALENDAR.parse("2015-08-10T12:00:00")
MINUTE_MS = 60_000
SLICES = [Slice("plan:2015-08", MIB)]
LOT = LotTerms(
    lot_id="gift:t:0", kind="gift", granted=MIB, valid_from=NOON,
    expires_at=CALENDAR.month_end("2015-08"), source=Source("gift", "t"),
)  # fmt: skip


class Life:
    """Writes gifting's log, a minute an event."""

    def __init__(self, log: GiftingLog) -> None:
        self.log = log

    def tell(self, kind: type[Event], account: str, **fields: Any) -> None:
        at = NOON + len(self.log.events) * MINUTE_MS
        self.log.add(kind(account=account, recorded_at=at, actor="gifting", **fields))

    def request(self, gift: str, sender: str, receiver: str, **more: Any) -> None:
        self.tell(GiftRequested, sender, gift_id=gift, receiver=receiver, bytes=MIB, **more)

    def automatic(self, gift: str, sender: str, receiver: str) -> None:
        self.request(gift, sender, receiver, fee_bytes=7, message="enjoy")
        self.tell(GiftOffered, sender, gift_id=gift, receiver=receiver, bytes=MIB, fee_bytes=7)
        self.tell(GiftSent, sender, gift_id=gift, transfer_id="t", legs=[])
        self.tell(GiftCompleted, sender, gift_id=gift, transfer_id="t", lots=[LOT])

    def declined(self, gift: str, sender: str, receiver: str) -> None:
        deadline = NOON + 72 * 60 * MINUTE_MS
        self.request(gift, sender, receiver, waits=True, deadline=deadline)
        self.tell(GiftOffered, sender, gift_id=gift, receiver=receiver, bytes=MIB, waits=True,
                  deadline=deadline)  # fmt: skip
        self.tell(GiftHeld, sender, gift_id=gift, hold_id="h", deadline=deadline, slices=SLICES)
        self.tell(GiftDeclined, sender, gift_id=gift, hold_id="h")
        self.tell(GiftReturned, sender, gift_id=gift, code="declined")

    def delayed(self, gift: str, sender: str, receiver: str) -> None:
        self.request(gift, sender, receiver)
        self.tell(GiftDelayed, sender, gift_id=gift, reasons=["fan_in", "velocity"])
        self.tell(GiftReleased, sender, gift_id=gift, reasons=["fan_in", "velocity"])
        self.tell(GiftRefused, sender, gift_id=gift, code="insufficient_data", detail="too little")

    def packet(self, name: str, sender: str, receivers: list[str]) -> None:
        self.tell(
            RedPacketRequested, sender, packet_id=name, token_hash="f0", bytes=3 * MIB, shares=3,
            split="lucky", seed_commitment="c0", share_bytes_min=MIB, deadline=NOON,
        )  # fmt: skip
        self.tell(RedPacketOffered, sender, packet_id=name, bytes=3 * MIB, deadline=NOON)
        self.tell(RedPacketOpened, sender, packet_id=name, hold_id="h")
        for place, receiver in enumerate(receivers):
            claim = {"claim_id": f"{name}-{place}", "packet_id": name}
            self.tell(ShareClaimed, sender, **claim, hold_id="h", receiver=receiver, position=place,
                      bytes=MIB)  # fmt: skip
            if receiver == "nobody":
                self.tell(ShareReturned, sender, **claim, code="account_not_found", transfer_id="t")
            else:
                self.tell(ShareDelivered, sender, **claim, transfer_id="t", lots=[LOT])
        self.tell(RedPacketClosed, sender, packet_id=name, cause="timed_out")
        self.tell(RedPacketEnded, sender, packet_id=name, claimed_bytes=MIB, returned_bytes=2 * MIB,
                  seed="5eed", cause="timed_out")  # fmt: skip

    def clawed_back(self, gift: str, sender: str) -> None:
        self.tell(GiftClawedBack, sender, gift_id=gift, transfer_id="c", taken_bytes=5)

    def everything(self) -> None:
        self.automatic("g1", "ann", "bob")
        self.declined("g2", "ann", "cat")
        self.delayed("g3", "bob", "ann")
        self.packet("r1", "ann", ["bob", "nobody"])
        self.tell(AskMade, "bob", ask_id="a", asker="ann", bytes=MIB, deadline=NOON)
        self.request("g4", "cat", "ann")
        self.clawed_back("g1", "ann")
        self.tell(ShareClawedBack, "ann", claim_id="r1-0", packet_id="r1", transfer_id="c",
                  taken_bytes=6)  # fmt: skip


@pytest.fixture
def log() -> GiftingLog:
    made = GiftingLog()
    Life(made).everything()
    return made


@pytest.fixture
def gateway(gateway_of: Callable[..., Gateway], log: GiftingLog) -> Gateway:
    return gateway_of(BankReader(opened_bank()), log)


@pytest.fixture
def api(gateway: Gateway, log: GiftingLog) -> Api:
    follow(gateway, log)
    return Api(make_app(gateway, TOKENS))


def follow(gateway: Gateway, log: GiftingLog) -> None:
    """Let each view follow its service's logs."""
    for service, reader in gateway.readers.items():
        own = [each for each in gateway.consumers if each.view.service == service]
        Inbox(own, reader, stop=Stop(), pause_s=0.001).level()


def expected(log: GiftingLog) -> Any:
    delta = GiftsView(CALENDAR).new_delta()
    fold(delta, log.read(SOURCE, "all", 0).events)
    return delta.rows()


def names(api: Api, account: str, **query: Any) -> list[str]:
    return [row["gift_id"] for row in api.get(f"/v1/accounts/{account}/gifts", **query)["gifts"]]


def test_both_sides_see_what_became_of_a_gift_the_newest_first(api: Api) -> None:
    assert names(api, "ann") == ["g4", "r1-1", "r1-0", "r1", "g3", "g2", "g1"]
    assert names(api, "bob") == ["r1-0", "g3", "g1"]
    assert names(api, "ann", role="sender") == ["r1-1", "r1-0", "r1", "g2", "g1"]
    assert names(api, "ann", role="receiver") == ["g4", "g3"]
    assert names(api, "ann", state="returned") == ["r1-1", "g2"]
    assert names(api, "ann", kind="red_packet") == ["r1"]
    (gift,) = [row for row in api.get("/v1/accounts/bob/gifts")["gifts"] if row["gift_id"] == "g1"]
    assert gift == {
        "gift_id": "g1", "kind": "gift", "role": "receiver", "sender": "ann", "receiver": "bob",
        "bytes": MIB, "state": "completed", "code": None, "message": "enjoy", "waits": False,
        "fee_bytes": 7, "fee_payer": "sender", "transfer_id": "t",
        "requested_at": "2015-08-10T12:00:00+08:00", "offered_at": "2015-08-10T12:01:00+08:00",
        "sent_at": "2015-08-10T12:02:00+08:00", "completed_at": "2015-08-10T12:03:00+08:00",
        "clawed_back_bytes": 5, "clawed_back_at": "2015-08-10T12:24:00+08:00",
        "changed_at": "2015-08-10T12:24:00+08:00",
        "lots": [
            {
                "lot_id": "gift:t:0", "bytes": MIB, "valid_from": "2015-08-10T12:00:00+08:00",
                "expires_at": "2015-09-01T00:00:00+08:00",
            }
        ],
    }  # fmt: skip


def test_a_state_comes_with_its_reason(api: Api) -> None:
    rows = {row["gift_id"]: row for row in api.get("/v1/accounts/ann/gifts")["gifts"]}
    assert (rows["g2"]["state"], rows["g2"]["code"]) == ("returned", "declined")
    assert rows["g2"]["declined_at"] < rows["g2"]["returned_at"]
    assert (rows["g3"]["state"], rows["g3"]["code"]) == ("refused", "insufficient_data")
    assert (rows["r1-1"]["state"], rows["r1-1"]["code"]) == ("returned", "account_not_found")
    assert (rows["r1"]["state"], rows["r1"]["code"], rows["r1"]["seed"]) == (
        "ended", "timed_out", "5eed",
    )  # fmt: skip
    assert rows["r1"]["receiver"] is None
    assert (rows["g1"]["state"], rows["g1"]["clawed_back_bytes"]) == ("completed", 5)
    assert rows["g1"]["completed_at"] < rows["g1"]["clawed_back_at"] == rows["g1"]["changed_at"]
    assert (rows["r1-0"]["state"], rows["r1-0"]["clawed_back_bytes"]) == ("delivered", 6)
    assert rows["r1"]["claimed_bytes"] + rows["r1"]["returned_bytes"] == rows["r1"]["bytes"]


def test_only_who_gave_is_told_what_it_lacked_and_nobody_what_its_gift_looked_like(api: Api):
    seen = {}
    for account in ("ann", "bob"):
        rows = api.get(f"/v1/accounts/{account}/gifts")["gifts"]
        (seen[account],) = (row for row in rows if row["gift_id"] == "g3")
    assert (seen["bob"]["role"], seen["bob"]["detail"]) == ("sender", "too little")
    assert (seen["ann"]["role"], seen["ann"]["code"]) == ("receiver", "insufficient_data")
    assert "detail" not in seen["ann"]
    assert not any("reasons" in row for row in seen.values())


def test_gifts_come_in_pages_that_make_up_the_whole_also_while_more_arrive(
    api: Api, gateway: Gateway, log: GiftingLog
) -> None:
    whole, seen, query = names(api, "ann"), list[str](), dict[str, Any]()
    while True:
        page = api.get("/v1/accounts/ann/gifts", limit=2, **query)
        seen += [row["gift_id"] for row in page["gifts"]]
        if page["next_after"] is None:
            break
        query = {"after": page["next_after"]}
        Life(log).request(f"new-{len(seen)}", "ann", "bob")
        follow(gateway, log)
    assert seen == whole


def test_bad_questions_get_clear_answers(api: Api) -> None:
    assert api.get("/v1/accounts/dan/gifts")["gifts"] == []
    assert api.get("/v1/accounts/nobody-here/gifts", 404)["code"] == "account_not_found"
    for query in ({"state": "lost"}, {"role": "friend"}, {"after": "x"}, {"limit": 0}, {"x": 1}):
        api.get("/v1/accounts/ann/gifts", 422, **query)
    api.get("/v1/accounts/a%20b/gifts", 422)


def test_a_token_of_the_ledger_is_nothing_to_wait_for(api: Api, log: GiftingLog) -> None:
    answer = api.get("/v1/accounts/ann/gifts", at_least=f"{EPOCH}/ledger_00:999999")
    assert answer["stale"] is False
    assert answer["position"] == f"{EPOCH}/gifting_00:{len(log.events)}"
    late = api.get("/v1/accounts/ann/gifts", at_least=f"{EPOCH}/gifting_00:999999")
    assert late["stale"] is True


@given(seed=st.integers(0, 10_000))
@settings(
    max_examples=6, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
def test_however_messages_come_the_rows_are_the_logs_and_a_rebuilds(
    gateway_of: Callable[..., Gateway], databases: Any, log: GiftingLog, seed: int
) -> None:
    empty_views(databases.gateway_url)
    dice = random.Random(seed)
    gateway = gateway_of(BankReader(opened_bank()), log)
    own = [each for each in gateway.consumers if each.view.name == "gifts"]
    inbox = Inbox(own, log, stop=Stop(), pause_s=0.001)
    events = log.read(SOURCE, "all", 0).events
    for _ in range(30):
        start = dice.randrange(len(events))
        part = events[start : start + dice.randint(1, 6)]
        batch = Batch(SOURCE, "all", int(part[0].previous), int(part[-1].sequence), part)
        if not inbox.receive(batch):
            inbox.catch_up(SOURCE)
    inbox.level()
    assert stored_rows(gateway, GiftsView(CALENDAR)) == expected(log)
    last(gateway.rebuild("gifts"))
    assert stored_rows(gateway, GiftsView(CALENDAR)) == expected(log)
    verified = last(gateway.verify())
    assert verified["ok"], verified["first_difference"]


@pytest.mark.parametrize("apart", [False, True])
def test_a_departure_that_is_heard_after_its_arrival_is_shown_and_ends_nothing(
    gateway: Gateway, log: GiftingLog, *, apart: bool
) -> None:
    life = Life(log)
    life.request("g5", "ann", "bob")
    life.tell(GiftOffered, "ann", gift_id="g5", receiver="bob", bytes=MIB)
    life.tell(GiftCompleted, "ann", gift_id="g5", transfer_id="t", lots=[LOT])
    if apart:
        follow(gateway, log)
    life.tell(GiftSent, "ann", gift_id="g5", transfer_id="t", legs=[], late=True)
    follow(gateway, log)
    row = stored_rows(gateway, GiftsView(CALENDAR))["gifts"][("g5",)]
    told = str(row)
    assert "completed" in told
    assert "sent_at" in told
    assert "completed_at" in told


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("UPDATE gifts SET state = 'completed' WHERE gift_id = 'g2'", "state"),
        ("UPDATE gifts SET facts = facts - 'seed' WHERE gift_id = 'r1'", "facts"),
        ("DELETE FROM gifts WHERE gift_id = 'g1'", "row"),
    ],
)
def test_a_changed_gift_is_named(
    gateway: Gateway, log: GiftingLog, databases: Any, change: str, field: str
) -> None:
    follow(gateway, log)
    with psycopg.connect(
        databases.gateway_url, autocommit=True, options="-c search_path=gateway"
    ) as conn:
        assert conn.execute(change).rowcount == 1
    difference = last(gateway.verify())["first_difference"]
    assert (difference["view"], difference["field"]) == ("gifts", field)


def test_an_event_of_a_gift_that_nobody_requested_waits_with_its_sender_alone(
    gateway: Gateway, log: GiftingLog
) -> None:
    life = Life(log)
    life.tell(GiftAccepted, "dan", gift_id="none", receiver="ann", hold_id="h")
    life.request("g5", "dan", "ann")
    life.request("g6", "ann", "dan")
    follow(gateway, log)
    parked, _ = gateway.parked("gifts")
    assert [(row["account"], row["attempts"]) for row in parked] == [("dan", 5), ("dan", 0)]
    assert "g6" in {key[0] for key in stored_rows(gateway, GiftsView(CALENDAR))["gifts"]}


def test_the_ledgers_views_are_rebuilt_and_read_while_gifting_is_away(
    gateway: Gateway, log: GiftingLog
) -> None:
    follow(gateway, log)
    log.away = True
    last(gateway.rebuild("balances"))
    assert gateway.balance("ann")["available_bytes"] == 30 * MIB

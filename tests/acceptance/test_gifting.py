"""Two thousand gifts and fifty red packets of a real month, while everything dies five times."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from infra.cli.client import Service, gifting_of, ledger_of
from tests.acceptance.crowd import FINAL, PACKET_BYTES, SHARES, Crowd
from tests.acceptance.real_month import (
    ACCOUNTS,
    CLOCK,
    IMPORT,
    real_people,
    require_real_month,
)
from tests.acceptance.steps import POLL_S, kill, wait_until_ready
from tests.support.bank import LocalBank, wait_until
from tests.support.rabbit import Broker

SEED = 20150801
ROUNDS = 5
GIFTS, WAITING, PACKETS = 2_000, 240, 50
COMPLETED_MIN = 1_500
CLIENTS = 8
END_S = 90.0
CHECKS_MAX = 1_000
# The built-in rules, but for fees: what they take must be found again, too.
RULES = [
    {
        "version": 1, "effective_from": "2000-01-01T00:00:00",
        "gifts": {"fee": {"mode": "percent", "percent": 1, "payer": "sender"}},
        "red_packets": {"fee": {"mode": "fixed", "bytes": 1_000}},
    }
]  # fmt: skip
FEES = "operator:fees"

pytestmark = pytest.mark.slow

Task = Callable[[], None]
Document = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def real_month() -> None:
    """Without the data there is nothing to test."""
    require_real_month()


@pytest.fixture
def bank(
    make_local_bank: Callable[..., LocalBank], private_broker: Broker, tmp_path: Path
) -> LocalBank:
    """A bank over RabbitMQ that has lived through the real month."""
    rules = tmp_path / "gifting-rules.json"
    rules.write_bytes(orjson.dumps(RULES))
    made = make_local_bank(AMQP_URL=private_broker.url, GIFTING_RULES_FILE=str(rules))
    made.up("--clock", CLOCK)
    made.json(*IMPORT)
    return made


class Deaths:
    """Kills with SIGKILL, and counts."""

    def __init__(self, bank: LocalBank, broker: Broker) -> None:
        self._bank = bank
        self._broker = broker
        self.counts: Counter[str] = Counter()

    def of(self, name: str) -> Task:
        """Return what kills a service, web process and worker, or the broker."""
        return self._kill_broker if name == "broker" else partial(self._kill_service, name)

    def _kill_service(self, name: str) -> None:
        both = {f"{name}-web", f"{name}-worker"}
        wait_until(lambda: both <= set(self._bank.living().values()), END_S, f"{name} lives")
        kill(self._bank, name)
        self.counts[name] += 1

    def _kill_broker(self) -> None:
        self._broker.kill()
        self.counts["broker"] += 1
        self._broker.start()


def live(crowd: Crowd, deaths: Deaths) -> None:
    """Let the crowd do everything, round by round; in each round everything is killed once."""
    dice = Random(SEED)
    # Packets are claimed in the round after that in which they were made.
    makers = [[], *(crowd.makers[number :: ROUNDS - 1] for number in range(ROUNDS - 1)), []]
    for number in range(ROUNDS):
        claims = [
            partial(crowd.claim, maker, claimant)
            for maker in makers[number]
            for claimant in crowd.claimants[maker]
        ]
        tasks: list[Task] = [
            *(partial(crowd.give, wish) for wish in crowd.wishes[number::ROUNDS]),
            *(partial(crowd.go_on, gift) for gift in crowd.to_go_on()),
            *(partial(crowd.make_packet, maker) for maker in makers[number + 1]),
            *claims,
            *(deaths.of(name) for name in ("ledger", "gifting", "broker")),
        ]
        dice.shuffle(tasks)
        do_all(tasks)


def do_all(tasks: Iterable[Task]) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()


def settle(crowd: Crowd) -> None:
    """Go on with what waits for somebody until nothing moves but what is forgotten, in time."""
    forgotten = {sender for sender, ending in crowd.endings.items() if ending == "forget"}
    deadline = time.monotonic() + END_S
    while True:
        do_all(partial(crowd.go_on, gift) for gift in crowd.to_go_on())
        moving = [each for each in crowd.packets() if not each["final"]] + [
            each
            for each in crowd.gifts()
            if each["state"] not in FINAL
            and not (each["state"] == "held" and each["sender"] in forgotten)
        ]
        if not moving:
            return
        assert time.monotonic() < deadline, f"{len(moving)} don't end, the first: {moving[:3]}"
        time.sleep(POLL_S)


def usable_bytes(ledger: Service, people: list[str]) -> dict[str, int]:
    """Return what the ledger says everybody can use now; who has no account is left out."""
    found = {}
    for start in range(0, len(people), CHECKS_MAX):
        checks = [
            {"account": one, "bytes": 1, "purpose": "red_packet"}
            for one in people[start : start + CHECKS_MAX]
        ]
        answers = ledger.post("/v1/gift-checks", {"gifts": checks}).body["checks"]
        for one, answer in zip(people[start:], answers, strict=False):
            if answer["sender"] is not None:
                found[one] = answer["sender"]["available_bytes"]
    return found


def changes_of(gifts: list[Document], packets: list[Document]) -> Counter[str]:
    """Return by how much each balance must have changed, by what gifting tells."""
    changes: Counter[str] = Counter()
    for gift in gifts:
        if gift["state"] == "completed":
            changes[gift["sender"]] -= gift["bytes"] + gift["fee"]["bytes"]
            changes[gift["receiver"]] += gift["bytes"]
            changes[FEES] += gift["fee"]["bytes"]
    for packet in packets:
        # Every share is taken, so that the whole fee has gone with them.
        changes[packet["sender"]] -= packet["fee"]["bytes"]
        changes[FEES] += packet["fee"]["bytes"]
        for share in packet["claims"]:
            changes[packet["sender"]] -= share["bytes"]
            changes[share["receiver"]] += share["bytes"]
    return changes


@pytest.mark.timeout(600)
def test_every_gift_and_packet_of_a_real_month_ends_and_not_a_byte_is_lost(
    bank: LocalBank, private_broker: Broker
) -> None:
    deaths = Deaths(bank, private_broker)
    with gifting_of(bank.bank) as gifting, ledger_of(bank.bank) as ledger:
        before = usable_bytes(ledger, real_people())
        assert len(before) == ACCOUNTS
        crowd = Crowd(
            gifting, ledger, list(before), SEED, gifts=GIFTS, waiting=WAITING, packets=PACKETS
        )
        began = time.monotonic()
        live(crowd, deaths)
        settle(crowd)
        took_s = time.monotonic() - began

        wait_until_ready(bank)
        bank.done("clock", "advance", "73h")
        wait_until(lambda: not crowd.gifts(state="held"), END_S, "the forgotten gifts are back")
        gifts, packets = crowd.gifts(), crowd.packets()
        after = usable_bytes(ledger, list(before))

    tell(gifts, packets, crowd, deaths, took_s)
    assert deaths.counts == {"ledger": ROUNDS, "gifting": ROUNDS, "broker": ROUNDS}
    assert_ends(crowd, gifts, packets)
    assert_books(bank, changes_of(gifts, packets), before, after, set(crowd.leavers))


def tell(
    gifts: list[Document], packets: list[Document], crowd: Crowd, deaths: Deaths, took_s: float
) -> None:
    ends = Counter(f"{each['state']} {each['code'] or ''}".strip() for each in gifts)
    shares = sum(share["state"] == "delivered" for each in packets for share in each["claims"])
    print(  # noqa: T201 The counts are what this test is for.
        f"\n{len(gifts)} gifts in {took_s:.0f} s, told as {dict(crowd.told)}: {dict(ends)}\n"
        f"{len(packets)} packets: {dict(Counter(each['state'] for each in packets))},"
        f" {shares} shares, turned away: {dict(crowd.turned_away)}\nkilled: {dict(deaths.counts)}"
    )


def assert_ends(crowd: Crowd, gifts: list[Document], packets: list[Document]) -> None:
    """Each gift and packet has come to its end, with a reason where it is not what was wanted."""
    assert {each["sender"] for each in gifts} == {each["sender"] for each in crowd.wishes}
    assert len(gifts) == GIFTS
    assert {each["state"] for each in gifts} == FINAL
    assert all(each["code"] for each in gifts if each["state"] != "completed")
    assert sum(each["state"] == "completed" for each in gifts) >= COMPLETED_MIN
    returned = {"accept": None, "decline": "declined", "cancel": "cancelled",
                "leave": "account_closed", "forget": "timed_out"}  # fmt: skip
    for each in gifts:
        if each["code"] != "denied_by_operator":
            assert each["code"] == returned[crowd.endings.get(each["sender"], "accept")], each

    assert {each["sender"] for each in packets} == set(crowd.makers)
    assert len(packets) == PACKETS
    for packet in packets:
        assert (packet["state"], packet["cause"]) == ("ended", "all_claimed")
        assert (packet["delivered_bytes"], packet["returned_bytes"]) == (PACKET_BYTES, 0)
        assert len({share["receiver"] for share in packet["claims"]}) == SHARES
        assert sum(share["bytes"] for share in packet["claims"]) == PACKET_BYTES


def assert_books(
    bank: LocalBank, changes: Counter[str], before: dict[str, int], after: dict[str, int],
    left: set[str],
) -> None:  # fmt: skip
    """What everybody has is what they had, less what they gave, and with what they got."""
    expected = {one: held + changes[one] for one, held in before.items() if one not in left}
    assert {one: after[one] for one in expected} == expected
    assert bank.json("balance", FEES)["available_bytes"] == changes[FEES] > 0
    totals = bank.json("totals")
    assert (totals["in_transit"], totals["held"], totals["balanced"]) == (0, 0, True)
    assert bank.json("parked")["parked"] == []
    assert bank.json("verify")["ok"]

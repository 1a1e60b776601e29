"""A whole bank over each transport: whatever is killed, gifts and packets end, the books agree."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event, Thread
from typing import Any

import pytest

from infra.cli.client import Service, gifting_of, ledger_of
from infra.cli.output import CliError
from tests.support.bank import LocalBank, wait_until

MIB = 1 << 20
NOON = "2015-09-01T12:00"
PEOPLE = [f"person-{number}" for number in range(60)]
GIFTS_EACH = 2
PACKETS = 5
SHARES = 10
CLIENTS = 8
KILLED = ("gifting-web", "ledger-worker", "gifting-worker", "ledger-web")
KILL_EVERY_S = 1.5
END_S = 90.0
FINAL = {"completed", "refused", "returned"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["log", "rabbitmq"])
def bank(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalBank]:
    """A bank over one of the transports, with people who may give."""
    broker = request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else ""
    environment = {"AMQP_URL": broker} if broker else {}
    local = LocalBank(tmp_path_factory.mktemp("gifting") / "state", environment)
    try:
        local.up("--clock", NOON)
        with ledger_of(local.bank) as ledger:
            opened = ledger.post("/v1/commands", {"commands": [opening(one) for one in PEOPLE]})
        assert {each["status"] for each in opened.body["outcomes"]} == {"done"}
        yield local
    finally:
        local.erase()


def opening(account: str) -> dict[str, str]:
    return {
        "type": "open_account", "key": "open", "account": account, "plan": "std-1gb",
        "active_from": "2015-08",
    }  # fmt: skip


def give(gifting: Service, number: int) -> str | None:
    """Give something by chance; return the gift's id, None where it was refused."""
    dice = Random(number)
    sender = PEOPLE[number % len(PEOPLE)]
    receiver = dice.choice([one for one in PEOPLE if one != sender])
    terms = {
        "sender": sender, "receiver": receiver, "bytes": dice.randrange(10, 30) * MIB,
        "confirmed": True, "waits": dice.random() < 0.3,
    }  # fmt: skip
    try:
        answer = gifting.write("/v1/gifts", terms, {"Idempotency-Key": f"gift-{number}"})
    except CliError as error:
        if error.code in {"receiver_gifts_limit", "receiver_senders_limit"}:
            return None
        raise
    return str(answer.body["gift_id"])


def take_part(gifting: Service, number: int) -> None:
    """Make a packet, and let more people claim than it has shares."""
    dice = Random(number)
    sender = PEOPLE[number]
    terms = {"sender": sender, "bytes": 20 * MIB, "shares": SHARES}
    headers = {"Idempotency-Key": f"packet-{number}"}
    made = gifting.write("/v1/red-packets", terms, headers | {"Prefer": "wait=10"}).body
    path = f"/v1/red-packets/{made['token']}"
    wait_until(lambda: gifting.get(path)["state"] == "open", END_S, "the packet is open")
    crowd = dice.sample([one for one in PEOPLE if one != sender], SHARES + 2)
    codes = Counter(claimed(gifting, path, one) for one in crowd)
    assert set(codes) <= {"", "packet_empty", "shares_day_limit"}


def claimed(gifting: Service, path: str, who: str) -> str:
    try:
        headers = {"Idempotency-Key": f"claim-{who}-{path}"}
        gifting.write(f"{path}/claim", {"receiver": who}, headers)
    except CliError as error:
        return error.code
    return ""


def kill(bank: LocalBank, stop: Event, killed: Counter[str]) -> None:
    """Kill one process after the other until told to stop, but each once at least."""
    while True:
        for name in KILLED:
            if stop.wait(KILL_EVERY_S) and len(killed) == len(KILLED):
                return
            if pid := bank.pids().get(name):
                os.kill(pid, signal.SIGKILL)
                killed[name] += 1


def settle_waiting(gifting: Service, gifts: list[str]) -> list[dict[str, Any]]:
    """Accept or decline what waits; return the gifts that have not ended."""
    left = []
    for gift_id in gifts:
        gift = gifting.get(f"/v1/gifts/{gift_id}")
        if gift["state"] == "held":
            verb = "decline" if int(gift_id, 16) % 4 == 0 else "accept"
            headers = {"Idempotency-Key": f"{verb}-{gift_id}"}
            gifting.write(f"/v1/gifts/{gift_id}/{verb}", {"account": gift["receiver"]}, headers)
        if gift["state"] == "delayed":
            headers = {"Idempotency-Key": f"release-{gift_id}"}
            gifting.write(f"/v1/gifts/{gift_id}/release", {"reason": "a test"}, headers)
        if gift["state"] not in FINAL:
            left.append(gift)
    return left


def test_whatever_is_killed_everything_ends_and_the_books_agree(bank: LocalBank) -> None:
    stop = Event()
    killed: Counter[str] = Counter()
    killer = Thread(target=kill, args=(bank, stop, killed))
    with gifting_of(bank.bank) as gifting:
        killer.start()
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                packets = [pool.submit(take_part, gifting, each) for each in range(PACKETS)]
                numbers = range(GIFTS_EACH * len(PEOPLE))
                asked = list(pool.map(lambda each: give(gifting, each), numbers))
                for packet in packets:
                    packet.result()
            gifts = [each for each in asked if each is not None]
            wait_until(lambda: not settle_waiting(gifting, gifts), END_S, "every gift has ended")
        finally:
            stop.set()
            killer.join()
        wait_until(bank.is_ready, END_S, "the bank is ready again")
        assert len(gifts) > GIFTS_EACH * len(PEOPLE) * 0.9
        ended = [gifting.get(f"/v1/gifts/{each}") for each in gifts]

    bank.done("clock", "advance", "25h")
    with gifting_of(bank.bank) as gifting:

        def all_ended() -> bool:
            found = gifting.get("/v1/red-packets", limit="100")["red_packets"]
            return len(found) == PACKETS and all(each["final"] for each in found)

        wait_until(all_ended, END_S, "every packet has ended")
        packets_ended = gifting.get("/v1/red-packets")["red_packets"]

    assert Counter(each["state"] for each in ended)["refused"] == 0
    assert all(each["code"] for each in ended if each["state"] != "completed")
    given = sum(each["bytes"] for each in ended if each["state"] == "completed")
    shared = sum(each["delivered_bytes"] for each in packets_ended)
    for each in packets_ended:
        assert each["delivered_bytes"] + each["returned_bytes"] == each["bytes"]
    totals = bank.json("totals")
    assert (totals["in_transit"], totals["held"], totals["balanced"]) == (0, 0, True)
    assert totals["received"] == given + shared
    assert bank.json("verify")["ok"]
    assert bank.json("parked")["parked"] == []

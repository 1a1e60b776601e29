"""The five modes of 定向流量统付 on the real month, each by a file and with another partner.

Nothing but the files in docs/examples/campaigns tells the modes apart: whom a partner pays for
(anyone, listed members) and what (everything, up to a cap, a fixed grant, a shared pool).
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from infra.cli.client import Service, ledger_of, tasks_of
from infra.cli.files import read_document
from infra.cli.output import CliError
from infra.cli.usage_file import HOST, UsageFile, UsageRow
from shared.calendar import Calendar
from shared.contracts.ledger import DataReceived
from shared.ids import quota_of
from tests.acceptance.real_month import CLOCK, FILES, IMPORT, require_real_month
from tests.acceptance.steps import do, kill, wait_until_ready
from tests.support.bank import LocalBank, wait_until

pytestmark = pytest.mark.timeout(900)
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "campaigns"
MODES = {int(file.name[5]): file for file in sorted(EXAMPLES.glob("mode-*.yaml"))}
CALENDAR = Calendar("Asia/Shanghai")
AUGUST = CALENDAR.parse("2015-08-01"), CALENDAR.parse("2015-09-01")
GIB, MIB = 1 << 30, 1 << 20
PARTITIONS = 2
CLUB = 200
SETTLE_S = 60.0


class Mode(NamedTuple):
    """A mode's file, and what its partner's hosts were used for in August, by subscriber."""

    number: int
    terms: dict[str, Any]
    used: Counter[str]

    @property
    def name(self) -> str:
        name: str = self.terms["campaign"]
        return name


def accepted() -> Iterator[UsageRow]:
    """Yield the month's records that can be charged, each once."""
    seen: set[str] = set()
    for path in FILES:
        with UsageFile(Path(path)) as file:
            for row in file.rows(ZoneInfo("Asia/Shanghai")):
                if isinstance(row, UsageRow) and row.usage_id not in seen:
                    seen.add(row.usage_id)
                    yield row


@pytest.fixture(scope="module")
def modes() -> dict[int, Mode]:
    """The five files, with what the real month holds for each."""
    require_real_month()
    found = {each: Mode(each, read_document(file), Counter()) for each, file in MODES.items()}
    for row in accepted():
        host = row.columns[HOST].lower()
        for mode in found.values():
            hosts = mode.terms.get("offer", {}).get("hosts", [])
            if AUGUST[0] <= row.occurred_at < AUGUST[1] and any(
                host == each or host.endswith(f".{each}") for each in hosts
            ):
                mode.used[row.subscriber] += row.bytes
    return found


@pytest.fixture(scope="module")
def members(modes: dict[int, Mode]) -> dict[int, list[str]]:
    """Whom the lists of modes 3 to 5 hold: every other user of Taobao, a club, JD's users."""
    people = sorted({who for mode in modes.values() for who in mode.used})
    return {3: sorted(modes[3].used)[::2], 4: people[:CLUB], 5: sorted(modes[5].used)}


@pytest.fixture(scope="module")
def bank(
    tmp_path_factory: pytest.TempPathFactory, modes: dict[int, Mode], members: dict[int, list[str]]
) -> Iterator[LocalBank]:
    """A bank that has lived through August with the five campaigns, then imported its usage."""
    folder = tmp_path_factory.mktemp("five-modes")
    bank = LocalBank(folder / "bank", {"LEDGER_PARTITIONS": str(PARTITIONS)})
    try:
        bank.up("--clock", "2015-07-31T12:00:00+08:00")
        listed = sorted({who for each in members.values() for who in each})
        do(bank, [opening(who) for who in listed])
        for mode in modes.values():
            launch(bank, folder, mode, members.get(mode.number))
        bank.done("clock", "set", "2015-08-01T00:01:00+08:00")
        grants_are_given(bank, members[4])
        bank.done("clock", "set", CLOCK)
        yield bank
    finally:
        bank.erase()


def opening(who: str) -> dict[str, Any]:
    """Open an account before its list is imported; the usage's import finds it there."""
    return {
        "key": "open", "type": "open_account", "account": who, "plan": "std-30mb",
        "active_from": "2015-07",
    }  # fmt: skip


def launch(bank: LocalBank, folder: Path, mode: Mode, people: list[str] | None) -> None:
    """Bring a campaign from its file to running, as an operator does."""
    partner, app = mode.terms["partner"], mode.terms["asp_id"]
    with tasks_of(bank.bank) as tasks:
        write(tasks, "/v1/partners", {"partner": partner, "sponsor_id": f"S-{partner}"})
        write(tasks, f"/v1/partners/{partner}/apps", {"asp_id": app})
        write(tasks, f"/v1/partners/{partner}/purchases", {"bytes": 4 * GIB})
        if people is not None:
            import_members(bank, folder / f"{mode.name}.csv", mode, people)
        bank.done("campaign", "draft", str(MODES[mode.number]))
        write(tasks, f"/v1/campaigns/{mode.name}/approve", {})
        budget = mode.terms.get("budget", {})
        if not budget.get("unlimited"):
            amount = str(budget.get("total_bytes", 3 * GIB))
            bank.done("campaign", "fund", mode.name, amount)
    bank.done("campaign", "start", mode.name)


def write(tasks: Service, path: str, body: dict[str, Any]) -> None:
    """Send a write that must succeed."""
    tasks.write(path, body, {"Idempotency-Key": uuid4().hex})


def import_members(bank: LocalBank, file: Path, mode: Mode, people: list[str]) -> None:
    """Import a list with two bad rows besides."""
    file.write_text("subscriber\n" + "\n".join([*people, "nobody at all", people[0]]) + "\n")
    told = bank.json("members", "import", mode.terms["audience"]["list"], str(file))
    assert told["taken"] == len(people)
    assert [each["reason"] for each in told["rejected"]] == ["bad_number", "duplicate"]


def grants_are_given(bank: LocalBank, people: list[str]) -> None:
    """Wait for the club's grants of August, while tasks is killed in the middle of them."""
    with ledger_of(bank.bank) as ledger:
        wait_until(lambda: bool(packs_of(ledger, people[0])), SETTLE_S, "a grant is there")
        kill(bank, "tasks")
        wait_until_ready(bank)
        last = people[-1]
        wait_until(lambda: len(packs_of(ledger, last)) == 2, SETTLE_S, "all have theirs")


def day(at: int) -> str:
    return CALENDAR.text(at)[:10]


def packs_of(ledger: Service, who: str) -> list[dict[str, Any]]:
    """Return the packs that a subscriber ever got, with their terms, used up or not."""
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = ledger.get(f"/v1/accounts/{who}/events", after=str(after), limit="500")
        for event in page["events"]:
            if event["type"] == DataReceived.TYPE:
                found += [lot for lot in event["data"]["lots"] if lot["kind"] == "pack"]
        after = page["next_after"]
    return found


@pytest.fixture(scope="module")
def imported(bank: LocalBank) -> Any:
    """What the import of the month says."""
    return bank.json(*IMPORT, timeout=300)


def charged(bank: LocalBank, mode: Mode) -> int:
    """Return what a campaign's quotas were charged with, over all partitions."""
    with ledger_of(bank.bank) as ledger:
        return sum(
            spent(ledger, quota_of(f"campaign:{mode.name}", each)) for each in range(PARTITIONS)
        )


def spent(ledger: Service, quota: str) -> int:
    """Return what a quota paid; one that was never needed does not exist."""
    try:
        return int(ledger.get(f"/v1/accounts/{quota}")["state"].get("spent", 0))
    except CliError as error:
        if error.code != "account_not_found":
            raise
        return 0


def test_mode_1_pays_for_everything_that_anybody_does_there(bank, imported, modes) -> None:
    assert imported["accepted"] == 212_979
    assert sum(modes[1].used.values()) > 100 * MIB
    assert charged(bank, modes[1]) == sum(modes[1].used.values())


def test_mode_2_pays_for_anybody_up_to_the_cap_and_the_user_goes_on(bank, imported, modes) -> None:
    cap = modes[2].terms["offer"]["caps"]["per_subscriber_bytes"]
    used = modes[2].used
    assert any(amount > cap for amount in used.values())
    assert charged(bank, modes[2]) == sum(min(amount, cap) for amount in used.values())


def test_mode_3_pays_for_everything_of_its_members_and_of_nobody_else(
    bank, imported, modes, members
) -> None:
    of_members = sum(modes[3].used[who] for who in members[3])
    assert charged(bank, modes[3]) == of_members < sum(modes[3].used.values())


def test_mode_4_gives_each_member_its_lots_once_a_cycle(bank, imported, modes, members) -> None:
    with ledger_of(bank.bank) as ledger:
        member = members[4][0]
        wait_until(lambda: len(packs_of(ledger, members[4][-1])) == 3, SETTLE_S, "September")
        lots = [packs_of(ledger, who) for who in members[4]]
        outsider = next(who for who in sorted(modes[1].used) if who not in members[4])
        assert packs_of(ledger, outsider) == []
        spans = sorted(
            (lot["granted"], day(lot["valid_from"])[:7], day(lot["expires_at"]))
            for lot in packs_of(ledger, member)
        )  # fmt: skip
    assert {len(each) for each in lots} == {3}
    assert spans == [
        (MIB, "2015-09", "2015-11-01"),
        (5 * MIB, "2015-08", "2015-09-01"),
        (5 * MIB, "2015-09", "2015-10-01"),
    ]


def test_mode_4s_packs_beside_the_grants_are_ordered_and_issued(bank, imported, members) -> None:
    bank.done("pack", "publish", str(EXAMPLES.parent / "packs" / "month-500mb.json"))
    order = bank.json("order", "make", "kugou", "month-500mb", "1")["order_id"]
    assert "order_not_paid" in bank.run("pack", "issue", order, members[4][0]).stderr
    bank.done("order", "pay", order)
    assert bank.json("pack", "issue", order, members[4][0])["issued"] == 1
    with ledger_of(bank.bank) as ledger:
        wait_until(lambda: len(packs_of(ledger, members[4][0])) == 4, SETTLE_S, "the pack")


def test_mode_5_shares_its_pool_and_no_member_passes_its_limit(
    bank, imported, modes, members
) -> None:
    cap = modes[5].terms["offer"]["caps"]["per_subscriber_bytes"]
    wanted = sum(min(modes[5].used[who], cap) for who in members[5])
    total = modes[5].terms["budget"]["total_bytes"]
    assert wanted > total
    assert charged(bank, modes[5]) == total


def test_a_pool_that_grows_has_a_share_for_each_member(bank, imported, members, tmp_path) -> None:
    pack = {
        "name": "jd-family", "kind": "pool", "bytes": 1000, "grows_with": "jd-members",
        "prices": [{"from_day": "2015-08-01", "fen": 1}],
    }  # fmt: skip
    (tmp_path / "pack.json").write_text(json.dumps(pack))
    bank.done("pack", "publish", str(tmp_path / "pack.json"))
    order = bank.json("order", "make", "jd", "jd-family", "1")["order_id"]
    pool = bank.json("order", "pay", order)["pool_id"]
    whole = 1000 * (1 + len(members[5]))
    with tasks_of(bank.bank) as tasks:
        wait_until(
            lambda: tasks.get(f"/v1/pools/{pool}")["total_bytes"] == whole, SETTLE_S, "it has grown"
        )


def test_what_was_used_is_what_lots_nobody_and_the_partners_paid_for(bank, imported, modes) -> None:
    paid = sum(charged(bank, mode) for mode in modes.values() if mode.number != 4)
    assert imported["sponsored_bytes"] == paid
    whole = imported["spent_bytes"] + imported["unfunded_bytes"] + imported["sponsored_bytes"]
    assert imported["used_bytes"] == whole == 3_614_682_928

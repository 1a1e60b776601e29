"""A crowd that gives, shares, accepts and claims over HTTP as clients do that never give up.

Who does what is decided by a seed. Every write has a key of its own and is repeated with it while
a service is away or a connection is lost.
"""

from collections import Counter
from random import Random
from typing import Any

from infra.cli.client import Service
from infra.cli.output import CliError
from tests.support.bank import wait_until

MIB = 1 << 20
PAGE = 200
PATIENCE_S = 60.0
SMALLEST, LARGEST = 10, 15
PACKET_BYTES, SHARES = 20 * MIB, 20
# More than there are shares, so that somebody is always too late.
CLAIMANTS = 24
TOO_LATE = {"packet_empty", "shares_day_limit"}
FINAL = {"completed", "refused", "returned"}
# What becomes of gifts that wait: one in so many of each; `leave`: the receiver closes its account
# before it accepts; `forget`: nobody does anything until the deadline.
ENDINGS = ("accept", "accept", "decline", "cancel", "leave", "forget")

Document = dict[str, Any]


class Crowd:
    """What everybody wants, and does once a gift or packet is there."""

    def __init__(
        self, gifting: Service, ledger: Service, people: list[str], seed: int, *,
        gifts: int, waiting: int, packets: int,
    ) -> None:  # fmt: skip
        self._gifting = gifting
        self._ledger = ledger
        dice = Random(seed)
        order = dice.sample(people, len(people))
        leavers = -(-waiting // len(ENDINGS))
        self.leavers, stayers = order[:leavers], order[leavers:]
        self.makers = stayers[gifts : gifts + packets]
        self.wishes = [self._wish(dice, giver, stayers) for giver in stayers[:gifts]]
        self.endings = {
            wish["sender"]: ENDINGS[number % len(ENDINGS)]
            for number, wish in enumerate(self.wishes[:waiting])
        }
        for number, wish in enumerate(self.wishes[:waiting]):
            wish["waits"] = True
            if self.endings[wish["sender"]] == "leave":
                wish["receiver"] = self.leavers[number // len(ENDINGS)]
        self.claimants = {
            maker: dice.sample([one for one in stayers if one != maker], CLAIMANTS)
            for maker in self.makers
        }
        # Told to who made the packet, and by it to everybody.
        self.tokens: dict[str, str] = {}
        self.turned_away: Counter[str] = Counter()
        # In which state a gift was when its sender was answered.
        self.told: Counter[str] = Counter()

    def _wish(self, dice: Random, giver: str, people: list[str]) -> Document:
        receiver = giver
        while receiver == giver:
            receiver = dice.choice(people)
        amount = dice.randint(SMALLEST, LARGEST) * MIB
        return {
            "sender": giver, "receiver": receiver, "bytes": amount, "waits": False,
            "confirmed": True,
        }  # fmt: skip

    def give(self, wish: Document) -> None:
        """Give."""
        answer = self._write("/v1/gifts", wish, f"gift-{wish['sender']}")
        self.told[answer["state"]] += 1

    def make_packet(self, maker: str) -> None:
        """Make a red packet, and tell everybody its link."""
        terms = {"sender": maker, "bytes": PACKET_BYTES, "shares": SHARES}
        self.tokens[maker] = self._write("/v1/red-packets", terms, f"packet-{maker}")["token"]

    def claim(self, maker: str, claimant: str) -> None:
        """Take a share, as soon as the packet is open; some are too late."""
        path = f"/v1/red-packets/{self.tokens[maker]}"
        wait_until(lambda: self._is_open(path), PATIENCE_S, f"the packet of {maker} is open")
        try:
            self._write(f"{path}/claim", {"receiver": claimant}, f"claim-{maker}-{claimant}")
        except CliError as error:
            if error.code not in TOO_LATE:
                raise
            self.turned_away[error.code] += 1

    def _is_open(self, path: str) -> bool:
        return self._read(path)["state"] not in ("requested", "offered")

    def go_on(self, gift: Document) -> None:
        """Do what is to be done about a gift that waits for somebody."""
        ending, path = self.endings.get(gift["sender"], ""), f"/v1/gifts/{gift['gift_id']}"
        if gift["state"] == "delayed":
            verb = "deny" if int(gift["gift_id"], 16) % 2 else "release"
            self._write(f"{path}/{verb}", {"reason": "looked at"}, f"{verb}-{gift['gift_id']}")
        elif gift["state"] == "held" and ending != "forget":
            if ending == "leave":
                self._close(gift["receiver"])
            verb = "accept" if ending == "leave" else ending
            account = gift["sender" if verb == "cancel" else "receiver"]
            self._write(f"{path}/{verb}", {"account": account}, f"{verb}-{gift['gift_id']}")

    def _close(self, account: str) -> None:
        command = {"key": "leave", "type": "close_account", "account": account, "reason": "left"}
        outcome = self._ledger.post("/v1/commands", {"commands": [command]}).body["outcomes"][0]
        assert outcome["status"] == "done", outcome

    def gifts(self, **query: str) -> list[Document]:
        """Return all gifts as they are now."""
        return self._all("/v1/gifts", "gifts", query)

    def packets(self) -> list[Document]:
        """Return all red packets as they are now."""
        return self._all("/v1/red-packets", "red_packets", {})

    def to_go_on(self) -> list[Document]:
        """Return the gifts for which somebody should do something."""
        held = self.gifts(state="held")
        return self.gifts(state="delayed") + [
            each for each in held if self.endings.get(each["sender"]) != "forget"
        ]

    def _all(self, path: str, name: str, query: dict[str, str]) -> list[Document]:
        answer = self._read(path, limit=str(PAGE), **query)
        found: list[Document] = answer[name]
        while answer["next_after"] is not None:
            answer = self._read(path, limit=str(PAGE), after=answer["next_after"], **query)
            found += answer[name]
        return found

    def _read(self, path: str, **query: str) -> Document:
        found: Document = {}

        def answered() -> bool:
            try:
                found.update(self._gifting.get(path, **query))
            except CliError as error:
                if error.code not in ("busy", "unavailable"):
                    raise
                return False
            return True

        wait_until(answered, PATIENCE_S, f"gifting answers {path}")
        return found

    def _write(self, path: str, terms: Document, key: str) -> Document:
        answer: Document = self._gifting.write(path, terms, {"Idempotency-Key": key}).body
        return answer

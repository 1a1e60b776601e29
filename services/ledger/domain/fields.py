"""The fields of commands: what each may be, and how that is said in words."""

from typing import Annotated

from msgspec import Meta

from shared.mistakes import shaped

# A plain `$` also matches before a line break at the end.
END = r"$(?!\n)"
# PostgreSQL's text and jsonb take no NUL: an event with one could not even be parked.
ONE_LINE = rf"^[^\x00-\x1f\x7f]*{END}"
NO_NUL = r"^[^\x00]*$"
LINE_WORDS = "one line without control characters"
NAME_WORDS = "the name of 1 to 64 letters, digits or . _ -"
DIGITS_WORDS = "32 hexadecimal digits such as 0123456789abcdef0123456789abcdef"

Key = Annotated[
    str,
    shaped(
        ONE_LINE,
        LINE_WORDS,
        min_length=1,
        max_length=128,
        description="the caller's key: a repeat does nothing twice",
    ),
]
SubscriberId = Annotated[
    str,
    shaped(
        rf"^[A-Za-z0-9_-]{{1,64}}{END}",
        "1 to 64 letters, digits, _ or -, such as a50e2f674b137b04",
        description="a subscriber",
    ),
]
PartnerId = Annotated[
    str,
    shaped(
        rf"^partner:[A-Za-z0-9._-]{{1,64}}{END}",
        f"partner:NAME such as partner:didi, {NAME_WORDS}",
        description="a partner, partner:NAME",
    ),
]
CampaignId = Annotated[
    str,
    shaped(
        rf"^campaign:[A-Za-z0-9._-]{{1,64}}{END}",
        f"campaign:NAME such as campaign:didi-august, {NAME_WORDS}",
        description="a campaign, campaign:NAME",
    ),
]
AccountId = Annotated[
    str,
    shaped(
        rf"^((partner|campaign):[A-Za-z0-9._-]{{1,64}}|[A-Za-z0-9_-]{{1,64}}){END}",
        "1 to 64 letters, digits, _ or - for a subscriber such as a50e2f674b137b04,"
        " partner:NAME or campaign:NAME",
        description="a subscriber, or partner:NAME, or campaign:NAME",
    ),
]
Month = Annotated[
    str,
    shaped(
        rf"^[0-9]{{4}}-(0[1-9]|1[0-2]){END}",
        "a month such as 2015-08",
        description="a calendar month, YYYY-MM",
    ),
]
Time = Annotated[str, Meta(max_length=40, description="ISO 8601; without a zone it is the bank's")]
HoldId = Annotated[
    str,
    shaped(
        rf"^[0-9a-f]{{32}}{END}",
        DIGITS_WORDS,
        description="the `hold_id` that the hold's result names",
    ),
]
TransferId = Annotated[
    str,
    shaped(
        rf"^[0-9a-f]{{32}}{END}",
        DIGITS_WORDS,
        description="the `transfer_id` that its result names",
    ),
]
Purpose = Annotated[str, shaped(rf"^(gift|red_packet){END}", "gift or red_packet")]
Reason = Annotated[
    str, shaped(NO_NUL, "text without the character NUL", min_length=1, max_length=500)
]

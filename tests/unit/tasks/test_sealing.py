"""Seals: opened with any of the keys, made with the newest, bound to whose secret it is."""

import pytest

from services.tasks.sealing import Sealer
from shared.errors import UnavailableError

ONE, TWO = "one-key-of-chance-enough-for-a-test", "another-key-of-chance-enough-for-it"
SECRET = bytes(range(32))


def test_a_secret_is_opened_with_any_key_and_sealed_with_the_newest():
    sealed = Sealer([ONE]).seal("key_1", SECRET)
    assert SECRET not in sealed
    both = Sealer([TWO, ONE])
    assert both.open("key_1", sealed) == SECRET
    assert (both.is_newest("key_1", sealed), Sealer([ONE]).is_newest("key_1", sealed)) == (
        False, True,
    )  # fmt: skip
    assert Sealer([TWO]).open("key_1", both.seal("key_1", SECRET)) == SECRET


def test_what_was_sealed_for_another_key_or_by_a_lost_one_opens_nothing():
    sealed = Sealer([ONE]).seal("key_1", SECRET)
    for sealer, key_id, stored in (
        (Sealer([ONE]), "key_2", sealed),
        (Sealer([TWO]), "key_1", sealed),
        (Sealer([ONE]), "key_1", sealed[:-4] + b"AAA="),
    ):
        with pytest.raises(UnavailableError, match="TASKS_SEALING_KEYS"):
            sealer.open(key_id, stored)


@pytest.mark.parametrize("keys", [[], [""], [ONE, "short"]])
def test_without_good_keys_nothing_starts(keys):
    with pytest.raises(ValueError, match="TASKS_SEALING_KEYS"):
        Sealer(keys)

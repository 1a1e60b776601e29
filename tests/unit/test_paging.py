"""Cursors say where a page ended, and only for their own list."""

import pytest

from shared.errors import InvalidError
from shared.paging import cursor_of, page_of, parts_of


def test_a_cursor_gives_back_its_parts() -> None:
    for parts in (("partner:a", "2015-08-10", 7), ("", "", 0), ("ä|/", "x" * 200, 2**53)):
        assert parts_of(cursor_of(*parts), (str, str, int)) == list(parts)
    assert parts_of(None, (str, int)) == [None, None]


@pytest.mark.parametrize("bad", ["x", "!", "bnVsbA", "ä", cursor_of("a"), cursor_of(1, "a")])
def test_another_text_is_no_cursor(bad: str) -> None:
    with pytest.raises(InvalidError):
        parts_of(bad, (str, int))


def test_a_page_has_a_cursor_where_there_is_more() -> None:
    rows = ["a", "b", "c"]
    assert page_of(rows, 3, lambda row: (row,)) == (rows, None)
    page, after = page_of(rows, 2, lambda row: (row,))
    assert page == ["a", "b"]
    assert parts_of(after, (str,)) == ["b"]
    assert page_of([], 2, lambda row: (row,)) == ([], None)

"""What a platform says of a list is taken only if it can be."""

from __future__ import annotations

import pytest

from downloader.ytdlp.walk import declared_count


@pytest.mark.parametrize(
    ("said", "taken"),
    [(0, 0), (150, 150), (2**31 - 1, 2**31 - 1), (2**31, None), (10**30, None), (-1, None), (1.5, None), ("9", None)],
)
def test_a_number_of_entries_that_there_cannot_be_is_not_taken(said: object, taken: int | None) -> None:
    assert declared_count(said) == taken

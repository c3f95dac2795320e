"""Text from strangers, made harmless to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.util.plain_text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A\r\nfilm\t by  Ada ", "A film by Ada"),
        ("\x1b[31mred\x07\x9b", "[31mred"),
        ("abc\u202egnp.exe\u2066", "abcgnp.exe"),
        ("a\u200bb\ufeff\u00ad\ud800\ue000", "ab"),
        ("👩\u200d👧 Ünï", "👩\u200d👧 Ünï"),
        ("x" * 20, "x" * 20),
        ("x" * 21, "x" * 19 + "…"),
        ("\x00" * 100 + "x", "…"),
        ("", ""),
    ],
)
def test_it_is_one_line_of_what_can_be_seen(text: str, shown: str) -> None:
    assert plain(text, 20) == shown


@settings(deadline=None)
@given(st.text(max_size=60))
def test_it_never_has_more_nor_anything_that_controls(text: str) -> None:
    shown = plain(text, 20)
    assert len(shown) <= 20
    assert not any(unicodedata.category(char)[0] == "C" and char != "\u200d" for char in shown)

"""Codes of languages, as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.util.languages import language_code, language_codes


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("pt_br", "pt-BR"),
        ("zh-hans", "zh-Hans"),
        ("ZH-HANT-tw", "zh-Hant-TW"),
        ("eng-US", "eng-US"),
        ("es-419", "es-419"),
        ("en-eEY6OEpapPo", "en-eey6oepappo"),
        *((text, None) for text in ("", "e", "1", "en-", "-en", "en--US", "en US", "en\n", "../en", "\u0435\u0439")),
        *((text, None) for text in ("englishlanguage", "en-12345678901234567", "a-b-c-d-e", "en-\u0661", "all,en")),
    ],
)
def test_a_code_has_one_spelling(written: str, code: str | None) -> None:
    assert language_code(written) == code


@given(st.text(alphabet="aBc4-_/.\n", max_size=30))
def test_a_code_is_part_of_a_file_name_and_its_own_spelling(text: str) -> None:
    code = language_code(text)
    if code is not None:
        assert code.isascii()
        assert code.replace("-", "").isalnum()
        assert language_code(code) == code


def test_codes_are_kept_in_order_and_each_once() -> None:
    assert language_codes(["de", "pt_BR", "DE", "pt-br", "en"]) == ["de", "pt-BR", "en"]
    assert language_codes(()) == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("en", 'send a list of at most 20 language codes such as "en", "pt-BR" or "zh-Hans"'),
        (None, '"pt-BR" or "zh-Hans"'),
        ({"en": 1}, '"pt-BR" or "zh-Hans"'),
        (["en", "English!"], '"pt-BR" or "zh-Hans"; number 2 is something else'),
        (["en", 7], "number 2 is something else"),
        (["en"] * 21, "not 21"),
    ],
)
def test_what_is_no_list_of_codes_is_refused_with_an_example(sent: object, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason) + "$"):
        language_codes(sent)

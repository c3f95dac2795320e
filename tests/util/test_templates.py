"""Templates of paths: parsed to pieces, or refused in a sentence."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.util.templates import Field, PathTemplate, parse_template

FIELDS = ("id", "title")


def test_a_template_is_folders_and_a_name() -> None:
    template = parse_template("a {id}/{title}{{x}}-{id}", FIELDS)
    assert template == PathTemplate((("a ", Field("id")), (Field("title"), "{x}-", Field("id"))))
    assert pickle.loads(pickle.dumps(template)) == template
    assert template.has("id")
    assert not template.has("uploader")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("/{id}", "is empty"),
        ("a//{id}", "is empty"),
        ("{id}/", "is empty"),
        ("../{id}", "begin with a dot"),
        ("a/.{id}", "begin with a dot"),
        (" .{id}", "begin with a dot"),
        ("{id}\\{title}", "must not contain"),
        ("C:{id}", "must not contain"),
        ("{id}?", "must not contain"),
        ("{id}\n", "control characters"),
        ("{id}\u202e", "control characters"),
        ("{uploader}", "unknown field"),
        ("{id", "braces"),
        ("id}", "braces"),
        ("{}", "braces"),
        ("{0}", "braces"),
        ("{id.__class__}", "braces"),
        ("{id!r}", "braces"),
        ("{id:>9}", "braces"),
        ("{ID}", "braces"),
        ("a/b/c/d/e/f/{id}", "5 folders"),
    ],
)
def test_what_is_no_template_is_refused_with_the_fields(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        parse_template(text, FIELDS)
    assert str(refusal.value).endswith("the fields {id}, {title}")


@given(st.text(st.sampled_from("{}/idtle. \\\n") | st.characters(), max_size=20))
def test_any_text_is_a_template_or_is_refused(text: str) -> None:
    try:
        template = parse_template(text, FIELDS)
    except ValueError:
        return
    assert 1 <= len(template.parts) <= 6
    assert all(part and not str(part[0]).startswith(".") for part in template.parts)
    texts = [piece for part in template.parts for piece in part if isinstance(piece, str)]
    assert not set("".join(texts)) & set("/\\:\n\0")

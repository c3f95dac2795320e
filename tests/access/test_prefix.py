"""Path prefixes: what is one, and what only looks like one."""

from __future__ import annotations

import pytest

from downloader.access.prefix import first_part, is_prefix, parse_prefix


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("", ""), ("/", ""), ("videos", "/videos"), ("/videos/", "/videos"), ("/a/b-c_d.e~1", "/a/b-c_d.e~1")],
)
def test_a_prefix_is_read(text: str, prefix: str) -> None:
    assert parse_prefix(text) == prefix


@pytest.mark.parametrize(
    "text",
    ["/a//b", "/..", "/a/../b", "/.a", "https://example.org", "/a b", "/ä", "/a?b", "/a#b", "/a%2fb", "/a\\b", "/a\n",
     '/"><script>', "/" + "a" * 200],
)  # fmt: skip
def test_what_is_no_path_is_refused(text: str) -> None:
    assert not is_prefix(text)
    with pytest.raises(ValueError, match="such as /videos"):
        parse_prefix(text)


def test_another_host_is_no_prefix() -> None:
    assert not is_prefix("//example.org")


@pytest.mark.parametrize(("path", "part"), [("/api/v1/jobs", "api"), ("/", ""), ("/a", "a"), ("", ""), ("a/b", "")])
def test_the_first_part(path: str, part: str) -> None:
    assert first_part(path) == part

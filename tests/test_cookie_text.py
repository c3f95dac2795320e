"""Cookie files: what is taken, what is repaired, what is refused, and that no value is ever repeated."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from downloader.batch_downloader import PLATFORMS
from downloader.cookie_text import HEADER, decoded, good_cookies, read_cookies, written
from downloader.errors import CookiesRefused

SECRET = "hunter2"


def line(
    domain: str = ".tiktok.com", wide: str = "TRUE", expires: str = "0", name: str = "sid", value: str = SECRET
) -> str:
    return "\t".join((domain, wide, "/", "TRUE", expires, name, value))


GOOD = line()


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"{HEADER}\n# a comment\n\n{GOOD}\n",
        f"{HEADER}\r\n\r\n{GOOD}\r\n",
        f"{HEADER}\r{GOOD}\r",
        f"\ufeff{HEADER}\n{GOOD}",
        f"#HttpOnly_{GOOD}",
        line(expires=""),
        line(expires="-1"),
        line(domain="tiktok.com", wide="TRUE"),
        line(domain=".tiktok.com", wide="FALSE"),
        line(domain=".TikTok.com", wide="true"),
    ],
)
def test_what_browsers_and_extensions_write_is_read(text: str) -> None:
    [cookie] = read_cookies(text)
    assert (cookie.domain, cookie.name, cookie.expires_at) == ("tiktok.com", "sid", None)
    assert cookie.line.removeprefix("#HttpOnly_") == GOOD
    assert read_cookies(written([cookie]))[0].line == cookie.line
    assert SECRET not in repr(cookie)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_windows_may_save_it_as_it_likes(encoding: str) -> None:
    assert read_cookies(decoded(GOOD.encode(encoding)))
    assert good_cookies(GOOD.encode(encoding))[1] == 0


def test_times_are_whole_seconds() -> None:
    [cookie] = read_cookies(line(expires="1767225600.75"))
    assert cookie.expires_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert cookie.has_expired(datetime(2026, 1, 1, tzinfo=UTC))
    assert not cookie.has_expired(datetime(2025, 12, 31, tzinfo=UTC))
    [far] = read_cookies(line(expires="9" * 18))
    assert far.expires_at is not None
    assert far.expires_at.year == 9999


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{GOOD}\n{GOOD.replace(chr(9), ' ')}\n", "Line 2 must have 7 fields"),
        (f"{HEADER}\n{GOOD}\tmore", "Line 2 must have 7 fields"),
        (f"{GOOD}\n" + f"{SECRET}=1; a\tb\n" * 7, "Each of the lines 2, 3, 4, 5, 6 and 2 more must have 7 fields"),
        (line(domain=""), "Line 1 must begin with a domain"),
        (line(domain="http://tiktok.com"), "Line 1 must begin with a domain"),
        (line(wide="MAYBE"), "must have TRUE or FALSE"),
        (line(expires="tomorrow"), "must have a time"),
        (line(expires="1e99"), "must have a time"),
        (line(expires="1" * 40), "must have a time"),
        (line(expires="\u0661"), "must have a time"),
        (line(value=f"{SECRET}\u2028"), "has a character"),
        (line(value=f"{SECRET}\x00"), "has a character"),
        (line(value=f"{SECRET}\x1b[31m"), "has a character"),
        ('[{"domain": ".tiktok.com", "value": "hunter2"}]', "These are cookies as JSON"),
        ('{"url": "https://www.tiktok.com", "cookies": []}', "These are cookies as JSON"),
        ("sid=hunter2; other=1", "the value of a Cookie header"),
        ("Cookie: sid=hunter2", "the value of a Cookie header"),
        ("<!DOCTYPE html><p>hunter2", "This is a web page"),
        ("", "There is no cookie"),
        (f"{HEADER}\n", "There is no cookie"),
    ],
)
def test_what_is_no_cookie_file_is_refused_without_repeating_it(text: str, said: str) -> None:
    with pytest.raises(CookiesRefused, match=said) as refusal:
        read_cookies(text)
    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert str(refusal.value).endswith(".")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(CookiesRefused, match="UTF-8"):
        decoded(b"\xff\xd8\xff\xe0 a picture")


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (".tiktok.com", True),
        ("www.tiktok.com", True),
        ("nottiktok.com", False),
        ("tiktok.com.evil.example", False),
        ("com", False),
    ],
)
def test_a_cookie_belongs_to_the_platform_whose_domain_it_has(domain: str, expected: bool) -> None:
    [cookie] = read_cookies(line(domain=domain))
    assert cookie.is_of(PLATFORMS["tiktok"]) is expected


def test_every_platform_says_which_cookies_are_its_own() -> None:
    for platform in PLATFORMS.values():
        assert platform.cookie_domains
        assert platform.session_cookies

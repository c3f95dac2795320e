"""Cookie files: what is taken, what is repaired, what is left out or refused, and that no value is ever repeated."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from yt_dlp.cookies import YoutubeDLCookieJar

from downloader.cookies.netscape import HEADER, CookieFile, decode, describe_bad_lines, parse_lenient, to_netscape
from downloader.errors import CookiesRefused
from downloader.platforms import PLATFORMS

SECRET = "hunter2"
TIKTOK = PLATFORMS["tiktok"]


def line(
    domain: str = ".tiktok.com",
    wide: str = "TRUE",
    path: str = "/",
    expires: str = "0",
    name: str = "sid",
    value: str = SECRET,
) -> str:
    return "\t".join((domain, wide, path, "TRUE", expires, name, value))


def read(text: str) -> CookieFile:
    return parse_lenient(text, TIKTOK)


GOOD = line()
DEVTOOLS_ROW = f"sid\t{SECRET}\t.tiktok.com\t/\t2030-01-01T00:00:00.000Z\t10\t✓\t✓\tNone\t\t\tMedium\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"{HEADER}\n# a comment\n\n{GOOD}\n",
        f"{HEADER}\r\n\r\n{GOOD}\r\n",
        f"{HEADER}\r{GOOD}\r",
        f"\ufeff{HEADER}\n{GOOD}",
        f"{HEADER}\n\ufeff{GOOD}",
        f"#HttpOnly_{GOOD}",
        f"#httponly_{GOOD}",
        f"  {GOOD}",
        f"\t{GOOD}",
        f"{GOOD}\t",
        f"{GOOD}\t\t \t",
        GOOD.replace("\t", " "),
        GOOD.replace("\t", "    "),
        GOOD.replace("\t", "\xa0"),
        GOOD.replace("\t", " \t"),
        GOOD[::-1].replace("\t", " ", 1)[::-1],
        f"#HttpOnly_{GOOD}".replace("\t", "  "),
        line(expires=""),
        line(expires="-1"),
        line(expires="-1.0"),
        line(expires="0.0"),
        line(domain="tiktok.com", wide="TRUE"),
        line(domain=".tiktok.com", wide="FALSE"),
        line(domain=".TikTok.com", wide="true"),
        line(domain=".tiktok.com."),
        f"{GOOD}\n{GOOD}\n{GOOD}",
    ],
)
def test_what_browsers_extensions_and_editors_write_is_read(text: str) -> None:
    file = read(text)
    [cookie] = file.cookies
    assert (cookie.domain, cookie.path, cookie.name, cookie.expires_at) == (".tiktok.com", "/", "sid", None)
    assert cookie.line.lower().removeprefix("#httponly_") == GOOD.lower()
    assert (file.foreign, file.bad_lines) == (0, ())
    assert read(to_netscape(file.cookies)).cookies[0].line == cookie.line
    assert SECRET not in repr(cookie)
    assert SECRET not in repr(file)


@pytest.mark.parametrize(
    "text",
    [line(value=""), line(value="").rstrip("\t"), line(value="") + "\t", line(value="").replace("\t", " ").rstrip()],
)
def test_a_value_may_be_empty(text: str) -> None:
    [cookie] = read(text).cookies
    assert cookie.line == line(value="")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_windows_may_save_it_as_it_likes(encoding: str) -> None:
    file = read(decode(f"{HEADER}\r\n{GOOD}\r\n".encode(encoding)))
    assert [cookie.line for cookie in file.cookies] == [GOOD]
    assert (file.foreign, file.bad_lines) == (0, ())


@pytest.mark.parametrize(
    "foreign",
    [
        line(domain=".google.com"),
        line(domain="localhost:5173"),
        line(domain="fe80::1"),
        line(domain="[::1]"),
        line(domain=".bücher.example"),
        line(domain="nottiktok.com"),
        line(domain="tiktok.com.evil.example"),
        line(domain="com"),
        line(domain=""),
        line(domain=".example.org", value="Łódź"),
        line(domain=".example.org", value="\x00\x1b[31m\u2028"),
        line(domain=".example.org", expires="-86400"),
        line(domain=".example.org", expires="1.7e9"),
        line(domain=".example.org", expires="tomorrow"),
        line(domain=".example.org", expires="9" * 400),
        line(domain=".example.org", path=""),
        line(domain=".example.org", wide="MAYBE"),
        line(domain=".example.org", value="").rstrip("\t"),
        line(domain=".example.org") + "\t",
        line(domain=".example.org") + "\ta\tb\tc",
        ".example.org",
        "#HttpOnly_.example.org",
        "nonsense",
        f"session={SECRET}; x=y",
        f"Set-Cookie: {SECRET}; domain=.tiktok.com",
    ],
)
def test_lines_of_other_sites_are_counted_and_not_judged(foreign: str) -> None:
    for text in (f"{GOOD}\n{foreign}", f"{foreign}\n{GOOD}"):
        file = read(text)
        assert [cookie.line for cookie in file.cookies] == [GOOD]
        assert (file.foreign, file.bad_lines) == (1, ())


def test_bytes_of_other_sites_need_be_no_text() -> None:
    file = read(decode(f"{GOOD}\n.example.org\tTRUE\t/\tTRUE\t0\tname\t".encode() + b"\xe9\xff"))
    assert (len(file.cookies), file.foreign) == (1, 1)


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        ("1767225600", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1767225600.75", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1.7672256e9", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1767225600000", datetime(2026, 1, 1, tzinfo=UTC)),  # milliseconds
        ("1767225600000000", datetime(2026, 1, 1, tzinfo=UTC)),  # microseconds
        ("13411699200000000", datetime(2026, 1, 1, tzinfo=UTC)),  # microseconds since 1601
        ("13411699200000", datetime(2026, 1, 1, tzinfo=UTC)),
        ("13411699200", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1000000000000", datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        ("4102444800", datetime(2100, 1, 1, tzinfo=UTC)),
        ("253402300799", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("253402300799000", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("0.5", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("-86400", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),  # long gone
        ("-11644473600", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("-1e999", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("-" + "9" * 400, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("0", None),
        ("-0", None),
        ("9223372036854775807", None),  # "never"
        ("9" * 400, None),
        ("1e999", None),
    ],
)
def test_times_are_read_in_the_unit_that_they_are_in(expires: str, expected: datetime | None) -> None:
    [cookie] = read(line(expires=expires)).cookies
    assert cookie.expires_at == expected
    assert read(cookie.line).cookies[0].expires_at == expected
    if expected:
        assert cookie.has_expired(expected)
    assert not cookie.has_expired(datetime(1970, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("stale", ["1000000000", "1000000000000", "-5"])
def test_of_two_lines_for_one_cookie_the_better_one_counts(stale: str) -> None:
    """Python's jar would take the last."""
    good, old = line(expires="4102444800", value="new"), line(expires=stale, value="old")
    for text in (f"{good}\n{old}", f"{old}\n{good}"):
        assert [cookie.line for cookie in read(text).cookies] == [good]
    assert len(read(f"{good}\n{line(path='/x')}\n{line(domain='www.tiktok.com', wide='FALSE')}").cookies) == 3


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (f"{GOOD}\tmore", "Line 2 must have 7 fields"),
        (".tiktok.com", "Line 2 must have 7 fields"),
        (".tiktok.com\tTRUE\t/\tTRUE\t0", "Line 2 must have 7 fields"),
        (f"https://www.tiktok.com/@ada/video/7?sid={SECRET}", "Line 2 must have 7 fields"),
        (line(domain="http://tiktok.com"), "Line 2 must begin with a domain"),
        (line(domain="www.tiktok.com:443"), "Line 2 must begin with a domain"),
        (line(domain="ü.tiktok.com"), "Line 2 must begin with a domain"),
        (line(domain="a..tiktok.com"), "Line 2 must begin with a domain"),
        (line(domain="a" * 300 + ".tiktok.com"), "Line 2 must begin with a domain"),
        (f"#HttpOnly_#HttpOnly_{GOOD}", "Line 2 must begin with a domain"),
        (line(wide="MAYBE"), "Line 2 must have TRUE or FALSE"),
        (line(path=""), "Line 2 must have a path"),
        (line(path="x"), "Line 2 must have a path"),
        (line(expires="tomorrow"), "Line 2 must have a time"),
        (line(expires="nan"), "Line 2 must have a time"),
        (line(expires="inf"), "Line 2 must have a time"),
        (line(expires="--5"), "Line 2 must have a time"),
        (line(expires="\u0661"), "Line 2 must have a time"),
        (".tiktok.com TRUE / TRUE sid hunter2 x", "Line 2 must have a time"),
        (line(name="", value=""), "Line 2 must have a name"),
        (line(value=f"{SECRET}\u2028"), "Line 2 has a character"),
        (line(value=f"{SECRET}Łódź"), "Line 2 has a character"),
        (line(value=f"{SECRET}\x00"), "Line 2 has a character"),
        (line(value=f"{SECRET}\x1b[31m"), "Line 2 has a character"),
        (line(value=f"{SECRET}\udce9"), "Line 2 has a character"),
    ],
)
def test_a_bad_line_of_the_platforms_own_is_named_and_spoils_nothing(bad: str, said: str) -> None:
    file = read(f"{GOOD}\n{bad}\n{line(name='other')}")
    assert [cookie.name for cookie in file.cookies] == ["sid", "other"]
    assert (file.foreign, file.bad_lines) == (0, (2,))
    assert describe_bad_lines(file.bad).startswith(said)
    assert SECRET not in describe_bad_lines(file.bad)
    with pytest.raises(CookiesRefused, match=said) as refusal:  # where there is no other
        read(f"{HEADER}\n{bad}")
    assert SECRET not in str(refusal.value)


def test_many_bad_lines_are_told_in_one_sentence() -> None:
    with pytest.raises(CookiesRefused) as refusal:
        read(f"{line(expires='x')}\n" * 7 + line(path="x"))
    assert str(refusal.value) == (
        "Each of the lines 1, 2, 3, 4, 5 and 2 more must have a time, as a number of seconds, in its fifth field;"
        " line 8 must have a path, as /, in its third field: send a file in Netscape format (cookies.txt), as browser"
        " extensions export it."
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            line(domain=".youtube.com"),
            "This contains no cookie for TikTok; lines of other sites: 1. Open tiktok.com",
        ),
        (f"{HEADER}\n" + f"{line(domain='.x.com')}\n" * 40, "lines of other sites: 40. Open tiktok.com"),
        ('[{"domain": ".tiktok.com", "value": "hunter2"}]', "These are cookies as JSON"),
        ('[{"domain": ".tiktok.com", "value": "hunter2"', "These are cookies as JSON"),
        ('[\n  {\n    "domain": ".tiktok.com",\n    "value": "hunter2"\n  }\n]\n', "These are cookies as JSON"),
        ('{"domain": ".tiktok.com"}\n{"domain": ".x.com"}', "These are cookies as JSON"),
        ('{"url": "https://www.tiktok.com", "cookies": []}', "These are cookies as JSON"),
        ("sid=hunter2; other=1", "the value of a Cookie header"),
        ("Cookie: sid=hunter2", "the value of a Cookie header"),
        ("<!DOCTYPE html><p>hunter2", "This is a web page"),
        (DEVTOOLS_ROW, "a table from the browser's developer tools"),
        (f"Name\tValue\tDomain\tPath\n{DEVTOOLS_ROW}", "a table from the browser's developer tools"),
        (DEVTOOLS_ROW.replace(".tiktok", "www.example"), "a table from the browser's developer tools"),
        (f"{HEADER}{GOOD}{GOOD}", "curl -T cookies.txt"),  # curl -d @cookies.txt
        (decode(b"\xff\xd8\xff\xe0 a picture"), "This is not UTF-8 text"),
        (decode(b"\xfe\xff\xd8"), "This contains no cookie"),
        (f"sid\t{SECRET}\n", "This contains no cookie"),
        ("", "This contains no cookie"),
        ("\ufeff", "This contains no cookie"),
        (f"{HEADER}\n", "This contains no cookie"),
    ],
)
def test_what_is_no_cookie_file_of_the_platform_is_refused_without_repeating_it(text: str, said: str) -> None:
    with pytest.raises(CookiesRefused) as refusal:
        read(text)
    assert said in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert refusal.value.__context__ is None
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("host", ["www.tiktok.com", "tiktok.com", "m.tiktok.com", "api.www.tiktok.com"])
@pytest.mark.parametrize("wide", ["TRUE", "FALSE"])
@pytest.mark.parametrize("domain", [".tiktok.com", "tiktok.com", "www.tiktok.com", ".www.tiktok.com", "ads.tiktok.com"])
def test_a_cookie_reaches_the_hosts_that_yt_dlp_has_it_sent_to(domain: str, wide: str, host: str) -> None:
    [cookie] = read(line(domain=domain, wide=wide)).cookies
    jar = YoutubeDLCookieJar(io.StringIO(to_netscape([cookie])))
    jar.load()
    assert cookie.reaches(host) is bool(jar.get_cookies_for_url(f"https://{host}/"))


def test_every_platform_says_which_cookies_are_its_own() -> None:
    for platform in PLATFORMS.values():
        assert platform.login_host.endswith(platform.cookie_domains[0])
        assert all(platform.session_cookies)

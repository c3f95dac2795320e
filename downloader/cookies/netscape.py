"""Cookie files in Netscape format: parses and repairs the lines of one platform, and counts those of other sites.

Errors name line numbers only, because names and values of cookies are as secret as a password.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from downloader.errors import CookiesRefused
from downloader.platforms import Platform

HEADER = "# Netscape HTTP Cookie File"

_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"
_BLANKS = " \t\xa0"
_SHOWN_LINES = 5
_MAX_DOMAIN_CHARACTERS = 253

#: The host of a line, even if its first field is not quite a domain.
_HOST = re.compile(r"(?:#HttpOnly_)*(?:https?://)?\.*([^\s:/]*)", re.IGNORECASE)
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?", re.IGNORECASE)

#: A row from a browser's developer tools: name, value, domain, path.
_DEVTOOLS_ROW = re.compile(r"^[^\t\n]*\t[^\t\n]*\t\.?[a-z0-9-]+(?:\.[a-z0-9-]+)+\t/", re.IGNORECASE | re.MULTILINE)

_LAST_SECOND = 253_402_300_799  # of the year 9999, which some sites use
_SECONDS_1601_TO_1970 = 11_644_473_600

_NETSCAPE = "a file in Netscape format (cookies.txt), as browser extensions export it"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # without repr: it holds a secret
class Cookie:
    """One cookie."""

    line: str  #: as written to a file
    domain: str  #: lower case; begins with a dot if subdomains get the cookie too
    path: str
    name: str
    expires_at: datetime | None  #: None: a session cookie, which never expires here

    def reaches(self, host: str) -> bool:
        """Tell whether yt-dlp sends it to *host*; like Python's cookie jar, this ignores the leading dot."""
        return f".{host}".endswith(f".{self.domain.removeprefix('.')}")

    def has_expired(self, now: datetime) -> bool:
        """Tell whether it has expired."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def lasts_until(self) -> datetime:
        """When it expires; the maximum datetime if unknown."""
        return self.expires_at or datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieFile:
    """The content of a file for one platform."""

    cookies: tuple[Cookie, ...]  #: at least one, including expired ones
    foreign: int  #: lines that belong to other sites
    bad: Mapping[str, Sequence[int]]  #: numbers of the platform's invalid lines, by error

    @property
    def bad_lines(self) -> tuple[int, ...]:
        """The numbers of the platform's invalid lines."""
        return tuple(sorted(number for numbers in self.bad.values() for number in numbers))


class _BadLine(Exception):
    """An invalid line; str() is the reason, to follow "line 7"."""


def decode(body: bytes) -> str:
    """Return a file's text, in any encoding that Windows uses; invalid bytes become surrogates."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    if body[1:2] == b"\0":
        return body.decode("utf-16-le", "replace")
    if body[:1] == b"\0":
        return body.decode("utf-16-be", "replace")
    return body.decode("utf-8-sig", "surrogateescape")


def parse_lenient(text: str, platform: Platform) -> CookieFile:
    """Return the cookies for *platform* in *text*, a file in Netscape format; invalid lines are collected, not fatal.

    Lines of other sites are not checked. If a cookie occurs twice, the one that lasts longer is used.

    Raises:
        CookiesRefused: there is no cookie for the platform; the message says what is wrong or what the text is.
    """
    cookies: dict[tuple[str, str, str], Cookie] = {}
    foreign = 0
    bad: dict[str, list[int]] = {}
    for number, line in _lines(text):
        if not _is_of(platform, line):
            foreign += 1
            continue
        try:
            cookie = _cookie(line)
        except _BadLine as reason:
            bad.setdefault(str(reason), []).append(number)
            continue
        key = (cookie.domain, cookie.path, cookie.name)  # Python's jar would use the last
        if key not in cookies or cookies[key].lasts_until <= cookie.lasts_until:
            cookies[key] = cookie
    if cookies:
        return CookieFile(cookies=tuple(cookies.values()), foreign=foreign, bad=bad)
    if bad:
        raise CookiesRefused(f"{describe_bad_lines(bad)}: send {_NETSCAPE}.")
    raise CookiesRefused(_other_format(text) or _none_for(platform, text, foreign))


def to_netscape(cookies: Sequence[Cookie]) -> str:
    """Return *cookies* as a file in Netscape format."""
    return "\n".join((HEADER, "", *(cookie.line for cookie in cookies), ""))


def describe_bad_lines(bad: Mapping[str, Sequence[int]]) -> str:
    """Return what is wrong with which lines, without a full stop."""
    told = "; ".join(f"{_numbered(numbers)} {reason}" for reason, numbers in bad.items())
    return told[:1].upper() + told[1:]


def _numbered(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN_LINES])
    more = f" and {len(numbers) - _SHOWN_LINES} more" if len(numbers) > _SHOWN_LINES else ""
    return f"line {shown}" if len(numbers) == 1 else f"each of the lines {shown}{more}"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not splitlines: a value may contain what Unicode considers a line break.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        # Also within the text: a file with a byte order mark may have been appended to another.
        line = line.lstrip(f"\ufeff{_BLANKS}")
        if line.strip() and (not line.startswith("#") or _is_http_only(line)):
            yield number, line


def _is_http_only(line: str) -> bool:
    return line[: len(_HTTP_ONLY)].lower() == _HTTP_ONLY.lower()


def _is_of(platform: Platform, line: str) -> bool:
    host = _HOST.match(line)
    domain = "" if host is None else host[1].lower().rstrip(".")
    return any(f".{domain}".endswith(f".{owned}") for owned in platform.cookie_domains)


def _cookie(line: str) -> Cookie:
    """Return the cookie in *line*, repaired where the intent is clear; raise _BadLine if it is not one."""
    http_only = _is_http_only(line)
    domain, for_subdomains, path, secure, expires, name, value = _fields(line[len(_HTTP_ONLY) :] if http_only else line)
    plain = domain.lstrip(".").rstrip(".").lower()
    if not _DOMAIN.fullmatch(plain) or len(plain) > _MAX_DOMAIN_CHARACTERS:
        raise _BadLine("must begin with a domain")
    if for_subdomains.upper() not in ("TRUE", "FALSE") or secure.upper() not in ("TRUE", "FALSE"):
        raise _BadLine("must have TRUE or FALSE in its second and fourth field")
    if not path.startswith("/"):
        raise _BadLine("must have a path, as /, in its third field")
    seconds = _seconds(expires)
    if not name and not value:
        raise _BadLine("must have a name in its sixth field")
    if any(ord(sign) < 32 or ord(sign) == 127 or ord(sign) > 255 for sign in path + name + value):
        raise _BadLine("has a character that no cookie can have")
    # Python's cookie jar requires a leading dot exactly for domains that include subdomains.
    wide = domain.startswith(".") or for_subdomains.upper() == "TRUE"
    domain = f".{plain}" if wide else plain
    fields = [domain, str(wide).upper(), path, secure.upper(), str(seconds), name, value]
    return Cookie(
        line=(_HTTP_ONLY if http_only else "") + "\t".join(fields),
        domain=domain,
        path=path,
        name=name,
        expires_at=datetime.fromtimestamp(seconds, UTC) if seconds else None,
    )


def _fields(line: str) -> list[str]:
    """Return the seven fields of *line*, whose last may be missing; raise _BadLine if there are more or fewer."""
    fields = line.split("\t")
    while len(fields) > _FIELDS and not fields[-1].strip(_BLANKS):
        fields.pop()
    if len(fields) < _FIELDS - 1 or (len(fields) == _FIELDS - 1 and " " in fields[-1].strip()):
        # Blanks instead of tabs: no field before the value can contain one.
        fields = re.split(f"[{_BLANKS}]+", line.strip(_BLANKS), maxsplit=_FIELDS - 1)
    if len(fields) == _FIELDS - 1:
        fields.append("")  # editors strip trailing blanks
    if len(fields) != _FIELDS:
        raise _BadLine(f"must have {_FIELDS} fields, with a tab between each two")
    return [*(field.strip(_BLANKS) for field in fields[:-1]), fields[-1]]


def _seconds(expires: str) -> int:
    """Return when a cookie expires, as Unix time; 0: with the session, or in a future too distant to matter."""
    if not expires:
        return 0
    if not _NUMBER.fullmatch(expires):
        raise _BadLine("must have a time, as a number of seconds, in its fifth field")
    time = float(expires)
    # Firefox uses milliseconds, Chrome microseconds; a time beyond the year 9999 in every unit means "never".
    time = next((time / unit for unit in (1, 1e3, 1e6) if time / unit <= _LAST_SECOND), 0.0)
    if time in (0, -1):  # some exports write either for the session
        return 0
    if 1.2e10 < time < 2e10:  # not the years around 2400: Chrome and Safari count from 1601
        time -= _SECONDS_1601_TO_1970
    return int(max(1.0, time))  # it may be minus infinity


def _other_format(text: str) -> str | None:
    """Return a sentence about what *text* is instead of a cookie file, or None if unknown."""
    start = text.lstrip(f"\ufeff{_BLANKS}\r\n")
    lines = len(start.splitlines())
    if start.startswith(("[", "{")):
        return (
            "These are cookies as JSON: choose the Netscape format (cookies.txt) in your browser's extension and send"
            " that."
        )
    if start.startswith("<"):
        return "This is a web page: send a file with cookies in Netscape format (cookies.txt)."
    if _DEVTOOLS_ROW.search(text):
        return f"This is a table from the browser's developer tools: send {_NETSCAPE}."
    if lines == 1 and "\t" not in text and "=" in text:
        return f"This is the value of a Cookie header, which does not name the cookies' domains: send {_NETSCAPE}."
    if lines == 1 and start.startswith("#") and start.count("\t") >= _FIELDS - 2:
        return "The line breaks are missing: send the file unchanged, with curl -T cookies.txt."
    if any("\udc80" <= sign <= "\udcff" for sign in text):
        return "This is not UTF-8 text: save the cookies as a text file in UTF-8."
    return None


def _none_for(platform: Platform, text: str, foreign: int) -> str:
    if any(line.count("\t") >= _FIELDS - 2 for _, line in _lines(text)):
        return (
            f"This contains no cookie for {platform.label}; lines of other sites: {foreign}. Open"
            f" {platform.cookie_domains[0]} in your browser, log in, and export again."
        )
    return f"This contains no cookie: send {_NETSCAPE}."

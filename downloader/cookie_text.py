"""Cookie files in Netscape format: read and checked, line by line, and never repeated.

What is refused is told by the numbers of its lines: names and values of cookies are as good as a password.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from downloader.errors import CookiesRefused
from downloader.models import Platform

HEADER = "# Netscape HTTP Cookie File"

_FIELDS = 7
_HTTP_ONLY = "#HttpOnly_"
_SHOWN_LINES = 5
_LAST_SECOND = 253_402_300_799  # of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)  # without repr: it holds a secret
class Cookie:
    """One cookie."""

    line: str  #: as it is written to a file
    domain: str  #: lower case, no dot in front
    name: str
    expires_at: datetime | None  #: None: with the session, so never by itself

    def is_of(self, platform: Platform) -> bool:
        """Tell whether it is one that *platform* set."""
        return any(self.domain == owned or self.domain.endswith(f".{owned}") for owned in platform.cookie_domains)

    def has_expired(self, now: datetime) -> bool:
        """Tell whether it is no good any more."""
        return self.expires_at is not None and self.expires_at <= now


class _BadLine(Exception):
    """A line that is no cookie; str() says why, in words that go behind "line 7"."""


def decoded(body: bytes, *, errors: str = "strict") -> str:
    """Return a file's text, whatever Windows made of it.

    Raises:
        CookiesRefused: it is no text.
    """
    utf_16 = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return body.decode("utf-16" if utf_16 else "utf-8-sig", errors)
    except UnicodeDecodeError:
        raise CookiesRefused("This is no text in UTF-8: save the cookies as a text file in UTF-8.") from None


def read_cookies(text: str) -> list[Cookie]:
    """Return the cookies of *text*, a file in Netscape format, expired ones too.

    Raises:
        CookiesRefused: a line is no cookie, there is none at all, or it is another format.
    """
    text = text.removeprefix("\ufeff")
    _refuse_other_formats(text)
    cookies: list[Cookie] = []
    bad: dict[str, list[int]] = {}
    for number, line in _lines(text):
        try:
            cookies.append(_cookie(line))
        except _BadLine as reason:
            bad.setdefault(str(reason), []).append(number)
    if bad:
        raise CookiesRefused(_complaint(bad))
    if not cookies:
        raise CookiesRefused("There is no cookie in this: send a file in Netscape format, as browser extensions make.")
    return cookies


def good_cookies(content: bytes) -> tuple[list[Cookie], int]:
    """Return the cookies of a file, and how many of its lines are none; never raises."""
    cookies, bad = [], 0
    for _, line in _lines(decoded(content, errors="replace")):
        try:
            cookies.append(_cookie(line))
        except _BadLine:
            bad += 1
    return cookies, bad


def written(cookies: Sequence[Cookie]) -> str:
    """Return *cookies* as a file in Netscape format."""
    return "\n".join((HEADER, "", *(cookie.line for cookie in cookies), ""))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # Not splitlines: a value may hold what Unicode calls the end of a line.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        if line.strip() and (not line.startswith("#") or line.startswith(_HTTP_ONLY)):
            yield number, line


def _cookie(line: str) -> Cookie:
    """Return the cookie of *line*, repaired where that is no guess.

    Raises:
        _BadLine: it is none.
    """
    http_only = line.startswith(_HTTP_ONLY)
    fields = line.removeprefix(_HTTP_ONLY).split("\t")
    if len(fields) != _FIELDS:
        raise _BadLine(f"must have {_FIELDS} fields, with a tab between each two")
    domain, for_subdomains, path, secure, expires, name, value = fields
    plain = domain.removeprefix(".").lower()
    if not plain or not set(plain) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_"):
        raise _BadLine("must begin with a domain")
    if for_subdomains.upper() not in ("TRUE", "FALSE") or secure.upper() not in ("TRUE", "FALSE"):
        raise _BadLine("must have TRUE or FALSE in its second and fourth field")
    if not path.startswith("/"):
        raise _BadLine("must have a path, as /, in its third field")
    seconds = _seconds(expires)
    if not _is_latin_1(line) or any(ord(sign) < 32 or ord(sign) == 127 for sign in path + name + value):
        raise _BadLine("has a character that no cookie can have")
    # Python's cookie jar insists that a domain for subdomains has a dot in front, and no other has.
    wide = domain.startswith(".") or for_subdomains.upper() == "TRUE"
    fields = [f".{plain}" if wide else plain, str(wide).upper(), path, secure.upper(), str(seconds), name, value]
    return Cookie(
        line=(_HTTP_ONLY if http_only else "") + "\t".join(fields),
        domain=plain,
        name=name,
        expires_at=datetime.fromtimestamp(seconds, UTC) if seconds else None,
    )


def _seconds(expires: str) -> int:
    """Return when a cookie expires, as Unix time; 0: with the session. Some exports write fractions, or -1."""
    if expires in ("", "-1"):
        return 0
    whole, _, fraction = expires.partition(".")
    if not whole.isascii() or not whole.isdecimal() or len(whole) > 18 or (fraction and not fraction.isdecimal()):
        raise _BadLine("must have a time, as a number of seconds, in its fifth field")
    return min(int(whole), _LAST_SECOND)


def _is_latin_1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_other_formats(text: str) -> None:
    start = text.lstrip()
    if start.startswith(("[", "{")):
        try:
            json.loads(start)
        except (ValueError, RecursionError):
            pass
        else:
            raise CookiesRefused(
                "These are cookies as JSON: choose the Netscape format (cookies.txt) in your browser's extension"
                " and send that."
            )
    if start.startswith("<"):
        raise CookiesRefused("This is a web page: send a file with cookies in Netscape format (cookies.txt).")
    if "\t" not in text and "=" in text and len(start.splitlines()) == 1:
        raise CookiesRefused(
            "This is the value of a Cookie header, which does not say where the cookies belong: send a file in Netscape"
            " format (cookies.txt), as browser extensions make."
        )


def _complaint(bad: dict[str, list[int]]) -> str:
    reason, numbers = max(bad.items(), key=lambda each: len(each[1]))
    shown = ", ".join(str(number) for number in numbers[:_SHOWN_LINES])
    more = f" and {len(numbers) - _SHOWN_LINES} more" if len(numbers) > _SHOWN_LINES else ""
    lines = f"Line {shown}" if len(numbers) == 1 else f"Each of the lines {shown}{more}"
    return f"{lines} {reason}: send the file as your browser's extension made it, in Netscape format (cookies.txt)."

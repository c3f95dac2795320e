"""Reads messages of yt-dlp and the platforms, by the tables in `messages.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from downloader.errors import ErrorCode
from downloader.platforms import PLATFORMS

_TABLES: Mapping[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))

#: Codes by "library.Name" of an error's type.
TYPES: Mapping[str, ErrorCode] = _TABLES["types"]
#: Codes by HTTP status, of a page or an API.
STATUSES: Mapping[int, ErrorCode] = {int(status): code for status, code in _TABLES["statuses"].items()}
#: Codes by HTTP status, of a media file.
MEDIA_STATUSES: Mapping[int, ErrorCode] = {int(status): code for status, code in _TABLES["media_statuses"].items()}


def _compile(rules: Sequence[tuple[ErrorCode, str]]) -> Sequence[tuple[ErrorCode, re.Pattern[str]]]:
    parts = _TABLES["parts"]
    return [(code, re.compile(re.sub(r"<(\w+)>", lambda name: parts[name[1]], pattern))) for code, pattern in rules]


_STATEMENTS = _compile(_TABLES["statements"])
_SYMPTOMS = _compile(_TABLES["symptoms"])

_COLOR = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*\x07?)?")
# Control characters, and what changes the direction of text.
_NOT_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]+")
_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'"})
_LEAD_IN = re.compile(
    r"(?:error: ?|\[[\w.:+-]+\] (?:[^\s:]+: )?|youtube said: |[0-9]{5,}: |video unavailable\. (?=\w))+"
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://\S+")
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'(?!\w)|\"[^\"]*\"|\u201c[^\u201d]*\u201d)")
_ESCAPED_QUOTE = re.compile(r"\\['\"]")  # within a repr, which it does not end
_EXTRACTOR = re.compile(r"(?:error: )?\[([\w.]+)", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return *text* without line breaks, colors and control characters."""
    return " ".join(_NOT_TEXT.sub(" ", _COLOR.sub("", " ".join(text.split()))).split())


def plain(text: str) -> str:
    """Return *text* as the patterns expect it: one line of yt-dlp's or the platform's own words, in lower case."""
    words = one_line(text).translate(_STRAIGHT).lower()
    if lead_in := _LEAD_IN.match(words):
        words = words[lead_in.end() :]
    if "://" in words:
        words = _URL.sub(" ", words)
    return " ".join(_QUOTED.sub(" ", _ESCAPED_QUOTE.sub("", words)).split())


def stated(words: str) -> ErrorCode | None:
    """Return the code of the statement that *words*, from `plain`, begin with."""
    return next((code for code, pattern in _STATEMENTS if pattern.match(words)), None)


def suggested(words: str) -> ErrorCode | None:
    """Return the code of a symptom anywhere in *words*, from `plain`."""
    return next((code for code, pattern in _SYMPTOMS if pattern.search(words)), None)


def is_from_an_extractor(text: str) -> bool:
    """Whether *text* is prefixed by the extractor of one of our platforms: "[youtube] id: ..."."""
    prefix = _EXTRACTOR.match(one_line(text))
    return prefix is not None and not PLATFORMS.keys().isdisjoint(prefix[1].lower().split("."))

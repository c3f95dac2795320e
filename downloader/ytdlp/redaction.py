"""Makes messages of yt-dlp fit to be shown and logged: short, and without secrets."""

from __future__ import annotations

import re

from downloader.ytdlp.messages import one_line

#: The longest text that `redact` returns.
MAX_DETAIL_CHARS = 500

# The end of a message: advice for the command line, and repetition.
_BOILERPLATE = re.compile(
    r"(?:if it is not, then )?\buse --(?:cookies|username|list-formats)|please report this issue on "
    r"|it is recommended to use `-t sleep`|you might want to use a vpn or |see https://curl\.se/"
    r"|\(caused by (?:<HTTPError |(?:Transport|SSL|CertificateVerify|Proxy)Error\()",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{1,15})://([^\s'\"<>]+)", re.IGNORECASE)
# Python's cookie jar quotes a line that it cannot parse.
_COOKIE_LINE = re.compile(r"(invalid Netscape format cookies file\b).*", re.IGNORECASE)
_COOKIE_HEADER = re.compile(
    r"\b((?:set-)?cookie ?[:=]|(?:proxy-)?authorization ?[:=] ?(?:basic|bearer|oauth)\b).*", re.IGNORECASE
)
_SECRET = re.compile(
    r"\b([\w-]{0,40}(?:token|session|signature|secret|passw|api_?key|csrf|auth)[\w-]{0,40}|l?sig|sid)"
    r"(=|['\"] ?: ?['\"])[^\s,;&)'\"]+",
    re.IGNORECASE,
)
_MAX_PATH_CHARS = 100
# Names and ids are shorter; TikTok and YouTube sign their media's paths.
_MAX_SEGMENT_CHARS = 40


def redact(text: str) -> str:
    """Return *text* on one line, without secrets and boilerplate, cut to `MAX_DETAIL_CHARS`."""
    # Before the lines are joined: a cookie header ends with its line.
    shown = one_line(_COOKIE_HEADER.sub("\\1 \u2026", text))
    shown = re.sub(r"\A(?:ERROR: ?)+", "", shown)
    if boilerplate := _BOILERPLATE.search(shown):
        shown = shown[: boilerplate.start()].rstrip(" ;,")
    shown = _COOKIE_LINE.sub(r"\1", shown)
    if "://" in shown:
        shown = _ADDRESS.sub(_without_secrets, shown)
    if "=" in shown or ":" in shown:
        shown = _SECRET.sub("\\1\\2\u2026", shown)
    return shown if len(shown) <= MAX_DETAIL_CHARS else shown[: MAX_DETAIL_CHARS - 1] + "\u2026"


def _without_secrets(address: re.Match[str]) -> str:
    """Return the address without credentials, query, fragment and signatures in its path."""
    beyond = re.split(r"[?#]", address[2], maxsplit=1)
    host, slash, path = beyond[0].partition("/")
    host = host.rpartition("@")[2]
    segments = ["\u2026" if len(segment) > _MAX_SEGMENT_CHARS else segment for segment in path.split("/")]
    path = "/".join(segments)
    if len(path) > _MAX_PATH_CHARS or "googlevideo" in host:
        path = "\u2026"
    return f"{address[1]}://{host}{slash}{path}"

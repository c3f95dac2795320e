"""Cookie files: yt-dlp loads what it is given of them, repeats none of it, and lines of other sites change nothing."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from yt_dlp.cookies import YoutubeDLCookieJar

from downloader.cookies.store import CookieStore
from downloader.platforms import PLATFORMS
from downloader.settings import Settings
from downloader.ytdlp.options import ytdlp_options
from fuzz.runner import Check, Finding, Target

#: A folder in memory, where there is one: each input is three files.
_MEMORY = Path("/dev/shm")

_PLATFORM = PLATFORMS["tiktok"]


@contextmanager
def opened() -> Iterator[Check]:
    """Yield the check, which needs a folder."""
    log = logging.getLogger("downloader.ytdlp.options")
    level = log.level
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        folder = Path(name)
        work = folder / "work"
        for each in (folder / "cookies", work):
            each.mkdir()
        settings = Settings(storage_dir=folder / "storage", cookies_dir=folder / "cookies")
        path = folder / "cookies" / f"{_PLATFORM.name}.txt"
        store = CookieStore(settings.cookies_folder)

        def check(text: str) -> bool:
            """Tell whether anything of a file with this *text* is a cookie; see that yt-dlp takes it."""
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            state = store.state(_PLATFORM.name)
            path.write_bytes(path.read_bytes() + b"\n" + _FOREIGN)
            joined = store.state(_PLATFORM.name)
            if state.cookies and joined != replace(
                state,
                updated_at=joined.updated_at,
                dropped=joined.dropped,
                report=joined.report,
            ):
                raise Finding("lines of other sites change what is said of ours")
            given = ytdlp_options(_PLATFORM, settings.for_downloads(), work, proxy="").get("cookiefile")
            if (given is None) is not (joined.condition == "unreadable"):
                raise Finding(f"yt-dlp is given {given!r} of cookies that are {joined.condition}")
            if given is None:
                return False
            if joined.dropped < _FOREIGN.count(b"\n"):
                raise Finding("lines of other sites are not counted")
            jar = YoutubeDLCookieJar(given)
            with contextlib.redirect_stderr(io.StringIO()) as said:
                jar.load()
            if said.getvalue():
                raise Finding(f"yt-dlp says {said.getvalue()!r}")
            # A cookie without a name has its value for one, which may be another's name.
            if not 0 < len(jar) <= joined.cookies:
                raise Finding(f"{len(jar)} cookies where there should be {joined.cookies}")
            header = jar.get_cookie_header("https://www.tiktok.com/") or ""
            header.encode("latin-1")  # else no request could carry it
            if "\n" in header or "\r" in header:
                raise Finding(f"more than one header: {header!r}")
            return True

        log.setLevel(logging.ERROR)
        try:
            yield check
        finally:
            log.setLevel(level)


#: Of other sites, and of none.
_FOREIGN = b"localhost:5173\tFALSE\t\tMAYBE\t-86400\tname\n.b\xfc.example x\t\xff\n\tTRUE\t/\tTRUE\n"

_GOOD = ".tiktok.com\tTRUE\t/\tTRUE\t1999999999\tsessionid\tabc"

COOKIES = Target(
    name="cookies",
    open=opened,
    share=8,
    pieces=(
        *("\t", "\t\t", "\n", "\r\n", "\r", "TRUE", "FALSE", "true", ".tiktok.com", "tiktok.com", "www.tiktok.com"),
        *(".evil.example", "/", "0", "1999999999", "-1", "1.5", "9" * 400, "1e9", "nan", "inf", "\u0661", "\xb2"),
        *("#HttpOnly_", "#", "#HttpOnly_#HttpOnly_", "$", "# Netscape HTTP Cookie File\n", "[{", '"', "{", ";", "="),
        *("name", "value", " ", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\ufeff", "\u20ac", "\xe9", "\xad"),
        _GOOD,
        f"{_GOOD}\n",
        f"\n#HttpOnly_{_GOOD}",
        _GOOD.replace("\t", " "),
        *("1999999999000", "13399999999000000", "-86400", "1.7e9", "\xa0"),
    ),
    corpus=(
        f"# Netscape HTTP Cookie File\n\n{_GOOD}\n",
        f"{_GOOD}\r\nwww.tiktok.com\tFALSE\t/\tFALSE\t0\tmsToken\tx=y;z\r\n",
        f"#HttpOnly_{_GOOD}\n",
        "tiktok.com\tFALSE\t/\tFALSE\t\tname\t",
        '[{"domain": ".tiktok.com", "name": "a"}]',
        f"# a comment\n$ another\n\n \t \n{_GOOD.replace('abc', chr(0xE9))}",
    ),
)

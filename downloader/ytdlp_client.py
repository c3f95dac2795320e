"""The only module that runs yt-dlp: what it is told, where it works, and its errors turned into ours."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downloader import toolchain
from downloader.address_guard import is_private
from downloader.error_classifier import classify
from downloader.errors import DownloadFailed, ErrorCode, is_retryable
from downloader.media_check import NotPlayable, check_part
from downloader.media_files import Downloaded, keep
from downloader.models import Media, Outcome, Platform
from downloader.settings import Settings, default_settings

# yt_dlp itself is imported where it is used: it takes a third of a second, and the server listens before that.

log = logging.getLogger(__name__)

#: Where wrappers put files when nothing else is said.
RAW_DIR = "./storage/raw"

#: Below the output folder, on the same file system: unfinished downloads, one folder each, so that two downloads of
#: one post cannot disturb each other and nothing unchecked ever stands among the finished files.
PARTIAL_DIR = ".partial"

#: How long an unfinished download lies untouched before it counts as left behind.
LEFTOVER_SECONDS = 24 * 3600.0

# yt-dlp's own preset "mp4": what plays everywhere, at the best quality that does.
_FORMAT_SORT = ["vcodec:h264", "lang", "quality", "res", "fps", "hdr:12", "acodec:aac"]

_COMMON_OPTIONS: Mapping[str, Any] = {
    "format": "bv*+ba/b",
    "format_sort": _FORMAT_SORT,
    "merge_output_format": "mp4",
    "postprocessors": [{"key": "FFmpegVideoRemuxer", "preferedformat": "mp4"}],
    "skip_unavailable_fragments": False,  # the default makes a success of half a video
    "noplaylist": True,
    "quiet": True,
    "noprogress": True,
    "color": "never",
    "cachedir": False,  # a cache in the user's home would be shared with whatever else runs there
    "updatetime": False,  # a file's time says when it arrived
}

#: Subtitles, which only an operator's own options ask for.
_TEXT_PARTS = frozenset({"vtt", "srt", "ass", "lrc", "ttml", "srv1", "srv2", "srv3", "json3", "json"})

#: A post holds at most this many videos; the bound is for links that turn out to be something else.
_MAX_VIDEOS_PER_POST = 50

_MAX_RETRY_PAUSE_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a download needs to know beyond its link: the operator's settings, and when to give up."""

    settings: Settings
    stop: threading.Event = field(default_factory=threading.Event)  #: set: the download ends at its next byte


_CONTEXT: ContextVar[FetchContext | None] = ContextVar("fetch_context", default=None)


@contextmanager
def fetch_context(context: FetchContext) -> Iterator[None]:
    """Have every `fetch` within use *context*; the wrappers' signatures are fixed and cannot carry it."""
    token = _CONTEXT.set(context)
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def fetch(platform: Platform, url: str, output_dir: str) -> Outcome:
    """Download the post at *url* into *output_dir*; blocking.

    Returns:
        (success, file_path, error); a success is a file that was checked to play. Never raises for what a platform,
        a link or a disk can do wrong.
    """
    context = _CONTEXT.get() or FetchContext(settings=default_settings())
    try:
        media = _download(platform, platform.canonical_url(url), Path(output_dir), context)
    except Exception as error:
        failure = _failure(error, platform)
        log.log(
            logging.ERROR if failure.code == "internal" else logging.WARNING,
            "download failed",
            extra={"platform": platform.name, "url": url, "error_code": failure.code, "detail": failure.detail},
            exc_info=error if failure.code == "internal" else None,
        )
        return Outcome(
            False,
            None,
            str(failure),
            error_code=failure.code,
            detail=failure.detail,
            retry_after_seconds=failure.retry_after_seconds,
        )
    log.info("download finished", extra={"platform": platform.name, "url": url, "size_bytes": media.size_bytes})
    return Outcome(True, media.files[0], None, media=media)


def warm_up(platforms: Sequence[Platform]) -> None:
    """Import yt-dlp and compile the extractors' patterns, so that no download has to."""
    for platform in platforms:
        for extractor in _extractors(platform):
            extractor.suitable("https://example.invalid/")


def remove_leftovers(output_dir: Path, *, now: float | None = None) -> None:
    """Remove what downloads below *output_dir* left behind when their process was killed.

    Only what nobody wrote to for a day: another process may be at work there.
    """
    now = time.time() if now is None else now
    for leftover in (output_dir / PARTIAL_DIR).glob("*"):
        try:
            newest = max(path.stat().st_mtime for path in (leftover, *leftover.rglob("*")))
        except FileNotFoundError:  # somebody is at work there
            continue
        if now - newest > LEFTOVER_SECONDS:
            log.info("removing a leftover", extra={"path": str(leftover)})
            shutil.rmtree(leftover, ignore_errors=True)


def _download(platform: Platform, url: str, output_dir: Path, context: FetchContext) -> Media:
    import yt_dlp

    work_dir = output_dir.absolute() / PARTIAL_DIR / uuid.uuid4().hex
    work_dir.mkdir(parents=True, mode=0o700)
    try:
        with yt_dlp.YoutubeDL(_options(platform, work_dir, context), auto_init=False) as ydl:
            _add_extractors(ydl, platform, url)
            ydl._outtmpl_expandpath = str  # a folder that is called $HOME is no variable
            requests = _Requests(ydl.urlopen, allow_private=context.settings.allow_private_addresses)
            ydl.urlopen = requests
            try:
                info = ydl.extract_info(url, download=True)
            except Exception as error:
                raise _failure(error, platform, requests.last_failure) from error
            finally:
                requests.close()
            downloads = _downloads(ydl, info)
        if not downloads:
            raise DownloadFailed(_why_nothing(info), platform_label=platform.label)
        ffmpeg = toolchain.ffmpeg()
        return keep(platform.name, downloads, output_dir, ffmpeg=None if ffmpeg is None else ffmpeg.path)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _options(platform: Platform, work_dir: Path, context: FetchContext) -> dict[str, Any]:
    settings = context.settings
    retries = settings.retries + platform.extra_retries
    ffmpeg = toolchain.ffmpeg()
    options: dict[str, Any] = {
        **_COMMON_OPTIONS,
        # The Python API's default is no retry at all.
        "retries": retries,
        "fragment_retries": retries,
        # Extractors ask again at several addresses by themselves; more rounds only make a dead one take longer.
        "extractor_retries": min(retries, 1),
        "file_access_retries": retries,
        "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor", "file_access"), _retry_pause),
        "socket_timeout": settings.socket_timeout_seconds * platform.patience,
        "ffmpeg_location": None if ffmpeg is None else ffmpeg.path,
        "proxy": settings.proxy,
        "cookiefile": _cookies(settings, platform, work_dir),
        **platform.options,
        **settings.ytdlp_options,
        "playlist_items": f"1:{_MAX_VIDEOS_PER_POST}",
        "outtmpl": f"{_as_template(work_dir)}/%(playlist_index|1)s-%(id).60B.%(ext)s",
        "logger": _Log(platform),
        "progress_hooks": [_stopper(context.stop), _refuse_no_media],
        # ffmpeg would go past the guard: it may read what was downloaded, and fetch nothing.
        "external_downloader_args": {"ffmpeg_i": ["-protocol_whitelist", "file"]},
        "match_filter": _wanted,
    }
    return {name: value for name, value in options.items() if value is not None}


def _failure(error: Exception, platform: Platform, last_request: Exception | None = None) -> DownloadFailed:
    """Return *error* as one of ours.

    Where yt-dlp blames the platform's page although its *last_request* was refused or went unanswered, that is the
    reason: YouTube's extractor, for one, asks on after a 429 and then finds nothing to read.
    """
    found = classify(error)
    if found.code == "platform_changed" and last_request is not None:
        cause = classify(last_request)
        found = cause if is_retryable(cause.code) else found
    return DownloadFailed(
        found.code,
        platform_label=platform.label,
        detail=found.detail,
        retry_after_seconds=found.retry_after_seconds,
    )


def _retry_pause(n: int) -> float:
    """Return the seconds to wait before repeating a request for the *n*-th time, from 0."""
    return float(min(0.25 * 2**n, _MAX_RETRY_PAUSE_SECONDS))


def _as_template(path: Path) -> str:
    return path.as_posix().replace("%", "%%")


def _cookies(settings: Settings, platform: Platform, work_dir: Path) -> str | None:
    """Return a private copy of the platform's cookies: yt-dlp writes back to the file it is given."""
    if settings.cookies_dir is None:
        return None
    original = settings.cookies_dir / f"{platform.name}.txt"
    if not original.is_file():
        return None
    lines = original.read_text(encoding="utf-8", errors="replace").split("\n")
    good = [line for line in lines if _is_cookie_line(line)]
    if len(good) < len(lines):
        # yt-dlp would write them, values and all, to stderr.
        log.warning("cookie lines left out", extra={"path": str(original), "lines": len(lines) - len(good)})
    copy = work_dir / "cookies.txt"
    copy.touch(mode=0o600)
    copy.write_text("\n".join(good), encoding="utf-8")
    return str(copy)


def _is_cookie_line(line: str) -> bool:
    """Tell whether *line* belongs into a cookie file in Netscape format: seven fields, or a comment."""
    line = line.rstrip("\r").removeprefix("#HttpOnly_")
    if not line.strip() or line.startswith("#"):
        return True
    fields = line.split("\t")
    if len(fields) != 7:
        return False
    domain, for_subdomains, expires = fields[0], fields[1], fields[4]
    # What http.cookiejar asserts, and what a header can carry.
    sound = (for_subdomains == "TRUE") == domain.startswith(".") and (not expires or expires.isdecimal())
    return sound and _is_latin_1(line)


def _is_latin_1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _extractors(platform: Platform) -> list[Any]:
    # First the package, as everywhere: two threads that begin at its different ends lock each other out.
    import yt_dlp  # noqa: F401
    from yt_dlp.extractor import get_info_extractor

    return [get_info_extractor(name) for name in platform.extractors]


def _add_extractors(ydl: Any, platform: Platform, url: str) -> None:
    """Give *ydl* the platform's extractors and no others, least of all the generic one."""
    extractors = _extractors(platform)
    if not any(extractor.suitable(url) for extractor in extractors):
        # A profile, a playlist, a search: yt-dlp would call it "no suitable extractor", as it does for a post whose
        # video is elsewhere.
        raise DownloadFailed("invalid_url", platform_label=platform.label, detail="no video at such a link")
    for extractor in extractors:
        ydl.add_info_extractor(extractor)


class _Requests:
    """Stands between yt-dlp and its network: refuses private addresses, remembers what went wrong last.

    Some extractors swallow a refused request and then say that they cannot read the page.
    """

    def __init__(self, send: Callable[[Any], Any], *, allow_private: bool) -> None:
        self._send = send
        self._allow_private = allow_private
        self.last_failure: Exception | None = None  #: None where the last request was answered
        # yt-dlp leaves answers it does not like to the garbage collector, and their sockets with them.
        self._responses: weakref.WeakSet[Any] = weakref.WeakSet()

    def __call__(self, request: Any) -> Any:
        self._refuse_private(request if isinstance(request, str) else request.url, "a request")
        try:
            response = self._send(request)
        except Exception as error:
            self.last_failure = error
            if refusal := getattr(error, "response", None):
                self._responses.add(refusal)
            raise
        self._responses.add(response)
        self.last_failure = None
        self._refuse_private(response.url, "a redirect")
        return response

    def close(self) -> None:
        """Close every answer that is still open."""
        for response in tuple(self._responses):
            response.close()

    def _refuse_private(self, url: str, what: str) -> None:
        if not self._allow_private and is_private(url):
            raise DownloadFailed("blocked_address", detail=f"{what} to a private address was refused")


def _stopper(stop: threading.Event) -> Any:
    def hook(progress: Mapping[str, Any]) -> None:
        if stop.is_set():
            raise DownloadFailed("interrupted")

    return hook


def _refuse_no_media(progress: Mapping[str, Any]) -> None:
    """Look at every part before ffmpeg is given it."""
    name = progress.get("filename")
    if progress.get("status") != "finished" or not isinstance(name, str):
        return
    path = Path(name)
    if path.suffix.lstrip(".") in _TEXT_PARTS or not path.is_file():
        return
    try:
        check_part(path)
    except NotPlayable as error:
        raise DownloadFailed("not_a_video", detail=str(error)) from error


def _wanted(info: Mapping[str, Any], *, incomplete: bool) -> str | None:
    """Return why a video is to be passed over, or None; refuse one that cannot be had yet."""
    # A running broadcast has no end: it would hold its slot for hours.
    if info.get("live_status") == "is_live" or info.get("is_live"):
        raise DownloadFailed("not_yet_available", detail="a live broadcast that is still running")
    # A picture between the videos of one post: to yt-dlp a video without formats, which would fail them all.
    if incomplete and info.get("formats") == [] and not info.get("url"):
        return "a picture"
    return None


def _why_nothing(info: Any) -> ErrorCode:
    several = isinstance(info, Mapping) and info.get("_type") in ("playlist", "multi_video")
    return "no_video" if several else "file_missing"


def _downloads(ydl: Any, info: Any) -> list[Downloaded]:
    """Return the files of *info*, a video or a post with several of them."""
    if not isinstance(info, Mapping):
        return []
    if info.get("_type") in ("playlist", "multi_video"):
        return [found for entry in info.get("entries") or () for found in _downloads(ydl, entry)]
    requested = info.get("requested_downloads")
    paths = [part.get("filepath") for part in requested] if isinstance(requested, list) else []
    # Without a list of what was downloaded there is still the name that yt-dlp would give the file.
    return [Downloaded.from_info(Path(path), info) for path in paths or [ydl.prepare_filename(info)] if path]


class _Log:
    """yt-dlp's messages, in our log: they hold signed addresses, so only for those who ask for them."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def debug(self, message: str) -> None:
        log.debug("yt-dlp: %s", message, extra={"platform": self._platform.name})
        if "File is larger than max-filesize" in message:
            # It says so, goes on without the file, and fails later for another reason.
            raise DownloadFailed("too_large", platform_label=self._platform.label, detail=message.strip())

    info = warning = error = debug

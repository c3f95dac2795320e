"""Gets a post's subtitles beside its video: chooses among what there is, fetches the text, writes .srt files.

yt-dlp's own way reads streams without a limit, knows each language by one spelling only, and fails the video for the
sake of its subtitles. Here they fail nothing but themselves.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from downloader.errors import DownloadFailed
from downloader.media.srt import Subtitles, to_srt
from downloader.util.languages import language_code
from downloader.ytdlp.errors import classify
from downloader.ytdlp.network import GuardedRequests

# yt_dlp is imported where it is used, as in `ytdlp.client`.

log = logging.getLogger(__name__)

#: Where yt-dlp's info of a video has what came, as `Subtitles`.
INFO_KEY = "_subtitles_beside"

#: A feature film has 100 KB.
MAX_TEXT_BYTES = 10 * 1024**2

#: For all subtitles of a video together; those that are left then are missing.
PATIENCE_SECONDS = 60.0
_TRIES = 2
_WORTH_A_RETRY = ("network", "server_error")
_RETRY_PAUSE_SECONDS = 0.5
#: Small, because a block is waited for as a whole, and only then is it noticed that time is up.
_BLOCK_BYTES = 1024

#: What `media.srt` reads, best first: YouTube's automatic captions say everything twice in .vtt.
_EXTENSIONS = ("srt", "vtt")
_PLAIN, _STREAMED = (None, "http", "https"), ("m3u8_native", "m3u8")

#: Other codes for the same: Mandarin; and the scripts that places write Chinese in.
_SAME_LANGUAGE = {"cmn": "zh"}
_SCRIPTS = {"cn": "hans", "sg": "hans", "tw": "hant", "hk": "hant", "mo": "hant"}

#: YouTube's mark of automatic captions that were not translated.
_ORIGINAL = "-orig"


def subtitle_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has yt-dlp look for subtitles, and fetch none but those that its *options* ask for."""
    asked_for = options.get("writesubtitles") or options.get("writeautomaticsub")
    none: dict[str, Any] = {} if asked_for else {"subtitleslangs": ["-all"]}
    return {"writesubtitles": True, "writeautomaticsub": True, **none}


# Choosing

_Parts = tuple[str, ...]  #: a language's code, so that equal ones mean the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Subtitles in one language, as a platform has them."""

    language: str  #: as `language_code` spells it
    format: Mapping[str, Any]  #: yt-dlp's
    is_automatic: bool


def choose(
    wanted: Sequence[str], own: Mapping[str, Any] | None, automatic: Mapping[str, Any] | None
) -> dict[str, Track | None]:
    """Return which subtitles to take for each language of *wanted*, in that order; None where there are none.

    *own*, the uploader's, and *automatic* are yt-dlp's `subtitles` and `automatic_captions`. The uploader's come before
    automatic ones; then the very language before that of a region (`en-US` for `en`), and these before a wider one
    (`pt` for `pt-BR`). Another region's is not taken.
    """
    offers = [*_offers(own, is_automatic=False), *_offers(automatic, is_automatic=True)]
    found: dict[str, Track | None] = {}
    for code in wanted:
        parts = _parts(code)
        ranked = [
            ((track.is_automatic, distance, not is_original, number), track)
            for number, (offered, is_original, track) in enumerate(offers)
            if (distance := _distance(parts, offered)) is not None
        ]
        found[code] = min(ranked, key=lambda each: each[0])[1] if ranked else None
    return found


def _offers(subtitles: Mapping[str, Any] | None, *, is_automatic: bool) -> Iterator[tuple[_Parts, bool, Track]]:
    """Yield each language, whether it is what is spoken, and its track."""
    for name, formats in (subtitles or {}).items():
        spoken = str(name).removesuffix(_ORIGINAL)
        code, best = language_code(spoken), _best_format(formats)
        if code is None or best is None or name == "live_chat":
            continue
        parts = _parts(code)
        language = "-".join([parts[0], *code.split("-")[1:]])
        yield parts, spoken != name, Track(language=language, format=best, is_automatic=is_automatic)


def _best_format(formats: Any) -> Mapping[str, Any] | None:
    readable = [
        each
        for each in (formats if isinstance(formats, list) else ())
        if each.get("ext") in _EXTENSIONS
        and (each.get("url") or each.get("data") is not None)
        and each.get("protocol") in _PLAIN + _STREAMED
    ]
    return min(readable, key=lambda each: _EXTENSIONS.index(each["ext"]), default=None)


def _parts(code: str) -> _Parts:
    from yt_dlp.utils import ISO639Utils

    language, *rest = code.lower().split("-")
    # By way of the long code, because several short ones may mean one language.
    long = (ISO639Utils.short2long(language) if len(language) == 2 else None) or language
    language = _SAME_LANGUAGE.get(long) or ISO639Utils.long2short(long) or language
    if language == "zh" and rest and rest[0] in _SCRIPTS:
        rest.insert(0, _SCRIPTS[rest[0]])
    return language, *rest


def _distance(wanted: _Parts, offered: _Parts) -> int | None:
    """Return 0 for the very language, 1 for a narrower one, more for a wider one; None: it is another."""
    if offered[: len(wanted)] == wanted:
        return 0 if offered == wanted else 1
    if wanted[: len(offered)] == offered:
        return 1 + len(wanted) - len(offered)
    return None


# Fetching


class SubtitleFetcher:
    """Fetches the subtitles of one post's videos."""

    def __init__(
        self,
        wanted: Sequence[str],
        requests: GuardedRequests,
        *,
        max_bytes: int | None,
        heartbeat: Callable[[], None],
        pause: Callable[[float], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fetch the languages *wanted* by *requests*.

        *heartbeat* is called while bytes arrive; an exception from it ends the download. *pause* waits so many seconds
        before a request is repeated, or until the download is stopped. No file is larger than *max_bytes*.
        """
        self._wanted = wanted
        self._requests = requests
        self._max_bytes = MAX_TEXT_BYTES if max_bytes is None else min(max_bytes, MAX_TEXT_BYTES)
        self._heartbeat = heartbeat
        self._pause = pause
        self._clock = clock
        self._ends_at = 0.0

    def step(self) -> Any:
        """Return a post-processor, to be run before a download, that fetches what is wanted with it."""
        from yt_dlp.postprocessor.common import PostProcessor

        fetcher = self

        class Step(PostProcessor):  # type: ignore[misc]  # yt-dlp comes without types
            def run(self, info: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
                info[INFO_KEY] = fetcher.fetch(info, self._downloader)
                return [], info

        return Step()

    def fetch(self, info: Mapping[str, Any], ydl: Any) -> Subtitles:
        """Write the subtitles of the video in *info* beside it; return what there is.

        Raises:
            DownloadFailed: the download was stopped.
            OSError: the disk failed.
        """
        self._ends_at = self._clock() + PATIENCE_SECONDS
        video = Path(info["_filename"])
        files: dict[str, Path] = {}
        missing: list[str] = []
        came: dict[str, bool] = {}  # by language; two codes may mean one
        last_failure = self._requests.last_failure
        for code, track in choose(self._wanted, info.get("subtitles"), info.get("automatic_captions")).items():
            if track is None:
                missing.append(code)
                continue
            # Another name than yt-dlp's own, which the operator's options may ask for.
            path = video.with_name(f"{video.stem}.beside.{track.language}.srt")
            if track.language not in came:  # it may be there from an earlier attempt
                came[track.language] = path.exists() or self._write(path, track, info, ydl)
            if came[track.language]:
                files[track.language] = path
            else:
                missing.append(code)
        self._requests.last_failure = last_failure  # those of subtitles do not explain what happens to the video
        return Subtitles(files=files, missing=tuple(missing))

    def _write(self, path: Path, track: Track, info: Mapping[str, Any], ydl: Any) -> bool:
        """Fetch *track* into *path*; return whether that worked."""
        for tries_left in reversed(range(_TRIES)):
            try:
                text = to_srt(self._texts(track.format, info, ydl))
                self._check_size(len(text))
                break
            except Exception as error:
                found = classify(error)
                if found.code == "interrupted":
                    raise
                if tries_left and found.code in _WORTH_A_RETRY:
                    self._pause(_RETRY_PAUSE_SECONDS)
                    continue
                facts = {"platform": info.get("extractor_key"), "video": info.get("id"), "language": track.language}
                log.warning("subtitles left out", extra={**facts, "error_code": found.code, "detail": found.detail})
                return False
        # Not for this user alone: it gets the permissions of media.
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(text)
        unfinished.replace(path)
        return True

    def _texts(self, source: Mapping[str, Any], info: Mapping[str, Any], ydl: Any) -> list[bytes]:
        if (data := source.get("data")) is not None:
            return [str(data).encode()]
        headers = {**(info.get("http_headers") or {}), **(source.get("http_headers") or {})}
        # As for media: it is not to be unpacked, and libcurl hands it over as it arrives.
        headers["Accept-Encoding"] = "identity"
        extensions = {}
        if source.get("impersonate") and (target := ydl._parse_impersonate_targets(source["impersonate"])[0]):
            extensions["impersonate"] = target
        url, text = self._read(source["url"], headers, extensions, 0)
        if source.get("protocol") not in _STREAMED:
            return [text]
        texts: list[bytes] = []
        for segment in segments(text, url):
            texts.append(self._read(segment, headers, extensions, sum(map(len, texts)))[1])
        return texts

    def _read(self, url: str, headers: Any, extensions: Any, before: int) -> tuple[str, bytes]:
        """Return the text at *url*, and where it really is; *before* bytes of the same subtitles are there already."""
        from yt_dlp.networking import Request

        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("an address of another protocol")
        self._check_time()
        response = self._requests(Request(url, headers=headers, extensions=extensions))
        try:
            text = bytearray()
            while block := response.read(_BLOCK_BYTES):
                text += block
                self._check_size(before + len(text))
                self._check_time()
            return str(response.url), bytes(text)
        finally:
            response.close()

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise DownloadFailed("too_large", detail=f"subtitles of more than {self._max_bytes} bytes")

    def _check_time(self) -> None:
        self._heartbeat()
        if self._clock() > self._ends_at:
            raise DownloadFailed("timeout", detail=f"subtitles took more than {PATIENCE_SECONDS:g} seconds")


def segments(playlist: bytes, url: str) -> list[str]:
    """Return the addresses of the segments in *playlist*, which is at *url*.

    Raises:
        ValueError: it is no playlist, or one whose segments are not files.
    """
    lines = [line.strip() for line in playlist.decode(errors="replace").splitlines()]
    if lines[:1] != ["#EXTM3U"]:
        raise ValueError("no playlist")
    if any(line.startswith(("#EXT-X-KEY", "#EXT-X-BYTERANGE", "#EXT-X-STREAM-INF")) for line in lines):
        raise ValueError("a playlist of another kind")
    return [urljoin(url, line) for line in lines if line and not line.startswith("#")]

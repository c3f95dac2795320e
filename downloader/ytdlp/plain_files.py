"""Plain files of a post, its pictures and the sound of a slideshow: entries that have one address and no formats.

A correction (see `ytdlp.corrections`) puts them among a post's entries. What yt-dlp does for a video would cost more
than a small picture does: choosing among formats, naming the file, a downloader that can do everything. So each is
fetched here, and by yt-dlp's downloader only if that fails, or if some of it is there already.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from downloader.errors import DownloadFailed
from downloader.media.downloads import Plain
from downloader.ytdlp.lean import BLOCK_SECONDS, MIN_BLOCK_BYTES, block_size
from downloader.ytdlp.options import MAX_VIDEOS_PER_POST

#: In an entry: which kind of file it is.
_KIND = "plain_file"

#: The name of an unfinished file needs an extension. Its final one follows from its bytes.
_UNFINISHED: Mapping[Plain, str] = {"picture": "jpg", "sound": "m4a"}

#: The platform says that there is no such file; another attempt would not find it either.
_GONE = (404, 410)

#: Options of yt-dlp's downloader, which an operator may have set, that we leave to it.
_ITS_OPTIONS = (
    *("external_downloader", "http_chunk_size", "max_filesize", "min_filesize", "max_sleep_interval", "nopart"),
    *("ratelimit", "sleep_interval", "test", "throttledratelimit", "updatetime"),
)


def plain_file(kind: Plain, id: str, find: Callable[[], str | None]) -> dict[str, Any]:
    """Return the fields that make an entry one plain file, at the address that *find* returns.

    *find* reads the platform's own data. If it doesn't find the address where it was, only this file is lost.
    """
    try:
        url = find()
    except (LookupError, TypeError, ValueError, AttributeError):
        url = None
    return {
        _KIND: kind,
        "id": id,
        "url": url if isinstance(url, str) else "",
        # None, unlike an empty list, is not what yt-dlp calls a video without formats.
        **dict.fromkeys(("formats", "subtitles", "automatic_captions", "duration")),
    }


def plain_kind(info: Mapping[str, Any]) -> Plain | None:
    """Return which kind of plain file an entry is; None: a video."""
    return info.get(_KIND)


@dataclass(slots=True)
class PlainFiles:
    """Downloads the plain files of a post, in place of yt-dlp's `process_ie_result` and `process_video_result`."""

    ydl: Any
    of_post: Any  #: yt-dlp's own
    of_video: Any
    prepare: Callable[[Mapping[str, Any]], object]  #: called before each download, to refuse it or to wait
    folder: str = ""  #: of unfinished files
    missing: list[tuple[str, Exception]] = field(default_factory=list)  #: files that could not be had, and why
    block_bytes: int = MIN_BLOCK_BYTES  #: read next, as the files before have shown

    @classmethod
    def of(cls, ydl: Any, prepare: Callable[[Mapping[str, Any]], object]) -> PlainFiles:
        """Have *ydl* leave its plain files to the object that is returned."""
        of_post, of_video = (getattr(ydl, name, None) for name in ("process_ie_result", "process_video_result"))
        files = cls(ydl, of_post, of_video, prepare)
        ydl.process_ie_result, ydl.process_video_result = files.process_post, files.process
        return files

    def process_post(self, post: dict[str, Any], *args: Any, **options: Any) -> Any:
        """Download the files of *post* if all are plain ones, or have yt-dlp process it: its lists can do more."""
        entries = post.get("entries")
        if not (entries and isinstance(entries, list) and all(entry and plain_kind(entry) for entry in entries)):
            return self.of_post(post, *args, **options)
        entries = entries[:MAX_VIDEOS_PER_POST]
        places = ({"playlist_index": number, "n_entries": len(entries)} for number in range(1, len(entries) + 1))
        return post | {"entries": [self.process(entry | place) for entry, place in zip(entries, places, strict=True)]}

    def process(self, info: dict[str, Any], download: bool = True) -> dict[str, Any]:
        """Download the file that *info* is, or have yt-dlp process a video; return *info* with the path."""
        if (kind := plain_kind(info)) is None:
            return self.of_video(info, download=download)  # type: ignore[no-any-return]
        info |= {"format_id": kind, "ext": _UNFINISHED[kind], "vcodec": "none", "acodec": "none"}
        info.setdefault("playlist_index", None)
        if not info["url"]:
            self._miss(info, DownloadFailed("platform_changed", detail=f"no address of a {kind}"))
            return info
        # yt-dlp would go by the extension, and take a playlist for a stream.
        info["protocol"] = urlsplit(info["url"]).scheme
        self.prepare(info)
        path = self._path(info)
        if self._download(path, info):
            info["requested_downloads"] = [{"filepath": path}]
        return info

    def _path(self, info: Mapping[str, Any]) -> str:
        """Return the path of the unfinished file, in the folder of all of them; yt-dlp takes long to name one."""
        self.folder = self.folder or os.path.dirname(self.ydl.prepare_filename(info))  # noqa: PTH120
        number = f"{info['playlist_index'] or 1:0{len(str(info.get('n_entries') or 1))}}"
        return f"{self.folder}/{number}-{info['format_id']}.{info['ext']}"

    def _download(self, path: str, info: dict[str, Any]) -> bool:
        """Download *info* to *path*; return whether it is there, False if the platform doesn't have it any more."""
        from yt_dlp.networking.exceptions import HTTPError, network_exceptions

        try:
            if not self._fetch(path, info):
                self.ydl.dl(path, info)
        except network_exceptions as error:
            try:
                self.ydl.report_error(f"unable to download video data: {error}")  # in yt-dlp's words for videos
            except Exception as reported:
                if not isinstance(error, HTTPError) or error.status not in _GONE:
                    raise
                self._miss(info, reported)
                return False
        return True

    def _fetch(self, path: str, info: Mapping[str, Any]) -> bool:
        """Download *info* to *path*; return False if yt-dlp has to try, or to resume.

        Raises:
            HTTPError: of a status that another try will not change.
        """
        from yt_dlp.networking.common import Request
        from yt_dlp.networking.exceptions import CertificateVerifyError, HTTPError, TransportError

        part = f"{path}.part"
        if self._is_for_ytdlp(info) or os.path.lexists(path) or os.path.lexists(part):
            return False
        try:
            response = self.ydl.urlopen(Request(info["url"], headers=_headers(info)))
            return self._write(response, part, path, info)
        except HTTPError as error:
            if error.status < 500:
                raise
        except CertificateVerifyError:
            raise
        except TransportError:
            pass
        return False

    def _is_for_ytdlp(self, info: Mapping[str, Any]) -> bool:
        return bool(info.get("impersonate")) or any(self.ydl.params.get(name) for name in _ITS_OPTIONS)

    def _write(self, response: Any, part: str, path: str, info: Mapping[str, Any]) -> bool:
        """Write the body of *response* to *part*, rename that to *path*; return False if any of it is missing."""
        from yt_dlp.utils import int_or_none

        length = None if "Content-Encoding" in response.headers else int_or_none(response.headers["Content-Length"])
        progress = {"info_dict": info, "filename": path, "tmpfilename": part, "total_bytes": length}
        started = before = time.monotonic()
        done = 0
        with open(part, "xb") as file:  # noqa: PTH123 -- no Path needed
            while done != length and (block := response.read(self.block_bytes)):
                file.write(block)
                done += len(block)
                now = time.monotonic()
                speed = done / (now - started) if now > started else None
                self._report(progress | {"status": "downloading", "downloaded_bytes": done, "speed": speed})
                if len(block) == self.block_bytes or now - before > BLOCK_SECONDS:  # not for the rest of a file
                    self.block_bytes = block_size(now - before, len(block))
                before = now
        if not done or length not in (None, done):
            return False
        os.rename(part, path)  # noqa: PTH104
        self._report(progress | {"status": "finished", "downloaded_bytes": done, "total_bytes": done})
        return True

    def _report(self, progress: Mapping[str, Any]) -> None:
        for hook in self.ydl._progress_hooks:
            hook(progress)

    def _miss(self, info: Mapping[str, Any], reason: Exception) -> None:
        self.missing.append((f"{plain_kind(info)} {info['playlist_index'] or 1}", reason))


def _headers(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers for *info*, which has none of its own for a host that the cookies are not for."""
    headers = {name: value for name, value in (info.get("http_headers") or {}).items() if name.lower() != "cookie"}
    if address := info.get("__x_forwarded_for_ip"):
        headers["X-Forwarded-For"] = address
    return headers | {"Accept-Encoding": "identity"}

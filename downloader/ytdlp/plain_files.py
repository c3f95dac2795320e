"""Plain files of a post, its pictures and the sound of a slideshow: entries that have one address and no formats.

A correction (see `ytdlp.corrections`) puts them among a post's entries. yt-dlp's own HTTP downloader fetches them, but
without what yt-dlp does for a video first: choosing among formats costs more than a small picture does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from downloader.errors import DownloadFailed
from downloader.media.downloads import Plain

#: In an entry: which kind of file it is.
_KIND = "plain_file"

#: The name of an unfinished file needs an extension. Its final one follows from its bytes.
_UNFINISHED: Mapping[Plain, str] = {"picture": "jpg", "sound": "m4a"}

#: The platform says that there is no such file; another attempt would not find it either.
_GONE = (404, 410)


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
    """Downloads the plain files of a post, in place of yt-dlp's `process_video_result`."""

    ydl: Any
    theirs: Any
    prepare: Callable[[dict[str, Any]], object]  #: called before each download, to refuse it or to wait
    folder: Path | None = None  #: of unfinished files
    missing: list[tuple[str, Exception]] = field(default_factory=list)  #: files that could not be had, and why

    @classmethod
    def of(cls, ydl: Any, prepare: Callable[[dict[str, Any]], object]) -> PlainFiles:
        """Have *ydl* leave its plain files to the object that is returned."""
        files = cls(ydl, getattr(ydl, "process_video_result", None), prepare)
        ydl.process_video_result = files.process
        return files

    def process(self, info: dict[str, Any], download: bool = True) -> dict[str, Any]:
        """Download the file that *info* is, or have yt-dlp process a video; return *info* with the path."""
        if (kind := plain_kind(info)) is None:
            return self.theirs(info, download=download)  # type: ignore[no-any-return]
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
        self.folder = self.folder or Path(self.ydl.prepare_filename(info)).parent
        number = f"{info['playlist_index'] or 1:0{len(str(info.get('n_entries') or 1))}}"
        return str(self.folder / f"{number}-{info['format_id']}.{info['ext']}")

    def _download(self, path: str, info: dict[str, Any]) -> bool:
        """Download *info* to *path*; return whether it is there, False if the platform doesn't have it any more."""
        from yt_dlp.networking.exceptions import HTTPError, network_exceptions

        try:
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

    def _miss(self, info: Mapping[str, Any], reason: Exception) -> None:
        self.missing.append((f"{plain_kind(info)} {info['playlist_index'] or 1}", reason))

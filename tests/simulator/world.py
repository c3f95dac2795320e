"""The simulated world: which platform owns a host, which trouble is due, and what a post's media are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from . import instagram, thumbnails, tiktok, twitter, youtube
from .ledger import Ledger
from .media import SEGMENT_COUNT, SEGMENT_SECONDS, MediaLibrary, swollen_mp4, swollen_page
from .model import Content, Fault, Platform, Post, Request, Response, Stage, World
from .pictures import status_of_missing
from .scenarios import CANARY_PORT, title_of
from .subtitles import endless_response, huge_response

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
#: The same behind an ID3 tag, of a file two folders further up.
_DISGUISED_PLAYLIST = (
    b"ID3\x03\0\0\0\0\0\x0a" + bytes(10) + _PLAYLIST.replace(b"file:///etc/hostname", b"../../elsewhere.mp4")
)
_LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body><h1>Log in</h1></body></html>\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformServer:
    """One platform's module, as the proxy sees it."""

    name: Platform
    hosts: frozenset[str]
    answer: Callable[[Request, World], Response]


_PLATFORMS = (
    PlatformServer(name="tiktok", hosts=tiktok.HOSTS, answer=tiktok.answer),
    PlatformServer(name="instagram", hosts=instagram.HOSTS, answer=instagram.answer),
    PlatformServer(name="twitter", hosts=twitter.HOSTS, answer=twitter.answer),
    PlatformServer(name="youtube", hosts=youtube.HOSTS, answer=youtube.answer),
)


@dataclass(slots=True, kw_only=True)
class Simulation:
    """What lives as long as the simulator does."""

    media: MediaLibrary
    ledger: Ledger
    canary_port: int = 0
    faults_struck: Counter[tuple[str, Stage]] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        """Zero all counts, and let faults that strike a few times strike again."""
        self.ledger.reset()
        self.faults_struck.clear()
        self.counted.clear()


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request's view of the world (a `World`): remembers which post it turned out to be about."""

    simulation: Simulation
    request: Request
    post: Post | None = None
    stage: Stage | None = None

    def page_fault(self, post: Post) -> Response | None:
        """Return the trouble due at the post's page or API now (and count it), or None to answer normally."""
        self.post, self.stage = post, "page"
        if self.request.method == "HEAD":
            return None
        self.simulation.ledger.post(post).page_requests += 1
        fault = self._due(post, post.scenario.page, "page")
        return _trouble(fault, _html(_LOGIN_PAGE), self.simulation.canary_port) if fault else None

    def media(self, request: Request, post: Post, name: str, *, content_type: str = "video/mp4") -> Response:
        """Return the media file *name* of *post*: Range honoured, media faults applied."""
        self.post, self.stage = post, "media"
        try:
            content = self.simulation.media.content(post, name)
        except KeyError:
            return Response(status=404)
        if status := status_of_missing(post, name):
            return Response(status=status)
        normal = _ranged(content, request.headers.get("range"), content_type)
        if request.method == "HEAD":
            return normal
        self.simulation.ledger.post(post).media_requests += 1
        fault = self._due(post, post.scenario.media, "media")
        return _trouble(fault, normal, self.simulation.canary_port) if fault else normal

    def subtitles(self, post: Post, normal: Response) -> Response:
        """Return the *normal* answer to a request for subtitles of *post*, or the trouble due."""
        self.post, self.stage = post, "subtitles"
        fault = self._due(post, post.scenario.subtitles, "subtitles")
        return _trouble(fault, normal, self.simulation.canary_port) if fault else normal

    def thumbnail(self, post: Post) -> Response:
        """Return the thumbnail of *post*, or what its scenario has in that place."""
        self.post = post
        return thumbnails.answer(post, self.canary_url())

    def media_size(self, post: Post, name: str) -> int:
        """Return the size of media file *name* in bytes."""
        return self.simulation.media.content(post, name).size

    def segment_count(self) -> int:
        """Return how many HLS segments video and audio each have."""
        return SEGMENT_COUNT

    def segment_seconds(self) -> float:
        """Return the length of one HLS segment."""
        return SEGMENT_SECONDS

    def canary_url(self) -> str:
        """Return an address inside this machine that must never be asked for."""
        return f"http://127.0.0.1:{self.simulation.canary_port}"

    def count(self, name: str) -> int:
        """Return how often *name* was counted since the start or the last reset, this time included."""
        self.simulation.counted[name] += 1
        return self.simulation.counted[name]

    def title(self, post: Post) -> str:
        """Return the post's title: a plain one, or 600 hostile characters where its scenario says so."""
        return title_of(post)

    def _due(self, post: Post, fault: Fault | None, stage: Stage) -> Fault | None:
        if fault is None:
            return None
        if fault.times is None:
            return fault
        struck = self.simulation.faults_struck
        struck[post.id, stage] += 1
        return fault if struck[post.id, stage] <= fault.times else None


def platforms_by_host() -> Mapping[str, PlatformServer]:
    """Return who plays each simulated host.

    Raises:
        ValueError: two platforms claim the same host.
    """
    servers: dict[str, PlatformServer] = {}
    for server in _PLATFORMS:
        for host in server.hosts:
            if host in servers:
                raise ValueError(f"{host} is claimed by {server.name} and {servers[host].name}")
            servers[host] = server
    return servers


def _ranged(content: Content, range_header: str | None, content_type: str) -> Response:
    """Return *content*, or the part of it that a Range header asks for."""
    headers = {"Content-Type": content_type, "Accept-Ranges": "bytes"}
    match = _RANGE.fullmatch(range_header.strip()) if range_header else None
    if match is None or match[0] == "bytes=-":
        return Response(headers=headers, content=content)
    first, last = match.groups()
    start = int(first) if first else max(content.size - int(last), 0)
    stop = min(int(last) + 1, content.size) if first and last else content.size
    if start >= stop:
        return Response(status=416, headers={"Content-Range": f"bytes */{content.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Response(status=206, headers=headers, content=content.part(start, stop))


def _trouble(fault: Fault, normal: Response, canary_port: int) -> Response:
    """Return what *fault* makes of the *normal* answer."""
    half = (normal.content.size if normal.content else len(normal.body)) // 2
    match fault.kind:
        case "status":
            headers = {"Content-Type": "text/html; charset=utf-8"}
            if fault.retry_after_seconds is not None:
                headers["Retry-After"] = str(fault.retry_after_seconds)
            body = f"<!DOCTYPE html><html><body><h1>Error {fault.status}</h1></body></html>\n".encode()
            return Response(status=fault.status, headers=headers, body=body)
        case "cut":
            return replace(normal, cut_after=half)
        case "hang":
            return replace(normal, hang_after=0)
        case "hang_in_body":
            return replace(normal, hang_after=max(half, 1))
        case "html":
            return _html(_LOGIN_PAGE)
        case "unsized":
            whole = {"Content-Type": normal.headers["Content-Type"]}
            return Response(headers=whole, content=normal.content, unsized=True)
        case "stray_bytes":
            return Response(headers={"Content-Type": "video/mp4"}, body=b"\x00\xff" * 20)
        case "playlist":
            # What ffmpeg would take for a stream, if it were left to guess, and read the file it names.
            return Response(headers={"Content-Type": "video/mp4"}, body=_PLAYLIST)
        case "disguised_playlist":
            return Response(headers={"Content-Type": "video/mp4"}, body=_DISGUISED_PLAYLIST)
        case "huge_text":
            return huge_response()
        case "endless_text":
            return endless_response()
        case "swollen":
            return Response(headers={"Content-Type": "video/quicktime"}, body=swollen_mp4())
        case "swollen_page":
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Encoding": "gzip"}
            return Response(headers=headers, body=swollen_page())
        case "redirect":
            location = fault.location.replace(CANARY_PORT, str(canary_port))
            return Response(status=302, headers={"Location": location})


def _html(page: bytes) -> Response:
    return Response(headers={"Content-Type": "text/html; charset=utf-8"}, body=page)

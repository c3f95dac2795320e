"""The words the simulator is written in: requests, responses, posts, scenarios.

A *post* is one video at one platform. Its id says which scenario it plays, so a URL alone decides what happens
and nothing has to be set up first:

    post_url("tiktok", "rate_limited")      the first post that plays `rate_limited` at TikTok
    post_url("tiktok", "ok", 7)             the eighth that simply works
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Platform = Literal["tiktok", "instagram", "twitter", "youtube"]
PLATFORMS: tuple[Platform, ...] = ("tiktok", "instagram", "twitter", "youtube")

#: Where a fault strikes: the post's page or API answer, the bytes of its media, or its subtitles.
Stage = Literal["page", "media", "subtitles"]

#: What a fault does: `world._trouble` says how.
FaultKind = (
    Literal["status", "cut", "hang", "hang_in_body", "html", "stray_bytes", "playlist", "redirect", "unsized"]
    | Literal["disguised_playlist", "swollen", "swollen_page", "huge_text", "endless_text"]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as the platform sees it, after the proxy took the wrapping off."""

    method: str
    scheme: Literal["http", "https"]
    host: str  #: lower case, without port
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  #: names in lower case
    body: bytes = b""


_ZEROS = memoryview(bytes(256 * 1024))


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body that is never built whole: `pieces`, then zeros up to `size` bytes, so that a gigabyte costs nothing."""

    pieces: tuple[memoryview, ...]
    size: int

    def part(self, start: int, stop: int) -> Content:
        """Return the bytes from *start* up to, not including, *stop*."""
        kept = []
        offset = 0
        for piece in self.pieces:
            kept.append(piece[max(start - offset, 0) : max(stop - offset, 0)])
            offset += len(piece)
        return Content(pieces=tuple(kept), size=stop - start)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes in order, in chunks fit for one write each."""
        head = b"".join(self.pieces)
        if head:
            yield head
        left = self.size - len(head)
        while left > 0:
            chunk = _ZEROS[:left]
            left -= len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One HTTP answer; `cut_after` and `hang_after` count bytes of the body sent before the trouble starts."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    #: each one a `Set-Cookie` header of its own, which a mapping of headers cannot hold
    cookies: tuple[str, ...] = ()
    body: bytes = b""
    content: Content | None = None  #: sent instead of `body` where given
    cut_after: int | None = None
    hang_after: int | None = None  #: 0: not even the status line is sent
    unsized: bool = False  #: no Content-Length: it ends when it ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Trouble that is the same at every platform.

    Strikes the first `times` requests of its stage for each post (None: every one), then the post works.
    """

    kind: FaultKind
    times: int | None = None
    status: int = 200
    retry_after_seconds: int | None = None
    location: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a post does when it is asked for, and what the downloader should make of it."""

    name: str
    number: int  #: 0 to 199, part of the ids of its posts: never give one out twice
    about: str
    platforms: tuple[Platform, ...] = PLATFORMS
    page: Fault | None = None
    media: Fault | None = None
    subtitles: Fault | None = None
    #: the error code expected of the downloader, None for a success
    expects: str | None = None
    #: where one platform's answer means something else
    expects_at: Mapping[Platform, str | None] = field(default_factory=dict)

    def expected(self, platform: Platform) -> str | None:
        """Return the error code that this scenario should lead to at *platform*; None: a playable file."""
        return self.expects_at.get(platform, self.expects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One video of the simulated world."""

    platform: Platform
    id: str
    scenario: Scenario
    serial: int


class World(Protocol):
    """What a platform may ask of the simulator while it answers."""

    def page_fault(self, post: Post) -> Response | None:
        """Return the trouble due at the post's page or API now (and count it), or None to answer normally.

        Call it once in each answer about a post, also where the scenario has no fault: it is what counts the
        post's page requests. A HEAD request is never in trouble and not counted.
        """

    def media(self, request: Request, post: Post, name: str, *, content_type: str = "video/mp4") -> Response:
        """Return the media file *name* of *post*: Range honoured, media faults applied.

        Names: `muxed.mp4` (h264 + aac), `video.mp4` (h264 alone), `audio.m4a` (aac alone), `init-video.mp4`,
        `video-0.m4s` … and `init-audio.mp4`, `audio-0.m4s` … (fragmented, for HLS); `segment_count` of them.
        """

    def subtitles(self, post: Post, normal: Response) -> Response:
        """Return the *normal* answer to a request for subtitles of *post*, or the trouble due."""

    def thumbnail(self, post: Post) -> Response:
        """Return the thumbnail of *post*, or what its scenario has in that place."""

    def media_size(self, post: Post, name: str) -> int:
        """Return the size of media file *name* in bytes."""

    def segment_count(self) -> int:
        """Return how many HLS segments video and audio each have."""

    def segment_seconds(self) -> float:
        """Return the length of one HLS segment."""

    def canary_url(self) -> str:
        """Return an address inside this machine that must never be requested; requests to it are counted."""

    def count(self, name: str) -> int:
        """Return how often *name* was counted since the start or the last reset, this time included."""

    def title(self, post: Post) -> str:
        """Return the post's title: a plain one, or 600 hostile characters where its scenario says so."""


#: How ids begin: of scenarios below 100, then of those from 100 on.
_FIRST_LETTERS: Mapping[Platform, str] = {"tiktok": "78", "twitter": "12", "instagram": "CD", "youtube": "ST"}
_NUMERIC = re.compile(r"(?P<first>\d)(?P<scenario>\d{2})(?P<serial>\d{16})")
_CODE = re.compile(r"(?P<first>[A-Z])(?P<scenario>\d{2})n(?P<serial>\d{7})")


def post_id(platform: Platform, scenario: Scenario, serial: int = 0) -> str:
    """Return the id under which *platform* knows post number *serial* of *scenario*."""
    hundred, number = divmod(scenario.number, 100)
    first = _FIRST_LETTERS[platform][hundred]
    return f"{first}{number:02d}{serial:016d}" if first.isdigit() else f"{first}{number:02d}n{serial:07d}"


def parse_post_id(platform: Platform, text: str) -> tuple[int, int] | None:
    """Return (scenario number, serial) of a post's id, or None where it is no id of ours."""
    letters = _FIRST_LETTERS[platform]
    match = (_NUMERIC if letters.isdigit() else _CODE).fullmatch(text)
    if match is None or match["first"] not in letters:
        return None
    return 100 * letters.index(match["first"]) + int(match["scenario"]), int(match["serial"])

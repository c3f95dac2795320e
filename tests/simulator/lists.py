"""Simulated collections: which posts they hold, and what happens on the way through them.

A collection's name says its plan and its size, so a URL alone decides what happens, and nothing is ever stored:

    list_url("youtube", "plain", 240)      a playlist of 240 videos
    list_url("tiktok", "limited", 60)      a profile that meets a rate limit on its third page
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from .model import Platform, Post, World, post_id
from .scenarios import SCENARIOS, find_post

Plan = Literal[
    "plain",
    "mixed",  # some are private, deleted or to come
    "growing",  # with each request for a page, another one is added in front
    "loop",  # a continuation leads back to an earlier page
    "stale",  # continuations without end, always with the same entries
    "endless",  # continuations without end, always with new entries
    "empty",  # continuations without end and without entries
    "throttled",  # its page answers 429, and so does all else
    "walled",  # its page redirects to the login page
    "limited",  # the third page answers 429
    "relenting",  # the third page answers 429, once
    "expired",  # the third page's continuation is refused, twice
    "withdrawn",  # the third page's continuation is gone, twice
    "incomplete",  # the third page comes without entries, twice
    "hanging",  # the third page never answers
    "nested",  # holds playlists, itself and a private one among them
    "deep",  # holds a playlist that holds playlists
    "private",
    "gone",
    "pinned",  # its first three are old
    "inward",  # its page redirects into this machine
    "inlater",  # the third page does
    "navigates",  # its page says that it continues in this machine
]

#: What is told of an entry, besides "".
Condition = Literal["", "private", "deleted", "upcoming"]

_NAME = re.compile(r"sim-(?P<plan>[a-z]+)-(?P<size>\d+)")
_MIXED: dict[int, Condition] = {3: "private", 4: "deleted", 5: "upcoming"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One entry of a collection."""

    post: Post
    condition: Condition = ""
    age: int  #: how many were posted after it


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """A part of a collection; `next` is what the continuation is to say, None at the end."""

    items: tuple[Item, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A collection, as its name says."""

    platform: Platform
    plan: Plan
    size: int

    @property
    def name(self) -> str:
        """Return its name, the part of its URL that differs."""
        return f"sim-{self.plan}-{self.size}"

    def item(self, index: int) -> Item:
        """Return the entry at *index*, counted from the newest."""
        condition = _MIXED.get(index % 10, "") if self.plan == "mixed" else ""
        scenario = {"": "ok", "private": "private", "deleted": "removed", "upcoming": "live_soon"}[condition]
        post = find_post(self.platform, post_id(self.platform, SCENARIOS[scenario], index))
        assert post is not None
        age = index + 100_000 if self.plan == "pinned" and index < 3 else index
        return Item(post=post, condition=condition, age=age)

    def page(self, world: World, number: int, length: int) -> ListPage:
        """Return page *number*, counted from 0; a whole one has *length* entries."""
        if self.plan == "growing":
            return self._grown_page(number, length, world.count(self.name))
        first = number * length
        last = first + length if self.plan == "endless" else min(first + length, self.size)
        following = f"{number + 1}" if self.plan == "endless" or last < self.size else None
        if self.plan == "loop" and number == 2:
            following = "1"
        if self.plan in ("stale", "empty"):
            following = f"{number + 1}"
            first, last = (0, length if self.plan == "stale" or number == 0 else 0)
        return ListPage(items=tuple(map(self.item, range(first, last))), next=following)

    def _grown_page(self, number: int, length: int, added: int) -> ListPage:
        first, last = number * length, min((number + 1) * length, self.size + added)
        # The new ones are those after the original ones.
        indexes = [index - added if index >= added else self.size + added - 1 - index for index in range(first, last)]
        return ListPage(
            items=tuple(map(self.item, indexes)), next=f"{number + 1}" if last < self.size + added else None
        )


def find_list(platform: Platform, name: str) -> Collection | None:
    """Return the collection called *name*, or None where it is no name of ours."""
    match = _NAME.fullmatch(name)
    if match is None or match["plan"] not in get_args(Plan):
        return None
    return Collection(platform=platform, plan=match["plan"], size=int(match["size"]))  # type: ignore[arg-type]


def list_url(platform: Platform, plan: Plan, size: int = 240) -> str:
    """Return the address of a collection: a playlist at YouTube, a profile at TikTok."""
    name = Collection(platform=platform, plan=plan, size=size).name
    return (
        f"https://www.youtube.com/playlist?list=PL{name}"
        if platform == "youtube"
        else f"https://www.tiktok.com/@{name}"
    )


def channel_url(plan: Plan, size: int = 60, tab: str = "") -> str:
    """Return the address of a YouTube channel: *size* videos, a third of it shorts, a tenth broadcasts, 3 playlists."""
    return f"https://www.youtube.com/@sim-{plan}-{size}" + (f"/{tab}" if tab else "")

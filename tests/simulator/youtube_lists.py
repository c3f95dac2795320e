"""YouTube's playlists, mixes and channels: the data of their pages, and of the API that continues them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .lists import Collection, Item, ListPage, find_list
from .model import World
from .scenarios import AUTHOR, title_of

JsonObject = dict[str, Any]

CHANNEL_ID = "UCsimulatorsimulator0001"
_PLAYLIST_LENGTH = 100
_TAB_LENGTH = 30
_MIX_LENGTH = 25

#: The tabs of a channel, in the order of its page: title, and the share of its size.
_TABS: Mapping[str, tuple[str, int]] = {"videos": ("Videos", 1), "shorts": ("Shorts", 3), "streams": ("Live", 10)}

_CHANNEL = re.compile(r"/@(?P<name>sim-[a-z]+-\d+)(?:/(?P<tab>[a-z]+))?/?")

#: What a video of the n-th tab adds to its number, so that the tabs have different ones.
_TAB_OFFSET = 1_000_000


class Refused(Exception):
    """The answer is an HTTP error, of this status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Silent(Exception):
    """There is no answer."""


class Moved(Exception):
    """The answer is a redirect into this machine."""


def page_data(path: str, query: Mapping[str, str], world: World) -> JsonObject | None:
    """Return `ytInitialData` of the page at *path*, None if it is no collection's. Raises Refused, Silent and Moved."""
    if path == "/playlist":
        return _playlist(query.get("list", ""), world)
    if path == "/watch" and query.get("list", "").startswith("RD"):
        return _mix(query["v"], world)
    if match := _CHANNEL.fullmatch(path):
        return _channel(match["name"], match["tab"] or "featured", world)
    return None


def api_data(endpoint: str, asked: Mapping[str, Any], world: World) -> JsonObject | None:
    """Return what the API answers about a collection, None if it is not about one. Raises Refused, Silent and Moved."""
    if endpoint == "navigation/resolve_url":
        raise Refused(429 if "-throttled-" in str(asked.get("url")) else 404)
    if endpoint == "next" and "playlistId" in asked:
        return _mix(str(asked["videoId"]), world)
    if endpoint != "browse":
        return None
    if "continuation" in asked:
        return _continuation(str(asked["continuation"]), world)
    return _playlist(str(asked.get("browseId", "")).removeprefix("VL"), world)


# Playlists


def _playlist(id: str, world: World) -> JsonObject:
    found = find_list("youtube", id.removeprefix("PL"))
    if found is None or found.plan in ("private", "gone"):
        text = "This playlist is private." if found and found.plan == "private" else "The playlist does not exist."
        return {"alerts": [{"alertRenderer": {"type": "ERROR", "text": {"simpleText": text}}}], "contents": {}}
    if found.plan == "inward":
        raise Moved
    if found.plan == "throttled":
        raise Refused(429)
    if found.plan == "navigates":
        where = {"commandMetadata": {"webCommandMetadata": {"url": f"{world.canary_url()}/playlist?list={id}"}}}
        return {"onResponseReceivedActions": [{"navigateAction": {"endpoint": where}}]}
    title = f"Playlist {found.name}"
    count = {"runs": [{"text": f"{found.size:,}"}, {"text": " videos"}]}
    byline = [{"playlistBylineRenderer": {"text": count}}]
    owner = {"text": AUTHOR, "navigationEndpoint": {"browseEndpoint": {"browseId": CHANNEL_ID}}}
    return {
        "metadata": {"playlistMetadataRenderer": {"title": title}},
        "header": {"playlistHeaderRenderer": {"byline": byline, "ownerText": {"runs": [owner]}}},
        "contents": {"twoColumnBrowseResultsRenderer": {"tabs": [_selected(_sections(_first_page(found, world)))]}},
    }


def _first_page(found: Collection, world: World) -> list[JsonObject]:
    if found.plan in ("nested", "deep"):
        inner = (
            ["PLsim-nested-20"]
            if found.plan == "deep"
            else ["PLsim-plain-20", "PLsim-private-9", f"PL{found.name}", "PLsim-plain-30"]
        )
        return [{"playlistRenderer": {"playlistId": id, "title": {"simpleText": id}}} for id in inner]
    page = found.page(world, 0, _PLAYLIST_LENGTH)
    return [{"playlistVideoListRenderer": {"contents": _videos(found, page)}}]


def _videos(found: Collection, page: ListPage) -> list[JsonObject]:
    contents: list[JsonObject] = [{"playlistVideoRenderer": _video(item)} for item in page.items]
    return contents + _token(found, "list", page.next)


def _video(item: Item) -> JsonObject:
    title = {"private": "[Private video]", "deleted": "[Deleted video]"}.get(item.condition) or title_of(item.post)
    video: JsonObject = {"videoId": item.post.id, "title": {"runs": [{"text": title}]}}
    if item.condition in ("private", "deleted"):
        return video
    if item.condition == "upcoming":
        return video | {"upcomingEventData": {"startTime": "4102444800"}}
    ago = [{"text": "1,234 views"}, {"text": " \u2022 "}, {"text": f"{item.age} days ago"}]
    return video | {"lengthSeconds": "2", "videoInfo": {"runs": ago}}


# Channels


def _channel(name: str, tab: str, world: World) -> JsonObject:
    found = find_list("youtube", name)
    if found is None or found.plan == "gone":
        raise Refused(404)
    tabs = [_tab_link(name, "featured", "Home", found, world, selected=tab not in (*_TABS, "playlists"))]
    tabs += [
        _tab_link(name, each, title, found, world, selected=each == tab)
        for each, (title, share) in _TABS.items()
        if found.size // share
    ]
    tabs.append(_tab_link(name, "playlists", "Playlists", found, world, selected=tab == "playlists"))
    channel = {
        "title": "Ada's channel",
        "externalId": CHANNEL_ID,
        "vanityChannelUrl": f"http://www.youtube.com/@{name}",
    }
    return {
        "metadata": {"channelMetadataRenderer": channel},
        "contents": {"twoColumnBrowseResultsRenderer": {"tabs": tabs}},
    }


def _tab_link(name: str, tab: str, title: str, found: Collection, world: World, *, selected: bool) -> JsonObject:
    endpoint = {"commandMetadata": {"webCommandMetadata": {"url": f"/@{name}/{tab}"}}}
    renderer: JsonObject = {"title": title, "endpoint": endpoint, "selected": selected}
    if selected and tab == "playlists":
        grid = [_lockup("PLAYLIST", f"PLsim-plain-{size}", f"Part {size}") for size in (10, 20, 30)]
        renderer["content"] = _sections([{"gridRenderer": {"items": grid}}])
    elif selected and tab in _TABS:
        renderer["content"] = {"richGridRenderer": {"contents": _rich(found, tab, 0, world)}}
    return {"tabRenderer": renderer}


def _rich(found: Collection, tab: str, number: int, world: World) -> list[JsonObject]:
    of_tab = replace(found, size=found.size // _TABS[tab][1])
    page = of_tab.page(world, number, _TAB_LENGTH)
    offset = list(_TABS).index(tab) * _TAB_OFFSET
    contents = []
    for item in page.items:
        post = found.item(offset + item.post.serial).post
        ago = f"{item.age} days ago"
        if tab == "shorts":
            short = {"onTap": {"innertubeCommand": {"reelWatchEndpoint": {"videoId": post.id}}}, "entityId": post.id}
            content = {
                "shortsLockupViewModel": {**short, "overlayMetadata": {"primaryText": {"content": title_of(post)}}}
            }
        elif tab == "streams":
            title, time = {"simpleText": title_of(post)}, {"simpleText": f"Streamed {ago}"}
            content = {"videoRenderer": {"videoId": post.id, "title": title, "publishedTimeText": time}}
        else:
            content = _lockup("VIDEO", post.id, title_of(post), ago)
        contents.append({"richItemRenderer": {"content": content}})
    return contents + _token(found, tab, page.next)


def _lockup(kind: str, id: str, title: str, ago: str = "") -> JsonObject:
    parts = [{"text": {"content": "1.2K views"}}, {"text": {"content": ago}, "accessibilityLabel": ago}]
    rows = {"contentMetadataViewModel": {"metadataRows": [{"metadataParts": parts}]}} if ago else {}
    metadata = {"lockupMetadataViewModel": {"title": {"content": title}, "metadata": rows}}
    badge = {"thumbnailBadgeViewModel": {"text": "0:02"}}
    overlay = {"thumbnailBottomOverlayViewModel": {"badges": [badge]}}
    return {
        "lockupViewModel": {
            "contentId": id,
            "contentType": f"LOCKUP_CONTENT_TYPE_{kind}",
            "contentImage": {"thumbnailViewModel": {"overlays": [overlay]}},
            "metadata": metadata,
        }
    }


# Mixes


def _mix(after: str, world: World) -> JsonObject:
    """Return a part of a mix, which has no end: some songs before the one that plays, and those after it."""
    first = int(after[-7:]) if after[-7:].isdigit() else 0
    items = [Collection(platform="youtube", plan="endless", size=0).item(first + n) for n in range(_MIX_LENGTH)]
    panel = [
        {
            "playlistPanelVideoRenderer": {
                "videoId": item.post.id,
                "title": {"simpleText": title_of(item.post)},
                "navigationEndpoint": {"watchEndpoint": {"videoId": item.post.id, "index": first + n}},
            }
        }
        for n, item in enumerate(items)
    ]
    playlist = {"title": "My mix", "playlistId": f"RD{items[0].post.id}", "contents": panel}
    return {"contents": {"twoColumnWatchNextResults": {"playlist": {"playlist": playlist}}}}


# Continuations


def _continuation(token: str, world: World) -> JsonObject:
    _, plan, size, tab, text = token.split(":")
    found = find_list("youtube", f"sim-{plan}-{size}")
    assert found is not None
    number = int(text)
    if number >= 2:
        _be_troubled(found, world)
        if found.plan == "incomplete" and world.count(f"{found.name} trouble") <= 2:
            return {"responseContext": {}}
    if tab == "list":
        items = _videos(found, found.page(world, number, _PLAYLIST_LENGTH))
    else:
        items = _rich(found, tab, number, world)
    return {"onResponseReceivedActions": [{"appendContinuationItemsAction": {"continuationItems": items}}]}


def _be_troubled(found: Collection, world: World) -> None:
    if found.plan == "limited":
        raise Refused(429)
    if found.plan == "hanging":
        raise Silent
    if found.plan == "inlater":
        raise Moved
    if found.plan == "relenting" and world.count(f"{found.name} trouble") <= 1:
        raise Refused(429)
    if found.plan in ("expired", "withdrawn") and world.count(f"{found.name} trouble") <= 2:
        raise Refused(400 if found.plan == "expired" else 410)


def _token(found: Collection, tab: str, following: str | None) -> list[JsonObject]:
    if following is None:
        return []
    token = f"sim:{found.plan}:{found.size}:{tab}:{following}"
    return [{"continuationItemRenderer": {"continuationEndpoint": {"continuationCommand": {"token": token}}}}]


def _selected(content: JsonObject) -> JsonObject:
    return {"tabRenderer": {"selected": True, "content": content}}


def _sections(contents: list[JsonObject]) -> JsonObject:
    return {"sectionListRenderer": {"contents": [{"itemSectionRenderer": {"contents": contents}}]}}

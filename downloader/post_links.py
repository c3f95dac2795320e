"""What a link means: the hosts of each platform, the forms of its links, and which part of them is the post's id.

One table for everyone: the detector takes the hosts from here and `read_link` the forms; `make links` writes
`portal/static/link_forms.js` from it, for the page. So every pattern is of the kind that Python and JavaScript read
alike: ASCII, ignoring case, matched against the whole, no look-behind. `tests/data/post_links.json` holds both readers
to that.

Nothing here makes a request. What comes out is put together from parts that were checked, never from the link's text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Literal
from urllib.parse import parse_qsl

from downloader.models import PlatformType

FormKind = Literal["post", "short", "wrapper", "collection", "other", "mistyped"]

LinkKind = Literal["post", "short", "collection", "other", "mistyped", "unknown"]
"""What `read_link` answers: `short` must be followed, `mistyped` has no id that the platform gives, and `unknown` is no
link to one of the platforms."""

#: What a link leads to, where that is no post: in the words of our sentences.
THINGS: Mapping[str, str] = {
    "advertisement": "an advertisement",
    "article": "an article",
    "channel": "a channel",
    "clip": "a clip (a part of a video)",
    "community": "a community",
    "effect": "an effect",
    "elsewhere": "another site",
    "hashtag": "a hashtag",
    "list": "a list",
    "live": "a live broadcast",
    "login": "the login page",
    "page": "another page",
    "place": "a place",
    "playlist": "a playlist",
    "profile": "a profile",
    "search": "a search",
    "sound": "a sound",
    "space": "an audio room",
    "story": "a story",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkForm:
    """One way in which links of a platform are written. The first that matches says what a link is."""

    kind: FormKind
    path: str  #: pattern for the path, without its last slash: the home page is ""
    host: str = ""  #: pattern for the host, where not all of the platform's write it
    #: Names of parameters: the first that has a value holds the id, or the link inside of a `wrapper`; where none has
    #: one, this is not the form. Without: the id is the path's group of that name.
    query: tuple[str, ...] = ()
    id: str = ""  #: pattern for the id, where it is not the platform's
    link: str = ""  #: what to fetch: {id}, {host} and the path's groups are filled in, _ where there is none
    #: A key of `THINGS`. Of a wrapper: what it is where the link inside is no use; without, the next forms say.
    thing: str = ""
    several: bool = False  #: there may be more ids, after commas


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a link is."""

    kind: LinkKind
    platform: PlatformType
    canonical: str | None = None  #: of a post, and of a short link: what to fetch, in one spelling
    id: str | None = None  #: of a post: what the platform calls it
    part: int | None = None  #: which of the post's media is meant, from 1; None: all of them
    also: tuple[str, ...] = ()  #: ids of other posts that the link names
    thing: str | None = None  #: of the rest: what it leads to, a key of `THINGS`; `unknown` where no form is like it


HOSTS: Mapping[PlatformType, str] = {
    # www.tiktokv.com is what TikTok's data export and some apps write.
    "tiktok": r"(?:(?:www|m|vm|vt|lite)\.)?tiktok\.com|www\.tiktokv\.com",
    "instagram": r"(?:(?:www|m)\.)?instagram\.com|(?:www\.)?instagr\.am",
    "twitter": r"(?:(?:www|m|mobile)\.)?(?:twitter|x)\.com",
    "youtube": r"(?:(?:www|m|music)\.)?youtube\.com|(?:www\.)?youtube-nocookie\.com|(?:www\.)?youtu\.be",
}

_NUMBER = r"[0-9]{1,20}"
_CODE = r"[A-Za-z0-9_-]{1,80}"

IDS: Mapping[PlatformType, str] = {
    "tiktok": _NUMBER,
    "instagram": _CODE,
    "twitter": _NUMBER,
    "youtube": r"[A-Za-z0-9_-]{11}",
}

_ID = r"(?P<id>[^/]+)"
_REST = r"(?:/[^?]*)?"  # whatever may follow
_ANY = r"[^?]*"


def _post(path: str, link: str, *, host: str = "", query: tuple[str, ...] = (), id: str = "") -> LinkForm:
    return LinkForm(kind="post", path=path, link=link, host=host, query=query, id=id)


def _short(path: str, link: str, *, host: str = "") -> LinkForm:
    return LinkForm(kind="short", path=path, link=link, host=host, id=_CODE)


def _wrapper(thing: str, path: str, *query: str) -> LinkForm:
    return LinkForm(kind="wrapper", path=path, query=query, thing=thing)


def _collection(thing: str, path: str, *, query: tuple[str, ...] = ()) -> LinkForm:
    return LinkForm(kind="collection", path=path, query=query, thing=thing)


def _other(thing: str, path: str) -> LinkForm:
    return LinkForm(kind="other", path=path, thing=thing)


def _mistyped(path: str) -> LinkForm:
    return LinkForm(kind="mistyped", path=path)


# TikTok shows a post under any name. One of pictures is a post too: under /video/ its page says so.
_TIKTOK_POST = "https://www.tiktok.com/@{user}/video/{id}"
_AT_USER = r"/(?:@|%40)(?:(?P<user>[A-Za-z0-9_.-]+)|[^/]*)"
_AT_ANY = r"/(?:@|%40)[^/]*"

_TIKTOK = (
    _short(rf"(?:/t)?/(?P<id>(?!@|%40)[^/]+){_REST}", "https://{host}/{id}/", host=r"v[mt]\.tiktok\.com"),
    _short(rf"/t/{_ID}{_REST}", "https://lite.tiktok.com/t/{id}/", host=r"lite\.tiktok\.com"),
    _short(r"/(?P<id>Z[^/]+)", "https://lite.tiktok.com/{id}/", host=r"lite\.tiktok\.com"),
    _short(rf"/t/{_ID}{_REST}", "https://www.tiktok.com/t/{id}/"),
    _post(rf"{_AT_USER}/(?:video|photo)(?:/{_ID}{_REST})?", _TIKTOK_POST),
    _post(rf"(?:/h5)?(?:/i18n)?(?:/share)?/(?:video|photo|item)/{_ID}{_REST}", _TIKTOK_POST),
    _post(r"/(?:embed(?:/v[0-9])?|player/v[0-9]|v)/(?P<id>[^/]+?)(?:\.html?)?", _TIKTOK_POST),
    _post(r"(?:/(?:foryou|following|friends|explore|trending))?", _TIKTOK_POST, query=("item_id", "share_item_id")),
    _wrapper("login", rf"/(?:login|signup){_REST}", "redirect_url"),
    _wrapper("elsewhere", rf"/link{_REST}", "target"),
    _wrapper("elsewhere", r"/oembed", "url"),
    _other("live", rf"{_AT_ANY}/live{_REST}"),
    _other("live", rf"(?:/share)?/live{_REST}"),
    _other("story", rf"{_AT_ANY}/story{_REST}"),
    _collection("playlist", rf"{_AT_ANY}/(?:playlist|collection){_REST}"),
    _collection("profile", rf"{_AT_ANY}{_REST}"),
    _collection("profile", rf"(?:/h5)?/share/use?r{_REST}"),
    _collection("sound", rf"(?:/share)?/music{_REST}"),
    _collection("hashtag", rf"(?:/share)?/(?:tag|challenge){_REST}"),
    _collection("effect", rf"(?:/share)?/(?:sticker|effect){_REST}"),
    _collection("search", rf"/(?:search|discover|channel){_REST}"),
    _other("place", rf"/place{_REST}"),
    _other("login", rf"/(?:login|signup){_REST}"),
    _other("page", rf"/(?:about|explore|following|foryou|friends|legal|messages|setting|trending|upload){_REST}"),
    _other("advertisement", rf"/(?:tiktok-?lite|download|app|business|coin|shop){_REST}"),
)

_INSTAGRAM_POST = "https://www.instagram.com/p/{id}/"

_INSTAGRAM = (
    _short(rf"/share/(?P<sort>[a-z]{{1,10}})/{_ID}{_REST}", "https://www.instagram.com/share/{sort}/{id}/"),
    _short(rf"/share/{_ID}", "https://www.instagram.com/share/{id}/"),
    _other("story", rf"/(?:stories|s){_REST}"),
    _collection("sound", rf"/reels?/audio{_REST}"),
    _wrapper("login", rf"/(?:accounts|challenge|consent|auth_platform){_REST}", "next"),
    _wrapper("elsewhere", r"(?:/api/v1)?/oembed", "url"),
    _wrapper("elsewhere", r"/(?:linkshim|l\.php)", "u"),
    _post(rf"(?:/[^/]+)?/(?:p|tv|reels?)/{_ID}{_REST}", _INSTAGRAM_POST),
    _mistyped(r"(?:/[^/]+)?/(?:p|tv|reel)"),
    _other("login", rf"/(?:accounts|challenge|consent|auth_platform){_REST}"),
    _other("live", rf"/[^/]+/live{_REST}"),
    _collection("hashtag", rf"/explore/tags{_REST}"),
    _collection("search", rf"/explore/search{_REST}"),
    _other("place", rf"/explore/locations{_REST}"),
    _other("effect", rf"/ar{_REST}"),
    _other("page", rf"/(?:about|api|developer|direct|directory|download|emails|explore|legal|press|reels|web){_REST}"),
    _other("page", r"/(?:privacy|settings|terms)" + _REST),
    _collection("profile", rf"/[^/]+{_REST}"),
)

_TWEET = "https://x.com/i/status/{id}"
_STATUS = r"(?:/i/web|/[^/]+)?/status(?:es)?"

_TWITTER = (
    _post(rf"{_STATUS}/{_ID}/video/(?P<part>[1-9][0-9]?){_REST}", _TWEET + "/video/{part}"),
    # Also /photo/2, which is where people happened to be when they copied the link.
    _post(rf"{_STATUS}/{_ID}{_REST}", _TWEET),
    _mistyped(r"/[^/]+/status(?:es)?"),
    _post(rf"/i/(?:cards/tfw/v1|videos(?:/tweet)?)/{_ID}{_REST}", _TWEET),
    _post(rf"/i/(?P<sort>broadcasts|events)/{_ID}{_REST}", "https://x.com/i/{sort}/{id}", id=r"[A-Za-z0-9_]{1,40}"),
    _post(rf"/(?:intent|compose){_REST}", _TWEET, query=("tweet_id", "in_reply_to")),
    _wrapper("elsewhere", rf"/intent{_REST}|/share", "url"),
    _wrapper("", _ANY, "redirect_after_login"),
    _wrapper("elsewhere", r"/i/redirect", "url"),
    _wrapper("elsewhere", r"(?:/i)?/safety/unsafe_link_warning", "unsafe_link"),
    _wrapper("elsewhere", r"/oembed", "url"),
    _other("space", rf"/i/spaces{_REST}"),
    _other("article", rf"/[^/]+/article{_REST}"),
    _other("login", rf"/(?:login|signup|account|i/flow){_REST}"),
    _collection("list", rf"/(?:i/)?[^/]+/lists{_REST}|/i/lists{_REST}"),
    _collection("list", rf"/i/(?:moments|topics|bookmarks|trending|timeline){_REST}|/[^/]+/moments{_REST}"),
    _collection("community", rf"/i/communities{_REST}"),
    _collection("hashtag", rf"/hashtag{_REST}"),
    _collection("search", rf"/(?:i/)?search{_REST}"),
    _collection("profile", rf"/i/user{_REST}|/intent/(?:user|follow)"),
    _other("advertisement", rf"/(?:download|i/premium_sign_up|i/ads){_REST}"),
    _other("page", rf"/(?:i|intent|compose|share|home|explore|notifications|messages|settings){_REST}"),
    _other("page", rf"/(?:tos|privacy|about|jobs|oembed|safety|logout){_REST}"),
    _collection("profile", rf"/[^/]+{_REST}"),
)

_VIDEO = "https://www.youtube.com/watch?v={id}"
_MUSIC_VIDEO = "https://music.youtube.com/watch?v={id}"  # for members yt-dlp asks there for more
_MUSIC = r"music\.youtube\.com"
_YOUTU_BE = r"(?:www\.)?youtu\.be"
_WATCH = r"(?:/(?:watch|movie)(?:_popup)?(?:\.php)?|/shorts|/embed|/live|/v)?"

_YOUTUBE = (
    _post(_WATCH, _MUSIC_VIDEO, host=_MUSIC, query=("v", "vi")),
    _post(_WATCH, _VIDEO, query=("v", "vi")),
    LinkForm(kind="post", path=r"/watch_videos", link=_VIDEO, query=("video_ids",), several=True),
    _post(r"/(?:get_)?video_info", _VIDEO, query=("video_id",)),
    _collection("playlist", r"/embed(?:/videoseries)?|/playlist|/watch", query=("list",)),
    _mistyped(r"/embed/videoseries|/playlist|/(?:watch|movie)(?:_popup|_videos)?(?:\.php)?|/shorts|/embed|/live"),
    _other("live", r"/embed/live_stream"),
    _post(rf"/(?:v|vi|e|embed|shorts|live|watch|source)/{_ID}{_REST}", _VIDEO),
    _post(rf"/{_ID}{_REST}", _VIDEO, host=r"(?:www\.)?youtu\.be"),
    _wrapper("elsewhere", r"/attribution_link", "u"),
    _wrapper("elsewhere", r"/redirect", "q", "url"),
    _wrapper("elsewhere", r"/oembed", "url"),
    # A page between: for adults, for those who are not logged in, for old browsers.
    _wrapper("", _ANY, "next_url", "next", "continue"),
    _other("clip", rf"/clip{_REST}"),
    _other("live", r"/(?:@|%40)[^/]+/live|/(?:c|channel|user)/[^/]+/live"),
    _collection("channel", rf"/(?:@|%40)[^/]+{_REST}|/(?:c|channel|user)/[^/]+{_REST}"),
    _collection("search", rf"/(?:results|search){_REST}"),
    _collection("hashtag", rf"/hashtag{_REST}"),
    _collection("playlist", rf"/(?:feed|show|browse|podcast){_REST}"),
    _other("article", rf"/(?:post|community){_REST}"),
    _other("login", rf"/(?:signin|login|verify_age|verify_controversy|consent){_REST}"),
    _other("advertisement", rf"/(?:premium|ads|kids|app|tv){_REST}"),
    _other(
        "page", rf"/(?:about|account|attribution_link|creators|gaming|howyoutubeworks|intl|live_chat|logout){_REST}"
    ),
    _other("page", rf"/(?:explore|library|oembed|redirect|source|supported_browsers|t|terms|trending|upload){_REST}"),
    _other("page", rf"/(?:v|e|vi|(?:get_)?video_info){_REST}"),
    _collection("channel", r"/[^/]+|/feeds/videos\.xml"),
)

FORMS: Mapping[PlatformType, tuple[LinkForm, ...]] = {
    "tiktok": _TIKTOK,
    "instagram": _INSTAGRAM,
    "twitter": _TWITTER,
    "youtube": _YOUTUBE,
}

#: Links within links are read up to this depth.
MAX_DEPTH = 4

# The reader. `portal/static/post_links.js` is the same once more: change both.

_URL = re.compile(
    r"https?://(?P<host>[a-z0-9.-]+)(?::(?:80|443))?(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"https?://", re.ASCII | re.IGNORECASE)
_ROUTE = re.compile(
    r"\A(?:(?:/(?:index|foryou|trending)?)?(?:\?[^#]*)?#!?(?=/)|/[a-z0-9_]{1,15}#!(?=/[a-z0-9_]{1,15}/status))",
    re.ASCII | re.IGNORECASE,
)
_WATCH_ROUTE = re.compile(r"\A/watch#!?(?=v=)", re.ASCII | re.IGNORECASE)
# Where ? or & were written once too often, or percent-encoded, the id ends all the same.
_ID_ENDS = re.compile(r"[?& ]|%3f|%26|%20", re.IGNORECASE)


def read_link(url: str) -> Reading:
    """Return what *url* is; never raises for a string, and makes no request.

    *url* is best one that `parse_link` handed on, which has what matters of a fragment in its path.
    """
    return _read(url, MAX_DEPTH)


def fold_fragment(rest: str) -> str:
    """Return *rest*, what follows the host of a link, without its fragment.

    Old pages of X, YouTube and TikTok had the address of the post behind a #: that becomes the path, for a fragment
    never reaches a server. Any other is dropped: yt-dlp reads private instructions to its extractors from it.
    """
    return _WATCH_ROUTE.sub("/watch?", _ROUTE.sub("", rest)).partition("#")[0]


def platform_of_host(host: str) -> PlatformType:
    """Return the platform that owns *host*, or `unknown`."""
    return next((name for name, pattern in HOSTS.items() if _matches(pattern, host)), "unknown")


def _read(url: str, depth: int) -> Reading:
    match = _URL.fullmatch(url)
    host = match["host"].lower() if match else ""
    platform = platform_of_host(host)
    if match is None or platform == "unknown":
        return Reading(kind="unknown", platform="unknown")
    path = re.sub(r"/+", "/", match["path"] or "").rstrip("/")
    query = _parameters(match["query"] or "")
    for form in FORMS[platform]:
        if form.host and not _matches(form.host, host):
            continue
        found = _compiled(form.path).fullmatch(path)
        value = next((query[name] for name in form.query if query.get(name)), None)
        if found is None or (value is None and form.query):
            continue
        if reading := _as_form(form, platform, {**found.groupdict(), "host": host}, value, depth):
            return reading
    return Reading(kind="other", platform=platform, thing="unknown" if path else "page")


def _as_form(
    form: LinkForm, platform: PlatformType, groups: Mapping[str, str | None], value: str | None, depth: int
) -> Reading | None:
    """Return what a link of *form* is; None where it is a wrapper, what is inside is no use, and others may know."""
    if form.kind == "wrapper":
        inner = _read(_absolute(value or "", groups["host"] or ""), depth - 1) if depth else None
        if inner and inner.kind != "unknown" and inner.thing not in ("page", "unknown"):
            return inner
        return Reading(kind="other", platform=platform, thing=form.thing) if form.thing else None
    if form.kind not in ("post", "short"):
        return Reading(kind=form.kind, platform=platform, thing=form.thing or None)
    pattern = form.id or IDS[platform]
    text = (value if form.query else groups["id"]) or ""
    ids = [_ID_ENDS.split(id)[0] for id in (text.split(",") if form.several else [text])]
    if not all(_matches(pattern, id) for id in ids):
        return Reading(kind="mistyped", platform=platform)
    values = {**groups, "id": ids[0]}
    return Reading(
        kind=form.kind,
        platform=platform,
        canonical=re.sub(r"\{([a-z]+)\}", lambda field: values.get(field[1]) or "_", form.link),
        id=ids[0] if form.kind == "post" else None,
        part=int(part) if (part := groups.get("part")) else None,
        also=tuple(dict.fromkeys(id for id in ids if id != ids[0])),
    )


def _absolute(link: str, host: str) -> str:
    """Return *link*, found in one to *host*, with all that a link has."""
    if _SCHEME.match(link):
        return link
    if link.startswith("//"):
        return f"https:{link}"
    return f"https://{host}{link}" if link.startswith("/") else f"https://{link}"


def _parameters(query: str) -> dict[str, str]:
    """Return the first value of each parameter that has one; `&` may be written as in HTML, or as a semicolon."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(re.sub(r"&amp;|;", "&", query), keep_blank_values=True, errors="replace"):
        if value and name not in found:
            found[name] = value
    return found


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII | re.IGNORECASE)


def _matches(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


# The same for the page.

_JSDOC = {
    "kind": '"post" | "short" | "wrapper" | "collection" | "other" | "mistyped"',
    "path": "string",
    **dict.fromkeys(("host", "id", "link", "thing"), "string | undefined"),
    "query": "string[] | undefined",
    "several": "boolean | undefined",
}


def as_javascript() -> str:
    """Return the text of `portal/static/link_forms.js`: the tables as plain data."""
    return "".join(_javascript())


def _javascript() -> Iterator[str]:
    yield "// Written by `make links` from downloader/post_links.py: change that.\n"
    yield "// Patterns match the whole of a host, a path or an id, ignoring case.\n\n"
    yield '/** @typedef {"tiktok" | "instagram" | "twitter" | "youtube"} Platform */\n'
    yield "/**\n * @typedef {object} LinkForm see `LinkForm` in downloader/post_links.py\n"
    for field in fields(LinkForm):
        yield f" * @property {{{_JSDOC[field.name]}}} {field.name}\n"
    yield " */\n\n"
    yield f"export const MAX_DEPTH = {MAX_DEPTH};\n\n"
    yield f"/** @type {{Record<Platform, string>}} */\nexport const HOSTS = {_json(HOSTS)};\n\n"
    yield f"/** @type {{Record<Platform, string>}} */\nexport const IDS = {_json(IDS)};\n\n"
    yield "/** @type {Record<Platform, LinkForm[]>} */\nexport const FORMS = {\n"
    for platform, forms in FORMS.items():
        yield f"  {platform}: [\n"
        for form in forms:
            plain = {name: value for name, value in asdict(form).items() if value}
            yield f"    {json.dumps(plain).replace('(?P<', '(?<')},\n"
        yield "  ],\n"
    yield "};\n"


def _json(value: Mapping[PlatformType, str]) -> str:
    return json.dumps(value, indent=2)


if __name__ == "__main__":
    sys.stdout.write(as_javascript())

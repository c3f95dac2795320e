"""The platforms that we download from: one declaration each, data only.

The detector, the wrappers, the error classifier, the cookies and the page all read `PLATFORMS`, each time they need it.
`make platforms` writes the page's copy.

Patterns match the whole of a host, path or id, ignoring case. Python and JavaScript must read them alike: ASCII only,
no look-behind, no shorthand like \\d. `tests/data/post_links.json` holds both to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from downloader.errors import ErrorCode

PlatformType = Literal["tiktok", "instagram", "twitter", "youtube", "unknown"]
"""What `detect_platform` returns."""

FormKind = Literal["post", "short", "wrapper", "collection", "other", "mistyped"]
"""What kind of link a form is. `short` must be followed; a `wrapper` has another link in a parameter; `mistyped` has no
valid id."""

#: What a link leads to if not to a post, as our sentences put it.
DESTINATIONS: Mapping[str, str] = {
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
    """One way in which links of a platform are written. The first form that matches a link decides."""

    kind: FormKind
    path: str  #: pattern for the path without its trailing slash; the home page is ""
    host: str = ""  #: pattern for the host; empty: any of the platform's
    #: Parameters: the first with a value holds the id, or a wrapper's inner link; if none has a value, this form does
    #: not match. Empty: the id is the path's group of that name.
    query: tuple[str, ...] = ()
    id: str = ""  #: pattern for the id; empty: the platform's
    #: The canonical URL; {id}, {host} and the path's groups are filled in, _ for a missing one. A collection without
    #: one cannot be listed; if the id of one with a link does not match, later forms decide.
    link: str = ""
    #: A key of `DESTINATIONS`. For a wrapper: what it is if its inner link is useless; empty: later forms decide.
    destination: str = ""
    several: bool = False  #: more ids may follow, separated by commas


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A site we download from."""

    name: PlatformType
    label: str  #: as its users write it
    icon: str  #: SVG, 24 by 24, in the color of the surrounding text
    hosts: tuple[str, ...]  #: all that belong to it; the allow-list, so as few as possible
    post_id: str  #: pattern for the id of a post
    link_forms: tuple[LinkForm, ...]
    mirrors: str = ""  #: pattern for hosts with the same paths, which the page rewrites to `hosts[0]`
    extractors: tuple[str, ...]  #: yt-dlp's extractor keys, most frequent first; no others are loaded
    collection_extractors: tuple[str, ...] = ()  #: those that list its collections
    options: Mapping[str, Any] = field(default_factory=dict)  #: yt-dlp options on top of the common ones
    #: Whether its formats without a picture have the video's own sound.
    has_own_sound: bool = True
    patience: float = 1.0  #: factor on the operator's timeouts
    extra_retries: int = 0  #: on top of the operator's
    cookie_domains: tuple[str, ...] = ()  #: cookies of other domains are ignored; users log in at the first
    login_host: str = ""  #: yt-dlp is logged in if the session cookies reach this host
    session_cookies: tuple[frozenset[str], ...] = ()  #: one name of each set is needed to be logged in
    short_link_user_agent: str | None = None  #: for requests of short links; None: yt-dlp's
    login_redirect_means: ErrorCode = "login_required"  #: the error if a short link redirects to the login page


_NUMBER = r"[0-9]{1,20}"
_CODE = r"[A-Za-z0-9_-]{1,80}"
_ID = r"(?P<id>[^/]+)"
_REST = r"(?:/[^?]*)?"  # anything may follow
_ANY = r"[^?]*"
_NAME = r"(?:[A-Za-z0-9_.-]|%[0-9A-F]{2}){1,150}"  # of a person or a channel


def _post(path: str, link: str, *, host: str = "", query: tuple[str, ...] = (), id: str = "") -> LinkForm:
    return LinkForm(kind="post", path=path, link=link, host=host, query=query, id=id)


def _short(path: str, link: str, *, host: str = "") -> LinkForm:
    return LinkForm(kind="short", path=path, link=link, host=host, id=_CODE)


def _wrapper(destination: str, path: str, *query: str) -> LinkForm:
    return LinkForm(kind="wrapper", path=path, query=query, destination=destination)


def _collection(destination: str, path: str, *, query: tuple[str, ...] = (), link: str = "", id: str = "") -> LinkForm:
    return LinkForm(kind="collection", path=path, query=query, destination=destination, link=link, id=id)


def _other(destination: str, path: str) -> LinkForm:
    return LinkForm(kind="other", path=path, destination=destination)


def _mistyped(path: str) -> LinkForm:
    return LinkForm(kind="mistyped", path=path)


# TikTok shows a post under any user name, and a post of pictures under /video/ too.
_TIKTOK_POST = "https://www.tiktok.com/@{user}/video/{id}"
_AT_USER = r"/(?:@|%40)(?:(?P<user>[A-Za-z0-9_.-]+)|[^/]*)"
_AT_ANY = r"/(?:@|%40)[^/]*"

_TIKTOK_LINKS = (
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
    _collection(
        "playlist",
        rf"/(?:@|%40)(?P<user>[A-Za-z0-9_.-]+)/collection/(?P<slug>{_NAME})-(?P<id>[0-9]+)",
        link="https://www.tiktok.com/@{user}/collection/{slug}-{id}",
        id=_NUMBER,
    ),
    _collection("playlist", rf"{_AT_ANY}/(?:playlist|collection){_REST}"),
    _collection("profile", rf"/(?:@|%40){_ID}", link="https://www.tiktok.com/@{id}", id=r"[A-Za-z0-9_.-]{1,80}"),
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

TIKTOK = Platform(
    name="tiktok",
    label="TikTok",
    icon='<path d="M14 3v11.2a3.8 3.8 0 1 1-3.8-3.8M14 3c.4 2.9 2.3 4.9 5.2 5.2" class="stroke"/>',
    hosts=(
        *("www.tiktok.com", "tiktok.com", "m.tiktok.com", "vm.tiktok.com", "vt.tiktok.com", "lite.tiktok.com"),
        "www.tiktokv.com",  # in TikTok's data export, and from some apps
    ),
    post_id=_NUMBER,
    link_forms=_TIKTOK_LINKS,
    mirrors=r"(?:[a-z0-9-]{1,20}\.)?tiktokv\.com|t\.tiktok\.com|(?:www\.)?(?:vx|tn|d)(?:tiktok|ktok)\.com",
    extractors=("TikTok",),
    # Those for sounds, hashtags and effects ask for an app's API, and are marked as broken.
    collection_extractors=("TikTokUser", "TikTokCollection"),
    # TikTok offers h265 first, which many players and browsers cannot show.
    options={"format": "bv*[vcodec^=h264]+ba/b[vcodec^=h264]/bv*+ba/b"},
    has_own_sound=False,  # the song that was chosen for it, without the voices
    cookie_domains=("tiktok.com",),
    login_host="www.tiktok.com",
    session_cookies=(frozenset({"sessionid"}),),
    short_link_user_agent="facebookexternalhit/1.1",  # as yt-dlp's TikTokVM sends
)


_INSTAGRAM_POST = "https://www.instagram.com/p/{id}/"
_USER = r"[A-Za-z0-9_.]{1,30}"

_INSTAGRAM_LINKS = (
    _short(rf"/share/(?P<sort>[a-z]{{1,10}})/{_ID}{_REST}", "https://www.instagram.com/share/{sort}/{id}/"),
    _short(rf"/share/{_ID}", "https://www.instagram.com/share/{id}/"),
    _post(
        r"/stories/highlights/(?P<highlight>[0-9]{1,20})",
        "https://www.instagram.com/stories/highlights/{highlight}/?story_media_id={id}",
        query=("story_media_id",),
        id=_NUMBER,
    ),
    _collection(
        "story",
        r"/stories/highlights/(?P<id>[0-9]+)",
        link="https://www.instagram.com/stories/highlights/{id}/",
        id=_NUMBER,
    ),
    _other("story", rf"/stories/highlights{_REST}"),
    _post(rf"/stories/(?P<user>{_USER})/{_ID}{_REST}", "https://www.instagram.com/stories/{user}/{id}/", id=_NUMBER),
    _collection("story", rf"/stories/(?P<id>{_USER})", link="https://www.instagram.com/stories/{id}/", id=_USER),
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

INSTAGRAM = Platform(
    name="instagram",
    label="Instagram",
    icon=(
        '<rect x="4" y="4" width="16" height="16" rx="4.5" class="stroke"/>'
        '<circle cx="12" cy="12" r="3.6" class="stroke"/><circle cx="16.6" cy="7.4" r="1.1"/>'
    ),
    hosts=("www.instagram.com", "instagram.com", "m.instagram.com", "www.instagr.am", "instagr.am"),
    post_id=_CODE,
    link_forms=_INSTAGRAM_LINKS,
    mirrors=r"(?:(?:www|[a-z])\.)?(?:kk|dd|vx|ee|ez)instagram\.com",
    extractors=("Instagram", "InstagramStory"),
    # The one for profiles is marked as broken, and the one for hashtags reads pages that are no more.
    collection_extractors=("InstagramStory",),
    # What a browser sends when it opens a link; bare requests meet the login page sooner.
    options={
        "http_headers": {
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en-US,en;q=0.9",
            "Referer": "https://www.instagram.com/",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": "same-origin",
        },
    },
    # Instagram answers strangers slowly and hangs up early: more time, more retries.
    patience=1.5,
    extra_retries=2,
    cookie_domains=("instagram.com",),
    login_host="www.instagram.com",
    session_cookies=(frozenset({"sessionid"}),),
    login_redirect_means="rate_limited",  # its login page is how it limits anonymous visitors
)


_TWEET = "https://x.com/i/status/{id}"
_STATUS = r"(?:/i/web|/[^/]+)?/status(?:es)?"

_TWITTER_LINKS = (
    _post(rf"{_STATUS}/{_ID}/video/(?P<part>[1-9][0-9]?){_REST}", _TWEET + "/video/{part}"),
    # Also /photo/2, which people have open when they copy the link.
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

TWITTER = Platform(
    name="twitter",
    label="Twitter/X",
    icon='<path d="M5 4.5 19 19.500M19 4.5 5 19.5" class="stroke"/>',
    hosts=(
        *("x.com", "www.x.com", "m.x.com", "mobile.x.com"),
        *("twitter.com", "www.twitter.com", "m.twitter.com", "mobile.twitter.com"),
    ),
    post_id=_NUMBER,
    link_forms=_TWITTER_LINKS,
    mirrors=(
        r"(?:(?:www|[a-z])\.)?(?:(?:vx|fx|fixv)twitter|fixvx|fixupx|twittpr|xcancel|nitter(?:\.[a-z0-9-]{1,30})?)"
        r"\.[a-z]{2,5}"
    ),
    # A post may lead to the last three: an old card, a recorded broadcast, a t.co link.
    extractors=("Twitter", "TwitterCard", "TwitterBroadcast", "TwitterShortener"),
    # The same picture comes as one mp4 and as a stream of segments, sound apart. The file takes one request and no
    # merging; its codec, always H.264, is not declared.
    options={"format_sort": ["lang", "quality", "res", "fps", "proto", "vcodec:h264", "hdr:12", "acodec:aac"]},
    cookie_domains=("x.com", "twitter.com"),
    login_host="api.x.com",
    session_cookies=(frozenset({"auth_token"}),),
)


_VIDEO = "https://www.youtube.com/watch?v={id}"
_MUSIC_VIDEO = "https://music.youtube.com/watch?v={id}"  # yt-dlp requests more there for members
_MUSIC = r"music\.youtube\.com"
_YOUTU_BE = r"(?:www\.)?youtu\.be"
_PLAYLIST = "https://www.youtube.com/playlist?list={id}"
_LIST_ID = r"[A-Za-z0-9_-]{2,80}"
# Of a channel; its first page shows some of each, and leads to all of them.
_TAB = r"(?:/(?:videos|shorts|streams|playlists|releases|podcasts))?"
_HOME = r"(?:/(?:featured|about))?"
_WATCH = r"(?:/(?:watch|movie)(?:_popup)?(?:\.php)?|/shorts|/embed|/live|/v)?"

_YOUTUBE_LINKS = (
    _post(_WATCH, _MUSIC_VIDEO, host=_MUSIC, query=("v", "vi")),
    _post(_WATCH, _VIDEO, query=("v", "vi")),
    LinkForm(kind="post", path=r"/watch_videos", link=_VIDEO, query=("video_ids",), several=True),
    _post(r"/(?:get_)?video_info", _VIDEO, query=("video_id",)),
    _collection("playlist", r"/embed(?:/videoseries)?|/playlist|/watch", query=("list",), link=_PLAYLIST, id=_LIST_ID),
    _collection("playlist", rf"/browse/VL{_ID}", link=_PLAYLIST, id=_LIST_ID),
    _mistyped(r"/embed/videoseries|/playlist|/(?:watch|movie)(?:_popup|_videos)?(?:\.php)?|/shorts|/embed|/live"),
    _other("live", r"/embed/live_stream"),
    _post(rf"/(?:v|vi|e|embed|shorts|live|watch|source)/{_ID}{_REST}", _VIDEO),
    _post(rf"/{_ID}{_REST}", _VIDEO, host=_YOUTU_BE),
    _wrapper("elsewhere", r"/attribution_link", "u"),
    _wrapper("elsewhere", r"/redirect", "q", "url"),
    _wrapper("elsewhere", r"/oembed", "url"),
    # An intermediate page: for adults, logged-out users, old browsers.
    _wrapper("", _ANY, "next_url", "next", "continue"),
    _other("clip", rf"/clip{_REST}"),
    _other("live", r"/(?:@|%40)[^/]+/live|/(?:c|channel|user)/[^/]+/live"),
    _collection(
        "channel", rf"/(?:@|%40)(?P<id>[^/]+{_TAB}){_HOME}", link="https://www.youtube.com/@{id}", id=_NAME + _TAB
    ),
    _collection(
        "channel",
        rf"/(?P<id>(?:c|channel|user)/[^/]+{_TAB}){_HOME}",
        link="https://www.youtube.com/{id}",
        id=f"(?:c|channel|user)/{_NAME}{_TAB}",
    ),
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
    _collection("channel", rf"/{_ID}", link="https://www.youtube.com/{id}", id=_NAME),
    _collection("channel", r"/[^/]+|/feeds/videos\.xml"),
)

YOUTUBE = Platform(
    name="youtube",
    label="YouTube",
    icon='<rect x="2.5" y="5.5" width="19" height="13" rx="3.5" class="stroke"/><path d="m10 9 5 3-5 3z"/>',
    hosts=(
        *("www.youtube.com", "youtube.com", "m.youtube.com", "music.youtube.com", "www.youtu.be", "youtu.be"),
        *("www.youtube-nocookie.com", "youtube-nocookie.com"),
    ),
    post_id=r"[A-Za-z0-9_-]{11}",
    link_forms=_YOUTUBE_LINKS,
    mirrors=(
        r"(?:www\.)?youtubekids\.com|(?:gaming|tv|[a-z]{2})\.youtube\.com|youtube\.googleapis\.com"
        r"|yewtu\.be|(?:www\.)?(?:piped|invidious)(?:\.[a-z0-9-]{1,30}){1,2}"
    ),
    extractors=("Youtube",),
    collection_extractors=("YoutubeTab",),
    # Not google.com: its cookies open the whole Google account, and are not needed.
    cookie_domains=("youtube.com",),
    login_host="www.youtube.com",
    session_cookies=(frozenset({"LOGIN_INFO"}), frozenset({"SAPISID", "__Secure-1PAPISID", "__Secure-3PAPISID"})),
)

PLATFORMS: Mapping[PlatformType, Platform] = {
    platform.name: platform for platform in (TIKTOK, INSTAGRAM, TWITTER, YOUTUBE)
}

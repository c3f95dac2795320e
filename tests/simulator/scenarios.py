"""The table of scenarios: everything a simulated post can do, and what the downloader should make of it.

A new scenario whose trouble is the same at every platform needs a row here and nothing else:

    Scenario(
        name="gone_for_lunch",
        number=27,  # the next free one
        about="the page answers 500 twice, then works",
        page=Fault(kind="status", status=500, times=2),
        expects=None,  # what the downloader reports in the end, its own retries included
    ),

The number is part of the ids of its posts, so it is never given out twice; 30 to 37 are about links, 45 to 55 about
pictures, 60 to 69 belong to YouTube and Instagram, 70 to 82 to ways into private networks, 83 to 88 to files that are
larger than they say, 89 to 99 to subtitles, 100 to 108 to thumbnails. Trouble that a platform tells in its own words (a
private post, say) has no `page` and no `media`: the platform's module looks at the scenario's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from .model import Fault, Platform, Post, Scenario, parse_post_id, post_id

#: The author of every simulated post.
AUTHOR = "ada"

#: Stands in a fault's `location` for the port of the canary, which is known only once the simulator listens.
CANARY_PORT = "{canary_port}"

#: How a link is written: `plain` as in the address bar, `short` as the platform's share button makes it.
Form = Literal["plain", "short"]

_WITH_PICTURES: tuple[Platform, ...] = ("tiktok", "instagram", "twitter")

_ALL = (
    Scenario(name="ok", number=0, about="works"),
    Scenario(
        name="removed",
        number=1,
        about="deleted by its author",
        expects="removed",
        # TikTok has one code for deleted, withheld and refused; yt-dlp reads it as "Your IP address is blocked".
        expects_at={"tiktok": "ip_blocked"},
    ),
    Scenario(
        name="private",
        number=2,
        about="only for followers",
        expects="private",
        # Strangers get an empty answer and no reason; all that yt-dlp can advise is to log in.
        expects_at={"instagram": "login_required"},
    ),
    Scenario(
        name="login_wall",
        number=3,
        about="only for those who are logged in",
        expects="login_required",
        # Instagram shows its login page to addresses that asked too often, and yt-dlp says so.
        expects_at={"instagram": "rate_limited"},
    ),
    Scenario(
        name="geo_blocked",
        number=4,
        about="not in this country",
        expects="geo_blocked",
        # An empty answer at Instagram, as for a private post; at TikTok as for a removed one.
        expects_at={"instagram": "login_required", "tiktok": "ip_blocked"},
    ),
    Scenario(
        name="rate_limited_once",
        number=5,
        about="too many requests, for a second",
        page=Fault(kind="status", status=429, retry_after_seconds=1, times=1),
    ),
    Scenario(
        name="rate_limited",
        number=6,
        about="too many requests, for good",
        page=Fault(kind="status", status=429, retry_after_seconds=30),
        expects="rate_limited",
    ),
    Scenario(
        name="unavailable_once",
        number=7,
        about="the platform stumbles once",
        page=Fault(kind="status", status=503, times=1),
    ),
    Scenario(
        name="unavailable",
        number=8,
        about="the platform is down",
        page=Fault(kind="status", status=503),
        expects="server_error",
    ),
    Scenario(
        name="cut",
        number=9,
        about="the connection breaks in the middle of the media, once; resuming by Range works",
        media=Fault(kind="cut", times=1),
    ),
    Scenario(
        name="cut_always",
        number=10,
        about="the connection breaks in the middle of whatever is asked for",
        media=Fault(kind="cut"),
        expects="network",
    ),
    Scenario(name="hang", number=11, about="the page never answers", page=Fault(kind="hang"), expects="timeout"),
    Scenario(
        name="hang_in_body",
        number=12,
        about="the media stops in the middle and stays silent",
        media=Fault(kind="hang_in_body"),
        expects="timeout",
    ),
    Scenario(
        name="html",
        number=13,
        about="a page of HTML where the media should be",
        media=Fault(kind="html"),
        expects="not_a_video",
    ),
    Scenario(
        name="stray_bytes",
        number=14,
        about="forty bytes that call themselves video/mp4",
        media=Fault(kind="stray_bytes"),
        expects="not_a_video",
    ),
    Scenario(
        name="redirect_to_loopback",
        number=15,
        about="the media redirects into this machine",
        media=Fault(kind="redirect", location=f"http://127.0.0.1:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(name="hostile_title", number=16, about="a title that no file system should see as it is"),
    Scenario(
        name="several_videos",
        number=17,
        about="one post, three videos",
        platforms=("twitter", "instagram"),
    ),
    Scenario(
        name="no_video",
        number=18,
        about="a post of words alone",
        platforms=("twitter",),
        expects="no_video",
    ),
    Scenario(
        name="age_restricted",
        number=19,
        about="for adults who are logged in",
        platforms=("youtube", "tiktok", "twitter", "instagram"),
        expects="age_restricted",
    ),
    Scenario(
        name="bot_check",
        number=20,
        about="asked to prove that it is no robot",
        platforms=("youtube",),
        expects="bot_check",
    ),
    Scenario(
        name="live_soon",
        number=21,
        about="a premiere that has not started",
        platforms=("youtube",),
        expects="not_yet_available",
    ),
    Scenario(
        name="challenge",
        number=22,
        about="a small sum to work out before the page is shown; yt-dlp does it by itself",
        platforms=("tiktok",),
    ),
    Scenario(
        name="vanished",
        number=23,
        about="deleted, and the platform answers as if nothing had ever been there",
        platforms=("twitter",),
        expects="no_video",  # an empty answer is all there is: yt-dlp says what it says of a post without a video
    ),
    Scenario(
        name="stream_alone",
        number=86,
        about="a video that exists as a stream of segments, sound apart, and not as a file",
        platforms=("twitter",),
    ),
    Scenario(
        name="segment_missing",
        number=24,
        about="a stream of segments that lacks its last; by default yt-dlp skips it and reports success",
        platforms=("twitter",),
        expects="server_error",
    ),
    Scenario(
        name="playlist_body",
        number=25,
        about="media that is really a playlist of this machine's files",
        media=Fault(kind="playlist"),
        expects="not_a_video",
    ),
    Scenario(
        name="encrypted_stream",
        number=26,
        about="a stream that yt-dlp leaves to ffmpeg, with key and segments inside this machine",
        platforms=("twitter",),
        expects="platform_changed",
    ),
    Scenario(
        name="disguised_playlist",
        number=27,
        about="a pair of streams, each a playlist of a file of this machine behind an ID3 tag, as MP3s have it",
        platforms=("youtube",),
        media=Fault(kind="disguised_playlist"),
        expects="not_a_video",
    ),
    Scenario(
        name="playlist_for_subtitles",
        number=28,
        about="media by the name of subtitles: a playlist of a file of this machine",
        platforms=("twitter",),
        media=Fault(kind="disguised_playlist"),
        expects="not_a_video",
    ),
    Scenario(
        name="rtmp_media",
        number=29,
        about="media inside this machine, by a protocol that yt-dlp leaves to another program",
        platforms=("twitter",),
        expects="blocked_address",
    ),
    # 30 to 37: what links lead to.
    Scenario(
        name="quote",
        number=30,
        about="a tweet with a video that quotes another's, which has one too",
        platforms=("twitter",),
    ),
    Scenario(
        name="quote_of_video",
        number=31,
        about="a tweet without a video, of words or with a picture, that quotes one with a video",
        platforms=("twitter",),
    ),
    Scenario(
        name="quote_by_embed",
        number=32,
        about="the same, where the API answers that it was asked too often, and embeds tell of the tweet",
        platforms=("twitter",),
        page=Fault(kind="status", status=429, retry_after_seconds=1, times=1),
    ),
    Scenario(name="quoted", number=33, about="a tweet by Bob, which Ada's tweets quote", platforms=("twitter",)),
    Scenario(
        name="mixed_tweet",
        number=34,
        about="one tweet: a picture, a video, a GIF",
        platforms=("twitter",),
    ),
    Scenario(name="gif", number=35, about="a tweet with a GIF", platforms=("twitter",)),
    Scenario(
        name="link_out",
        number=36,
        about="a tweet without a video, whose text has a link to some page",
        platforms=("twitter",),
        expects="no_video",
    ),
    Scenario(
        name="leads_astray",
        number=37,
        about="a short link that leads elsewhere than to a post, see `ASTRAY`; the post itself is fine",
        platforms=("tiktok", "instagram"),
    ),
    Scenario(
        name="challenge_unknown",
        number=38,
        about="a page before the page, whose puzzle yt-dlp cannot read",
        platforms=("tiktok",),
        expects="bot_check",
    ),
    Scenario(
        name="region_blocked",
        number=39,
        about="not in this country, in so many words",
        platforms=("instagram",),
        expects="geo_blocked",
    ),
    # 40 to 43: what there is to choose from.
    Scenario(name="several_heights", number=40, about="one video in several sizes: by serial, four, two or one"),
    Scenario(name="upright", number=41, about="the same, upright"),
    Scenario(name="silent", number=42, about="a video without sound; TikTok says that it has some"),
    Scenario(name="understated_height", number=43, about="a video that is said to be 480 high, and is 1080"),
    Scenario(
        name="quote_of_pictures",
        number=45,
        about="a tweet of words that quotes one with pictures",
        platforms=("twitter",),
    ),
    # 60 to 69: what only YouTube and Instagram do.
    Scenario(
        name="session_limited",
        number=60,
        about="YouTube's own words for too many videos in an hour",
        platforms=("youtube",),
        expects="rate_limited",
    ),
    Scenario(
        name="other_video",
        number=61,
        about="YouTube answers with another video, as it does to addresses it distrusts",
        platforms=("youtube",),
        expects="ip_blocked",
    ),
    Scenario(
        name="members_only",
        number=62,
        about="only for the channel's paying members",
        platforms=("youtube",),
        # Not just any account: one that may see it, as for a private post.
        expects="private",
    ),
    Scenario(
        name="account_terminated",
        number=63,
        about="gone with its author's account",
        platforms=("youtube",),
        expects="removed",
    ),
    Scenario(
        name="copyright_blocked",
        number=64,
        about="blocked in this country by the owner of the music",
        platforms=("youtube",),
        expects="geo_blocked",
    ),
    Scenario(
        name="captcha",
        number=65,
        about="wants a puzzle solved before it plays",
        platforms=("youtube",),
        expects="bot_check",
    ),
    Scenario(
        name="no_addresses",
        number=66,
        about="every format lacks its address: YouTube streams it by a protocol that yt-dlp does not speak",
        platforms=("youtube",),
        expects="platform_changed",
    ),
    Scenario(
        name="page_reload",
        number=67,
        about="YouTube's words for a session it has fallen out with; another try, later, often works",
        platforms=("youtube",),
        expects="server_error",
    ),
    Scenario(
        name="media_forbidden_once",
        number=68,
        about="the media's address is refused, as when it has expired; a new one works",
        platforms=("instagram", "youtube"),
        media=Fault(kind="status", status=403, times=1),
    ),
    Scenario(
        name="mixed_carousel",
        number=69,
        about="one post: a video, a picture, a video",
        platforms=("instagram",),
    ),
    # 70 to 82: ways into private networks, which all lead to the canary.
    Scenario(
        name="page_to_loopback",
        number=70,
        about="the page redirects into this machine",
        page=Fault(kind="redirect", location=f"http://127.0.0.1:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(
        name="page_to_loopback_by_tls",
        number=71,
        about="the page redirects into this machine, by https",
        page=Fault(kind="redirect", location=f"https://localhost:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(
        name="redirect_to_metadata",
        number=72,
        about="the media redirects to a cloud's metadata service",
        media=Fault(kind="redirect", location="http://169.254.169.254/latest/meta-data/"),
        expects="blocked_address",
    ),
    Scenario(
        name="redirect_to_decimal",
        number=73,
        about="the media redirects into this machine, its address written as one number",
        platforms=("tiktok", "instagram"),
        media=Fault(kind="redirect", location=f"http://2130706433:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(
        name="redirect_to_octal",
        number=74,
        about="the media redirects into this machine, its address written in octal and hexadecimal",
        platforms=("tiktok", "instagram"),
        media=Fault(kind="redirect", location=f"http://0177.0x1:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(
        name="redirect_to_ipv6",
        number=75,
        about="the media redirects into this machine, its address wrapped in IPv6",
        platforms=("tiktok", "instagram"),
        media=Fault(kind="redirect", location=f"http://[::ffff:7f00:1]:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(
        name="redirect_to_ftp",
        number=76,
        about="the media redirects into this machine, by another protocol",
        platforms=("tiktok", "instagram"),
        media=Fault(kind="redirect", location=f"ftp://127.0.0.1:{CANARY_PORT}/secret"),
        # Not followed: none of the libraries knows how.
        expects="platform_changed",
    ),
    Scenario(
        name="private_media",
        number=77,
        about="the media's address, as the page tells it, is inside this machine",
        expects="blocked_address",
    ),
    Scenario(
        name="private_segment",
        number=78,
        about="a stream with a segment inside this machine",
        platforms=("twitter",),
        expects="blocked_address",
    ),
    Scenario(
        name="private_playlist",
        number=79,
        about="a stream whose variants' playlists are inside this machine",
        platforms=("twitter",),
        expects="blocked_address",
    ),
    Scenario(
        name="private_key",
        number=80,
        about="an encrypted stream with its key inside this machine",
        platforms=("twitter",),
        expects="blocked_address",
    ),
    Scenario(
        name="private_thumbnail",
        number=81,
        about="a thumbnail inside this machine; the video itself is fine",
    ),
    Scenario(
        name="private_short_link",
        number=82,
        about="a short link that redirects into this machine; the post itself is fine",
        platforms=("tiktok",),
    ),
    # 83 to 88: larger than they say.
    Scenario(
        name="understated",
        number=83,
        about="media that the page calls tiny, sent without saying how much there is",
        platforms=("tiktok",),
        media=Fault(kind="unsized"),
    ),
    Scenario(
        name="swollen",
        number=84,
        about="a small film whose index names the same bytes a thousand times: whatever copies it makes it large",
        platforms=("twitter",),
        media=Fault(kind="swollen"),
    ),
    Scenario(
        name="swollen_page",
        number=85,
        about="a page that is small on its way and would fill the memory once it is unpacked",
        platforms=("instagram", "youtube"),
        page=Fault(kind="swollen_page"),
        expects="platform_changed",
    ),
    # 89 to 99: subtitles, which Instagram has none of.
    Scenario(name="subtitled", number=89, about="has subtitles, its author's and, at YouTube, automatic ones"),
    Scenario(
        name="subtitles_gone",
        number=90,
        about="subtitles that are not where the page says",
        subtitles=Fault(kind="status", status=404),
    ),
    Scenario(
        name="subtitles_limited",
        number=91,
        about="too many requests for subtitles",
        subtitles=Fault(kind="status", status=429, retry_after_seconds=30),
    ),
    Scenario(
        name="subtitles_cut_once",
        number=92,
        about="the connection breaks in the middle of the subtitles, once",
        subtitles=Fault(kind="cut", times=1),
    ),
    Scenario(name="subtitles_html", number=93, about="a login page for subtitles", subtitles=Fault(kind="html")),
    Scenario(name="subtitles_huge", number=94, about="11 MiB of subtitles", subtitles=Fault(kind="huge_text")),
    Scenario(
        name="subtitles_endless", number=95, about="subtitles without an end", subtitles=Fault(kind="endless_text")
    ),
    Scenario(
        name="subtitles_to_loopback",
        number=96,
        about="subtitles that redirect into this machine",
        subtitles=Fault(kind="redirect", location=f"http://127.0.0.1:{CANARY_PORT}/secret"),
    ),
    Scenario(
        name="subtitles_playlist",
        number=97,
        about="subtitles that are really a playlist of this machine's files",
        subtitles=Fault(kind="playlist"),
    ),
    Scenario(
        name="subtitles_private",
        number=98,
        about="subtitles whose address, as the page or the stream tells it, is inside this machine",
    ),
    Scenario(name="subtitles_hang", number=99, about="subtitles that never come", subtitles=Fault(kind="hang")),
    # 100 to 108: thumbnails that are to be refused; the videos are fine.
    Scenario(name="thumbnail_svg", number=100, about="its thumbnail is an SVG with a script"),
    Scenario(name="thumbnail_html", number=101, about="its thumbnail is a page that is sent as image/jpeg"),
    Scenario(name="thumbnail_large", number=102, about="its thumbnail has 3 MiB"),
    Scenario(name="thumbnail_endless", number=103, about="its thumbnail never ends"),
    Scenario(name="thumbnail_slow", number=104, about="its thumbnail stops in the middle"),
    Scenario(name="thumbnail_to_loopback", number=105, about="its thumbnail redirects into this machine"),
    Scenario(name="thumbnail_huge", number=106, about="its thumbnail is a small file of a billion pixels"),
    Scenario(name="thumbnail_missing", number=107, about="its thumbnail is not there"),
    Scenario(name="thumbnail_pixel", number=108, about="its thumbnail is a single pixel"),
    # 46 to 55: pictures.
    Scenario(name="pictures", number=46, about="several pictures; at TikTok with sound", platforms=_WITH_PICTURES),
    Scenario(name="one_picture", number=47, about="a picture alone", platforms=_WITH_PICTURES),
    Scenario(
        name="picture_gone",
        number=48,
        about="three pictures, of which the second is gone",
        platforms=_WITH_PICTURES,
    ),
    Scenario(
        name="pictures_gone",
        number=49,
        about="pictures that are all gone",
        platforms=_WITH_PICTURES,
        expects="server_error",  # as of any media: an address may have expired, and the next page has another
    ),
    Scenario(
        name="picture_unreadable",
        number=50,
        about="two pictures, of which the page tells the second in a new way",
        platforms=_WITH_PICTURES,
    ),
    Scenario(
        name="pictures_unreadable",
        number=51,
        about="pictures that the page tells in a new way",
        platforms=_WITH_PICTURES,
        expects="platform_changed",
    ),
    Scenario(
        name="mixed_unreadable",
        number=52,
        about="a video and a picture, which the page tells in a new way",
        platforms=("instagram", "twitter"),
    ),
    Scenario(
        name="hostile_picture",
        number=53,
        about="two pictures, of which the second is something else, or a bad one: see `pictures.HOSTILE`",
        platforms=_WITH_PICTURES,
        expects="not_a_video",
    ),
    Scenario(
        name="picture_redirects",
        number=54,
        about="a picture redirects into this machine",
        platforms=_WITH_PICTURES,
        media=Fault(kind="redirect", location=f"http://127.0.0.1:{CANARY_PORT}/secret"),
        expects="blocked_address",
    ),
    Scenario(
        name="private_picture",
        number=55,
        about="a picture's address, as the page tells it, is inside this machine",
        platforms=_WITH_PICTURES,
        expects="blocked_address",
    ),
)

#: Where the short link of a `leads_astray` post leads, by its serial number. `{id}` is the post's, `{code}` the link's.
ASTRAY: Mapping[Platform, tuple[str, ...]] = {
    "tiktok": (
        "https://www.tiktok.com/@ada/live?_r=1",
        "https://www.tiktok.com/@ada?_r=1",
        "https://www.tiktok.com/music/original-sound-6900000000000000001",
        "https://www.tiktok.com/@ada/story/{id}",
        "https://www.tiktok.com/tag/garden",
        "https://www.tiktok.com/?_r=1",
        "https://www.tiktok.com/login",
        "https://www.tiktok.com/login?redirect_url=https%3A%2F%2Fwww.tiktok.com%2F%40ada%2Fvideo%2F{id}",
        "https://www.youtube.com/watch?v=S00n0000000",
        "https://www.tiktok.com/login?redirect_url=https%3A%2F%2Fvm.tiktok.com%2F{code}%2F",
        "https://www.tiktok.com/@sim-plain-60?_r=1",
    ),
    "instagram": (
        "https://www.instagram.com/ada/live/",
        "https://www.instagram.com/ada/?igsh=x",
        "https://www.instagram.com/reels/audio/123/",
        "https://www.instagram.com/stories/ada/?igsh=x",
        "https://www.instagram.com/explore/tags/garden/",
        "https://www.instagram.com/",
        "https://www.instagram.com/accounts/login/",
        "https://www.instagram.com/accounts/login/?next=%2Freel%2F{id}%2F%3Figsh%3Dx",
        "https://www.youtube.com/watch?v=S00n0000000",
        "https://www.instagram.com/accounts/login/?next=%2Fshare%2Freel%2F{code}%2F",
    ),
}

SCENARIOS: Mapping[str, Scenario] = MappingProxyType({scenario.name: scenario for scenario in _ALL})
_BY_NUMBER: Mapping[int, Scenario] = {scenario.number: scenario for scenario in _ALL}
if not len(SCENARIOS) == len(_BY_NUMBER) == len(_ALL):
    raise ValueError("two scenarios share a name or a number")

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def find_post(platform: Platform, id: str) -> Post | None:
    """Return the post that *platform* knows as *id*, or None where it has none."""
    parsed = parse_post_id(platform, id)
    if parsed is None:
        return None
    number, serial = parsed
    scenario = _BY_NUMBER.get(number)
    if scenario is None or platform not in scenario.platforms:
        return None
    return Post(platform=platform, id=id, scenario=scenario, serial=serial)


def post_url(platform: Platform, scenario_name: str, serial: int = 0, *, form: Form = "plain") -> str:
    """Return the address of post number *serial* that plays the scenario, as a user would paste it.

    Raises:
        KeyError: there is no such scenario.
        ValueError: *platform* does not play it, or writes no links of that form.
    """
    scenario = SCENARIOS[scenario_name]
    if platform not in scenario.platforms:
        raise ValueError(f"{platform} does not play {scenario_name}")
    id = post_id(platform, scenario, serial)
    links: Mapping[tuple[Platform, Form], str] = {
        ("tiktok", "plain"): f"https://www.tiktok.com/@{AUTHOR}/video/{id}",
        ("twitter", "plain"): f"https://x.com/{AUTHOR}/status/{id}",
        ("instagram", "plain"): f"https://www.instagram.com/reel/{id}/",
        ("youtube", "plain"): f"https://www.youtube.com/watch?v={id}",
        ("tiktok", "short"): f"https://vm.tiktok.com/ZM{short_code(id)}/" if platform == "tiktok" else "",
        ("twitter", "short"): f"https://t.co/{short_code(id)}" if platform == "twitter" else "",
        ("instagram", "short"): f"https://www.instagram.com/share/reel/{id}/",
        ("youtube", "short"): f"https://youtu.be/{id}",
    }
    if (platform, form) not in links:
        raise ValueError(f"{platform} writes no {form} links")
    return links[platform, form]


def short_code(id: str) -> str:
    """Return the code that stands for a numeric *id* in a short link."""
    number = int(id)
    code = ""
    while number:
        number, digit = divmod(number, 36)
        code = _DIGITS[digit] + code
    return code


def id_of_short_code(code: str) -> str | None:
    """Return the numeric id behind *code*, or None where it is no code of ours."""
    try:
        return str(int(code, 36))
    except ValueError:
        return None


def title_of(post: Post) -> str:
    """Return the post's title: a plain one, or 600 hostile characters where its scenario says so."""
    if post.scenario.name == "hostile_title":
        return (_HOSTILE * (600 // len(_HOSTILE) + 1))[:600]
    return f"Ada's garden, part {post.serial + 1}"


#: Path parts, a drive, control characters, text that turns its direction round, quotes, a script, emoji, and a
#: name that Windows reserves.
_HOSTILE = (
    "../../etc/passwd C:\\CON %(id)s $HOME `id` \x00\x07\x1b[31m\r\n\u202egpj.exe\u2066 \"'<script>alert(1)</script>"
    "<img src=x onerror=alert(1)> \U0001f469\u200d\U0001f680\U0001f1f3\U0001f1f4 e\u0301 | ? * : ; & ~ // .. \ufeff "
)

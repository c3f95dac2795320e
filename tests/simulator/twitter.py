"""Twitter/X: guest token, GraphQL, the syndication endpoint behind embeds, HLS with separate audio, and mp4 files."""

from __future__ import annotations

import json
import secrets
from typing import Any

from .media import DURATION_SECONDS, HEIGHT, WIDTH, pictures_of
from .model import Post, Request, Response, World, post_id
from .pictures import content_type_of, parts_of, picture_name
from .scenarios import AUTHOR, SCENARIOS, find_post, id_of_short_code
from .subtitles import has_subtitles, segment, text_response

_SITES = frozenset({f"{start}{site}.com" for start in ("", "www.", "mobile.", "m.") for site in ("x", "twitter")})
_APIS = frozenset({"api.x.com", "api.twitter.com"})
_MEDIA = "video.twimg.com"
_PICTURES = "pbs.twimg.com"
_SYNDICATION = "cdn.syndication.twimg.com"
_SHORTENER = "t.co"
HOSTS = frozenset({*_SITES, *_APIS, _MEDIA, _PICTURES, _SYNDICATION, _SHORTENER})

_GUEST_TOKEN = str(10**18 + secrets.randbelow(9 * 10**18))
_AUDIO_BITRATE = 64_000
_USER_ID = "1000000000000000001"

#: A file would be a way around what is wrong with the stream.
_STREAM_ALONE = frozenset(
    {"stream_alone", "segment_missing", "encrypted_stream", "private_segment", "private_playlist", "private_key"}
)

#: A stream would be one more size.
_SEVERAL_FILES = frozenset({"several_heights", "upright", "silent", "understated_height"})

#: The grey box that stands where a post was.
_TOMBSTONES = {
    "removed": "This Post was deleted by the Post author. Learn more",
    "geo_blocked": f"This Post from @{AUTHOR} has been withheld in Atlantis in response to a legal demand. Learn more",
}
#: What Twitter calls the parts of a post.
_KINDS = {"video": "video", "picture": "photo", "unreadable": "photo", "gif": "animated_gif"}

_UNAVAILABLE = {"private": "Protected", "age_restricted": "NsfwLoggedOut"}


def answer(request: Request, world: World) -> Response:
    """Return what Twitter/X answers to *request*."""
    parts = request.path.strip("/").split("/")
    match request.host, parts:
        case host, ["1.1", "guest", "activate.json"] if host in _APIS:
            return _activate(request)
        case host, ["i", "api", "graphql", _, "TweetResultByRestId"] if host in _SITES:
            return _graphql(request, world)
        case host, ["graphql", _, "TweetDetail"] if host in _APIS:
            return _graphql_thread(request, world)
        case host, _ if host in _SITES:
            # What a browser gets: an empty shell that asks the API, so it says nothing about the post.
            return _html("<div id='react-root'></div><noscript>JavaScript is not available.</noscript>")
        case "cdn.syndication.twimg.com", ["tweet-result"]:
            return _syndication(request, world)
        case "video.twimg.com", _:
            return _media(request, world, parts)
        case "pbs.twimg.com", ["ext_tw_video_thumb", media_id, "pu", "img", "a.jpg"]:
            post = find_post("twitter", media_id[:-1])
            return Response(status=404) if post is None else world.thumbnail(post)
        case "pbs.twimg.com", ["media", id, name]:
            return _picture(request, world, id, name)
        case "t.co", [code]:
            return _follow_short_link(request, code)
        case _:
            return Response(status=404)


def _follow_short_link(request: Request, code: str) -> Response:
    id = id_of_short_code(code)
    if id is None or find_post("twitter", id) is None:
        return Response(status=404)
    target = f"https://x.com/{AUTHOR}/status/{id}"
    if request.headers.get("user-agent", "").startswith("Mozilla"):
        # Browsers are sent on by the page, so that the next site sees where they came from.
        return _html(f'<meta http-equiv="refresh" content="0;URL={target}">')
    return Response(status=301, headers={"Location": target})


# The two APIs


def _activate(request: Request) -> Response:
    if request.method != "POST":
        return Response(status=404)
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return _errors(403, 353, "Forbidden.")
    return _json({"guest_token": _GUEST_TOKEN})


def _graphql(request: Request, world: World) -> Response:
    found = _result(request, world, "tweetId")
    return found if isinstance(found, Response) else _json({"data": {"tweetResult": found}})


def _graphql_thread(request: Request, world: World) -> Response:
    """Answer as for a tweet's own page, which cobalt asks for: the tweet is an entry of its thread."""
    found = _result(request, world, "focalTweetId")
    if isinstance(found, Response):
        return found
    entries = []
    if result := found.get("result"):
        content = {"itemContent": {"tweet_results": {"result": result}}}
        id = json.loads(request.query["variables"])["focalTweetId"]
        entries = [{"entryId": f"tweet-{id}", "content": content}]
    instructions = [{"type": "TimelineAddEntries", "entries": entries}]
    return _json({"data": {"threaded_conversation_with_injections_v2": {"instructions": instructions}}})


def _result(request: Request, world: World, variable: str) -> Response | dict[str, Any]:
    """Return what GraphQL knows of the tweet that *variable* of *request* names, or a refusal."""
    try:
        id = str(json.loads(request.query["variables"])[variable])
    except (KeyError, ValueError, TypeError):
        return _errors(400, 214, "Query: Unspecified")
    post = find_post("twitter", id)
    if post and (trouble := world.page_fault(post)):
        return trouble
    if request.headers.get("x-guest-token") != _GUEST_TOKEN:
        return _errors(403, 239, "Bad guest token")
    if post is None or post.scenario.name == "vanished":
        return {}
    name = post.scenario.name
    if name == "login_wall":
        return _errors(403, 179, "Sorry, you are not authorized to see this status.")
    result: dict[str, Any]
    if name in _TOMBSTONES:
        result = {"__typename": "TweetTombstone", "tombstone": _tombstone(name)}
    elif name in _UNAVAILABLE:
        result = {"__typename": "TweetUnavailable", "reason": _UNAVAILABLE[name]}
    else:
        result = _tweet(world, post)
    return {"result": result}


def _tweet(world: World, post: Post) -> dict[str, Any]:
    media = _media_entities(world, post)
    user = {**_user(post), "created_at": "Mon Jun 01 10:00:00 +0000 2015"}
    quoted = _quoted(post)
    return {
        **({} if quoted is None else {"quoted_status_result": {"result": _tweet(world, quoted)}}),
        "__typename": "Tweet",
        "rest_id": post.id,
        "core": {"user_results": {"result": {"__typename": "User", "rest_id": _USER_ID, "core": user, "legacy": user}}},
        "views": {"count": "567", "state": "EnabledWithCount"},
        "legacy": {
            "id_str": post.id,
            "user_id_str": _USER_ID,
            "created_at": "Thu Oct 09 08:53:20 +0000 2025",
            "full_text": f"{world.title(post)} https://t.co/simulated1",
            "lang": "en",
            "favorite_count": 12,
            "retweet_count": 3,
            "reply_count": 4,
            "possibly_sensitive": False,
            "entities": {"hashtags": [], "urls": _links(post), "user_mentions": [], "media": media},
            **({"extended_entities": {"media": media}} if media else {}),
        },
    }


def _user(post: Post) -> dict[str, str]:
    quoted = post.scenario.name == "quoted"
    return {"name": "Bob", "screen_name": "bob"} if quoted else {"name": "Ada", "screen_name": AUTHOR}


def _quoted(post: Post) -> Post | None:
    """Return the tweet that *post* quotes."""
    if post.scenario.name == "quote_of_pictures":
        return find_post("twitter", post_id("twitter", SCENARIOS["pictures"], post.serial))
    if post.scenario.name not in ("quote", "quote_of_video", "quote_by_embed"):
        return None
    return find_post("twitter", post_id("twitter", SCENARIOS["quoted"], post.serial))


def _links(post: Post) -> list[dict[str, str]]:
    """Return the links in the post's text, that to a quoted one included."""
    if post.scenario.name == "link_out":
        return [{"url": "https://t.co/simulated2", "expanded_url": "https://news.example/garden"}]
    if quoted := _quoted(post):
        return [{"url": "https://t.co/simulated2", "expanded_url": f"https://x.com/bob/status/{quoted.id}"}]
    return []


def _syndication(request: Request, world: World) -> Response:
    """Answer as for an embedded post: it knows less than GraphQL, and has limits of its own."""
    post = find_post("twitter", request.query.get("id", ""))
    if post is None or post.scenario.name == "vanished":
        return _json({}, status=404)
    if trouble := world.page_fault(post):
        return trouble
    name = post.scenario.name
    if name in _TOMBSTONES or name in _UNAVAILABLE or name == "login_wall":
        return _json({"__typename": "TweetTombstone", "tombstone": _tombstone(name)})
    return _json(_embedded(world, post))


def _embedded(world: World, post: Post) -> dict[str, Any]:
    quoted, media = _quoted(post), _media_entities(world, post)
    return {
        "__typename": "Tweet",
        "id_str": post.id,
        "created_at": "2025-10-09T08:53:20.000Z",
        "text": world.title(post),
        "lang": "en",
        "favorite_count": 12,
        "user": {"id_str": _USER_ID, **_user(post)},
        **({"mediaDetails": media} if media else {}),
        **({} if quoted is None else {"quoted_tweet": _embedded(world, quoted)}),
    }


def _tombstone(scenario: str) -> dict[str, Any]:
    text = _TOMBSTONES.get(scenario, "You're unable to view this Post. Learn more")
    return {"__typename": "TextTombstone", "text": {"rtl": False, "text": text, "entities": []}}


# Media


def _media_entities(world: World, post: Post) -> list[dict[str, Any]]:
    """Return the post's pictures and videos, as both APIs describe them."""
    match post.scenario.name:
        case "quote_of_video":
            # Every other one has a picture, the rest are words alone.
            return [_entity(world, post, 1, kind="photo")] if post.serial % 2 else []
        case "no_video" | "quote_by_embed" | "link_out" | "quote_of_pictures":
            return []
        case "gif":
            return [_entity(world, post, 1, kind="animated_gif")]
        case _:
            return [
                _entity(world, post, number, kind=_KINDS[part], is_readable=part != "unreadable")
                for number, part in enumerate(parts_of(post), start=1)
            ]


def _entity(world: World, post: Post, number: int, *, kind: str = "video", is_readable: bool = True) -> dict[str, Any]:
    media_id = f"{post.id}{number}"
    entity: dict[str, Any] = {
        "id_str": media_id,
        "media_key": f"7_{media_id}",
        "type": kind,
        "media_url_https": (
            f"{world.canary_url()}/a.jpg"
            if post.scenario.name == "private_thumbnail"
            else f"https://{_PICTURES}/ext_tw_video_thumb/{media_id}/pu/img/a.jpg"
        ),
        # Of a GIF it says "photo", too.
        "expanded_url": f"https://x.com/{AUTHOR}/status/{post.id}/{'video' if kind == 'video' else 'photo'}/{number}",
        "sizes": {"large": {"w": WIDTH, "h": HEIGHT, "resize": "fit"}},
        "original_info": {"width": WIDTH, "height": HEIGHT},
    }
    if kind == "photo":
        at = world.canary_url() if post.scenario.name == "private_picture" else f"https://{_PICTURES}"
        entity["media_url_https"] = f"{at}/media/{post.id}/{picture_name(post, number)}"
        if not is_readable:
            entity["media"] = {"url": entity.pop("media_url_https")}
            entity["sizes"] = ["large"]
    else:
        folder = f"https://{_MEDIA}/ext_tw_video/{media_id}/pu"
        bitrate = _bitrate(world, post)
        stream = {"content_type": "application/x-mpegURL", "url": f"{folder}/pl/master.m3u8?tag=12&container=fmp4"}
        files = [
            {"content_type": "video/mp4", "bitrate": rate, "url": f"{folder}/vid/avc1/{WIDTH}x{HEIGHT}/{name}?tag=12"}
            for name, rate in (("low.mp4", bitrate // 2), ("high.mp4", bitrate))
        ]
        entity["video_info"] = {
            "aspect_ratio": [4, 3],
            "duration_millis": int(DURATION_SECONDS * 1000),
            "variants": [stream] if post.scenario.name in _STREAM_ALONE else [stream, *files],
        }
        if post.scenario.name in _SEVERAL_FILES:
            entity["video_info"]["variants"] = [
                {
                    "content_type": "video/mp4",
                    "bitrate": picture.side * 1000,
                    "url": f"{folder}/vid/avc1/{picture.width}x{picture.height}/{picture.muxed}?tag=12",
                }
                for picture in pictures_of(post)
            ]
        if kind == "animated_gif":
            entity["video_info"]["variants"] = [{**files[1], "bitrate": 0}]
        if address := _elsewhere(world, post, folder):
            entity["video_info"]["variants"] = [{**files[1], "url": address}]
    return entity


def _elsewhere(world: World, post: Post, folder: str) -> str | None:
    """Return the one address of the post's video, where its scenario has it at an unusual one."""
    canary = world.canary_url()
    return {
        "private_media": f"{canary}/high.mp4",
        "rtmp_media": f"{canary.replace('http:', 'rtmp:')}/high.mp4",
        "playlist_for_subtitles": f"{folder}/vid/avc1/{WIDTH}x{HEIGHT}/high.vtt",
        "swollen": f"{folder}/vid/avc1/{WIDTH}x{HEIGHT}/high.mov",
    }.get(post.scenario.name)


def _bitrate(world: World, post: Post) -> int:
    return int(world.media_size(post, "muxed.mp4") * 8 / DURATION_SECONDS)


def _media(request: Request, world: World, parts: list[str]) -> Response:
    """Answer for `/ext_tw_video/<post id and number of the video>/pu/...`."""
    match parts:
        case ["ext_tw_video", media_id, "pu", *rest] if post := find_post("twitter", media_id[:-1]):
            folder = f"/ext_tw_video/{media_id}/pu"
        case _:
            return Response(status=404)
    match rest:
        case ["pl", "master.m3u8"]:
            inside = world.canary_url() if post.scenario.name == "private_playlist" else ""
            return _playlist(_master(inside + folder, _bitrate(world, post), _subtitles_at(world, post, folder)))
        case ["pl", "subtitles", _, "index.m3u8"]:
            playlist = _playlist(_subtitle_segments(world, post))
            return world.subtitles(post, playlist) if post.scenario.name == "subtitles_playlist" else playlist
        case ["pl", "subtitles", language, number] if number in ("0.vtt", "1.vtt"):
            return world.subtitles(post, text_response(segment(language, int(number[0]))))
        case ["pl", ("avc1" | "mp4a") as codec, "index.m3u8"]:
            text = _segments(world, f"{folder}/pl/{codec}", "video" if codec == "avc1" else "audio")
            return _playlist(_led_astray(world, post, text))
        case ["pl", "avc1", name] if post.scenario.name == "segment_missing" and name == _last_segment(world):
            return Response(status=404)
        case ["pl", "avc1" | "mp4a", name]:
            return world.media(request, post, name)
        case ["vid", "avc1", _, "low.mp4" | "high.mp4" | "high.vtt" | "high.mov"]:
            return world.media(request, post, "muxed.mp4")
        case ["vid", "avc1", _, name]:
            return world.media(request, post, name)
        case _:
            return Response(status=404)


def _picture(request: Request, world: World, id: str, name: str) -> Response:
    """Answer for `/media/<post id>/<name>`, which without a size, or with another, is a smaller picture."""
    post = find_post("twitter", id)
    if post is None:
        return Response(status=404)
    name = name if request.query.get("name") == "orig" else "small.jpg"
    return world.media(request, post, name, content_type=content_type_of(post, name))


def _master(folder: str, bitrate: int, subtitles_at: str | None) -> str:
    group = f"audio-{_AUDIO_BITRATE}"
    subtitles = (
        ""
        if subtitles_at is None
        else (
            f'#EXT-X-MEDIA:NAME="English",TYPE=SUBTITLES,GROUP-ID="subs",LANGUAGE="en",AUTOSELECT=YES,URI="{subtitles_at}"\n'
        )
    )
    return (
        f"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n{subtitles}"
        f'#EXT-X-MEDIA:NAME="Audio",TYPE=AUDIO,GROUP-ID="{group}",AUTOSELECT=YES,URI="{folder}/pl/mp4a/index.m3u8"\n'
        f"#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH={bitrate},BANDWIDTH={bitrate},RESOLUTION={WIDTH}x{HEIGHT},"
        f'CODECS="mp4a.40.2,avc1.42C00D",AUDIO="{group}"\n{folder}/pl/avc1/index.m3u8\n'
    )


def _subtitles_at(world: World, post: Post, folder: str) -> str | None:
    if not has_subtitles(post):
        return None
    inside = post.scenario.name == "subtitles_private" and post.serial == 0
    return f"{world.canary_url() if inside else ''}{folder}/pl/subtitles/en/index.m3u8"


def _subtitle_segments(world: World, post: Post) -> str:
    at = f"{world.canary_url()}/" if post.scenario.name == "subtitles_private" else ""
    files = "".join(f"#EXTINF:1.5,\n{at}{number}.vtt\n" for number in (0, 1))
    return f"#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n{files}#EXT-X-ENDLIST\n"


def _segments(world: World, folder: str, kind: str) -> str:
    seconds = world.segment_seconds()
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-MEDIA-SEQUENCE:0", f"#EXT-X-TARGETDURATION:{round(seconds + 0.5)}"]
    lines += ["#EXT-X-PLAYLIST-TYPE:VOD", f'#EXT-X-MAP:URI="{folder}/init-{kind}.mp4"']
    for number in range(world.segment_count()):
        lines += [f"#EXTINF:{seconds:.3f},", f"{folder}/{kind}-{number}.m4s"]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def _led_astray(world: World, post: Post, playlist: str) -> str:
    """Return *playlist* with what its post's scenario puts before the first segment."""
    canary = world.canary_url()
    segment = f"#EXTINF:2,\n{canary}/secret.ts\n"
    before = {
        "encrypted_stream": f'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="{canary}/key"\n{segment}',
        "private_segment": segment,
        "private_key": f'#EXT-X-KEY:METHOD=AES-128,URI="{canary}/key"\n',
    }
    return playlist.replace("#EXTINF", f"{before.get(post.scenario.name, '')}#EXTINF", 1)


def _last_segment(world: World) -> str:
    return f"video-{world.segment_count() - 1}.m4s"


def _playlist(text: str) -> Response:
    return Response(headers={"Content-Type": "application/x-mpegURL"}, body=text.encode())


# Bodies


def _json(value: object, *, status: int = 200) -> Response:
    return Response(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(value).encode())


def _errors(status: int, code: int, message: str) -> Response:
    return _json({"errors": [{"code": code, "message": message}]}, status=status)


def _html(body: str) -> Response:
    page = f"<!DOCTYPE html><html><head><title>X</title></head><body>{body}</body></html>\n"
    return Response(headers={"Content-Type": "text/html; charset=utf-8"}, body=page.encode())

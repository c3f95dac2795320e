"""YouTube: the watch page, the InnerTube API behind it and the media host.

What yt-dlp asks for: the watch page (settings and a first player answer lie in its scripts), the player API once
per client it wants to be, then the media, video and audio apart. The media addresses need neither a signature nor
an `n` parameter solved, so no JavaScript runtime has to be there; with one, yt-dlp also reads the page's own player
answer, which names formats without addresses (as it does in real life).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import youtube_lists
from .media import Picture, pictures_of
from .model import Fault, Post, Request, Response, World
from .scenarios import AUTHOR, find_post
from .subtitles import has_subtitles, subrip, text_response, webvtt

MEDIA_HOST = "rr1---sn-simulator.googlevideo.com"
THUMBNAIL_HOST = "i.ytimg.com"

HOSTS: frozenset[str] = frozenset(
    {
        "youtube.com",
        "www.youtube.com",
        "m.youtube.com",
        "music.youtube.com",
        "studio.youtube.com",
        "youtu.be",
        "www.youtu.be",
        "youtube-nocookie.com",
        "www.youtube-nocookie.com",
        "youtubei.googleapis.com",
        "youtube.googleapis.com",
        THUMBNAIL_HOST,
        MEDIA_HOST,
    }
)

JsonObject = dict[str, Any]

_VISITOR_DATA = "CgtTaW11bGF0b3IwMSiAgICABg%3D%3D"
_PLAYER_JS = "/s/player/5e1ec7ed/player_ias.vflset/en_US/base.js"
_SIGNATURE_TIMESTAMP = 20600

#: A page that was refused marks the session with this cookie, see `_page_trouble`.
_TROUBLE_COOKIE = "SIM_TROUBLE"

#: The clients that get formats without addresses: their players stream by another protocol (SABR).
_ADDRESSLESS_CLIENTS = frozenset({"WEB", "MWEB", "WEB_REMIX", "WEB_CREATOR"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """Why YouTube does not play a video: the playability status of its player answers."""

    status: str
    reason: str
    subreason: str = ""
    account_helps: bool = False  #: plays for who is signed in
    knows_video: bool = True  #: title, author and length are told all the same
    more: Mapping[str, Any] = field(default_factory=dict)


_MEMBERS_ONLY = "Join this channel to get access to members-only content like this video, and other exclusive perks."

#: By scenario; the sentences are those that YouTube shows.
_REFUSALS: Mapping[str, _Refusal] = {
    "removed": _Refusal(
        status="ERROR",
        reason="Video unavailable",
        subreason="This video has been removed by the uploader",
        knows_video=False,
    ),
    "account_terminated": _Refusal(
        status="ERROR",
        reason="Video unavailable",
        subreason="This video is no longer available because the YouTube account associated with this video "
        "has been terminated.",
        knows_video=False,
    ),
    "private": _Refusal(
        status="LOGIN_REQUIRED",
        reason="Private video",
        subreason="Sign in if you've been granted access to this video",
        account_helps=True,
        knows_video=False,
    ),
    "login_wall": _Refusal(status="LOGIN_REQUIRED", reason="Please sign in", account_helps=True),
    "members_only": _Refusal(status="UNPLAYABLE", reason=_MEMBERS_ONLY, account_helps=True),
    "geo_blocked": _Refusal(
        status="UNPLAYABLE",
        reason="Video unavailable",
        subreason="The uploader has not made this video available in your country",
    ),
    "copyright_blocked": _Refusal(
        status="UNPLAYABLE",
        reason="Video unavailable",
        subreason="This video contains content from Simulated Music, who has blocked it in your country on "
        "copyright grounds",
    ),
    "age_restricted": _Refusal(
        status="LOGIN_REQUIRED",
        reason="Sign in to confirm your age",
        subreason="This video may be inappropriate for some users.",
        account_helps=True,
        more={"desktopLegacyAgeGateReason": 1},
    ),
    "bot_check": _Refusal(
        status="LOGIN_REQUIRED",
        reason="Sign in to confirm you\u2019re not a bot",
        subreason="This helps protect our community. Learn more",
        account_helps=True,
    ),
    "captcha": _Refusal(
        status="UNPLAYABLE",
        reason="Video unavailable",
        more={"errorScreen": {"playerCaptchaViewModel": {"captchaSiteKey": "simulator"}}},
    ),
    "session_limited": _Refusal(
        status="UNPLAYABLE",
        reason="Video unavailable",
        subreason="This content isn't available, try again later.",
    ),
    "page_reload": _Refusal(status="UNPLAYABLE", reason="The page needs to be reloaded."),
    "live_soon": _Refusal(status="LIVE_STREAM_OFFLINE", reason="Premieres in 3 hours"),
}

_UNKNOWN_VIDEO = _Refusal(
    status="ERROR", reason="Video unavailable", subreason="This video is not available", knows_video=False
)


def answer(request: Request, world: World) -> Response:
    """Return what YouTube answers to *request*."""
    if request.host == MEDIA_HOST:
        return _media(request, world)
    if request.host == THUMBNAIL_HOST:
        # As in real life, not every size and kind of thumbnail is there; yt-dlp tries one after another.
        match request.path.split("/"):
            case ["", "vi", id, "hqdefault.jpg"] if post := find_post("youtube", id):
                return world.thumbnail(post)
            case _:
                return Response(status=404)
    if request.path == "/api/timedtext":
        return _timed_text(request, world)
    if request.path.startswith("/youtubei/v1/"):
        return _api(request, world)
    if request.path == "/iframe_api":
        return _script(f"var scriptUrl='https://www.youtube.com{_PLAYER_JS}';".replace("/", "\\/"))
    if request.path.startswith("/s/player/"):
        return _script(f"var simulator={{signatureTimestamp:{_SIGNATURE_TIMESTAMP}}};")
    if (listed := _list_page(request, world)) is not None:
        return listed
    video_id = _video_id(request)
    if video_id is None:
        return _page(_settings(_page_client(request), request))
    if request.host in ("youtu.be", "www.youtu.be"):
        location = f"https://www.youtube.com/watch?v={video_id}&feature=youtu.be"
        return Response(status=303, headers={"location": location})
    return _video_page(request, world, video_id)


def _video_id(request: Request) -> str | None:
    """Return the id of the video that the address names, None where it names none."""
    if request.path == "/watch":
        return request.query.get("v")
    head, _, tail = request.path.strip("/").partition("/")
    if request.host in ("youtu.be", "www.youtu.be"):
        return head or None
    if head in ("embed", "shorts", "live", "v", "e"):
        return tail.partition("/")[0] or None
    return None


def _media(request: Request, world: World) -> Response:
    post = find_post("youtube", request.query.get("id", ""))
    if request.path != "/videoplayback" or post is None:
        return Response(status=404)
    name = _files(post).get(request.query.get("itag", ""))
    if name is None:
        return Response(status=403)
    return world.media(request, post, name, content_type=request.query.get("mime", "video/mp4"))


def _files(post: Post) -> dict[str, str]:
    """Return the post's media files by itag."""
    pictures = pictures_of(post)
    apart = {_itag(post, picture): picture.silent for picture in pictures}
    return apart if post.scenario.name == "silent" else {**apart, "140": "audio.m4a", "18": pictures[-1].muxed}


def _itag(post: Post, picture: Picture) -> str:
    named = {1080: "137", 720: "136", 480: "135", 240: "133"}
    return "134" if picture.silent == "video.mp4" else named[picture.side]


def _api(request: Request, world: World) -> Response:
    """Answer the InnerTube API: `player` and `next`, both for the video named in the JSON sent."""
    endpoint = request.path.removeprefix("/youtubei/v1/")
    if (listed := _list_answer(request, world, endpoint)) is not None:
        return listed
    try:
        asked = json.loads(request.body)
        video_id = str(asked["videoId"])
        client = str(asked["context"]["client"]["clientName"])
    except (ValueError, KeyError, TypeError):
        return _json({"error": {"code": 400, "message": "Request contains an invalid argument."}}, status=400)
    post = find_post("youtube", video_id)
    if post is not None and (trouble := _page_trouble(request, world, post)) is not None:
        return trouble
    if endpoint == "player":
        return _json(_player(request, world, post, client))
    if endpoint == "next":
        return _json(_initial_data(world, post))
    return _json({"error": {"code": 404, "message": "Requested entity was not found."}}, status=404)


def _list_page(request: Request, world: World) -> Response | None:
    """Return the page of a playlist, a mix or a channel, None where the address is none of these."""
    try:
        data = youtube_lists.page_data(request.path, request.query, world)
    except youtube_lists.Moved:
        return Response(status=302, headers={"location": f"{world.canary_url()}/secret"})
    except youtube_lists.Refused as refused:
        return _refused(Fault(kind="status", status=refused.status, retry_after_seconds=30))
    return None if data is None else _page(_settings(_page_client(request), request), ytInitialData=data)


def _list_answer(request: Request, world: World, endpoint: str) -> Response | None:
    """Return the API's answer about a playlist, a mix or a channel, None where it is asked for something else."""
    try:
        data = youtube_lists.api_data(endpoint, json.loads(request.body), world)
    except ValueError:
        return None
    except youtube_lists.Moved:
        return Response(status=302, headers={"location": f"{world.canary_url()}/secret"})
    except youtube_lists.Refused as refused:
        return _refused(Fault(kind="status", status=refused.status, retry_after_seconds=30))
    except youtube_lists.Silent:
        return Response(hang_after=0)
    return None if data is None else _json(data)


def _video_page(request: Request, world: World, video_id: str) -> Response:
    """Answer the watch page, or a page that embeds the same player."""
    post = find_post("youtube", video_id)
    if post is not None and (trouble := _page_trouble(request, world, post, opens_session=True)) is not None:
        return trouble
    client = _page_client(request)
    page = _page(
        _settings(client, request),
        ytInitialPlayerResponse=_player(request, world, post, client),
        ytInitialData=_initial_data(world, post),
    )
    # The page was had: whatever the session was refused for is over.
    return replace(page, cookies=(f"{_TROUBLE_COOKIE}=; Domain=.youtube.com; Path=/; Max-Age=0",))


def _page_trouble(request: Request, world: World, post: Post, *, opens_session: bool = False) -> Response | None:
    """Return the trouble due now, the same for every request of one visit.

    yt-dlp goes on to the API when the watch page was refused. A fault that strikes once would then be over before
    a test could see it, so the refused page marks the session with a cookie, which the API refuses.
    """
    trouble = world.page_fault(post)
    fault = post.scenario.page
    if fault is None or fault.kind != "status":
        return trouble
    if trouble is None:
        still_refused = not opens_session and _TROUBLE_COOKIE in _cookies(request)
        return _refused(fault) if still_refused else None
    return replace(trouble, cookies=(*trouble.cookies, f"{_TROUBLE_COOKIE}=1; Domain=.youtube.com; Path=/"))


def _refused(fault: Fault) -> Response:
    headers = {} if fault.retry_after_seconds is None else {"retry-after": str(fault.retry_after_seconds)}
    return Response(status=fault.status, headers=headers)


def _player(request: Request, world: World, post: Post | None, client: str) -> JsonObject:
    """Return the player answer about *post* for one of YouTube's own clients."""
    refusal = _UNKNOWN_VIDEO if post is None else _REFUSALS.get(post.scenario.name)
    if refusal is not None and refusal.account_helps and _signed_in(request):
        refusal = None
    player: JsonObject = {
        "responseContext": {"visitorData": _VISITOR_DATA},
        "playabilityStatus": {"status": "OK", "playableInEmbed": True} if refusal is None else _playability(refusal),
    }
    if post is None or (refusal is not None and not refusal.knows_video):
        return player
    player["videoDetails"] = _details(world, post)
    if client in _ADDRESSLESS_CLIENTS:
        player["microformat"] = {"playerMicroformatRenderer": _microformat(world, post)}
    if refusal is None:
        addressless = client in _ADDRESSLESS_CLIENTS or post.scenario.name == "no_addresses"
        player["streamingData"] = _streaming(world, post, addressless=addressless)
        if has_subtitles(post):
            player["captions"] = {"playerCaptionsTracklistRenderer": _captions(world, post)}
    return player


#: What the uploader wrote, what YouTube heard, and what it translates both to.
_WRITTEN, _HEARD, _TRANSLATED = ("en", "de"), "en", ("en", "de", "fr", "pt", "zh-Hans")


def _captions(world: World, post: Post) -> JsonObject:
    at = world.canary_url() if post.scenario.name == "subtitles_private" else "https://www.youtube.com"
    base = f"{at}/api/timedtext?v={post.id}&expire=4102444800"
    # Every other one has nothing but what YouTube heard.
    written = [_caption_track(base, language) for language in (() if post.serial % 2 else _WRITTEN)]
    return {
        "captionTracks": [
            *written,
            {**_caption_track(f"{base}&kind=asr", _HEARD), "kind": "asr", "vssId": f"a.{_HEARD}"},
        ],
        "translationLanguages": [
            {"languageCode": language, "languageName": {"simpleText": language}} for language in _TRANSLATED
        ],
    }


def _caption_track(base: str, language: str) -> JsonObject:
    return {
        "baseUrl": f"{base}&lang={language}",
        "name": {"simpleText": language},
        "vssId": f".{language}",
        "languageCode": language,
        "isTranslatable": True,
    }


def _timed_text(request: Request, world: World) -> Response:
    post = find_post("youtube", request.query.get("v", ""))
    if post is None:
        return Response(status=404)
    said = request.query.get("tlang") or request.query["lang"]
    if request.query.get("kind") == "asr":
        said = f"{said}, automatic"
    text = {"srt": subrip, "vtt": webvtt}.get(request.query.get("fmt", ""))
    return world.subtitles(post, text_response(text(said) if text else "{}"))


def _playability(refusal: _Refusal) -> JsonObject:
    screen: JsonObject = {"reason": {"simpleText": refusal.reason}}
    if refusal.subreason:
        screen["subreason"] = {"simpleText": refusal.subreason}
    return {
        "status": refusal.status,
        "reason": refusal.reason,
        "errorScreen": {"playerErrorMessageRenderer": screen},
        **refusal.more,
    }


def _details(world: World, post: Post) -> JsonObject:
    upcoming = post.scenario.name == "live_soon"
    inside = post.scenario.name == "private_thumbnail"
    pictures = world.canary_url() if inside else f"https://{THUMBNAIL_HOST}"
    return {
        # One scenario gives every visitor the same other video, which YouTube does to addresses it distrusts.
        "videoId": "S00n9999999" if post.scenario.name == "other_video" else post.id,
        "title": world.title(post),
        "lengthSeconds": "0" if upcoming else str(max(1, round(_seconds(world)))),
        "channelId": youtube_lists.CHANNEL_ID,
        "shortDescription": "A video of the simulated world.",
        "author": AUTHOR,
        "viewCount": "1234",
        "isLiveContent": upcoming,
        "isUpcoming": upcoming,
        "isPrivate": False,
        "thumbnail": {"thumbnails": [{"url": f"{pictures}/vi/{post.id}/hqdefault.jpg", "width": 480, "height": 360}]},
    }


def _microformat(world: World, post: Post) -> JsonObject:
    microformat: JsonObject = {
        "title": {"simpleText": world.title(post)},
        "lengthSeconds": str(max(1, round(_seconds(world)))),
        "ownerProfileUrl": f"http://www.youtube.com/@{AUTHOR}",
        "externalChannelId": youtube_lists.CHANNEL_ID,
        "availableCountries": ["IS", "LI"] if post.scenario.name == "geo_blocked" else ["DE", "FR", "US"],
        "category": "Science & Technology",
        "isFamilySafe": post.scenario.name != "age_restricted",
        "isUnlisted": False,
        "uploadDate": "2026-03-14T09:26:53-07:00",
    }
    if post.scenario.name == "live_soon":
        microformat["liveBroadcastDetails"] = {"isLiveNow": False, "startTimestamp": "2099-01-01T12:00:00+00:00"}
    return microformat


def _streaming(world: World, post: Post, *, addressless: bool) -> JsonObject:
    """Return the formats: one progressive, and the better pictures and sound apart."""
    adaptive = []
    progressive = []
    pictures = {_itag(post, picture): picture for picture in pictures_of(post)}
    for itag, name in _files(post).items():
        if itag == "140":
            sound = _format(world, post, 140, name, 'audio/mp4; codecs="mp4a.40.2"')
            adaptive.append({**sound, **_SOUND})
        elif itag == "18":
            both = _format(world, post, 18, name, 'video/mp4; codecs="avc1.42001E, mp4a.40.2"')
            progressive.append({**both, **_sized(pictures_of(post)[-1]), "quality": "medium", "qualityLabel": "360p"})
        else:
            stream = _format(world, post, int(itag), name, 'video/mp4; codecs="avc1.4d401e"')
            adaptive.append({**stream, **_sized(pictures[itag])})
    if addressless:
        for stream in adaptive:
            del stream["url"]
        return {"expiresInSeconds": "21540", "adaptiveFormats": adaptive}
    return {"expiresInSeconds": "21540", "formats": progressive, "adaptiveFormats": adaptive}


_SOUND: JsonObject = {
    "quality": "tiny",
    "audioQuality": "AUDIO_QUALITY_MEDIUM",
    "audioSampleRate": "44100",
    "audioChannels": 2,
}


def _sized(picture: Picture) -> JsonObject:
    size = {"width": picture.width, "height": picture.height, "fps": 24}
    if picture.silent == "video.mp4":
        return {**size, "quality": "large", "qualityLabel": "480p"}
    quality = {1080: "hd1080", 720: "hd720", 480: "large", 240: "small"}[picture.side]
    return {**size, "quality": quality, "qualityLabel": f"{picture.side}p"}


def _format(world: World, post: Post, itag: int, name: str, mime: str) -> JsonObject:
    size = world.media_size(post, name)
    milliseconds = round(_seconds(world) * 1000)
    kind = mime.partition(";")[0]
    at = world.canary_url() if post.scenario.name == "private_media" else f"https://{MEDIA_HOST}"
    return {
        "itag": itag,
        "url": f"{at}/videoplayback?expire=4102444800&id={post.id}&itag={itag}&source=youtube"
        f"&mime={kind.replace('/', '%2F')}&clen={size}&dur={milliseconds / 1000}",
        "mimeType": mime,
        "bitrate": max(1, round(size * 8000 / milliseconds)),
        "contentLength": str(size),
        "approxDurationMs": str(milliseconds),
    }


def _seconds(world: World) -> float:
    return world.segment_count() * world.segment_seconds()


def _initial_data(world: World, post: Post | None) -> JsonObject:
    """Return what the page shows around the player; yt-dlp only wants that there is something."""
    results: list[JsonObject] = []
    if post is not None:
        results.append({"videoPrimaryInfoRenderer": {"title": {"runs": [{"text": world.title(post)}]}}})
        owner = {"videoOwnerRenderer": {"title": {"runs": [{"text": AUTHOR}]}}}
        results.append({"videoSecondaryInfoRenderer": {"owner": owner}})
    return {"contents": {"twoColumnWatchNextResults": {"results": {"results": {"contents": results}}}}}


#: name of the client whose settings a page carries, and YouTube's number for it
_CLIENT_NUMBERS: Mapping[str, int] = {
    "WEB": 1,
    "MWEB": 2,
    "TVHTML5": 7,
    "WEB_EMBEDDED_PLAYER": 56,
    "WEB_CREATOR": 62,
    "WEB_REMIX": 67,
}


def _page_client(request: Request) -> str:
    if request.path.startswith("/embed/"):
        return "WEB_EMBEDDED_PLAYER"
    if request.path == "/tv":
        return "TVHTML5"
    hosts = {"m.youtube.com": "MWEB", "music.youtube.com": "WEB_REMIX", "studio.youtube.com": "WEB_CREATOR"}
    return hosts.get(request.host, "WEB")


def _settings(client: str, request: Request) -> JsonObject:
    """Return the page's `ytcfg`: which client it is, which session, which player script."""
    settings: JsonObject = {
        "INNERTUBE_CONTEXT": {
            "client": {
                "clientName": client,
                "clientVersion": "2.20260708.00.00",
                "hl": "en",
                "gl": "US",
                "visitorData": _VISITOR_DATA,
            }
        },
        "INNERTUBE_CONTEXT_CLIENT_NAME": _CLIENT_NUMBERS[client],
        "INNERTUBE_CLIENT_NAME": client,
        "INNERTUBE_CLIENT_VERSION": "2.20260708.00.00",
        "VISITOR_DATA": _VISITOR_DATA,
        "PLAYER_JS_URL": _PLAYER_JS,
        # With it in the page, yt-dlp need not fetch the player script to learn it.
        "STS": _SIGNATURE_TIMESTAMP,
    }
    if _signed_in(request):
        settings["DATASYNC_ID"] = "simulator||"
    return settings


def _page(settings: JsonObject, **scripts: JsonObject) -> Response:
    variables = "".join(f"<script>var {name} = {_embedded(value)};</script>" for name, value in scripts.items())
    body = (
        "<!DOCTYPE html><html><head><title>YouTube</title>"
        f"<script>ytcfg.set({_embedded(settings)});</script></head><body>{variables}</body></html>"
    )
    return Response(headers={"content-type": "text/html; charset=utf-8"}, body=body.encode())


def _embedded(value: JsonObject) -> str:
    """Return *value* as JSON that can't end the script it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _json(value: JsonObject, *, status: int = 200) -> Response:
    headers = {"content-type": "application/json; charset=UTF-8"}
    return Response(status=status, headers=headers, body=json.dumps(value).encode())


def _script(text: str) -> Response:
    return Response(headers={"content-type": "text/javascript"}, body=text.encode())


def _cookies(request: Request) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def _signed_in(request: Request) -> bool:
    return {"LOGIN_INFO", "SAPISID"} <= _cookies(request).keys()

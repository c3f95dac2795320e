"""TikTok: a page that carries its data as JSON, and media bound to a cookie that the page sets."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import b64decode, b64encode
from http.cookies import CookieError, SimpleCookie
from typing import Any

from .lists import Collection, Item, find_list
from .media import DURATION_SECONDS, HEIGHT, WIDTH, Picture, pictures_of
from .model import Post, Request, Response, World
from .pictures import PICTURE_SIZE, content_type_of, is_slideshow, parts_of, picture_name
from .scenarios import ASTRAY, AUTHOR, find_post, id_of_short_code, title_of
from .subtitles import has_subtitles, text_response, webvtt

_SITE = "www.tiktok.com"
_SHORT_HOSTS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
_MEDIA_HOSTS = ("v16-webapp-prime.tiktok.com", "v19-webapp-prime.tiktok.com")
_LITE = "lite.tiktok.com"
_COVERS = "p16-sign-va.tiktokcdn.com"
_PICTURE_HOSTS = ("p16-common-sign.tiktokcdn-eu.com", "p19-common-sign.tiktokcdn-eu.com")
HOSTS = frozenset({_SITE, "tiktok.com", "m.tiktok.com", _LITE, _COVERS, *_SHORT_HOSTS, *_MEDIA_HOSTS, *_PICTURE_HOSTS})

_COOKIE = "tt_chain_token"
_CHALLENGE_COOKIE = "_wafchallengeid"
_KEY = secrets.token_bytes(16)
_CREATED_AT = 1_760_000_000

#: What the page says of posts that it does not show: (statusCode, statusMsg). TikTok has one code for a post that
#: is deleted, withheld in this country or refused to this address; only the message differs, and yt-dlp takes the
#: code alone: "Your IP address is blocked from accessing this post".
_REFUSALS = {
    "removed": (10204, "item_privacy_authorization&status_deleted"),
    "private": (10222, "author_secret"),
    "geo_blocked": (10204, "cross_border_violation_ur"),
}


def answer(request: Request, world: World) -> Response:
    """Return what TikTok answers to *request*."""
    if request.host in _MEDIA_HOSTS:
        return _media(request, world)
    if request.host in _PICTURE_HOSTS:
        return _picture(request, world)
    parts = request.path.strip("/").split("/")
    match parts:
        case ["obj", id, "cover.jpeg"] if request.host == _COVERS:
            post = find_post("tiktok", id)
            return Response(status=404) if post is None else world.thumbnail(post)
        case [code] if request.host in _SHORT_HOSTS:
            return _follow_short_link(world, code)
        case _ if request.host == _LITE and request.method == "HEAD":
            return Response(status=405)
        case ["t", code] if request.host in (_SITE, _LITE):
            return _follow_short_link(world, code)
        case [user] if request.host == _SITE and (found := find_list("tiktok", user.removeprefix("@"))):
            return _profile(world, found)
        case ["embed", user] if found := find_list("tiktok", user.removeprefix("@")):
            if found.plan == "walled":
                return _redirect(f"https://{_SITE}/login")
            return Response(status=429 if found.plan == "throttled" else 404)
        case ["api", "creator" | "collection" as kind, "item_list"]:
            return _list_answer(request, world, kind)
        case ["login"] if request.host == _SITE:
            return _html("<h1>Log in to TikTok</h1>")
        case [user, "video" | "photo", id] if user.startswith("@"):
            post = find_post("tiktok", id)
            if request.host != _SITE:
                return _redirect(f"https://{_SITE}{request.path}", status=301)
            return _page(request, world, post) if post else _data_page(10204, "item doesn't exist")
        case [_] | [_, "live"] | [_, "story", _] | ["music" | "tag", _] if request.host == _SITE:
            return _html("<div id='app'></div>")  # a page without a post
        case _:
            return Response(status=404)


def _follow_short_link(world: World, code: str) -> Response:
    """Redirect to the post behind a code such as `ZM1a2b`; the two letters only tell who made the link."""
    id = id_of_short_code(code[2:]) if code.startswith("Z") else None
    post = find_post("tiktok", id) if id is not None else None
    if post is None:
        return _redirect(f"https://{_SITE}/")
    if post.scenario.name == "private_short_link":
        return _redirect(f"{world.canary_url()}/secret")
    if post.scenario.name == "leads_astray":
        return _redirect(ASTRAY["tiktok"][post.serial].format(id=id, code=code), status=301)
    kind = "photo" if is_slideshow(post) else "video"
    return _redirect(f"https://{_SITE}/@{AUTHOR}/{kind}/{id}?_r=1&_t=ZS-{code}", status=301)


def _page(request: Request, world: World, post: Post) -> Response:
    if trouble := world.page_fault(post):
        return trouble
    cookies = _cookies(request)
    scenario = post.scenario.name
    if scenario == "login_wall":
        return _redirect(f"https://{_SITE}/login?redirect_url=%2F%40{AUTHOR}%2Fvideo%2F{post.id}")
    if scenario == "challenge_unknown":
        return _html("Please wait...")  # a puzzle of a newer kind
    if scenario == "challenge" and not _solved(cookies.get(_CHALLENGE_COOKIE, "")):
        return _challenge_page()
    if scenario in _REFUSALS:
        return _data_page(*_REFUSALS[scenario])
    # A session keeps its token: media that it was promised earlier stay within its reach.
    token = cookies.get(_COOKIE) or b64encode(secrets.token_bytes(16)).decode()
    cookie = f"{_COOKIE}={token}; Domain=.tiktok.com; Path=/; Max-Age=15552000; HttpOnly; Secure; SameSite=None"
    return _data_page(0, "", item=_item(world, post, token), cookies=(cookie,))


def _item(world: World, post: Post, token: str) -> dict[str, Any]:
    """Return the post as the page's JSON describes it."""
    item: dict[str, Any] = {
        "id": post.id,
        "desc": world.title(post),
        "createTime": str(_CREATED_AT + post.serial),
        "author": {"id": "6800000000000000001", "uniqueId": AUTHOR, "nickname": "Ada", "secUid": "MS4wLjABAAAAada"},
        "music": {"id": "6900000000000000001", "title": "original sound", "authorName": "Ada"},
        "stats": {"diggCount": 12, "shareCount": 3, "commentCount": 4, "playCount": 567, "collectCount": "8"},
    }
    if post.scenario.name == "age_restricted":
        return {**item, "isContentClassified": True}
    if is_slideshow(post):
        # With music, which is all that yt-dlp finds to download. Every other one is silent.
        sound = "" if post.serial % 2 else _media_url(0, post, token, "audio.m4a").replace("video_mp4", "audio_mp4")
        slides = [_slide(world, post, number, kind) for number, kind in enumerate(parts_of(post), start=1)]
        return {
            **item,
            "imagePost": {"images": slides, "title": ""},
            "video": {"id": "", "duration": 0, "width": 0, "height": 0, "playAddr": "", "bitrateInfo": []},
            "music": {**item["music"], "playUrl": sound, "duration": int(DURATION_SECONDS)},
        }
    pictures = pictures_of(post)
    urls = _media_urls(post, token, pictures[0].muxed)
    if post.scenario.name == "private_media":
        urls = [f"{world.canary_url()}/muxed.mp4?a=1"]
    item["video"] = {
        "id": post.id,
        "width": pictures[0].width,
        "height": pictures[0].height,
        "duration": int(DURATION_SECONDS),
        "ratio": "360p",
        "format": "mp4",
        "codecType": "h264",
        "cover": f"{_covers(world, post)}/obj/{post.id}/cover.jpeg",
        "playAddr": urls[0],
        "downloadAddr": urls[0] + "&download=true",
        "bitrateInfo": [
            _bitrate_info(
                world, post, picture, _media_urls(post, token, picture.muxed) if picture != pictures[0] else urls
            )
            for picture in pictures
        ],
    }
    if has_subtitles(post):
        item["video"]["subtitleInfos"] = [
            _subtitle_info(world, post, language) for language in ("eng-US", "cmn-Hans-CN")
        ]
    return item


def _subtitle_info(world: World, post: Post, language: str) -> dict[str, Any]:
    at = world.canary_url() if post.scenario.name == "subtitles_private" else f"https://{_MEDIA_HOSTS[0]}"
    return {
        "LanguageID": "2",
        "LanguageCodeName": language,
        "Url": f"{at}/subtitles/{post.id}/{language}?a=1988",
        "UrlExpire": 4102444800,
        "Format": "webvtt",
        "Version": "1:whisper_lid",
        "Source": "ASR",
        "Size": 300,
    }


def _covers(world: World, post: Post) -> str:
    return world.canary_url() if post.scenario.name == "private_thumbnail" else f"https://{_COVERS}"


def _slide(world: World, post: Post, number: int, kind: str) -> dict[str, Any]:
    width, height = PICTURE_SIZE
    name = picture_name(post, number)
    urls = [f"https://{host}/tos-{post.id}/{name}~tplv-photomode-image.jpeg?x-signature=s" for host in _PICTURE_HOSTS]
    if post.scenario.name == "private_picture":
        urls = [f"{world.canary_url()}/{name}"]
    address = {"imageUrl": urls} if kind == "unreadable" else {"imageURL": {"urlList": urls}}
    return {**address, "imageWidth": width, "imageHeight": height}


def _bitrate_info(world: World, post: Post, picture: Picture, urls: list[str]) -> dict[str, Any]:
    size_bytes = world.media_size(post, picture.muxed)
    bitrate = int(size_bytes * 8 / DURATION_SECONDS)
    named = 360 if picture.side == HEIGHT and picture.width == WIDTH else picture.side
    return {
        "GearName": f"normal_{named}_0",
        "Bitrate": bitrate,
        "CodecType": "h264",
        "PlayAddr": {
            "UrlList": [*urls, f"https://{_SITE}/aweme/v1/play/?video_id={post.id}"],
            "UrlKey": f"v09044g40000{post.id}_h264_{named}p_{bitrate}",
            "DataSize": "1000" if post.scenario.name == "understated" else str(size_bytes),
        },
    }


# Lists

_PROFILE_LENGTH, _COLLECTION_LENGTH = 15, 30
#: Between two posts of a profile.
_SECONDS_BETWEEN = 600


def _profile(world: World, found: Collection) -> Response:
    """Return the page of a profile; the posts that it shows come by the API."""
    if found.plan == "inward":
        return _redirect(f"{world.canary_url()}/secret")
    if found.plan == "throttled":
        return Response(status=429, headers={"Retry-After": "30"})
    if found.plan == "walled":
        return _redirect(f"https://{_SITE}/login?redirect_url=%2F%40{found.name}")
    status = {"private": 10222, "gone": 10221}.get(found.plan, 0)
    detail: dict[str, object] = {"statusCode": status, "statusMsg": ""}
    if not status:
        user = {"secUid": _sec_uid(found), "uniqueId": found.name, "nickname": "Ada"}
        detail["userInfo"] = {"user": user, "stats": {"videoCount": found.size}, "itemList": [{}]}
    return _page_of({"webapp.user-detail": detail})


def _sec_uid(found: Collection) -> str:
    return f"MS4wLjABAAAA{found.name}".ljust(76, "_")


def _list_answer(request: Request, world: World, kind: str) -> Response:
    """Answer the API that lists a profile from a moment backwards, or a collection from a position on."""
    cursor = int(request.query["cursor"])
    if kind == "collection":
        found = Collection(platform="tiktok", plan="plain", size=int(request.query["collectionId"]) % 1_000_000)
        page = found.page(world, cursor // _COLLECTION_LENGTH, _COLLECTION_LENGTH)
        return _json({"itemList": [_listed(item) for item in page.items], "hasMore": page.next is not None})
    profile = find_list("tiktok", request.query["secUid"].removeprefix("MS4wLjABAAAA").rstrip("_"))
    assert profile is not None
    number = max(0, -(-(_CREATED_AT - cursor // 1000 + _SECONDS_BETWEEN) // _SECONDS_BETWEEN)) // _PROFILE_LENGTH
    if number >= 2 and (
        profile.plan == "limited" or (profile.plan == "relenting" and world.count(f"{profile.name} trouble") <= 1)
    ):
        return Response(status=429, headers={"Retry-After": "30"})
    if number >= 2 and profile.plan == "inlater":
        return _redirect(f"{world.canary_url()}/secret")
    if number >= 2 and profile.plan == "hanging":
        return Response(hang_after=0)
    page = profile.page(world, 0 if profile.plan == "stale" else number, _PROFILE_LENGTH)
    return _json({"itemList": [_listed(item) for item in page.items], "hasMorePrevious": page.next is not None})


def _listed(item: Item) -> dict[str, Any]:
    """Return a post as lists describe it."""
    return {
        "id": item.post.id,
        "desc": title_of(item.post),
        "createTime": _CREATED_AT - item.age * _SECONDS_BETWEEN,
        "author": {"id": "6800000000000000001", "uniqueId": AUTHOR, "nickname": "Ada", "secUid": "MS4wLjABAAAAada"},
        "video": {"duration": int(DURATION_SECONDS)},
    }


# Media


def _media_urls(post: Post, token: str, name: str) -> list[str]:
    return [_media_url(number, post, token, name) for number in range(len(_MEDIA_HOSTS))]


def _media_url(number: int, post: Post, token: str, name: str) -> str:
    query = f"a=1988&mime_type=video_mp4&tk={_COOKIE}&signature={_signature(post.id, token)}"
    return f"https://{_MEDIA_HOSTS[number]}/video/tos/useast2a/{post.id}/{name}?{query}"


def _media(request: Request, world: World) -> Response:
    match request.path.split("/"):
        case ["", "video", "tos", _, id, name] if post := find_post("tiktok", id):
            token = _cookies(request).get(_COOKIE, "")
            if not hmac.compare_digest(_signature(id, token), request.query.get("signature", "")):
                return Response(status=403, headers={"Content-Type": "text/plain"}, body=b"Access Denied\n")
            return world.media(request, post, name, content_type=request.query["mime_type"].replace("_", "/"))
        case ["", "subtitles", id, language] if post := find_post("tiktok", id):
            return world.subtitles(post, text_response(webvtt(language)))
        case _:
            return Response(status=404)


def _picture(request: Request, world: World) -> Response:
    folder, _, file = request.path[1:].partition("/")
    post = find_post("tiktok", folder.removeprefix("tos-"))
    name = file.partition("~")[0]
    return (
        Response(status=404)
        if post is None
        else world.media(request, post, name, content_type=content_type_of(post, name))
    )


def _signature(id: str, token: str) -> str:
    return hmac.new(_KEY, f"{id} {token}".encode(), hashlib.sha256).hexdigest()


def _cookies(request: Request) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(request.headers.get("cookie", "")).items()}
    except CookieError:
        return {}


# The page before the page, shown to whom TikTok takes for a robot: find the number that hashes to the digest


_CHALLENGE_ANSWER = b"4711"
_CHALLENGE_SEED = b"simulated challenge"


def _challenge_page() -> Response:
    """Return the page that asks for the number."""
    digest = hashlib.sha256(_CHALLENGE_SEED + _CHALLENGE_ANSWER).digest()
    question = {"v": {"a": b64encode(_CHALLENGE_SEED).decode(), "c": b64encode(digest).decode()}}
    # The padding is left off, as TikTok leaves it off.
    encoded = b64encode(json.dumps(question).encode()).decode().rstrip("=")
    return _html(f'Please wait... <p id="cs" class="{encoded}"></p><p id="wci" class="{_CHALLENGE_COOKIE}"></p>')


def _solved(cookie: str) -> bool:
    """Return whether *cookie* holds the number: the question as JSON, with the answer added, in base64."""
    try:
        return b64decode(json.loads(b64decode(cookie))["d"]) == _CHALLENGE_ANSWER
    except (ValueError, KeyError, TypeError):
        return False


# Pages


def _data_page(status: int, message: str, *, item: object = None, cookies: tuple[str, ...] = ()) -> Response:
    detail: dict[str, object] = {"statusCode": status, "statusMsg": message}
    if item:
        detail["itemInfo"] = {"itemStruct": item}
    return _page_of({"webapp.video-detail": detail}, cookies=cookies)


def _page_of(scope: dict[str, object], *, cookies: tuple[str, ...] = ()) -> Response:
    data = {"__DEFAULT_SCOPE__": {"webapp.app-context": {"language": "en"}, **scope}}
    # No title may end the script, so `<` and `/` are written the way TikTok writes them.
    text = json.dumps(data).replace("<", "\\u003C").replace("/", "\\u002F")
    script = f'<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{text}</script>'
    return _html(script, cookies=cookies)


def _html(body: str, *, cookies: tuple[str, ...] = ()) -> Response:
    page = f"<!DOCTYPE html><html><head><title>TikTok - Make Your Day</title></head><body>{body}</body></html>\n"
    return Response(headers={"Content-Type": "text/html; charset=utf-8"}, cookies=cookies, body=page.encode())


def _json(value: object) -> Response:
    return Response(headers={"Content-Type": "application/json"}, body=json.dumps(value).encode())


def _redirect(location: str, *, status: int = 302) -> Response:
    return Response(status=status, headers={"Location": location})

"""Instagram: the home page, the ruling and GraphQL APIs, the post's page and the media host.

What yt-dlp asks for, without an account: the home page for a session token, the ruling API (may strangers see this
post?), GraphQL for the post (only where curl_cffi can pass for a browser), and the post's page where GraphQL gave
nothing. With an account's cookie: the post's info API alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from .media import HEIGHT, WIDTH, pictures_of
from .model import Fault, Post, Request, Response, World, post_id
from .pictures import PICTURE_SIZE, content_type_of, parts_of, picture_name
from .scenarios import ASTRAY, AUTHOR, SCENARIOS, find_post

MEDIA_HOST = "scontent.cdninstagram.com"

HOSTS: frozenset[str] = frozenset(
    {
        "instagram.com",
        "www.instagram.com",
        "m.instagram.com",
        "i.instagram.com",
        MEDIA_HOST,
    }
)

JsonObject = dict[str, Any]

#: The session token, handed out by the home page and asked for by GraphQL.
_LSD = "AVrSimulatr0"

#: A refusal marks the session with this cookie, see `_trouble`.
_TROUBLE_COOKIE = "sim_trouble"

_POST_PATH = re.compile(r"/(?:[^/]+/)?(?P<kind>p|tv|reels?)/(?P<code>[\w-]+)(?:/|$)")
_SHARE_PATH = re.compile(r"/share/(?:(?P<kind>p|reel)/)?(?P<code>[\w-]+)/?")
#: Pages that are there and hold no post: a browser gets an empty shell.
_OTHER_PATH = re.compile(r"/(?:ada|ada/live|reels/audio/\d+|s/\w+|explore/tags/\w+)/?")
_STORY_PATH = re.compile(r"/stories/(?:ada|highlights/\d+)/")
_INFO_PATH = re.compile(r"/api/v1/media/(?P<pk>\d+)/info/")
_MEDIA_PATH = re.compile(r"/v/(?P<code>[\w-]+)/(?P<part>\d+)/(?P<name>[\w-]+\.\w+)")

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

#: Posts that strangers get nothing of; the reason is told of the last one only, by the ruling.
_HIDDEN = frozenset({"private", "geo_blocked", "region_blocked"})


def answer(request: Request, world: World) -> Response:
    """Return what Instagram answers to *request*."""
    if request.host == MEDIA_HOST:
        return _media(request, world)
    if request.path == "/":
        return _home()
    if request.path.startswith("/accounts/login"):
        return _html("<title>Login &#8226; Instagram</title>")
    if request.path == "/api/v1/web/get_ruling_for_content/":
        return _ruling(request, world)
    if request.path in ("/api/graphql", "/graphql/query", "/graphql/query/"):
        return _graphql(request, world)
    if match := _INFO_PATH.fullmatch(request.path):
        return _info(request, world, match["pk"])
    if match := _SHARE_PATH.fullmatch(request.path):
        return _follow_share_link(match["kind"], match["code"])
    if _STORY_PATH.fullmatch(request.path):
        return _story_page(request)
    if request.path == "/api/v1/feed/reels_media/":
        return _reels(request, world)
    if _OTHER_PATH.fullmatch(request.path):
        return _html("<title>Instagram</title>")
    if match := _POST_PATH.match(request.path):
        return _post_page(request, world, match["code"])
    return _not_found()


def _follow_share_link(kind: str | None, code: str) -> Response:
    """Redirect to the post: a code of ours is that of the post, those of Instagram are others."""
    post = find_post("instagram", code)
    location = f"https://www.instagram.com/{kind or 'reel'}/{code}/"
    if post is None:
        location = "https://www.instagram.com/"
    elif post.scenario.name == "leads_astray":
        location = ASTRAY["instagram"][post.serial].format(id=code, code=code)
    return Response(status=302, headers={"location": location})


def _media(request: Request, world: World) -> Response:
    match = _MEDIA_PATH.fullmatch(request.path)
    post = find_post("instagram", match["code"]) if match else None
    if match is None or post is None:
        return Response(status=404)
    name = match["name"]
    if name == "cover.jpg":
        return world.thumbnail(post)
    content_type = "video/mp4" if name.endswith(".mp4") else content_type_of(post, name)
    return world.media(request, post, name, content_type=content_type)


def _home() -> Response:
    session = {"l": _LSD, "e": "simulator", "s": "simulator"}
    return _html(f'<script type="application/json" id="__eqmc" nonce="simulator">{json.dumps(session)}</script>')


def _ruling(request: Request, world: World) -> Response:
    """Answer whether strangers may see the post; the cookie it sets is what GraphQL asks for."""
    post = _post_of_pk(request.query.get("target_id", ""))
    if post is not None:
        if (trouble := _trouble(request, world, post, opens_visit=True)) is not None:
            return trouble
        if post.scenario.name == "login_wall":
            return _please_wait()
    ruling: JsonObject = {"status": "ok"}
    if post is not None and post.scenario.name == "age_restricted":
        ruling |= {
            "title": "Restricted Video",
            "description": "You must be 18 years old or over to see this video",
            "buttons": ["Back"],
        }
    if post is not None and post.scenario.name == "region_blocked":
        ruling |= {"title": "Video unavailable", "description": "This reel isn\u2019t available in your region"}
    cookies = ("csrftoken=simulatr; Domain=.instagram.com; Path=/; Secure", _forget_trouble())
    return replace(_json(ruling), cookies=cookies)


def _graphql(request: Request, world: World) -> Response:
    """Answer the one query that a stranger's browser makes about a post."""
    form = parse_qs(request.body.decode(errors="replace"))
    if form.get("lsd") != [_LSD] or request.headers.get("x-fb-lsd") != _LSD:
        return _html("<title>Error</title>", status=400)
    try:
        pk = str(json.loads(form["variables"][0])["media_id"])
    except (ValueError, KeyError, TypeError):
        return _json({"errors": [{"message": "A server error field_exception occured."}]}, status=400)
    post = _post_of_pk(pk)
    if post is not None:
        if (trouble := _trouble(request, world, post)) is not None:
            return trouble
        if post.scenario.name == "login_wall":
            return _please_wait()
    return _json({"data": _post_data(world, post), "extensions": {"is_final": True}})


def _info(request: Request, world: World, pk: str) -> Response:
    """Answer the API that only accounts may use."""
    if "sessionid" not in _cookies(request):
        return _to_login(request.path)
    post = _post_of_pk(pk)
    if post is not None and (trouble := _trouble(request, world, post, opens_visit=True)) is not None:
        return trouble
    if post is None or post.scenario.name in ("removed", "geo_blocked"):
        return _json({"message": "Media not found or unavailable", "status": "fail"}, status=404)
    return replace(_json({"items": [_product(world, post)], "status": "ok"}), cookies=(_forget_trouble(),))


#: What a story and a highlight are made of, in their order.
_STORY = ("ok", "one_picture", "ok", "silent")


def _story_page(request: Request) -> Response:
    """Return the page of a story; all that yt-dlp wants of it is whose it is."""
    if "sessionid" not in _cookies(request):
        return _to_login(request.path)
    return _html(f'<script>{{"user":{json.dumps(_user())}}}</script>')


def _reels(request: Request, world: World) -> Response:
    """Answer the API for the items of a story or a highlight."""
    if "sessionid" not in _cookies(request):
        return _json({"reels": {}, "status": "ok"})
    id = request.query.get("reel_ids", "")
    if id == "highlight:9":
        return Response(status=302, headers={"location": f"{world.canary_url()}/secret"})
    posts = (find_post("instagram", post_id("instagram", SCENARIOS[name], n)) for n, name in enumerate(_STORY))
    reel = {"user": _user(), "items": [_product(world, post) for post in posts if post is not None]}
    if id.startswith("highlight:"):
        reel["title"] = "Garden"
    return _json({"reels": {id: reel}, "status": "ok"})


def _post_page(request: Request, world: World, code: str) -> Response:
    post = find_post("instagram", code)
    if post is None:
        return _not_found()
    if (trouble := _trouble(request, world, post)) is not None:
        return trouble
    if post.scenario.name == "removed":
        return _not_found()
    if post.scenario.name == "login_wall":
        return _to_login(request.path)
    return _html(f'<script type="application/json" data-sjs>{_prefetched(_post_data(world, post))}</script>')


def _prefetched(data: JsonObject) -> str:
    """Return the script of the page that holds the answer to its first query, as deep down as Instagram has it."""
    stream = ["adp_PolarisLoggedOutDesktopWWWPostRootContentQuery", {"__bbox": {"result": {"data": data}}}]
    inner = {"require": [["RelayPrefetchedStreamCache", "next", [], stream]]}
    outer = {"require": [["ScheduledServerJS", "handle", None, [{"__bbox": inner}]]]}
    return json.dumps(outer).replace("<", "\\u003c")


def _post_data(world: World, post: Post | None) -> JsonObject:
    if post is None or post.scenario.name in {*_HIDDEN, "removed"}:
        return {"xig_polaris_media": None}
    if post.scenario.name == "age_restricted":
        return {"xig_polaris_media": {"if_not_gated_logged_out": None}}
    comments = {"edges": [{"node": {"pk": "1", "text": "Lovely!", "created_at": 1773480413, "user": _user()}}]}
    return {
        "xig_polaris_media": {
            "if_not_gated_logged_out": _product(world, post),
            "comments_connection": comments,
        }
    }


def _product(world: World, post: Post) -> JsonObject:
    """Return the post itself, in the form that every one of Instagram's answers shares."""
    title = world.title(post)
    product: JsonObject = {
        "pk": str(_pk(post.id)),
        "code": post.id,
        # Few posts have a title.
        "caption": {"text": f"{title}\n\n#garden #ada"},
        "user": _user(),
        "taken_at": 1773480413,
        "like_count": 12,
        "comment_count": 1,
        "view_count": 1234,
    }
    parts = parts_of(post)
    if len(parts) == 1:
        return product | _product_media(world, post, parts[0], 0)
    children = [
        # A child has a shortcode of its own, made from its parent's; and is never asked for by it.
        {"pk": str(_pk(post.id.replace("n", "abc"[number]))), **_product_media(world, post, kind, number)}
        for number, kind in enumerate(parts)
    ]
    return product | {"media_type": 8, "carousel_media": children}


def _product_media(world: World, post: Post, kind: str, number: int) -> JsonObject:
    if kind != "video":
        return _product_picture(world, post, kind, number)
    inside = post.scenario.name == "private_thumbnail"
    covers = world.canary_url() if inside else f"https://{MEDIA_HOST}"
    thumbnail = {"url": f"{covers}/v/{post.id}/{number}/cover.jpg", "width": WIDTH, "height": HEIGHT}
    media: JsonObject = {"image_versions2": {"candidates": [thumbnail]}}
    at = world.canary_url() if post.scenario.name == "private_media" else f"https://{MEDIA_HOST}"
    address = f"{at}/v/{post.id}/{number}/{{}}?efg=simulator&oe=F0000000"
    return media | {
        "media_type": 2,
        "has_audio": post.scenario.name != "silent",
        "video_duration": world.segment_count() * world.segment_seconds(),
        "video_versions": [
            {"type": type, "url": address.format(picture.muxed), "width": picture.width, "height": picture.height}
            for type, picture in enumerate(pictures_of(post), start=101)
        ],
    }


def _product_picture(world: World, post: Post, kind: str, number: int) -> JsonObject:
    """Return a picture in three sizes, of which the third was cut to a square and is larger than it was."""
    width, height = PICTURE_SIZE
    at = world.canary_url() if post.scenario.name == "private_picture" else f"https://{MEDIA_HOST}"
    sizes = [
        {"url": f"{at}/v/{post.id}/{number}/{name}?stp=dst-jpg_e35&oe=F0000000", "width": wide, "height": high}
        for name, wide, high in (
            (picture_name(post, number + 1), width, height),
            ("small.jpg", width // 2, height // 2),
            ("square.jpg", 2 * width, 2 * width),
        )
    ]
    return {"media_type": 1, "image_versions3" if kind == "unreadable" else "image_versions2": {"candidates": sizes}}


def _user() -> JsonObject:
    return {"pk": "1001", "username": AUTHOR, "full_name": AUTHOR.title()}


def _trouble(request: Request, world: World, post: Post, *, opens_visit: bool = False) -> Response | None:
    """Return the trouble due now, the same for every request of one visit.

    yt-dlp goes on where the ruling API refused it. A fault that strikes once would then be over before a test
    could see it, so the refusal marks the session with a cookie, which the other addresses refuse.
    """
    trouble = world.page_fault(post)
    fault = post.scenario.page
    if fault is None or fault.kind != "status":
        return trouble
    if trouble is None:
        still_refused = not opens_visit and _TROUBLE_COOKIE in _cookies(request)
        return _refused(fault) if still_refused else None
    return replace(trouble, cookies=(*trouble.cookies, f"{_TROUBLE_COOKIE}=1; Domain=.instagram.com; Path=/"))


def _refused(fault: Fault) -> Response:
    headers = {} if fault.retry_after_seconds is None else {"retry-after": str(fault.retry_after_seconds)}
    return Response(status=fault.status, headers=headers)


def _forget_trouble() -> str:
    return f"{_TROUBLE_COOKIE}=; Domain=.instagram.com; Path=/; Max-Age=0"


def _please_wait() -> Response:
    refusal = {"message": "Please wait a few minutes before you try again.", "require_login": True, "status": "fail"}
    return _json(refusal, status=401)


def _to_login(path: str) -> Response:
    return Response(status=302, headers={"location": f"https://www.instagram.com/accounts/login/?next={path}"})


def _not_found() -> Response:
    return _html("<title>Page not found &#8226; Instagram</title>", status=404)


def _post_of_pk(pk: str) -> Post | None:
    """Return the post whose number is *pk*: its shortcode is that number, written in 64 digits."""
    number = int(pk) if pk.isascii() and pk.isdigit() else 0
    code = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        code = _DIGITS[digit] + code
    return find_post("instagram", code)


def _pk(code: str) -> int:
    number = 0
    for digit in code:
        number = number * len(_DIGITS) + _DIGITS.index(digit)
    return number


def _html(content: str, *, status: int = 200) -> Response:
    body = f"<!DOCTYPE html><html><head></head><body>{content}</body></html>"
    return Response(status=status, headers={"content-type": "text/html; charset=utf-8"}, body=body.encode())


def _json(value: JsonObject, *, status: int = 200) -> Response:
    headers = {"content-type": "application/json; charset=utf-8"}
    return Response(status=status, headers=headers, body=json.dumps(value).encode())


def _cookies(request: Request) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}

"""The allow-list of what the server fetches, above all what it refuses; and what links lead to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.platform_detector import (
    MAX_DEPTH,
    MAX_URL_LENGTH,
    Link,
    LinkTarget,
    detect_platform,
    parse_link,
    read_link,
)

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data/post_links.json").read_text(encoding="utf-8"))
POSTS = [case for case in CASES if case["kind"] == "post"]
COLLECTIONS = [case for case in CASES if "collection_id" in case]

OURS = [
    ("https://www.tiktok.com/@ada/video/7123456789012345678", "tiktok"),
    ("https://tiktok.com/@ada/video/7123456789012345678", "tiktok"),
    ("https://m.tiktok.com/v/7123456789012345678.html", "tiktok"),
    ("https://vm.tiktok.com/ZMabc123/", "tiktok"),
    ("https://vt.tiktok.com/ZSabc123/", "tiktok"),
    ("https://www.tiktok.com/t/ZTabc123/", "tiktok"),
    ("https://lite.tiktok.com/t/ZSabc123/", "tiktok"),
    ("https://www.tiktokv.com/share/video/7123456789012345678/", "tiktok"),
    ("https://www.tiktok.com/@ädä/video/7123456789012345678", "tiktok"),
    ("https://www.instagram.com/reel/Cabc123/", "instagram"),
    ("https://instagram.com/p/Cabc123/?igsh=x", "instagram"),
    ("https://m.instagram.com/p/Cabc123/", "instagram"),
    ("https://instagr.am/p/Cabc123/", "instagram"),
    ("https://twitter.com/ada/status/1", "twitter"),
    ("https://x.com/ada/status/1?s=20", "twitter"),
    ("https://www.x.com/ada/status/1", "twitter"),
    ("https://mobile.twitter.com/ada/status/1", "twitter"),
    ("https://mobile.x.com/ada/status/1", "twitter"),
    ("https://m.twitter.com/ada/status/1", "twitter"),
    ("https://www.youtube.com/watch?v=dQw4w9WgXcQ", "youtube"),
    ("https://youtube.com/shorts/dQw4w9WgXcQ", "youtube"),
    ("https://m.youtube.com/watch?v=dQw4w9WgXcQ", "youtube"),
    ("https://music.youtube.com/watch?v=dQw4w9WgXcQ", "youtube"),
    ("https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ", "youtube"),
    ("https://youtu.be/dQw4w9WgXcQ?t=3", "youtube"),
    # as people type and paste
    ("HTTPS://WWW.YOUTUBE.COM/watch?v=dQw4w9WgXcQ", "youtube"),
    ("  https://youtu.be/dQw4w9WgXcQ\n", "youtube"),
    ("\u00a0https://youtu.be/dQw4w9WgXcQ\u3000", "youtube"),
    ("youtube.com/watch?v=dQw4w9WgXcQ", "youtube"),
    ("www.tiktok.com/@ada/video/7", "tiktok"),
    ("x.com/ada/status/1", "twitter"),
    ("youtube.com", "youtube"),
    ("https://youtube.com?v=dQw4w9WgXcQ", "youtube"),
    ("http://youtu.be/dQw4w9WgXcQ", "youtube"),
    ("https://www.youtube.com:443/watch?v=dQw4w9WgXcQ", "youtube"),
    ("http://www.youtube.com:80/watch?v=dQw4w9WgXcQ", "youtube"),
    ("youtube.com:443/watch?v=dQw4w9WgXcQ", "youtube"),
    # these go to the platform, whatever follows its host
    ("https://x.com/?u=https://evil.example/", "twitter"),
    ("https://x.com/@evil.example", "twitter"),
    ("https://youtube.com#@evil.example/", "youtube"),
]

NOT_OURS = [
    # a platform's name outside the host
    "http://127.0.0.1/?u=https://x.com/ada/status/1",
    "http://127.0.0.1/https://x.com/ada/status/1",
    "http://127.0.0.1/#https://x.com/ada/status/1",
    "http://[::1]/x.com",
    "https://evil.example/youtube.com/watch?v=x",
    "https://youtube.com@evil.example/",
    "https://youtube.com:443@evil.example/",
    "https://user:pass@youtube.com/watch?v=x",
    "https://youtube.com%40evil.example/",
    "https://youtube.com%2f@evil.example/",
    "tiktok.com.evil.example",
    "https://tiktok.com.evil.example/@ada/video/7",
    "https://eviltiktok.com/",
    "https://evil-x.com/",
    "https://netflix.com/watch/1",
    "https://fedex.com/",
    "https://evil.x.com/",
    "https://youtube.com.",
    "https://youtube.com./watch?v=x",
    "https://youtube.co/watch?v=x",
    "https://youtube.community/",
    "https://t.co/abc",
    "https://t.tiktok.com/abc",
    "https://tiktokv.com/share/video/7",
    "https://www.lite.tiktok.com/t/ZSabc123/",
    "https://lite.instagram.com/p/Cabc123/",
    "https://l.instagram.com/?u=https%3A%2F%2Fwww.instagram.com%2Fp%2FCabc123%2F",
    "https://consent.youtube.com/m?continue=https%3A%2F%2Fyoutu.be%2FdQw4w9WgXcQ",
    "https://www.youtubekids.com/watch?v=dQw4w9WgXcQ",
    "https://www.google.com/url?q=https%3A%2F%2Fyoutu.be%2FdQw4w9WgXcQ",
    # other schemes
    "file:///etc/passwd",
    "file://youtube.com/etc/passwd",
    "javascript:alert(1)//youtube.com",
    "javascript://youtube.com/%0aalert(1)",
    "data:text/html,youtube.com",
    "ftp://youtube.com/x",
    "ws://youtube.com/x",
    "ytsearch:cats",
    "https:youtube.com/watch?v=x",
    "https:/youtube.com/watch?v=x",
    "https:///youtube.com/watch?v=x",
    "//youtube.com/watch?v=x",
    "://youtube.com/",
    # lookalike hosts
    "https://yоutube.com/watch?v=x",  # noqa: RUF001 -- the Cyrillic o is the point
    "https://tıktok.com/@ada/video/7",  # noqa: RUF001 -- the dotless i is the point
    "https://ti\u212atok.com/@ada/video/7",  # KELVIN SIGN, whose lower case is k
    "https://ｘ.com/ada/status/1",  # noqa: RUF001 -- the full-width letter is the point
    "https://x。com/ada/status/1",
    "https://xn--yutube-kya.com/",
    "https://ⓧ.com/ada/status/1",
    "https://youtube.com\u2044@evil.example/",
    # backslashes
    "https://youtube.com\\@evil.example/",
    "https://evil.example\\@youtube.com/",
    "https:\\\\youtube.com/watch?v=x",
    "https://youtube.com\\.evil.example/",
    "https://youtube.com/watch?v=x\\",
    # ports
    "https://youtube.com:8080/watch?v=x",
    "https://youtube.com:80/watch?v=x",
    "http://youtube.com:443/watch?v=x",
    "https://youtube.com:/watch?v=x",
    "https://youtube.com:0443/watch?v=x",
    "https://youtube.com:٤٤٣/watch?v=x",
    "youtube.com:22",
    # control and invisible characters, spaces
    "https://youtube.com\x00.evil.example/",
    "https://you\ttube.com/",
    "https://youtube.com/watch?v=x\ny",
    "https://youtube.com/\r\nHost: evil.example",
    "https://youtube.com/\x7f",
    "https://youtube.com/\x85x",
    "https://youtube.com/\u200bx",
    "https://youtube.com/\u202ex",
    "https://youtube.com/\ud800",
    "https://youtube.com/a b",
    "https://you tube.com/",
    # empty, and too long
    "",
    "   ",
    "https://",
    "x",
    ".com",
    "https://youtube.com/" + "a" * MAX_URL_LENGTH,
    "youtu.be/".ljust(MAX_URL_LENGTH, "a"),  # too long with its scheme
]


@pytest.mark.parametrize(("url", "expected"), OURS)
def test_detect_names_the_platform(url: str, expected: str) -> None:
    assert detect_platform(url) == expected


@pytest.mark.parametrize("url", NOT_OURS)
def test_detect_refuses_everything_else(url: str) -> None:
    assert detect_platform(url) == "unknown"
    assert parse_link(url) is None


@pytest.mark.parametrize(
    ("url", "handed_on"),
    [
        (" HTTP://Www.YouTube.com:80/Watch?v=dQw4w9WgXcQ ", "https://www.youtube.com/Watch?v=dQw4w9WgXcQ"),
        ("youtu.be/dQw4w9WgXcQ", "https://youtu.be/dQw4w9WgXcQ"),
        # yt-dlp reads private instructions to its extractors from the fragment
        ("https://x.com/a/status/1#__youtubedl_smuggle=%7B%7D", "https://x.com/a/status/1"),
        # old pages had the post's address there
        ("https://twitter.com/#!/ada/status/1", "https://twitter.com/ada/status/1"),
        ("https://twitter.com#!/ada/status/1", "https://twitter.com/ada/status/1"),
        ("https://twitter.com/?lang=en#!/ada/status/1", "https://twitter.com/ada/status/1"),
        ("https://twitter.com/ada#!/ada/status/1", "https://twitter.com/ada/status/1"),
        ("https://m.youtube.com/#/watch?v=dQw4w9WgXcQ", "https://m.youtube.com/watch?v=dQw4w9WgXcQ"),
        ("https://www.youtube.com/watch#!v=dQw4w9WgXcQ", "https://www.youtube.com/watch?v=dQw4w9WgXcQ"),
        ("https://www.tiktok.com/foryou?lang=en#/@ada/video/7", "https://www.tiktok.com/@ada/video/7"),
        ("https://twitter.com/#!/ada/status/1#__youtubedl_smuggle=%7B%7D", "https://twitter.com/ada/status/1"),
        ("https://twitter.com/#//evil.example/", "https://twitter.com//evil.example/"),
        ("https://x.com/ada/status/1#/bob/status/2", "https://x.com/ada/status/1"),
        ("https://youtu.be/dQw4w9WgXcQ#!/", "https://youtu.be/dQw4w9WgXcQ"),
    ],
)
def test_a_link_is_handed_on_in_one_spelling(url: str, handed_on: str) -> None:
    link = parse_link(url)
    assert link is not None
    assert link.url == handed_on


HOSTS_WE_OWN = ("tiktok.com", "tiktokv.com", "instagram.com", "instagr.am", "twitter.com", "x.com", "youtube.com",
                "youtube-nocookie.com", "youtu.be")  # fmt: skip


@given(st.text() | st.builds("{}{}{}".format, st.text(max_size=8), st.sampled_from(HOSTS_WE_OWN), st.text(max_size=8)))
def test_every_accepted_link_goes_to_a_platform(text: str) -> None:
    link = parse_link(text)
    if link is None:
        assert detect_platform(text) == "unknown"
        return
    authority = link.url.removeprefix("https://").split("/")[0].split("?")[0]
    assert authority.endswith(HOSTS_WE_OWN)
    assert authority.isascii()
    assert not set(authority) & set("@:\\%[]")
    assert parse_link(link.url) == link


@pytest.mark.parametrize("filler", ["a", "a.", "youtube.com/", "https://", " ", "\\", "@", "ı"])  # noqa: RUF001
def test_a_huge_string_is_refused_by_its_length(filler: str) -> None:
    # No stopwatch needed: beyond the limit only the length is checked.
    assert detect_platform("https://youtube.com/" + filler * 100_000 + "x") == "unknown"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["url"])
def test_a_link_is_read_by_its_form(case: dict[str, Any]) -> None:
    told = {name: value for name, value in case.items() if name != "url"}
    assert read_link(case["url"]) == LinkTarget(**{**told, "more_ids": tuple(told.get("more_ids", ()))})


@pytest.mark.parametrize("case", POSTS, ids=lambda case: case["url"])
def test_the_canonical_url_leads_to_the_same_post(case: dict[str, Any]) -> None:
    canonical = read_link(case["canonical_url"])
    assert (canonical.kind, canonical.platform, canonical.post_id) == ("post", case["platform"], case["post_id"])
    assert canonical.canonical_url == case["canonical_url"]
    assert parse_link(case["canonical_url"]) == Link(case["canonical_url"], case["platform"])


@pytest.mark.parametrize("canonical", sorted({case["canonical_url"] for case in CASES if case["kind"] == "short"}))
def test_a_short_link_stays_short_and_with_its_platform(canonical: str) -> None:
    link = parse_link(canonical)
    assert link is not None
    assert read_link(link.url) == LinkTarget(kind="short", platform=link.platform, canonical_url=canonical)


@pytest.mark.parametrize("case", COLLECTIONS, ids=lambda case: case["url"])
def test_the_canonical_url_leads_to_the_same_collection(case: dict[str, Any]) -> None:
    link = parse_link(case["canonical_url"])
    assert link == Link(case["canonical_url"], case["platform"])
    assert read_link(link.url) == read_link(case["url"])
    assert read_link(link.url).collection_id == case["collection_id"]


def test_links_within_links_are_read_to_a_limit() -> None:
    url = "/watch?v=dQw4w9WgXcQ"
    for _ in range(MAX_DEPTH):
        url = f"/redirect?q={url.replace('%', '%25').replace('?', '%3F').replace('=', '%3D')}"
    assert read_link(f"https://www.youtube.com{url}").post_id == "dQw4w9WgXcQ"
    deeper = url.replace("%", "%25").replace("?", "%3F").replace("=", "%3D")
    assert read_link(f"https://www.youtube.com/redirect?q={deeper}").destination == "elsewhere"


@given(
    st.text() | st.builds("https://{}/{}".format, st.sampled_from(["x.com", "www.tiktok.com", "youtu.be"]), st.text())
)
def test_any_text_is_read_and_a_canonical_url_is_a_plain_link(text: str) -> None:
    target = read_link(text)
    if target.canonical_url is not None:
        assert re.fullmatch(r"https://[a-z.]+/[A-Za-z0-9/@._?=%-]+", target.canonical_url)
        assert parse_link(target.canonical_url) == Link(target.canonical_url, target.platform)


SAME_POSTS = [
    (
        "youtube", "dQw4w9WgXcQ",
        ["https://www.youtube.com/watch?v=dQw4w9WgXcQ", "https://music.youtube.com/watch?v=dQw4w9WgXcQ&list=PL1",
         "http://M.YouTube.com:80/shorts/dQw4w9WgXcQ?feature=share", "youtu.be/dQw4w9WgXcQ#t=3",
         "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ", "https://www.youtube.com/watch#v=dQw4w9WgXcQ"],
    ),
    ("youtube", "dqw4w9wgxcq", ["https://youtu.be/dqw4w9wgxcq"]),
    (
        "tiktok", "7", ["https://www.tiktok.com/@ada/video/7", "https://www.tiktok.com/@Bob/photo/7?lang=en",
                        "https://m.tiktok.com/v/7.html", "https://www.tiktok.com/foryou?item_id=7"],
    ),
    (
        "instagram", "C_a-1",
        ["https://www.instagram.com/p/C_a-1/", "https://instagram.com/reel/C_a-1?igsh=x",
         "https://m.instagram.com/ada/tv/C_a-1"],
    ),
    ("instagram", "c_A-1", ["https://www.instagram.com/p/c_A-1/"]),
    (
        "twitter", "20",
        ["https://x.com/jack/status/20", "https://mobile.twitter.com/i/web/status/20?s=20",
         "https://twitter.com/#!/jack/statuses/20", "https://x.com/ada/status/20/photo/2"],
    ),
    ("twitter", "20/video/2", ["https://x.com/jack/status/20/video/2", "https://twitter.com/x/status/20/VIDEO/2?a"]),
    ("twitter", "20/video/1", ["https://x.com/jack/status/20/video/1"]),
    ("twitter", "broadcasts/20", ["https://x.com/i/broadcasts/20", "https://twitter.com/i/Broadcasts/20/"]),
    ("twitter", "events/20", ["https://x.com/i/events/20"]),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "name", "links"), SAME_POSTS)
def test_a_post_has_one_name_in_all_spellings_of_its_link(platform: str, name: str, links: list[str]) -> None:
    for text in links:
        link = parse_link(text)
        assert link is not None, text
        target = read_link(link.url)
        assert (target.platform, target.name) == (platform, name), text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["url"])
def test_only_posts_have_names_and_their_canonical_links_have_the_same(case: dict[str, Any]) -> None:
    target = read_link(case["url"])
    assert (target.name is not None) == (target.kind == "post")
    if target.canonical_url is not None and target.kind == "post":
        assert read_link(target.canonical_url).name == target.name
        assert ":" not in str(target.name)  # it becomes a part of keys

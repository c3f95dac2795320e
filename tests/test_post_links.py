"""What links mean: the table of forms, and that the page reads it like the server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.batch_downloader import PLATFORMS
from downloader.models import PlatformType
from downloader.platform_detector import Link, parse_link
from downloader.post_links import FORMS, HOSTS, IDS, MAX_DEPTH, THINGS, LinkForm, Reading, as_javascript, read_link
from downloader.ytdlp.extractors import extractors_of

REPOSITORY = Path(__file__).parent.parent

CASES: list[dict[str, Any]] = json.loads((REPOSITORY / "tests/data/post_links.json").read_text(encoding="utf-8"))
POSTS = [case for case in CASES if case["kind"] == "post"]
ALL_FORMS = [(platform, form) for platform, forms in FORMS.items() for form in forms]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["url"])
def test_a_link_is_read_by_its_form(case: dict[str, Any]) -> None:
    told = {name: value for name, value in case.items() if name != "url"}
    assert read_link(case["url"]) == Reading(**{**told, "also": tuple(told.get("also", ()))})


@pytest.mark.parametrize("case", POSTS, ids=lambda case: case["url"])
def test_the_canonical_link_is_read_like_the_link_that_it_stands_for(case: dict[str, Any]) -> None:
    canonical = read_link(case["canonical"])
    assert (canonical.kind, canonical.platform, canonical.id) == ("post", case["platform"], case["id"])
    assert canonical.canonical == case["canonical"]
    assert parse_link(case["canonical"]) == Link(case["canonical"], case["platform"])


@pytest.mark.parametrize("case", POSTS, ids=lambda case: case["url"])
def test_the_platforms_extractor_takes_the_canonical_link_and_finds_the_id(case: dict[str, Any]) -> None:
    takers = [each for each in extractors_of(PLATFORMS[case["platform"]]) if each.suitable(case["canonical"])]
    assert takers[0]._match_id(case["canonical"]) == case["id"]


@pytest.mark.parametrize("canonical", sorted({case["canonical"] for case in CASES if case["kind"] == "short"}))
def test_a_short_link_stays_short_and_with_its_platform(canonical: str) -> None:
    link = parse_link(canonical)
    assert link is not None
    assert read_link(link.url) == Reading(kind="short", platform=link.platform, canonical=canonical)


@pytest.mark.parametrize(("platform", "form"), ALL_FORMS, ids=lambda value: getattr(value, "path", value))
def test_every_form_is_written_so_that_python_and_javascript_read_it_alike(
    platform: PlatformType, form: LinkForm
) -> None:
    for pattern in (form.path, form.host, form.id, HOSTS[platform], IDS[platform]):
        assert pattern.isascii()
        # Groups are named or not captured; looking is ahead only, as old Safari cannot look back.
        assert not re.search(r"\((?!\?(?:P<[a-z]+>|[:=!]))", pattern)
        # Nothing that one of the two reads in its own way: \w, \d, \s, \b, a dot, anchors.
        assert not re.search(r"\\[A-Za-z]|(?<![\\])\.(?![^\[]*\])|[$]|(?<!\[)\^", pattern)
    assert not form.thing or form.thing in THINGS
    assert bool(form.link) == (form.kind in ("post", "short"))
    assert form.kind == "wrapper" or bool(form.thing) == (form.kind in ("collection", "other"))


def test_links_within_links_are_read_to_a_limit() -> None:
    url = "/watch?v=dQw4w9WgXcQ"
    for _ in range(MAX_DEPTH):
        url = f"/redirect?q={url.replace('%', '%25').replace('?', '%3F').replace('=', '%3D')}"
    assert read_link(f"https://www.youtube.com{url}").id == "dQw4w9WgXcQ"
    deeper = url.replace("%", "%25").replace("?", "%3F").replace("=", "%3D")
    assert read_link(f"https://www.youtube.com/redirect?q={deeper}").thing == "elsewhere"


@given(
    st.text() | st.builds("https://{}/{}".format, st.sampled_from(["x.com", "www.tiktok.com", "youtu.be"]), st.text())
)
def test_anything_is_read_and_what_is_to_be_fetched_is_a_plain_link(text: str) -> None:
    reading = read_link(text)
    if reading.canonical is not None:
        assert re.fullmatch(r"https://[a-z.]+/[A-Za-z0-9/@._?=-]+", reading.canonical)
        assert parse_link(reading.canonical) == Link(reading.canonical, reading.platform)


def test_the_pages_table_is_the_servers() -> None:
    written = (REPOSITORY / "portal/static/link_forms.js").read_text(encoding="utf-8")
    assert written == as_javascript(), "run `make links`"

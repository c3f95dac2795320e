"""The declarations: what they may hold, and that everything that knows the platforms reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from downloader.platforms import DESTINATIONS, PLATFORMS, LinkForm, PlatformType
from downloader.ytdlp.extractors import extractors_of
from portal.generate import platform_icons, platforms_module
from tests.test_platform_detector import POSTS

REPOSITORY = Path(__file__).parent.parent

ALL_FORMS = [(name, form) for name, platform in PLATFORMS.items() for form in platform.link_forms]


@pytest.mark.parametrize("case", POSTS, ids=lambda case: case["url"])
def test_the_platforms_extractor_takes_the_canonical_link_and_finds_the_id(case: dict[str, Any]) -> None:
    takers = [each for each in extractors_of(PLATFORMS[case["platform"]]) if each.suitable(case["canonical_url"])]
    assert takers[0]._match_id(case["canonical_url"]) == case["post_id"]


@pytest.mark.parametrize(("platform", "form"), ALL_FORMS, ids=lambda value: getattr(value, "path", value))
def test_every_form_is_written_so_that_python_and_javascript_read_it_alike(
    platform: PlatformType, form: LinkForm
) -> None:
    for pattern in (form.path, form.host, form.id, PLATFORMS[platform].post_id, PLATFORMS[platform].mirrors):
        assert pattern.isascii()
        # Groups are named or not captured; looking is ahead only, as old Safari cannot look back.
        assert not re.search(r"\((?!\?(?:P<[a-z]+>|[:=!]))", pattern)
        # Nothing that one of the two reads in its own way: \w, \d, \s, \b, a dot, anchors.
        assert not re.search(r"\\[A-Za-z]|(?<![\\])\.(?![^\[]*\])|[$]|(?<!\[)\^", pattern)
    assert not form.destination or form.destination in DESTINATIONS
    assert bool(form.link) == (form.kind in ("post", "short"))
    assert form.kind == "wrapper" or bool(form.destination) == (form.kind in ("collection", "other"))


def test_the_page_has_the_platforms_of_the_server() -> None:
    portal = REPOSITORY / "portal"
    hint = "run `make platforms`"
    assert (portal / "static/platforms.js").read_text(encoding="utf-8") == platforms_module(), hint
    assert (portal / "templates/platform_icons.svg").read_text(encoding="utf-8") == platform_icons(), hint

"""The declarations: what they may hold, and that everything that knows the platforms reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from downloader.batch_downloader import DownloadSession, download_single_video
from downloader.cookies.store import CookieStore
from downloader.errors import NotAPost
from downloader.models import Outcome
from downloader.platform_detector import detect_platform, read_link
from downloader.platforms import DESTINATIONS, PLATFORMS, LinkForm, Platform, PlatformType
from downloader.ytdlp.errors import classify
from downloader.ytdlp.extractors import extractors_of
from downloader.ytdlp.finder import canonical_url
from portal.generate import platform_icons, platforms_module
from tests.fifth_platform import VIMEO
from tests.portal.test_modules import run_in_node
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
    assert form.kind == "collection" or bool(form.link) == (form.kind in ("post", "short"))
    assert form.kind == "wrapper" or bool(form.destination) == (form.kind in ("collection", "other"))


def test_the_page_has_the_platforms_of_the_server() -> None:
    portal = REPOSITORY / "portal"
    hint = "run `make platforms`"
    assert (portal / "static/platforms.js").read_text(encoding="utf-8") == platforms_module(), hint
    assert (portal / "templates/platform_icons.svg").read_text(encoding="utf-8") == platform_icons(), hint


# A fifth platform, declared only here, is known to everything that knows the four.


@pytest.fixture
def vimeo(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setitem(PLATFORMS, VIMEO.name, VIMEO)
    return VIMEO


@pytest.mark.usefixtures("vimeo")
def test_the_detector_knows_a_new_platform() -> None:
    assert detect_platform("http://www.vimeo.com/76979871") == VIMEO.name
    target = read_link("https://vimeo.com/video/76979871?share=copy")
    assert (target.kind, target.post_id, target.canonical_url) == ("post", "76979871", "https://vimeo.com/76979871")
    assert detect_platform("https://player.vimeo.com/video/76979871") == "unknown"  # no host, but a mirror


async def test_a_new_platform_needs_no_wrapper(
    vimeo: Platform, monkeypatch: pytest.MonkeyPatch, session: DownloadSession
) -> None:
    fetched = []

    def fetch(platform: Platform, url: str, output_dir: str) -> Outcome:
        fetched.append((platform, url))
        return Outcome(True, f"{output_dir}/a.mp4")

    monkeypatch.setattr("downloader.batch_downloader.fetch", fetch)
    record = await download_single_video("vimeo.com/76979871", session=session)
    assert (record["platform"], record["success"]) == ("vimeo", True)
    assert fetched == [(vimeo, "https://vimeo.com/76979871")]


def test_ytdlp_gets_the_extractors_of_a_new_platform(vimeo: Platform) -> None:
    [extractor] = extractors_of(vimeo)
    assert extractor.suitable(canonical_url(vimeo, "https://vimeo.com/video/76979871"))
    with pytest.raises(NotAPost, match=r"Vimeo link leads to a profile"):
        canonical_url(vimeo, "https://vimeo.com/ada")


@pytest.mark.usefixtures("vimeo")
def test_an_error_of_a_new_platform_is_classified_and_named() -> None:
    assert classify(RuntimeError("ERROR: [vimeo] 76979871: Something new")).code == "platform_changed"
    _, _, error = Outcome.failed("platform_changed", VIMEO.name)
    assert error is not None
    assert "Vimeo" in error


def test_a_new_platform_has_cookies(vimeo: Platform, tmp_path: Path) -> None:
    store = CookieStore(tmp_path)
    line = "{}\tTRUE\t/\tTRUE\t4102444800\tvimeo\tsecret\n"
    state = store.put(vimeo.name, "# Netscape HTTP Cookie File\n" + line.format(".vimeo.com") + line.format(".x.com"))
    assert (state.platform, state.cookies, state.dropped, state.logged_in) == ("vimeo", 1, 1, True)
    assert "Vimeo" in state.sentence


@pytest.mark.usefixtures("vimeo")
def test_the_page_knows_a_new_platform(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "portal/static", tmp_path / "portal/static")
    (tmp_path / "portal/static/platforms.js").write_text(platforms_module(), encoding="utf-8")
    texts = ["see vimeo.com/video/76979871, and https://vimeo.com/ada", "https://player.vimeo.com/video/76979871?h=1"]
    found, mirrored = run_in_node("readLinks", texts, folder=tmp_path)
    assert found["links"] == [{"url": "https://vimeo.com/video/76979871", "platform": "vimeo"}]
    assert [aside["destination"] for aside in found["asides"]] == ["profile"]
    assert [link["platform"] for link in mirrored["links"]] == ["vimeo"]
    assert 'id="i-vimeo"' in platform_icons()


API_OF_FIVE = """
import sys
from tests.fifth_platform import register
register()
from downloader import batch_downloader, create_downloader_app
from downloader.settings import Settings
batch_downloader.fetch = lambda platform, url, output_dir: (True, url, None)
client = create_downloader_app(Settings(storage_dir=sys.argv[1]), engine="threads").test_client()
url = {"url": "https://vimeo.com/76979871"}
assert client.post("/detect-platform", json=url).json["platform"] == "vimeo"
record = client.post("/download", json=url).json
assert (record["platform"], record["success"]) == ("vimeo", True), record
jobs = client.get("/api/v1/jobs?platform=vimeo").json["jobs"]
assert [job["platform"] for job in jobs] == ["vimeo"], jobs
for name in ("platforms", "cookies"):
    assert "vimeo" in [each["platform"] for each in client.get(f"/api/v1/{name}").json[name]]
assert "vimeo" in client.get("/openapi.json").text
assert "`vimeo.txt`" in Settings.model_fields["cookies_dir"].description
client.application.extensions["downloader"].close()
"""


@pytest.mark.integration
def test_the_api_and_the_settings_know_a_new_platform(tmp_path: Path) -> None:
    command = [sys.executable, "-c", API_OF_FIVE, str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr

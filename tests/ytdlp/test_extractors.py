"""A platform's own extractors are loaded, all others left where they are."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from downloader.platforms import PLATFORMS
from downloader.ytdlp.extractors import CORRECTIONS, extractors_of
from tests.real_server import REPOSITORY

pytestmark = pytest.mark.integration


def test_the_engine_can_be_loaded_from_two_ends_at_once() -> None:
    script = (
        "import threading\n"
        "from downloader.platforms import PLATFORMS\n"
        "from downloader.ytdlp.warm_up import warm_up\n"
        "failed = []\n"
        "def run(function):\n"
        "    try: function()\n"
        "    except BaseException as error: failed.append(error)\n"
        "def first():\n"
        "    import yt_dlp\n"
        "    yt_dlp.YoutubeDL\n"
        "def second():\n"
        "    warm_up(PLATFORMS.values())\n"
        "threads = [threading.Thread(target=run, args=(function,)) for function in (first, second)]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "raise SystemExit(repr(failed) if failed else 0)\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", script], check=True, timeout=30, cwd=REPOSITORY)


def test_the_list_of_all_extractors_is_not_made() -> None:
    program = (
        "import sys; from downloader.platforms import PLATFORMS; from downloader.ytdlp.warm_up import warm_up;"
        " warm_up(PLATFORMS.values());"
        " sys.exit('yt_dlp.extractor.lazy_extractors' in sys.modules or 'yt_dlp.extractor.tiktok' not in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=50, check=False)
    assert done.returncode == 0


def test_an_extractor_of_a_plugin_takes_the_place_of_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    from yt_dlp.extractor.tiktok import TikTokIE
    from yt_dlp.globals import extractors

    class Other(TikTokIE):  # type: ignore[misc]
        pass

    assert [each.__name__ for each in extractors_of(PLATFORMS["tiktok"])] == ["TikTokIE"]
    monkeypatch.setattr(extractors, "value", {"TikTokIE": Other})
    [extractor] = extractors_of(PLATFORMS["tiktok"])
    assert issubclass(extractor, Other)
    assert extractor.ie_key() == "TikTok"


def test_a_ytdlp_that_keeps_its_extractors_elsewhere_is_asked_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.ytdlp.extractors.import_module", lambda name: object())
    monkeypatch.setattr("yt_dlp.globals.extractors.value", {})
    monkeypatch.setattr("yt_dlp.extractor.get_info_extractor", lambda name: f"{name} by name")
    assert extractors_of(PLATFORMS["youtube"]) == ["Youtube by name"]


def test_the_list_of_all_extractors_may_be_loaded_by_others() -> None:
    program = (
        "import sys; from yt_dlp.extractor import gen_extractor_classes; gen_extractor_classes();"
        " from downloader.platforms import PLATFORMS; from downloader.ytdlp.extractors import extractors_of;"
        " made = [type(extractors_of(PLATFORMS[name])[0]()).__module__ for name in ('tiktok', 'twitter')];"
        " wanted = [f'downloader.ytdlp.corrections.{name}' for name in ('tiktok', 'twitter')];"
        " sys.exit(repr(made) if made != wanted else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50, cwd=REPOSITORY)


# Corrections; what they do is tested with the simulator, in test_client


class Elsewhere:
    """An extractor of some other yt-dlp."""


@pytest.mark.parametrize("name", CORRECTIONS)
def test_another_ytdlp_is_left_as_it_is(name: str) -> None:
    assert CORRECTIONS[name](Elsewhere) is Elsewhere


@pytest.mark.parametrize(
    ("platform", "name"), [("twitter", "Twitter"), ("tiktok", "TikTok"), ("instagram", "Instagram")]
)
def test_the_installed_ytdlp_is_corrected(platform: Any, name: str) -> None:
    first = extractors_of(PLATFORMS[platform])[0]
    assert first.__module__ == f"downloader.ytdlp.corrections.{platform}"
    assert first.ie_key() == name
    assert first.IE_NAME == first.__bases__[0].IE_NAME

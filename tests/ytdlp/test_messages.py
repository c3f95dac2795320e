"""The messages we know: of which there are many, still in yt-dlp, and each enough by itself."""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yt_dlp
from yt_dlp.utils import DownloadError

from downloader.errors import ERROR_CODES
from downloader.ytdlp.errors import classify

log = logging.getLogger(__name__)

YT_DLP = Path(yt_dlp.__file__).parent
MESSAGES = tomllib.loads((Path(__file__).parent / "data" / "messages.toml").read_text(encoding="utf-8"))
EVERY_MESSAGE = [entry for section in ("source", "platform", "older") for entry in MESSAGES[section]]


def test_messages_are_many_and_name_codes_that_exist() -> None:
    assert len({entry["message"] for entry in MESSAGES["source"]}) >= 60
    assert {entry["code"] for entry in EVERY_MESSAGE} <= set(ERROR_CODES)
    assert {entry["platform"] for entry in EVERY_MESSAGE} == {"tiktok", "instagram", "twitter", "youtube", "any"}
    assert {entry["raised"] for entry in MESSAGES["source"]} == {"extract", "report"}
    assert all(entry["seen"] for section in ("platform", "older") for entry in MESSAGES[section])


def test_most_messages_are_still_in_the_installed_yt_dlp(record_property: Callable[[str, object], None]) -> None:
    # A reworded message is worth a look, and no reason to refuse the yt-dlp that came out last night.
    missing = [entry for entry in MESSAGES["source"] if not _is_in_yt_dlp(entry["file"], entry["fragment"])]
    record_property("messages no longer in yt-dlp", [entry["fragment"] for entry in missing])
    for entry in missing:
        log.warning("no longer in yt-dlp %s", yt_dlp.version.__version__, extra=entry)
    found = len(MESSAGES["source"]) - len(missing)
    assert found >= 60, f"too many messages are gone from yt-dlp: {[entry['fragment'] for entry in missing]}"


def _is_in_yt_dlp(file: str, fragment: str) -> bool:
    source = YT_DLP / file
    return source.is_file() and fragment in source.read_text(encoding="utf-8")


@pytest.mark.parametrize("entry", EVERY_MESSAGE, ids=lambda entry: entry["message"][:60])
def test_message_alone_says_enough(entry: dict[str, str]) -> None:
    assert classify(DownloadError(entry["message"])).code == entry["code"]
    prefix = "" if entry.get("raised") == "report" else "[youtube] a-b_c: "
    assert classify(RuntimeError(f"\x1b[0;31mERROR:\x1b[0m {prefix}{entry['message']}")).code == entry["code"]

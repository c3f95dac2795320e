"""Names in cobalt's styles: plain, short, and told apart."""

from __future__ import annotations

import pytest

from downloader.web.compat.cobalt_names import file_name
from downloader.web.compat.cobalt_request import Style
from tests.web.compat.jobs import job_of

ADA = {"title": "A film", "uploader": "Ada", "media_id": "dQw4w9WgXcQ"}


@pytest.mark.parametrize(
    ("style", "name"),
    [
        ("basic", "A film - Ada.mp4"),
        ("classic", "youtube_dQw4w9WgXcQ.mp4"),
        ("pretty", "A film - Ada (youtube).mp4"),
        ("nerdy", "A film - Ada (youtube, dQw4w9WgXcQ).mp4"),
    ],
)
def test_a_name_has_its_style(style: Style, name: str) -> None:
    assert file_name(job_of(**ADA), style, "mp4") == name


def test_what_is_not_known_is_left_out() -> None:
    assert file_name(job_of(title="A film"), "basic", "mp4") == "A film.mp4"
    assert file_name(job_of(), "basic", "m4a") == "youtube_abcdefghijklmnop.m4a"
    assert file_name(job_of(**ADA), "basic", "jpg", number=2) == "A film - Ada 02.jpg"


@pytest.mark.parametrize(
    "title", ["../../etc/passwd", "a/b\\c:d", "x" * 500, "\u202eexe.mp4", "CON", "a\r\nX: y", "..."]
)
def test_a_name_is_plain(title: str) -> None:
    for style in ("basic", "pretty", "nerdy"):
        name = file_name(job_of(title=title, uploader=title), style, "mp4")
        assert len(name.encode()) <= 200
        assert name.endswith(".mp4")
        assert not set(name) & set('/\\:*?"<>|\r\n\u202e')
        assert not name.startswith(".")

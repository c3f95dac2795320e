"""The chain of causes: bounded, whatever other people's exceptions do."""

from __future__ import annotations

from typing import NoReturn

import pytest
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import DownloadError, ExtractorError

from downloader.ytdlp.errors import classify
from tests.ytdlp.test_errors import facts, http_error


def test_only_the_two_ends_of_a_long_message_are_read() -> None:
    filler = "x " * 50_000
    assert classify(DownloadError(f"Video unavailable. This video is private. {filler}")).code == "private"
    assert classify(DownloadError(f"{filler} HTTP Error 404: Not Found")).code == "removed"
    assert classify(DownloadError(f"{filler} HTTP Error 404: Not Found {filler}")).code == "internal"


def test_classify_survives_exceptions_that_misbehave() -> None:
    class Wicked(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

        def __getattr__(self, name: str) -> NoReturn:
            raise RuntimeError("no attributes")

    class MoreWicked(Wicked):
        @property
        def errno(self) -> NoReturn:
            raise RuntimeError("no number")

        def __getattribute__(self, name: str) -> NoReturn:
            raise RuntimeError("nothing at all")

    assert facts(classify(Wicked())) == ("internal", "Wicked", None)
    assert facts(classify(MoreWicked())) == ("internal", "MoreWicked", None)
    http_error_without_a_response = HTTPError.__new__(HTTPError)
    assert classify(http_error_without_a_response).code == "internal"


def test_chain_that_bites_its_tail_ends() -> None:
    first, second = RuntimeError("first"), ExtractorError("Video unavailable")
    first.__cause__, second.__context__, second.cause = second, first, second
    assert facts(classify(first)) == ("removed", "Video unavailable", None)


def test_endless_chain_is_cut() -> None:
    error: BaseException = http_error(404)
    for depth in range(2000):
        outer = RuntimeError(str(depth))
        outer.__cause__ = error
        error = outer
    assert classify(error).code == "internal"


def test_disowned_context_is_left_alone() -> None:
    def fail() -> NoReturn:
        try:
            raise http_error(429)
        except HTTPError:
            raise RuntimeError("something else") from None

    with pytest.raises(RuntimeError) as caught:
        fail()
    assert classify(caught.value).code == "internal"

"""What a download thread keeps: installed in one YoutubeDL after the other, whatever their options."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import RequestError
from yt_dlp.networking.impersonate import ImpersonateTarget

from downloader.ytdlp.lean import make_lean
from downloader.ytdlp.transport import Transport

NOWHERE = "http://ada:secret@127.0.0.1:9"


@pytest.fixture
def transport() -> Iterator[Transport]:
    with closing(Transport(NOWHERE)) as transport:
        yield transport


def ydl(transport: Transport, **options: Any) -> Any:
    ydl = yt_dlp.YoutubeDL({"quiet": True, **options}, auto_init=False)
    transport.install(ydl)
    return ydl


def test_each_youtubedl_gets_handlers_of_its_own_and_the_same_connections(transport: Transport) -> None:
    with ydl(transport, socket_timeout=3) as first, ydl(transport, nocheckcertificate=True) as second:
        one, other = (each._request_director.handlers["Guarded"] for each in (first, second))
        assert one.connections is other.connections
        assert (one.timeout, one.verify, other.timeout, other.verify) == (3, True, 20, False)
        assert one.cookiejar is not other.cookiejar
        for each in (first, second):
            make_lean(each)
        assert one._make_sslcontext(legacy_ssl_support=None) is not other._make_sslcontext(legacy_ssl_support=None)


@pytest.mark.parametrize(
    "options",
    [
        {"impersonate": ImpersonateTarget("chrome")},
        {"compat_opts": {"prefer-legacy-http-handler"}},
        {"legacyserverconnect": True},
        {"debug_printtraffic": True, "logger": logging.getLogger("traffic")},
        {"source_address": "192.0.2.1"},
        {"proxy": "http://127.0.0.1:1"},
    ],
)
def test_no_option_brings_another_handler(transport: Transport, options: dict[str, Any]) -> None:
    with ydl(transport, **options) as first:
        assert set(first._request_director.handlers) <= {"Guarded", "GuardedCurl", "Data"}
        with pytest.raises(RequestError, match=r"refused|connect|Connect"):  # by the proxy, which is not there
            first.urlopen("https://site.example/")
        with pytest.raises(RequestError, match="nsupported url scheme"):
            first.urlopen("file:///etc/hostname")


def test_what_youtubedl_built_before_is_closed(transport: Transport) -> None:
    logger = logging.getLogger("urllib3")  # to which yt-dlp's handler for requests adds one of logging's
    before = list(logger.handlers)
    with ydl(transport, impersonate=ImpersonateTarget("chrome")):
        assert logger.handlers == before


def test_without_curl_cffi_ytdlp_says_what_is_missing(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "downloader.ytdlp.curl", None)
    with ydl(transport) as first:
        assert set(first._request_director.handlers) == {"Guarded", "Data"}
        with pytest.raises(RequestError, match=r"Impersonate target .* is not available"):
            first.urlopen(Request("https://site.example/", extensions={"impersonate": ImpersonateTarget("chrome")}))


def test_a_stand_in_for_youtubedl_is_left_alone(transport: Transport) -> None:
    transport.install(object())

"""A machine takes no one's word: the broker may have been taken over."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from kombu import Message

from downloader.engines.fleet.codec import encode
from downloader.engines.fleet.wire import (
    Order,
    Refused,
    Report,
    Running,
    Sign,
    absolute_file,
    fingerprint,
    make_app,
    relative_file,
)
from downloader.jobs import Entry, Page, Progress, Work
from downloader.presets import Expand
from downloader.settings import Settings

SETTINGS = Settings(storage_dir=Path("/nowhere")).for_downloads()
WORK = Work(
    job_id="abc234",
    platform="youtube",
    link="https://www.youtube.com/watch?v=S00n0000001",
    output_dir="/storage/raw",
    work_dir="/storage/work/abc234",
    preset="720p",
    subtitles=("en", "pt-BR"),
    folder="a/b",
    expand=Expand(limit=5),
    attempt=3,
    proxy="http://secret@127.0.0.1:1",
)

SIGN = Sign(
    node="a.example@12",
    name="a.example",
    egress="office-2",
    places=256,
    version="1",
    fingerprint="2",
    started_at=datetime(2026, 1, 2, tzinfo=UTC),
    running=(Running(job="abc234", attempt=1),),
)


def test_an_order_names_no_path_and_no_secret() -> None:
    sent = encode(Order.of(WORK))
    assert "/storage" not in str(sent)
    assert "secret" not in str(sent)
    assert Order.read(sent, SETTINGS) == Order.of(WORK)


@pytest.mark.parametrize(
    "change",
    [
        {"job": "../abc234"},
        {"job": ""},
        {"job": "a" * 65},
        {"attempt": 0},
        {"listed": -1},
        {"platform": "unknown"},
        {"platform": "tiktok"},
        {"link": "https://www.youtube.com.evil.example/watch?v=S00n0000001"},
        {"link": "http://169.254.169.254/latest/meta-data"},
        {"link": "file:///etc/passwd"},
        {"preset": "nosuch"},
        {"subtitles": ["--exec"] * 101},
        {"subtitles": ["en;rm"]},
        {"expand": {"limit": 10**6}},
        {"expand": {"limit": 0}},
        {"work_dir": "/etc"},
        {"ytdlp_options": {"exec": "rm"}},
        {"may_download": 1},
    ],
)
def test_what_no_server_sends_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        Order.read(encode(Order.of(WORK)) | change, SETTINGS)


@pytest.mark.parametrize(
    "change",
    [
        {"places": 0},
        {"places": -4},
        {"places": 10**9},
        {"egress": "../../x"},
        {"egress": "x" * 33},
        {"name": ""},
        {"name": "x" * 10_000},
        {"name": "a\nb"},
        {"node": "\ud800"},
        {"started_at": "2026-01-02T03:04:05"},
    ],
)
def test_what_no_machine_says_is_refused(change: dict[str, Any]) -> None:
    assert Sign.read(encode(SIGN)) == SIGN
    with pytest.raises(ValueError):  # noqa: PT011 -- whatever it says
        Sign.read(encode(SIGN) | change)


@pytest.mark.parametrize(
    ("link", "is_taken"),
    [
        ("https://x.com/ada/status/1", True),
        ("https://www.youtube.com/watch?v=S00n0000001", False),
        ("https://x.com.evil.example/ada/status/1", False),
        ("http://169.254.169.254/", False),
        ("javascript:alert(1)", False),
        ("", False),
    ],
)
def test_a_report_may_name_links_of_its_platform_only(link: str, is_taken: bool) -> None:
    page = Page(
        entries=(Entry(url="https://x.com/ada/status/2", platform="twitter"), Entry(url=link, platform="")), position=2
    )
    told = Progress(job_id="job", phase="extracting", page=page)
    listed = Report(kind="page", node="a@1", job="job", attempt=1, progress=told)
    assert listed.names_only("twitter") == is_taken
    if link:
        assert Report(kind="resolved", node="a@1", job="job", attempt=1, link=link).names_only("twitter") == is_taken
    assert Report(kind="ask", node="a@1", job="job", attempt=1).names_only("twitter")


def test_a_small_message_does_not_become_a_large_one() -> None:
    make_app("amqp://a:b@127.0.0.1/")
    body, headers = zlib.compress(bytes(10_000_000)), {"compression": "application/x-gzip"}
    message = Message(body, headers=headers, content_type="application/json", content_encoding="binary")
    assert message.body == body
    assert message.errors


def test_files_are_named_from_the_output_folder() -> None:
    assert relative_file("/machine/raw/a/b.mp4", "/machine/raw") == "a/b.mp4"
    assert absolute_file("a/b.mp4", "/storage/raw") == "/storage/raw/a/b.mp4"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a.mp4", "a/../../b.mp4", "a//b.mp4", "./a", "a\\b", "a\0b"])
def test_no_file_elsewhere_can_be_named(name: str) -> None:
    with pytest.raises(Refused):
        absolute_file(name, "/storage/raw")


def test_settings_that_differ_are_noticed() -> None:
    own = replace(SETTINGS, proxy="http://a", cookies_folder=Path("/b"))
    assert fingerprint(own) == fingerprint(SETTINGS)
    assert fingerprint(replace(SETTINGS, max_file_bytes=1)) != fingerprint(SETTINGS)


@pytest.mark.parametrize(("host", "reason"), [("127.0.0.1", "closed|reset"), ("127.0.0.2", "mismatch")])
def test_a_broker_must_have_the_certificate_of_its_host(
    host: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)

    def hang_up() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                connection = listener.accept()[0]
                with contextlib.suppress(OSError), connection, context.wrap_socket(connection, server_side=True):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, daemon=True).start()
        connection = make_app(f"amqps://a:b@127.0.0.1:{listener.getsockname()[1]}/").connection_for_write()
        with connection, pytest.raises(OSError, match=reason):
            connection.connect()
        listener.shutdown(socket.SHUT_RDWR)

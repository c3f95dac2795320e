"""Media files over HTTP: whole, by range, and nothing outside the storage folder."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound

from downloader.jobs import Job
from downloader.queue.services import Services
from downloader.server import wsgi as wsgi_server
from downloader.web import files as api_files
from downloader.web.files import media_path
from tests.web.world import TIKTOK, V1, refused, submit


@pytest.fixture
def job_id(client: FlaskClient, media: bytes, wait: Callable[[str], Any]) -> str:
    """Return a job that has a file."""
    [job] = wait(submit(client, f"{TIKTOK}1")["batch"]["id"])
    assert job["state"] == "succeeded"
    found: str = job["id"]
    return found


def test_a_file_is_sent_whole_with_what_it_is(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, media, "video/mp4")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"].startswith("inline;")
    assert client.head(f"{V1}/files/{job_id}").content_length == len(media)


@pytest.mark.parametrize(
    ("suffix", "kind", "disposition"),
    [
        (".m4a", "audio/mp4", "inline"),
        (".mp3", "audio/mpeg", "inline"),
        (".opus", "audio/ogg", "inline"),
        (".ogg", "audio/ogg", "inline"),
        (".mka", "audio/x-matroska", "inline"),
        (".flac", "audio/flac", "inline"),
        (".aac", "audio/aac", "inline"),
        (".wav", "audio/wav", "inline"),
        (".en.srt", "application/x-subrip", "attachment"),
        (".html", "application/octet-stream", "attachment"),
        (".svg", "application/octet-stream", "attachment"),
    ],
)
@pytest.mark.thorough
def test_browsers_show_media_and_save_the_rest(
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[[str], Any],
    suffix: str,
    kind: str,
    disposition: str,
) -> None:
    def download(url: str, output_dir: str) -> tuple[bool, str, None]:
        path = Path(output_dir, f"tiktok 1{suffix}")
        path.write_bytes(b"1")
        return True, str(path), None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
    [job] = wait(submit(client, f"{TIKTOK}1")["batch"]["id"])
    answer = client.get(f"{V1}/files/{job['id']}")
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert answer.headers["Content-Disposition"].startswith(f"{disposition};")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_is_saved_under_its_own_name(client: FlaskClient, job_id: str) -> None:
    disposition = client.get(f"{V1}/files/{job_id}?download=true").headers["Content-Disposition"]
    assert disposition.startswith("attachment;")
    assert "filename*=UTF-8''tiktok%201%20%C2%AB%C3%A9%C2%BB.mp4" in disposition


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("bytes=0-9", 0, 10), ("bytes=10230-", 10230, 10240), ("bytes=-5", 10235, 10240)]
)
def test_a_part_of_a_file_is_sent(
    client: FlaskClient, media: bytes, job_id: str, asked: str, start: int, stop: int
) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (206, media[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(media)}"


@pytest.mark.parametrize(
    "asked",
    [
        "items=0-1",
        "seconds=5-",
        "bytes=9-2",
        "bytes=abc",
        "bytes=",
        "bytes",
        "bytes=1",
        "bytes=-",
        "0-5",
        "bytes=0-5;x",
    ],
)
@pytest.mark.thorough
def test_a_range_that_is_none_is_ignored(client: FlaskClient, media: bytes, job_id: str, asked: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, media)


def test_units_have_no_case(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": "Bytes=2-3"})
    assert (answer.status_code, answer.data) == (206, media[2:4])


def test_several_parts_at_once_are_answered_with_all(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": "bytes=0-1,4-5"})
    assert (answer.status_code, answer.data) == (200, media)


def test_a_part_that_is_not_there_is_416(client: FlaskClient, media: bytes, job_id: str) -> None:
    answer = client.get(f"{V1}/files/{job_id}", headers={"Range": f"bytes={len(media)}-"})
    refused(answer, 416)
    document = client.get("/openapi.json").get_json()
    assert {"206", "304", "416"} <= document["paths"]["/api/v1/files/{job_id}"]["get"]["responses"].keys()
    assert answer.headers["Content-Range"] == f"bytes */{len(media)}"


def test_a_file_that_has_not_changed_is_not_sent_again(client: FlaskClient, media: bytes, job_id: str) -> None:
    first = client.get(f"{V1}/files/{job_id}")
    for condition in ({"If-None-Match": first.headers["ETag"]}, {"If-Modified-Since": first.headers["Last-Modified"]}):
        assert client.get(f"{V1}/files/{job_id}", headers=condition).status_code == 304
    other = client.get(f"{V1}/files/{job_id}", headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (other.status_code, other.data) == (200, media)


def test_a_job_without_its_file_says_so(client: FlaskClient, services: Services, job_id: str) -> None:
    assert "numbered from 0" in refused(client.get(f"{V1}/files/{job_id}?index=1"), 404)
    for path in services.settings.raw_dir.iterdir():
        path.unlink()
    sentence = refused(client.get(f"{V1}/files/{job_id}"), 404)
    # A job that succeeded cannot be retried.
    assert sentence == "This file no longer exists: it was moved or deleted. Send the link again to download it."
    unsupported = submit(client, "rubbish")["jobs"][0]["job_id"]
    assert "no file" in refused(client.get(f"{V1}/files/{unsupported}"), 404)


@pytest.mark.parametrize("with_files", ["true", "false"])
def test_a_record_is_deleted_with_or_without_its_file(
    client: FlaskClient, services: Services, job_id: str, with_files: str
) -> None:
    assert client.delete(f"{V1}/jobs/{job_id}?files={with_files}").status_code == 200
    refused(client.get(f"{V1}/files/{job_id}"), 404)
    assert len(list(services.settings.raw_dir.iterdir())) == (0 if with_files == "true" else 1)


def test_players_that_have_paused_hold_no_threads(
    app: Flask, services: Services, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More players than our server has threads, each with a part of a file half read; and the bytes are right."""
    monkeypatch.setattr(wsgi_server, "THREADS", 3)
    server = wsgi_server.WsgiServer(app, wsgi_server.listen("127.0.0.1", 0), max_request_bytes=10_000)
    server.start()
    [path] = services.settings.raw_dir.iterdir()
    content = path.read_bytes() * 6000  # 60 MB: far more than sockets and buffers between us hold
    path.write_bytes(content)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(server.close, 5)

        def ask(path: str, part: str) -> http.client.HTTPResponse:
            player = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            cleanup.callback(player.close)
            player.request("GET", path, headers={"Range": part})
            return player.getresponse()

        players = [ask(f"{V1}/files/{job_id}", "bytes=1000-") for _ in range(5)]
        assert [player.status for player in players] == [206] * 5
        assert [player.read(10) for player in players] == [content[1000:1010]] * 5
        assert ask("/healthz", "").status == 200
        assert players[0].read() == content[1010:]
        assert ask(f"{V1}/files/{job_id}", "bytes=5-14").read() == content[5:15]


JOB = Job(
    id="j", batch_id="b", url="u", link="u", platform="tiktok", state="succeeded", counted_attempts=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC), updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    raw_dir = tmp_path / "store" / "raw"
    raw_dir.mkdir(parents=True)
    (raw_dir / "a.mp4").write_bytes(b"media")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "store" / "raw-other.mp4").write_bytes(b"secret")
    (raw_dir / "outside.mp4").symlink_to(tmp_path / "secret.mp4")
    (raw_dir / "folder.mp4").mkdir()
    (raw_dir / "way").symlink_to(tmp_path, target_is_directory=True)
    (raw_dir / "loop.mp4").symlink_to(raw_dir / "loop.mp4")
    return raw_dir


def test_a_stored_path_leads_to_its_file(raw_dir: Path) -> None:
    assert media_path(replace(JOB, files=(f"{raw_dir}/a.mp4",)), 0, raw_dir) == (raw_dir / "a.mp4").resolve()


@pytest.mark.parametrize(
    "stored",
    [
        "{raw}/../../secret.mp4",
        "{raw}/../raw-other.mp4",
        "{raw}/outside.mp4",
        "{raw}/way/secret.mp4",
        "{raw}/folder.mp4",
        "{raw}/loop.mp4",
        "{raw}",
        "{raw}/a.mp4\0",
        "{raw}/" + "x" * 5000,
        "/etc/passwd",
        "",
    ],
)
def test_no_stored_path_leads_out_of_the_storage_folder(raw_dir: Path, stored: str) -> None:
    with pytest.raises(NotFound):
        media_path(replace(JOB, files=(stored.replace("{raw}", str(raw_dir)),)), 0, raw_dir)


def test_a_link_that_takes_a_files_place_is_not_served(
    client: FlaskClient,
    media: bytes,
    wait: Callable[[str], list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = submit(client, f"{TIKTOK}1")
    wait(batch["batch"]["id"])
    job_id = batch["jobs"][0]["job_id"]
    (tmp_path / "secret").write_bytes(b"secret")
    looked_at: Callable[..., Path] = api_files.media_path

    def then_swapped(*arguments: Any) -> Path:
        path = looked_at(*arguments)
        path.unlink()
        path.symlink_to(tmp_path / "secret")
        return path

    monkeypatch.setattr(api_files, "media_path", then_swapped)
    refused(client.get(f"{V1}/files/{job_id}"), 404)

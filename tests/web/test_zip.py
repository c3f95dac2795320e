"""A batch or some jobs as one zip, over HTTP: complete or visibly broken, and its slot is given back."""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import os
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from downloader import create_downloader_app
from downloader.queue.services import Services
from downloader.server import wsgi as wsgi_server
from downloader.web import zip as api_zip
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.web.world import TIKTOK, V1


@pytest.fixture
def raw_dir(app: Flask) -> Path:
    services: Services = app.extensions["downloader"]
    return services.settings.raw_dir


@pytest.fixture
def make_batch(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what makes a batch of jobs that succeeded with these files, or failed where there is none."""
    services: Services = app.extensions["downloader"]
    serial = itertools.count()

    def make(*paths: Path | None) -> str:
        by_url = {f"{TIKTOK}{next(serial)}": path for path in paths}

        def download(url: str, output_dir: str) -> tuple[bool, str | None, str | None]:
            path = by_url[url]
            return (False, None, "It is gone.") if path is None else (True, str(path), None)

        monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", download)
        queue = services.open()
        submission = services.loop.submit(queue.submit(list(by_url))).result(30)
        services.loop.submit(queue.wait(submission)).result(30)
        return submission.batch.id

    return make


def file_in(raw_dir: Path, name: str, content: bytes | None = None) -> Path:
    path = raw_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(name.encode() if content is None else content)
    return path


def contents(data: bytes) -> dict[str, bytes]:
    """Return what is in a zip, which is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert len(set(found.namelist())) == len(found.namelist())
        return {name: found.read(name) for name in found.namelist()}


def refused(answer: TestResponse, status: int) -> str:
    assert answer.status_code == status, answer.text
    sentence: str = answer.get_json()["error"]
    assert sentence.endswith(".")
    return sentence


# What is in it


def test_a_batch_is_saved_whole(server: Server, simulator: Simulator) -> None:
    """A real server, real downloads: two platforms, one post with several videos, and one that is gone."""
    urls = [
        simulator.url("tiktok", "ok", 1), simulator.url("instagram", "several_videos"),
        simulator.url("twitter", "removed"),
    ]  # fmt: skip
    status, said = server.ask("POST", "/download/batch", {"urls": urls})
    assert status == 200
    *done, failed = said["downloads"]
    assert [record["success"] for record in said["downloads"]] == [True, True, False], said
    batch_id = failed["batch_id"]

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", f"{V1}/batches/{batch_id}/zip")
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200
        assert answer.headers["Content-Length"] == str(len(data))
        paths = [Path(path) for record in done for path in record["files"]]
        assert len(paths) == 4
        assert contents(data) == {path.name: path.read_bytes() for path in paths}

        connection.request("HEAD", f"{V1}/batches/{batch_id}/zip")
        head = connection.getresponse()
        assert (head.status, head.headers["Content-Length"], head.read()) == (200, str(len(data)), b"")
    assert not [line for line in server.log if "Traceback" in line or " waitress" in line or "zip" in line]


def test_it_is_saved_under_a_plain_name_and_kept_by_nobody(
    client: FlaskClient, make_batch: Callable[..., str], raw_dir: Path
) -> None:
    batch_id = make_batch(file_in(raw_dir, "a.mp4"))
    created = client.get(f"{V1}/batches/{batch_id}").get_json()["batch"]["created_at"]
    answer = client.get(f"{V1}/batches/{batch_id}/zip")
    assert answer.mimetype == "application/zip"
    assert answer.headers["Content-Disposition"] == f"attachment; filename=videos-{created[:10]}-{batch_id}.zip"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Accept-Ranges"] == "none"
    assert answer.content_length == len(answer.data)


def test_names_that_clash_are_made_unique_and_a_shared_file_is_there_once(
    client: FlaskClient, make_batch: Callable[..., str], raw_dir: Path
) -> None:
    one, other = file_in(raw_dir, "Film.mp4", b"1"), file_in(raw_dir, "film.mp4", b"2")
    deeper = file_in(raw_dir, "more/FILM.mp4", b"3")
    (raw_dir / "link.mp4").symlink_to(one)
    batch_id = make_batch(one, other, one, deeper, raw_dir / "link.mp4", raw_dir / "more" / ".." / "film.mp4")
    found = contents(client.get(f"{V1}/batches/{batch_id}/zip").data)
    assert found == {"Film.mp4": b"1", "film (2).mp4": b"2", "more/FILM.mp4": b"3"}


def test_what_was_moved_since_is_left_out(client: FlaskClient, make_batch: Callable[..., str], raw_dir: Path) -> None:
    kept, gone = file_in(raw_dir, "kept.mp4"), file_in(raw_dir, "gone.mp4")
    batch_id = make_batch(kept, gone, None)
    gone.unlink()
    assert contents(client.get(f"{V1}/batches/{batch_id}/zip").data) == {"kept.mp4": b"kept.mp4"}
    kept.unlink()
    assert "no longer exist" in refused(client.get(f"{V1}/batches/{batch_id}/zip"), 404)
    assert client.head(f"{V1}/batches/{batch_id}/zip").status_code == 404


def test_nothing_outside_the_storage_folder_is_in_it(
    client: FlaskClient, make_batch: Callable[..., str], raw_dir: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(b"secret")
    (raw_dir / "planted.mp4").symlink_to(secret)
    (raw_dir / "way").symlink_to(tmp_path, target_is_directory=True)
    (raw_dir / "folder.mp4").mkdir()
    bad = [
        raw_dir / "planted.mp4", raw_dir / "way" / "secret.mp4", raw_dir / ".." / ".." / "secret.mp4",
        raw_dir / "folder.mp4", secret, Path("/etc/passwd"),
    ]  # fmt: skip
    batch_id = make_batch(file_in(raw_dir, "a.mp4"), *bad)
    assert contents(client.get(f"{V1}/batches/{batch_id}/zip").data) == {"a.mp4": b"a.mp4"}


def test_where_nothing_succeeded_a_sentence_says_so(client: FlaskClient, make_batch: Callable[..., str]) -> None:
    sentence = refused(client.get(f"{V1}/batches/{make_batch(None)}/zip"), 404)
    assert sentence == "None of these downloads has succeeded, so there is nothing to save."
    client.post(f"{V1}/queue/pause")
    batch_id = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}waits"]}).get_json()["batch"]["id"]
    assert "yet" in refused(client.get(f"{V1}/batches/{batch_id}/zip"), 404)


@pytest.mark.parametrize("batch_id", ["nothing", "%00", "x" * 3000, "..%2f..", "%ff", "\u00e9", "'%20OR%201=1"])
def test_a_batch_that_is_not_there_is_404(client: FlaskClient, batch_id: str) -> None:
    refused(client.get(f"{V1}/batches/{batch_id}/zip"), 404)
    assert client.head(f"{V1}/batches/{batch_id}/zip").status_code == 404


def test_it_takes_no_parameters_and_no_other_methods(
    client: FlaskClient, make_batch: Callable[..., str], raw_dir: Path
) -> None:
    batch_id = make_batch(file_in(raw_dir, "a.mp4"))
    assert "'jobs'" in refused(client.get(f"{V1}/batches/{batch_id}/zip?jobs=1"), 400)
    refused(client.post(f"{V1}/batches/{batch_id}/zip"), 405)


# Some jobs


def test_the_files_of_chosen_jobs_are_in_it_and_no_others(
    client: FlaskClient, make_batch: Callable[..., str], raw_dir: Path
) -> None:
    batch_id = make_batch(*(file_in(raw_dir, name) for name in ("a.mp4", "b.mp4", "c.mp4")))
    jobs = client.get(f"{V1}/batches/{batch_id}").get_json()["jobs"]
    one, _, three = (job["job_id"] for job in jobs)
    answer = client.get(f"{V1}/jobs/zip?ids={one},{three},{one}")
    assert contents(answer.data) == {"a.mp4": b"a.mp4", "c.mp4": b"c.mp4"}
    assert answer.content_length == len(answer.data)
    assert answer.headers["Content-Disposition"].endswith(f"-{one}.zip")
    assert client.head(f"{V1}/jobs/zip?ids={one}").status_code == 200


def test_jobs_that_are_not_there_or_too_many_are_refused(client: FlaskClient) -> None:
    assert "?ids=" in refused(client.get(f"{V1}/jobs/zip"), 404)
    refused(client.get(f"{V1}/jobs/zip?ids=nothing-there"), 404)
    refused(client.get(f"{V1}/jobs/zip?ids={','.join(f'job{number}' for number in range(201))}"), 400)


# Places, and what breaks


def test_zips_beyond_the_last_place_are_told_to_come_back(
    tmp_path: Path, make_batch: Callable[..., str], raw_dir: Path, monkeypatch: pytest.MonkeyPatch, app: Flask
) -> None:
    path = f"{V1}/batches/{make_batch(file_in(raw_dir, 'a.mp4'))}/zip"
    monkeypatch.setattr(api_zip, "MAX_ZIPS", 2)
    client = create_downloader_app(app.extensions["downloader"].settings).test_client()
    first, second = client.get(path), client.get(path)
    answer = client.get(path)
    assert "try again" in refused(answer, 503)
    assert answer.headers["Retry-After"] == "30"
    assert client.head(path).status_code == 200
    first.close()  # never read
    third = client.get(path)
    assert contents(third.data) == {"a.mp4": b"a.mp4"}
    second.close()
    third.close()
    assert [client.get(path, buffered=True).status_code for _ in range(4)] == [200] * 4


@pytest.fixture
def port(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Serve the app with our server and two places for zips; return where."""
    monkeypatch.setattr(api_zip, "MAX_ZIPS", 2)
    monkeypatch.setattr(wsgi_server, "THREADS", 4)
    same = create_downloader_app(app.extensions["downloader"].settings)
    server = wsgi_server.WsgiServer(same, wsgi_server.listen("127.0.0.1", 0), max_request_bytes=10_000)
    server.start()
    yield server.port
    server.close(5)


def ask(port: int, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    return connection, connection.getresponse()


def open_files(folder: Path) -> list[str]:
    links = [entry.path for entry in os.scandir("/proc/self/fd")]
    found = []
    for link in links:
        with contextlib.suppress(OSError):  # one is of the scan itself
            found.append(str(Path(link).readlink()))
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nothing here tells which files are open")
def test_a_client_that_hangs_up_frees_its_place_and_its_files(
    port: int, make_batch: Callable[..., str], raw_dir: Path
) -> None:
    film = file_in(raw_dir, "film.mp4")
    os.truncate(film, 400_000_000)  # far more than sockets and buffers between us hold
    path = f"{V1}/batches/{make_batch(film)}/zip"
    clients = [ask(port, path) for _ in range(2)]
    assert [answer.status for _, answer in clients] == [200] * 2
    assert [len(answer.read(100_000)) for _, answer in clients] == [100_000] * 2
    connection, answer = ask(port, path)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    connection.close()
    assert len(open_files(film)) == 2

    for connection, answer in clients:
        assert connection.sock is None or connection.sock.shutdown(socket.SHUT_RDWR) is None
        answer.close()
        connection.close()
    left_at = time.monotonic()
    clients = []
    while len(clients) < 2:
        assert time.monotonic() < left_at + 50, f"only {len(clients)} places were freed"
        connection, answer = ask(port, path)
        if answer.status == 200:
            clients.append((connection, answer))
        else:
            connection.close()
    assert len(open_files(film)) <= 2
    for connection, answer in clients:
        answer.close()
        connection.close()


@pytest.mark.parametrize("change", ["vanishes", "shrinks", "grows"])
def test_a_file_that_changes_meanwhile_breaks_the_connection(
    port: int, make_batch: Callable[..., str], raw_dir: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    film, last = file_in(raw_dir, "film.mp4"), file_in(raw_dir, "last.mp4", bytes(1000))
    os.truncate(film, 60_000_000)  # of which sockets and buffers hold less, so that the last one's turn is not yet
    batch_id = make_batch(film, last)
    connection, answer = ask(port, f"{V1}/batches/{batch_id}/zip")
    with contextlib.closing(connection):
        assert answer.read(1000).startswith(b"PK\x03\x04")
        if change == "vanishes":
            last.unlink()
        else:
            os.truncate(last, 500 if change == "shrinks" else 100_000_000)
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    assert ask(port, "/healthz")[1].status == 200
    [record] = [record for record in caplog.records if record.name == "downloader.web.zip"]
    assert (record.getMessage(), vars(record)["batch_id"]) == ("zip interrupted", batch_id)
    assert "last.mp4" in vars(record)["detail"]
    assert not [record for record in caplog.records if record.exc_info]

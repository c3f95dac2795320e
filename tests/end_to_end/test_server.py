"""The main job as a user does it: `python downloader_main.py`, links sent over HTTP, files that play."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.process_tree import descendants
from tests.real_server import REPOSITORY, Server, run_forked, run_main
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS
from tests.waiting import until


def is_video(path: Path, ffmpeg: str) -> bool:
    """Tell whether ffprobe (or ffmpeg, where there is none) sees a video in the file."""
    if ffprobe := shutil.which("ffprobe"):
        command = [ffprobe, "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_type",
                   "-of", "csv=p=0", str(path)]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "video"
    shown = subprocess.run([ffmpeg, "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False)
    return "Video:" in shown.stderr


def eight(simulator: Simulator, scenario: str = "ok") -> list[str]:
    return [simulator.url(platform, scenario, number) for number in range(2) for platform in PLATFORMS]


def test_a_batch_of_eight_comes_back_as_eight_videos(start_command: Any, simulator: Simulator, ffmpeg: str) -> None:
    server: Server = start_command(DOWNLOADER_SOCKET_TIMEOUT_SECONDS="60")
    status, answer = server.ask("POST", "/download/batch", {"urls": eight(simulator)})
    assert status == 200
    records = answer["downloads"]
    assert [record["url"] for record in records] == eight(simulator)
    assert all(record["success"] for record in records), records
    assert [record["platform"] for record in records] == list(PLATFORMS) * 2
    assert len({record["file_path"] for record in records}) == 8
    for record in records:
        assert is_video(Path(record["file_path"]), ffmpeg)
    assert simulator.stats().unknown_hosts == {}
    # They run at once: more than the four that one platform may have.
    server.ask("POST", "/api/v1/batches", {"urls": eight(simulator, "hang")})
    simulator.wait_until_hanging(6)


@pytest.mark.parametrize(("umask", "file_mode", "folder_mode"), [(None, 0o600, 0o700), ("027", 0o640, 0o750)])
def test_files_have_the_modes_of_the_umask(
    start_command: Any,
    start_server: Any,
    simulator: Simulator,
    tmp_path: Path,
    umask: str | None,
    file_mode: int,
    folder_mode: int,
) -> None:
    before = os.umask(0)
    try:
        server: Server = start_command() if umask is None else start_server(DOWNLOADER_UMASK=umask)
    finally:
        os.umask(before)
    _, record = server.ask("POST", "/download", {"url": simulator.url("youtube", "ok")})
    _, hanging = server.ask("POST", "/api/v1/batches", {"urls": [simulator.url("tiktok", "hang_in_body")]})
    [job] = hanging["jobs"]
    # The simulator has sent half of it before the worker makes a folder for that.
    until((tmp_path / "storage" / "work" / job["job_id"]).exists)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "storage").rglob("*")}
    simulator.release()
    assert modes.pop(Path(record["file_path"])) == file_mode
    assert modes.pop(tmp_path / "storage" / "raw") == folder_mode
    assert modes[tmp_path / "storage" / "work" / job["job_id"]] == 0o700
    assert modes[tmp_path / "storage" / "downloader.db"] == 0o600
    assert {path: oct(mode) for path, mode in modes.items() if mode & ~folder_mode} == {}


def test_it_listens_before_yt_dlp_is_loaded() -> None:
    script = "import sys, downloader_main, downloader.server.wsgi; downloader_main.create_downloader_app();"
    script += "sys.exit('yt_dlp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=False).returncode == 0


def test_the_start_line_says_what_was_found_and_sigterm_ends_an_idle_server_cleanly(start_command: Any) -> None:
    server: Server = start_command()
    assert server.start_line.count("\n") == 1
    for word in ("yt-dlp 2", "ffmpeg", "deno", "/dashboard"):
        assert word in server.start_line
    assert server.ask("GET", "/")[0] == 200
    assert server.stop() == 0
    assert not [line for line in server.log if "Traceback" in line or "ERROR" in line or "open to all" in line]


def test_sigterm_answers_waiting_clients_and_ends_before_what_hangs_does(
    start_server: Any, simulator: Simulator
) -> None:
    server: Server = start_server(DOWNLOADER_SOCKET_TIMEOUT_SECONDS="60")
    urls = [simulator.url("tiktok", "hang", number) for number in range(6)]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, "POST", "/download/batch", {"urls": urls})
        simulator.wait_until_hanging(4)
        assert server.stop() == 0  # within 30 seconds
        status, answer = waiting.result(30)
    assert status == 200
    assert [record["error_code"] for record in answer["downloads"]] == ["interrupted"] * 6
    assert all(record["retryable"] for record in answer["downloads"])


def test_a_taken_port_is_refused_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = run_main("--host", "127.0.0.1", "--port", str(port))
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert f"Port {port} is in use" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["--port", "http"], {}, "DOWNLOADER_PORT"),
        (["--host", "no.such.host.invalid"], {}, "DOWNLOADER_HOST"),
        (["--host", "a..b"], {}, "DOWNLOADER_HOST"),
        ([], {"DOWNLOADER_WORKERS": "none"}, "DOWNLOADER_WORKERS"),
        ([], {"HTTPS_PROXY": '"http://proxy:3128"'}, "HTTPS_PROXY is set wrongly"),
        (["--host", "127.0.0.1", "--port", ""], {"DOWNLOADER_PORT": "70000"}, "DOWNLOADER_PORT"),
        ([], {"DOWNLOADER_STORAGE_DIR": "/dev/null/storage"}, "DOWNLOADER_STORAGE_DIR"),
    ],
)
def test_a_bad_setting_stops_the_start_with_its_name(
    arguments: list[str], settings: dict[str, str], words: str
) -> None:
    run = run_forked(*arguments, **settings)
    assert run.returncode == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_oddities_of_the_environment_are_logged(start_command: Callable[..., Server]) -> None:
    server = start_command(
        DOWNLOADER_PORT="tcp://10.43.0.7:8000", DOWNLOADER_SERVICE_HOST="10.43.0.7", DOWNLOADER_PROXYS="http://x",
        DOWNLOADER_HOST="", DOWNLOADER_WORKERS="''", DOWNLOADER_LOG_LEVEL='"INFO"', DOWNLOADER_MAX_FILE_BYTES="5G",
    )  # fmt: skip
    server.stop()
    details = [line.split("attention ")[1].rstrip() for line in server.log if "setting needs attention" in line]
    assert details == [
        'variable="DOWNLOADER_LOG_LEVEL" detail="The quotation marks around the value are ignored."',
        'variable="DOWNLOADER_PORT" detail="Kubernetes or Docker set this address of a service: it is ignored."',
        'variable="DOWNLOADER_PROXYS" detail="There is no such setting: did you mean DOWNLOADER_PROXY?"',
        'variable="DOWNLOADER_WORKERS" detail="The quotation marks around the value are ignored."',
    ]


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_printed(option: str) -> None:
    run = run_main(option)
    assert run.returncode == 0
    assert ("--port" if option == "--help" else "yt-dlp") in run.stdout


def test_invalid_http_is_answered_in_json(start_server: Any) -> None:
    server: Server = start_server()
    rubbish = [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost\r\n\r\n",
        b"POST /download HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
        b"POST /download HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ]
    for request in rubbish:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            with contextlib.suppress(ConnectionError):  # refused before all of it was read
                connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while chunk := connection.recv(65536):
                    answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        if len(request) > 65536 and not body:
            continue  # unread input makes the system reset the connection
        assert head.split()[1].startswith(b"4"), answer
        assert json.loads(body).keys() == {"error"}
    assert server.ask("GET", "/")[0] == 200


def test_a_thousand_idle_connections_do_not_end_the_server(start_command: Any, simulator: Simulator) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 4096:
        pytest.skip("this machine allows too few open files")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, most))  # the server inherits it
    try:
        server: Server = start_command(DOWNLOADER_WORKERS="64", DOWNLOADER_PLATFORM_CONCURRENCY="64",
                                      DOWNLOADER_SOCKET_TIMEOUT_SECONDS="60")  # fmt: skip
        with contextlib.ExitStack() as idle, ThreadPoolExecutor(1) as pool:
            # select() takes no file descriptors above 1,024.
            urls = [simulator.url("tiktok", "hang", number) for number in range(40)]
            waiting = pool.submit(server.ask, "POST", "/download/batch", {"urls": urls})
            simulator.wait_until_hanging(40)
            for _ in range(1100):
                connection = socket.socket()
                idle.callback(connection.close)
                connection.setblocking(False)
                connection.connect_ex(("127.0.0.1", server.port))
            assert server.process.poll() is None
            idle.close()
            assert server.ask("GET", "/")[0] == 200
            assert server.stop() == 0
            assert waiting.result(30)[0] == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_thousand_urls_half_of_them_rubbish_in_bounded_memory(start_server: Any, simulator: Simulator) -> None:
    server: Server = start_server(DOWNLOADER_WORKERS="16", DOWNLOADER_PLATFORM_CONCURRENCY="8")
    good = [simulator.url("tiktok", "removed", number) for number in range(500)]
    urls = [url for number, link in enumerate(good) for url in (link, f"http://127.0.0.1/{number}?u={link}")]
    server.ask("POST", "/download/batch", {"urls": urls[:20]})
    before_kb = resident_kb(server.process.pid)
    status, answer = server.ask("POST", "/download/batch", {"urls": urls})
    assert status == 200
    assert [record["url"] for record in answer["downloads"]] == urls
    assert [record["error_code"] for record in answer["downloads"]] == ["ip_blocked", "unsupported_platform"] * 500
    grown_kb = resident_kb(server.process.pid) - before_kb
    assert grown_kb < 100_000, f"grew by {grown_kb} kB"
    assert simulator.stats().platforms["tiktok"].peak_concurrency <= 8


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("the memory of another process is read from /proc, which only Linux has")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert found
    return int(found[1])


def test_two_downloads_of_one_post_at_once_do_not_harm_each_other(
    start_server: Any, simulator: Simulator, ffmpeg: str
) -> None:
    server: Server = start_server()
    forms = [simulator.url("youtube", "ok", 5, form=form) for form in ("plain", "short")]  # two spellings, one post
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda url: server.ask("POST", "/download", {"url": url}), forms * 2))
    assert all(record["success"] for _, record in answers), answers
    [path] = {record["file_path"] for _, record in answers}
    assert is_video(Path(path), ffmpeg)


def test_the_library_needs_no_server(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in simulator.environment().items():
        monkeypatch.setenv(name, value)
    urls = [simulator.url("tiktok", "ok"), "https://netflix.com", simulator.url("youtube", "removed")]
    script = (
        "import asyncio, json, sys; from downloader.batch_downloader import download_batch;"
        "print(json.dumps(asyncio.run(download_batch(sys.argv[2:], output_dir=sys.argv[1]))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "out"), *urls],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    records = json.loads(run.stdout)
    assert [record["error_code"] for record in records] == [None, "unsupported_platform", "removed"]
    assert Path(records[0]["file_path"]).parent == tmp_path / "out"
    assert Path(records[0]["file_path"]).is_file()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
def test_no_process_it_starts_inherits_its_settings(
    start_command: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    """They may hold passwords, and a process's initial environment stays readable while it lives."""
    server = start_command(
        DOWNLOADER_DATABASE_URL=f"sqlite:///{tmp_path}/hunter2.db",
        downloader_retries="2",  # names are read in any case
        ANYTHING_ELSE="stays",
    )
    status, record = server.ask("POST", "/download", {"url": simulator.url("tiktok", "ok")})
    assert (status, record["success"]) == (200, True)
    started = descendants(server.process.pid)
    assert len(started) >= 1
    for pid in started:
        words = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"ANYTHING_ELSE=stays" in words
        assert b"hunter2" not in words
        assert not [word for word in words.split(b"\0") if word.lower().startswith(b"downloader_")]

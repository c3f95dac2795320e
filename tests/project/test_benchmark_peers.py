"""Other people's servers in the benchmark, played by ones that answer as the real ones of August 2026 do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks import peer, peers, throughput
from benchmarks.contender import Failed, measured
from benchmarks.peer import Peer
from benchmarks.workload import Workload
from tests.simulator.client import Simulator

pytestmark = pytest.mark.slow

#: What all stand-ins share: yt-dlp fetches, JSON answers.
SERVER = """
import json, os, shlex, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from yt_dlp import YoutubeDL, parse_options

TROUBLE = os.environ.get("TROUBLE")

def fetch(url, options, folder):
    with YoutubeDL({**options, "quiet": True, "paths": {"home": folder}, "outtmpl": "%(id)s.%(ext)s"}) as ydl:
        return ydl.prepare_filename(ydl.extract_info(url))

def start(*arguments):
    if TROUBLE != "idle":
        threading.Thread(target=fetch, args=arguments).start()

class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.get(urlsplit(self.path))

    def do_POST(self):
        self.post(self.path.rstrip("/"), json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def reply(self, status, answer):
        payload = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        pass

def serve(server, port):
    print("listening", flush=True)
    ThreadingHTTPServer(("127.0.0.1", int(port)), server).serve_forever()
"""

METUBE = """
class MeTube(Server):
    def get(self, url):
        self.reply(200 if url.path == "/version" else 404, {})

    def post(self, path, body):
        if path != "/add":
            self.reply(404, {})
        elif os.environ.get("ALLOW_PRIVATE_ADDRESSES") != "true" or TROUBLE == "refuse":
            self.reply(200, {"status": "error", "msg": 'Could not resolve host "www.tiktok.com"'})
        else:
            start(body["url"], json.loads(os.environ["YTDL_OPTIONS"]), os.environ["DOWNLOAD_DIR"])
            self.reply(200, {"status": "ok"})

serve(MeTube, os.environ["PORT"])
"""

YTPTUBE = """
class YTPTube(Server):
    def get(self, url):
        self.reply(200 if url.path.rstrip("/") == "/api/ping" else 404, {"status": "pong"})

    def post(self, path, body):
        if path != "/api/history":
            self.reply(404, {})
        elif os.environ.get("YTP_DISABLE_AUTH") != "true" or TROUBLE == "refuse":
            self.reply(401, {"error": "Unauthorized.", "code": "UNAUTHORIZED"})
        else:
            for item in body:
                options = parse_options(shlex.split(item["cli"])).ydl_opts
                start(item["url"], options, os.environ["YTP_DOWNLOAD_PATH"])
            self.reply(202, {"status": "accepted", "message": f"Accepted {len(body)} item(s) for processing"})

serve(YTPTube, os.environ["YTP_PORT"])
"""

COBALT = """
import tempfile
from pathlib import Path

class Cobalt(Server):
    def get(self, url):
        if url.path == "/":
            self.reply(200, {"cobalt": {"version": "11.7.1"}})
            return
        options = {"compat_opts": {"no-certifi"}, "proxy": os.environ["HTTPS_PROXY"], "cachedir": False}
        with tempfile.TemporaryDirectory() as folder:
            self.reply(200, Path(fetch(parse_qs(url.query)["id"][0], options, folder)).read_bytes())

    def post(self, path, body):
        if self.headers["Accept"] != "application/json":
            self.reply(400, {"status": "error", "error": {"code": "error.api.header.accept"}})
        elif TROUBLE == "refuse":
            self.reply(400, {"status": "error", "error": {"code": "error.api.fetch.empty"}})
        elif TROUBLE == "redirect" or not body.get("alwaysProxy"):
            self.reply(200, {"status": "redirect", "url": body["url"]})
        else:
            self.reply(200, {"status": "tunnel", "url": f"{os.environ['API_URL']}tunnel?id={body['url']}"})

assert os.environ["NODE_EXTRA_CA_CERTS"] and "127.0.0.1" in os.environ["NO_PROXY"]
serve(Cobalt, os.environ["API_PORT"])
"""


def program(path: Path, *, first: str = "") -> Path:
    """Make *path* a program that is this Python, but for what the shell does *first*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{first}\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o700)
    return path


def checkout_of(main: str, folder: Path) -> Path:
    program(folder / ".venv" / "bin" / "python")
    (folder / "app").mkdir()
    (folder / "app" / "main.py").write_text(SERVER + main)
    return folder


def metube(folder: Path) -> Peer:
    return peers.metube(checkout_of(METUBE, folder))


def ytptube(folder: Path, *, keep_alive: bool = False) -> Peer:
    return peers.ytptube(checkout_of(YTPTUBE, folder), keep_alive=keep_alive)


def cobalt(folder: Path) -> Peer:
    node = program(folder / "node", first='if [ "$1" = --version ]; then echo v22.1.0; exit; fi')
    (script := folder / "api" / "src" / "cobalt.js").parent.mkdir(parents=True)
    script.write_text(SERVER + COBALT)
    return peers.cobalt(folder, str(node))


@pytest.fixture
def work(simulator: Simulator) -> Workload:
    return Workload(simulator=simulator, videos=2, media_bytes=200_000, at_once=2)


@pytest.mark.parametrize("made", [metube, ytptube, partial(ytptube, keep_alive=True), cobalt])
def test_a_peer_is_measured(made: Callable[[Path], Peer], tmp_path: Path, work: Workload) -> None:
    run = measured(made(tmp_path), work)
    assert run.right_files == 2
    assert run.cpu_seconds > 0


@pytest.mark.parametrize(
    ("made", "trouble", "told"),
    [
        (metube, "refuse", "metube: Could not resolve host"),
        (metube, "idle", "(?s)metube: 0 of 2 files, then none; .*listening"),
        (ytptube, "refuse", "ytptube refused a link with 401: .*Unauthorized"),
        (cobalt, "refuse", "cobalt refused a link with 400: .*error.api.fetch.empty"),
        (cobalt, "redirect", "cobalt: .*redirect"),
    ],
)
def test_a_peer_that_fails_says_why(
    made: Callable[[Path], Peer],
    trouble: str,
    told: str,
    tmp_path: Path,
    work: Workload,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TROUBLE", trouble)
    monkeypatch.setattr(peer, "_STALL_SECONDS", 0.2)
    with pytest.raises(Failed, match=told):
        measured(made(tmp_path), work)


def test_a_server_that_ends_at_once_says_why(tmp_path: Path, work: Workload) -> None:
    peer = metube(tmp_path)
    (tmp_path / "app" / "main.py").write_text("raise SystemExit('no page was built')")
    with pytest.raises(Failed, match="metube did not start; its log ends: no page was built"):
        measured(peer, work)


def test_a_peer_tells_its_version(tmp_path: Path) -> None:
    found = cobalt(tmp_path).version()
    assert found == {"commit": "unknown", "runs_on": "Node.js v22.1.0"}


def test_another_python_is_refused(tmp_path: Path) -> None:
    peer = metube(tmp_path)
    assert peer.version()["runs_on"].startswith("yt-dlp 20")
    program(tmp_path / ".venv" / "bin" / "python", first="echo 3.99; exit")
    with pytest.raises(Failed, match="must be the Python of the benchmark"):
        peer.version()


def test_a_peer_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^metube: .* must hold app/main.py"):
        throughput.main(["--metube", str(tmp_path), "--only", "metube"])


def test_a_node_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    cobalt(tmp_path)
    with pytest.raises(SystemExit, match=r"^cobalt: not-there is no Node.js"):
        throughput.main(["--cobalt", str(tmp_path), "--node", "not-there", "--only", "cobalt"])


def test_a_peer_is_measured_in_both_its_variants(tmp_path: Path) -> None:
    checkout_of(YTPTUBE, tmp_path)
    figures = tmp_path / "figures.json"
    sizes = ["--rounds", "1", "--videos", "1", "--bytes", "100000", "--latency", "0"]
    throughput.main([*sizes, "--ytptube", str(tmp_path), "--only", "ytptube", "--json", str(figures)])
    assert list(json.loads(figures.read_text())["contenders"]) == ["ytptube", "ytptube keep-alive"]

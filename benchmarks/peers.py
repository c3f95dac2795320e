"""The contenders that are other people's servers, each in a checkout with an environment of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import versions
from benchmarks.contender import Failed
from benchmarks.peer import Peer, ask, connected, submit_json
from benchmarks.workload import Workload
from downloader.ytdlp import tools

_TEMPLATE = "%(id)s.%(ext)s"


def metube(checkout: Path) -> Peer:
    """Return MeTube; it wants some file at `ui/dist/metube/browser/index.html`."""

    def environment(work: Workload, files: Path, notes: Path, port: int) -> dict[str, str]:
        (notes / "state").mkdir()
        (notes / "part").mkdir()
        options = {"proxy": work.simulator.proxy, "compat_opts": ["no-certifi"], "cachedir": False}
        return {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "BASE_DIR": str(checkout),
            "DOWNLOAD_DIR": str(files),
            "STATE_DIR": str(notes / "state"),
            "TEMP_DIR": str(notes / "part"),
            "MAX_CONCURRENT_DOWNLOADS": str(work.at_once),
            "OUTPUT_TEMPLATE": _TEMPLATE,
            "YTDL_OPTIONS": json.dumps(options),
            "LOGLEVEL": "WARNING",
            # Else it looks up each link's host, and only the simulator knows these.
            "ALLOW_PRIVATE_ADDRESSES": "true",
        }

    def submit(port: int, work: Workload, files: Path) -> None:
        def add(url: str) -> None:
            wanted = {"url": url, "download_type": "video", "codec": "auto", "format": "any", "quality": "best"}
            with connected(port) as connection:
                answer = submit_json("metube", connection, "/add", wanted)
            if answer.get("status") != "ok":
                raise Failed(f"metube: {answer.get('msg')}")

        # It answers when it has read the page; a list sent one after the other would wait for that each time.
        with ThreadPoolExecutor(work.at_once) as pool:
            list(pool.map(add, work.urls))

    return _python_peer("metube", checkout, "/version", environment, submit)


def ytptube(checkout: Path, *, keep_alive: bool = False) -> Peer:
    """Return YTPTube, told to fetch as many at once from one platform as from all.

    With *keep_alive*, the processes that read pages stay, which is not its default.
    """

    def environment(work: Workload, files: Path, notes: Path, port: int) -> dict[str, str]:
        (notes / "config").mkdir()
        (notes / "part").mkdir()
        return {
            "YTP_HOST": "127.0.0.1",
            "YTP_PORT": str(port),
            "YTP_DISABLE_AUTH": "true",
            "YTP_DOWNLOAD_PATH": str(files),
            "YTP_CONFIG_PATH": str(notes / "config"),
            "YTP_TEMP_PATH": str(notes / "part"),
            "YTP_MAX_WORKERS": str(work.at_once),
            "YTP_MAX_WORKERS_PER_EXTRACTOR": str(work.at_once),
            "YTP_EXTRACT_INFO_CONCURRENCY": str(work.at_once),
            "YTP_EXTRACT_INFO_KEEP_ALIVE": str(keep_alive).lower(),
            "YTP_OUTPUT_TEMPLATE": _TEMPLATE,
            "YTP_IGNORE_UI": "true",
            "YTP_ACCESS_LOG": "false",
            "YTP_FILE_LOGGING": "false",
            "YTP_CHECK_FOR_UPDATES": "false",
            "YTP_PIP_IGNORE_UPDATES": "true",
            "YTP_YTDLP_AUTO_UPDATE": "false",
        }

    def submit(port: int, work: Workload, files: Path) -> None:
        cli = f"--compat-options no-certifi --proxy {work.simulator.proxy} --no-cache-dir"
        items = [{"url": url, "cli": cli, "template": _TEMPLATE} for url in work.urls]
        with connected(port) as connection:
            answer = submit_json("ytptube", connection, "/api/history/", items)
        # What it makes of each link is told later, to who follows its events.
        if answer.get("status") != "accepted":
            raise Failed(f"ytptube: {answer.get('message') or answer}")

    name = "ytptube keep-alive" if keep_alive else "ytptube"
    return _python_peer(name, checkout, "/api/ping/", environment, submit)


def _python_peer(
    name: str,
    checkout: Path,
    alive: str,
    environment: Callable[[Workload, Path, Path, int], Mapping[str, str]],
    submit: Callable[[int, Workload, Path], None],
) -> Peer:
    python = checkout / ".venv" / "bin" / "python"

    def runs_on() -> str:
        # Builds of Python differ by more than 10 %, versions by more.
        if not versions.same_python(python):
            raise Failed(f"{name}: {python} must be the Python of the benchmark: {versions.this_python()}")
        return f"yt-dlp {versions.ytdlp(python)}"

    return Peer(
        name=name,
        checkout=checkout,
        script="app/main.py",
        runtime=[str(python)],
        runs_on=runs_on,
        alive=alive,
        environment=environment,
        submit=submit,
    )


def cobalt(checkout: Path, node: str) -> Peer:
    """Return cobalt's API, run by the program *node*; it keeps no files: its clients, threads of this process, do."""

    def environment(work: Workload, files: Path, notes: Path, port: int) -> dict[str, str]:
        ffmpeg = tools.ffmpeg()
        assert ffmpeg
        no_proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")  # where it asks itself
        no_limits = dict.fromkeys(("RATELIMIT_MAX", "TUNNEL_RATELIMIT_MAX"), "1000000")
        return {
            "API_URL": f"http://127.0.0.1:{port}/",
            "API_PORT": str(port),
            "API_LISTEN_ADDRESS": "127.0.0.1",
            "NODE_EXTRA_CA_CERTS": work.simulator.ca,
            "FFMPEG_BIN": str(ffmpeg.path),
            **no_proxy,
            **no_limits,
        }

    def submit(port: int, work: Workload, files: Path) -> None:
        # A list's iterator may be shared by threads.
        links = iter(list(zip(work.urls, work.ids, strict=True)))
        with ThreadPoolExecutor(work.at_once) as pool:
            list(pool.map(lambda _: client(port, links, files), range(work.at_once)))

    def client(port: int, links: Iterator[tuple[str, str]], files: Path) -> None:
        with connected(port) as connection:
            for url, id in links:
                answer = submit_json("cobalt", connection, "/", {"url": url, "alwaysProxy": True})
                if answer["status"] != "tunnel":
                    raise Failed(f"cobalt: {answer}")
                _save(connection, answer["url"], files / f"{id}.mp4")

    def runs_on() -> str:
        if not (version := versions.node(node)):
            raise Failed(f"cobalt: {node} is no Node.js")
        return f"Node.js {version}"

    return Peer(
        name="cobalt",
        checkout=checkout / "api",
        script="src/cobalt.js",
        runtime=[node],
        runs_on=runs_on,
        alive="/",
        environment=environment,
        submit=submit,
    )


def _save(connection: http.client.HTTPConnection, url: str, file: Path) -> None:
    status, content = ask(connection, "GET", url.removeprefix(f"http://127.0.0.1:{connection.port}"))
    if status != 200:
        raise Failed(f"cobalt: {url} answers with {status}")
    file.write_bytes(content)

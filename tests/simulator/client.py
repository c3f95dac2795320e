"""What tests use of the simulator: starts it, trusts it, asks it what it saw."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from downloader.egress.upstream import tls_context
from downloader.ytdlp import lean

from .ledger import Load, LogEntry, PostCount
from .model import Platform
from .scenarios import Form, post_url

_REPOSITORY = Path(__file__).resolve().parents[2]
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What the simulator saw since it started or was reset."""

    hosts: Mapping[str, Load]
    platforms: Mapping[str, Load]
    media_bytes_sent: Mapping[str, int]  #: per platform
    posts: Mapping[str, PostCount]  #: by id
    unknown_hosts: Mapping[str, int]
    canary_hits: int
    refused_connections: int
    tls_failures: int
    errors: tuple[str, ...]  #: what went wrong in the simulator itself
    connections: int  #: open now
    hanging: int  #: requests kept waiting now
    log: tuple[LogEntry, ...]


def forget_contexts() -> None:
    """Have the certificates that this process trusts be read again."""
    tls_context.cache_clear()
    lean._CONTEXTS.clear()


class Simulator:
    """A simulator in a process of its own, for the length of a `with` block.

    How yt-dlp comes to trust it, with verification on. Its urllib and requests handlers build one kind of SSL
    context: with certifi installed they trust certifi's file alone and no variable can add to it, unless the
    option `compat_opts` holds "no-certifi", which makes them load OpenSSL's default, and that is `SSL_CERT_FILE`.
    Its curl_cffi handler ignores that option; curl_cffi itself reads `CURL_CA_BUNDLE` when a session is made. So
    it takes the option and both variables: `ytdlp_options` and, around it, `trusted` or `environment`.
    """

    proxy: str
    ca: str
    canary: str

    def __init__(self, *, latency_ms: float = 0.0, media_bytes: int = 200_000) -> None:
        self._command = [sys.executable, "-m", "tests.simulator", "--until-stdin-closes"]
        self._command += ["--latency-ms", str(latency_ms), "--media-bytes", str(media_bytes)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            ready = json.loads(self._first_line())
        except BaseException:
            self._process.kill()
            self._close()
            raise
        self.proxy, self.ca, self.canary = ready["proxy"], ready["ca"], ready["canary"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def url(self, platform: Platform, scenario: str, serial: int = 0, *, form: Form = "plain") -> str:
        """Return the address of a post: see `post_url`."""
        return post_url(platform, scenario, serial, form=form)

    # Being trusted

    def ytdlp_options(self) -> dict[str, Any]:
        """Return what YoutubeDL must be told; it also needs the environment of `trusted`."""
        return {"proxy": self.proxy, "compat_opts": {"no-certifi"}}

    def environment(self, *, ytdlp_options: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Return the variables that make a server process use the simulator and trust it.

        *ytdlp_options* (plain JSON values) are handed to the downloader's yt-dlp besides ours.
        """
        compat = ["no-certifi", *(ytdlp_options or {}).get("compat_opts", ())]
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), self.proxy)
        return {
            **self._trust(),
            **proxies,
            # An exception that this machine makes for some hosts must not lead a test to the real network.
            **{"no_proxy": "", "NO_PROXY": ""},
            "DOWNLOADER_PROXY": self.proxy,
            "DOWNLOADER_YTDLP_OPTIONS": json.dumps({**(ytdlp_options or {}), "compat_opts": compat}),
        }

    @contextlib.contextmanager
    def trusted(self) -> Iterator[None]:
        """Make this very process trust the simulator, for the length of a `with` block."""
        ours = self._trust()
        before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        forget_contexts()  # a test before may have made one, which trusts others
        try:
            yield
        finally:
            forget_contexts()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _trust(self) -> dict[str, str]:
        return {
            "SSL_CERT_FILE": self.ca,
            # Without it OpenSSL would add the machine's own certificates; this folder holds none under its names.
            "SSL_CERT_DIR": str(Path(self.ca).parent),
            "CURL_CA_BUNDLE": self.ca,
            "REQUESTS_CA_BUNDLE": self.ca,
        }

    # The control API

    def stats(self) -> Stats:
        """Return what the simulator saw since it started or was reset."""
        answer = self._ask("GET", "stats")
        platforms: dict[str, dict[str, int]] = answer.pop("platforms")
        sent = {name: load.pop("media_bytes_sent") for name, load in platforms.items()}
        return Stats(
            hosts={host: Load(**load) for host, load in answer.pop("hosts").items()},
            platforms={name: Load(**load) for name, load in platforms.items()},
            media_bytes_sent=sent,
            posts={id: PostCount(**count) for id, count in answer.pop("posts").items()},
            errors=tuple(answer.pop("errors")),
            log=tuple(LogEntry(**entry) for entry in answer.pop("log")),
            **answer,
        )

    def reset(self) -> None:
        """Zero all counts, and let faults that strike a few times strike again."""
        self._ask("POST", "reset")

    def configure(self, *, latency_ms: float | None = None, media_bytes_per_second: float | None = None) -> None:
        """Set how slow the network is; what is not given stays as it is, 0 means not slow at all."""
        wishes = {"latency_ms": latency_ms, "media_bytes_per_second": media_bytes_per_second}
        self._ask("POST", "configure", {name: value for name, value in wishes.items() if value is not None})

    def release(self) -> int:
        """Close the connection of every hanging request; return how many there were."""
        return int(self._ask("POST", "release")["released"])

    def wait_until_hanging(self, count: int = 1, *, timeout_seconds: float = 30.0) -> None:
        """Return as soon as *count* requests or more hang; with 0, as soon as none does any more.

        Raises:
            TimeoutError: that does not come true within *timeout_seconds*.
        """
        wish = {"count": count, "timeout_seconds": timeout_seconds}
        if not self._ask("POST", "wait-until-hanging", wish, timeout_seconds=timeout_seconds + 5)["hanging"]:
            raise TimeoutError(f"waited {timeout_seconds} s in vain until {count} requests hang")

    def _ask(
        self, method: str, path: str, values: Mapping[str, Any] | None = None, *, timeout_seconds: float = 30.0
    ) -> dict[str, Any]:
        at = urllib.parse.urlsplit(self.proxy)
        connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=timeout_seconds)
        with contextlib.closing(connection):
            connection.request(method, f"/_simulator/{path}", body=json.dumps(values or {}))
            response = connection.getresponse()
            answer: dict[str, Any] = json.load(response)
        if response.status != 200:
            raise ValueError(answer["error"])
        return answer

    # The process

    def _first_line(self) -> str:
        assert self._process.stdout
        lines: queue.Queue[str] = queue.Queue()
        stdout = self._process.stdout
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            line = lines.get(timeout=START_TIMEOUT_SECONDS)
        except queue.Empty:
            raise TimeoutError(f"the simulator was not ready within {START_TIMEOUT_SECONDS} s") from None
        if not line:
            raise RuntimeError("the simulator ended before it was ready; its stderr says why")
        return line

    def _close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

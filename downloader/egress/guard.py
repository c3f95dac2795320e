"""The guard between downloads and the network: `open_egress` gives an attempt the URL of a guarded proxy.

Each process that runs downloads, or has workers run them, has one guard, started when first needed. Its event loop runs
in its own thread, so that bulk traffic does not delay anything else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from urllib.request import getproxies

from downloader.download_settings import PREFIX, DownloadSettings
from downloader.egress.dialer import Rules
from downloader.egress.policy import normalize_host
from downloader.egress.proxy import EgressProxy, Grant
from downloader.egress.upstream import InvalidProxyUrl, Upstreams
from downloader.errors import StartRefused

log = logging.getLogger(__name__)

_START_SECONDS = 10.0

#: Longer than a download may be silent, so that the download is ended first, with its reason.
_MIN_IDLE_SECONDS = 60.0

#: Tests replace it to simulate another internet.
_make_proxy: Callable[[], EgressProxy] = EgressProxy


def rules_of(settings: DownloadSettings) -> Rules:
    """Return what *settings* and the environment's proxies allow an attempt to reach.

    Raises:
        StartRefused: a *_PROXY variable is not a proxy URL; the message names it.
    """
    try:
        upstreams = Upstreams.of(settings.proxy, getproxies())
    except InvalidProxyUrl as error:
        variable = f"{PREFIX}PROXY" if error.scheme is None else _variable(error.scheme)
        raise _set_wrongly(variable, f"{error}, such as http://user:password@host:3128") from None
    if upstreams.no_proxy.startswith(("'", '"')):
        raise _set_wrongly(_variable("no"), "not a list of hosts")
    return Rules(
        upstreams=upstreams,
        allow_private=settings.allow_private_addresses,
        idle_seconds=max(_MIN_IDLE_SECONDS, 2 * settings.stall_timeout_seconds),
    )


def check_proxies(settings: DownloadSettings) -> None:
    """Check the operator's proxies at startup; log those without a scheme, which are taken for http.

    Raises:
        StartRefused: a *_PROXY variable is not a proxy URL; the message names it.
    """
    rules_of(settings)
    if settings.proxy is not None:
        return
    for scheme, url in getproxies().items():
        if scheme in ("http", "https", "all") and url and "://" not in url:
            log.warning("a proxy without a scheme is taken for http", extra={"variable": _variable(scheme)})


def _variable(scheme: str) -> str:
    """Return the name of the variable with the proxy for *scheme*; the lower-case one has precedence."""
    name = f"{scheme}_proxy"
    return max((each for each in os.environ if each.lower() == name), default=name.upper())


def _set_wrongly(variable: str, what: str) -> StartRefused:
    value = os.environ.get(variable, "")
    quoted = "; write it without quotation marks" if value.startswith(("'", '"')) else ""
    return StartRefused(f"{variable} is set wrongly: it is {what}{quoted}. Correct it and start again.")


class _Guard:
    """A proxy and the thread it runs in."""

    def __init__(self) -> None:
        """Start both.

        Raises:
            OSError: the proxy did not start.
        """
        self._started: Future[EgressProxy] = Future()
        # A daemon thread: it ends with the process, even with open connections.
        self.thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self.thread.start()
        self.proxy = self._started.result(_START_SECONDS)

    def _run(self) -> None:
        try:
            # The loop that supports plain sockets on Windows too.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                # Its connections are closed, so running downloads notice; the next download starts a new guard.
                log.exception("the egress proxy ended")
            else:
                self._started.set_exception(OSError(str(error) or type(error).__name__))

    async def _serve(self) -> None:
        proxy = _make_proxy()
        await proxy.start()
        self._started.set_result(proxy)
        try:
            await proxy.wait()
        finally:
            await proxy.close()


_GUARD: _Guard | None = None
_STARTING = threading.Lock()


def _reset_after_fork() -> None:
    """Forget the parent's guard: its thread does not exist here, and its lock may have been held."""
    global _GUARD, _STARTING
    _GUARD, _STARTING = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


def open_egress(settings: DownloadSettings, rules: Rules | None = None) -> Grant:
    """Return a grant for one attempt, as *settings* allow; the caller revokes it after the attempt.

    *rules*: what `rules_of` returns for them, which reads all of the environment.

    Raises:
        OSError: the egress proxy cannot be started.
        StartRefused: the operator's proxy has an invalid URL.
    """
    global _GUARD
    rules = rules or rules_of(settings)
    with _STARTING:
        if _GUARD is None or not _GUARD.thread.is_alive():
            _GUARD = _Guard()
        return _GUARD.proxy.grant(rules)


def open_named(settings: DownloadSettings, hosts: Iterable[str]) -> Grant:
    """As `open_egress`, for what is sent to *hosts* that the operator wrote down: they may be of the local network."""
    return open_egress(settings, replace(rules_of(settings), named=frozenset(map(normalize_host, hosts))))

"""The guard between downloads and the network: `open_egress` gives an attempt the URL of a guarded proxy.

Each process that runs downloads, or has workers run them, has one guard, started when first needed. Its event loop runs
in its own thread, so that bulk traffic does not delay anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from urllib.request import getproxies

from downloader.download_settings import PREFIX, DownloadSettings
from downloader.egress.dialer import Rules
from downloader.egress.proxy import EgressProxy, Grant
from downloader.egress.upstream import InvalidProxyUrl, Upstreams
from downloader.errors import ErrorCode, StartRefused
from downloader.models import Outcome

log = logging.getLogger(__name__)

_START_SECONDS = 10.0

#: Longer than a download may be silent, so that the download is ended first, with its reason.
_MIN_IDLE_SECONDS = 60.0

#: Failures that a refused address does not explain: they have another cause, or concern the platform's other downloads.
_UNRELATED_TO_REFUSALS: frozenset[ErrorCode] = frozenset(
    {"interrupted", "cancelled", "disk_full", "storage_unavailable", "rate_limited", "bot_check"}
)


#: Tests replace it to simulate another internet.
_make_proxy: Callable[[], EgressProxy] = EgressProxy


class EgressSession:
    """One attempt's access to the network, through the egress proxy."""

    def __init__(self, proxy: EgressProxy, grant: Grant) -> None:
        self.url = proxy.url(grant)  #: of the proxy, credential included: a secret while the session is open
        self._proxy = proxy
        self.grant = grant

    def revoke(self) -> None:
        """End the session and close its connections, so that no one waits on them any longer."""
        self._proxy.revoke(self.grant)

    def refusal(self, outcome: Outcome) -> str | None:
        """Return what the attempt was refused, if that explains *outcome*; else None."""
        if outcome[0] or not self.grant.refusals or outcome.error_code in _UNRELATED_TO_REFUSALS:
            return None
        return f"refused: {', '.join(self.grant.refusals[:3])}"


@contextlib.contextmanager
def open_egress(settings: DownloadSettings) -> Iterator[EgressSession]:
    """Open a session for one attempt, as *settings* allow; it is revoked at the end of the block.

    Raises:
        OSError: the egress proxy cannot be started.
        StartRefused: the operator's proxy has an invalid URL.
    """
    proxy = _proxy()
    session = EgressSession(proxy, proxy.grant(rules_of(settings)))
    try:
        yield session
    finally:
        session.revoke()


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
            OSError: no socket is available.
        """
        self._ready = threading.Event()
        self._fault: OSError | None = None
        self.proxy: EgressProxy | None = None
        # A daemon thread: it ends with the process, even with open connections.
        self.thread = threading.Thread(target=self._run, name="egress", daemon=True)
        self.thread.start()
        self._ready.wait(_START_SECONDS)
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        # The loop that supports plain sockets on Windows too.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._serve())
            except OSError as error:
                self._fault = error
            except BaseException:
                # Its connections are closed, so running downloads notice; the next download starts a new guard.
                log.exception("the egress proxy ended")
            finally:
                self._ready.set()

    async def _serve(self) -> None:
        self.proxy = proxy = _make_proxy()
        await proxy.start()
        self._ready.set()
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


def _proxy() -> EgressProxy:
    """Return this process's running proxy."""
    global _GUARD
    with _STARTING:
        if _GUARD is None or not _GUARD.thread.is_alive():
            _GUARD = _Guard()
        proxy = _GUARD.proxy
    if proxy is None:
        raise OSError("the egress proxy did not start")
    return proxy

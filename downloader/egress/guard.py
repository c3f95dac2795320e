"""The guard between downloads and the network, as the rest uses it: ask for a grant, hand on its proxy URL.

There is one in each process that downloads or has downloads done, started when first needed. Its loop has a thread of
its own, so that bulk bytes hold up nothing else.
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

#: A connection may be silent for longer than its download may: it is the download that is ended, with the reason.
_MIN_IDLE_SECONDS = 60.0

#: Failures that stay what they are, whatever else the attempt was refused: it was not that which ended it, or others on
#: the same platform must hear of it.
_STRONGER: frozenset[ErrorCode] = frozenset(
    {"interrupted", "cancelled", "disk_full", "storage_unavailable", "rate_limited", "bot_check"}
)


#: What tests replace, to have a guard that sees another internet.
_make_proxy: Callable[[], EgressProxy] = EgressProxy


class EgressSession:
    """An attempt's session out."""

    def __init__(self, proxy: EgressProxy, grant: Grant) -> None:
        self.url = proxy.url(grant)  #: of the proxy, credential included: a secret for as long as the attempt lasts
        self._proxy = proxy
        self._grant = grant

    def revoke(self) -> None:
        """End it, and what is open on it: who waits there for an answer waits no longer."""
        self._proxy.revoke(self._grant)

    def refusal(self, outcome: Outcome) -> str | None:
        """Return what the attempt was refused, where that is why it ended with *outcome*; else None."""
        if outcome[0] or not self._grant.refusals or outcome.error_code in _STRONGER:
            return None
        return f"refused: {', '.join(self._grant.refusals[:3])}"


@contextlib.contextmanager
def open_egress(settings: DownloadSettings) -> Iterator[EgressSession]:
    """Give one attempt a session out, as *settings* say; it ends with the block, and so does what is open on it.

    Raises:
        OSError: the proxy cannot be started.
        StartRefused: the operator's proxy is the URL of none.
    """
    proxy = _proxy()
    session = EgressSession(proxy, proxy.grant(rules_of(settings)))
    try:
        yield session
    finally:
        session.revoke()


def rules_of(settings: DownloadSettings) -> Rules:
    """Return what an attempt may reach by *settings*, and by the proxies of the environment.

    Raises:
        StartRefused: a proxy is the URL of none; the sentence names its variable.
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
    """See at the start what else each download would fail at; tell which proxies are taken for http.

    Raises:
        StartRefused: a proxy is the URL of none; the sentence names its variable.
    """
    rules_of(settings)
    if settings.proxy is not None:
        return
    for scheme, url in getproxies().items():
        if scheme in ("http", "https", "all") and url and "://" not in url:
            log.warning("a proxy without a scheme is taken for http", extra={"variable": _variable(scheme)})


def _variable(scheme: str) -> str:
    """Return the variable of the environment that names the proxy for *scheme*; in lower case it counts first."""
    name = f"{scheme}_proxy"
    return max((each for each in os.environ if each.lower() == name), default=name.upper())


def _set_wrongly(variable: str, what: str) -> StartRefused:
    value = os.environ.get(variable, "")
    quoted = "; write it without quotation marks" if value.startswith(("'", '"')) else ""
    return StartRefused(f"{variable} is set wrongly: it is {what}{quoted}. Correct it and start again.")


class _Guard:
    """A proxy and the thread it lives in."""

    def __init__(self) -> None:
        """Start both.

        Raises:
            OSError: no socket can be had.
        """
        self._ready = threading.Event()
        self._fault: OSError | None = None
        self.proxy: EgressProxy | None = None
        # A daemon: it ends with the process, whatever is open.
        self.thread = threading.Thread(target=self._live, name="egress", daemon=True)
        self.thread.start()
        self._ready.wait(_START_SECONDS)
        if self._fault is not None:
            raise self._fault

    def _live(self) -> None:
        # The one that takes bare sockets, on Windows too.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._serve())
            except OSError as error:
                self._fault = error
            except BaseException:
                # Its connections end with it, downloads notice at once, and the next one starts another.
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


def _begin_anew() -> None:
    """Forget the parent's: its thread is not here, and its lock may have been held just then."""
    global _GUARD, _STARTING
    _GUARD, _STARTING = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _proxy() -> EgressProxy:
    """Return this process's proxy, which runs."""
    global _GUARD
    with _STARTING:
        if _GUARD is None or not _GUARD.thread.is_alive():
            _GUARD = _Guard()
        proxy = _GUARD.proxy
    if proxy is None:
        raise OSError("the egress proxy did not start")
    return proxy

"""How often an address may ask, and how often anybody may be wrong about a key. Counted in memory."""

from __future__ import annotations

import ipaddress
import logging
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse
from werkzeug.exceptions import TooManyRequests

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Wrong keys from one address; that many, and the right one is not looked at either until the time is over.
WRONG_KEYS_PER_ADDRESS = parse("10/5minutes")

#: Wrong keys from all addresses together, so that many of them don't help. Where a right key came from before is left
#: out, or anybody could lock everybody out.
WRONG_KEYS_ALTOGETHER = parse("100/5minutes")

#: Addresses that are remembered for a right key.
MAX_KNOWN_ADDRESSES = 1000

_EVERYBODY = "everybody"
_EVERYTHING = "everything"

#: Some proxies tell of a client with its port, which is another for each connection.
_WITH_PORT = re.compile(r"\[([^\[\]]*)\](?::[0-9]*)?|([0-9.]+):[0-9]*", re.ASCII)


class RateLimits:
    """What is counted of the requests to one app."""

    def __init__(self, app: Flask, *, per_address: str | None, exempt: Callable[[], bool]) -> None:
        """Hold the requests of an address to *per_address*, those that are *exempt* and this machine's own left out."""
        self._limiter = Limiter(
            _address,
            app=app,
            application_limits=[] if per_address is None else [per_address],
            application_limits_exempt_when=lambda: exempt() or _is_own(),
            # One name for all: it leaves out what no route answers, and each route that is called `static`.
            request_identifier=lambda: _EVERYTHING,
            storage_uri="memory://",
        )
        app.register_error_handler(RateLimitExceeded, self._exceeded)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()

    def attempt(self, check: Callable[[], T | None]) -> T | None:
        """Return what *check* makes of the key in this request; None counts as a wrong one.

        Raises:
            TooManyRequests: there were too many wrong ones; it was not looked at.
        """
        address = _address()
        # One at a time, so that of a hundred at once no more get an answer than of a hundred in a row.
        with self._lock:
            watched = [(WRONG_KEYS_PER_ADDRESS, address)]
            if address not in self._known:
                watched.append((WRONG_KEYS_ALTOGETHER, _EVERYBODY))
            for limit, who in watched:
                if not self._limiter.limiter.test(limit, "wrong keys", who):
                    raise TooManyRequests(
                        "Too many wrong keys came from here: wait until the time in Retry-After (seconds) is over.",
                        retry_after=self._seconds_left(limit, "wrong keys", who),
                    )
            found = check()
            if found is None:
                log.warning("wrong key", extra={"client": address})
                for limit, who in ((WRONG_KEYS_PER_ADDRESS, address), (WRONG_KEYS_ALTOGETHER, _EVERYBODY)):
                    self._limiter.limiter.hit(limit, "wrong keys", who)
            else:
                self._known[address] = None
                self._known.move_to_end(address)
                if len(self._known) > MAX_KNOWN_ADDRESSES:
                    self._known.popitem(last=False)
            return found

    def forget(self) -> None:
        """Count anew."""
        self._limiter.reset()

    def _exceeded(self, error: RateLimitExceeded) -> ResponseReturnValue:
        current = self._limiter.current_limit
        left = 1 if current is None else max(1, math.ceil(current.window[0] - time.time()))
        sentence = (
            f"Too many requests came from here (allowed: {error.limit.limit}): wait until the time in Retry-After"
            " (seconds) is over, or raise DOWNLOADER_RATE_LIMIT."
        )
        return {"error": sentence}, 429, {"Retry-After": str(left)}

    def _seconds_left(self, limit: RateLimitItem, *identifiers: str) -> int:
        return max(1, math.ceil(self._limiter.limiter.get_window_stats(limit, *identifiers).reset_time - time.time()))


def _address() -> str:
    """Return the address of the client, of IPv6 the network: who has one address there has 2^64."""
    address = _client()
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return "nowhere" if address is None else str(address)


def _is_own() -> bool:
    # Whoever is at this machine can do without us what they like with it. Or it is a proxy that was not made known
    # (DOWNLOADER_TRUSTED_PROXIES): then all its users would be taken for one.
    address = _client()
    return address is not None and address.is_loopback


def _client() -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    said = request.remote_addr or ""
    if with_port := _WITH_PORT.fullmatch(said):
        said = with_port[1] or with_port[2] or ""
    try:
        address = ipaddress.ip_address(said.partition("%")[0])
    except ValueError:  # a Unix socket; a proxy that says `unknown`
        return None
    return getattr(address, "ipv4_mapped", None) or address

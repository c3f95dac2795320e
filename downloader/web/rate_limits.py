"""Rate limits for requests and for wrong keys, counted in memory."""

from __future__ import annotations

import ipaddress
import logging
import math
import re
import threading
import time
from collections import OrderedDict

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse
from werkzeug.exceptions import TooManyRequests

from downloader.access.keys import ApiKeys

log = logging.getLogger(__name__)

#: From one address; beyond it even the right key is refused until the time is over.
WRONG_KEYS_PER_ADDRESS = parse("10/5minutes")

#: From all addresses together, so that guessing from many addresses does not help. Addresses that have sent a valid key
#: before are exempt, otherwise an attacker could lock out every user.
WRONG_KEYS_ALTOGETHER = parse("100/5minutes")

#: Addresses remembered for having sent a valid key.
MAX_KNOWN_ADDRESSES = 1000

_ALL_ADDRESSES = "all addresses"
_ALL_ROUTES = "all routes"

#: Some proxies append the client's port, which differs for each connection.
_WITH_PORT = re.compile(r"\[([^\[\]]*)\](?::[0-9]*)?|([0-9.]+):[0-9]*", re.ASCII)


class RateLimits:
    """The rate limits of an app."""

    def __init__(self, app: Flask, keys: ApiKeys, *, per_address: str | None) -> None:
        """Limit requests to *per_address*, except liveness probes and those from this machine."""
        self._limiter = Limiter(
            _address,
            app=app,
            application_limits=[] if per_address is None else [per_address],
            application_limits_exempt_when=lambda: request.path == "/healthz" or _is_own(),
            # A single name, because flask-limiter skips requests without a route, and every route named `static`.
            request_identifier=lambda: _ALL_ROUTES,
            storage_uri="memory://",
        )
        app.register_error_handler(RateLimitExceeded, self._exceeded)
        self._keys = keys
        self._lock = threading.Lock()
        self._known: OrderedDict[str, None] = OrderedDict()

    def find_key(self, candidate: bytes) -> bytes | None:
        """Return the digest of *candidate*, sent by this request, if it is one of the keys, else None.

        Raises:
            TooManyRequests: there were too many wrong keys; this one was not looked at.
        """
        address = _address()
        # One at a time, so that concurrent guesses are limited as strictly as sequential ones.
        with self._lock:
            limits = [(WRONG_KEYS_PER_ADDRESS, address), (WRONG_KEYS_ALTOGETHER, _ALL_ADDRESSES)]
            for limit, client in limits[:1] if address in self._known else limits:
                if not self._limiter.limiter.test(limit, "wrong keys", client):
                    raise TooManyRequests(
                        "Too many wrong keys from your address: wait a while, then try again.",
                        retry_after=self._seconds_left(limit, "wrong keys", client),
                    )
            found = self._keys.find(candidate)
            if found is None:
                log.warning("wrong key", extra={"client": address})
                for limit, client in limits:
                    self._limiter.limiter.hit(limit, "wrong keys", client)
            else:
                self._known[address] = None
                self._known.move_to_end(address)
                if len(self._known) > MAX_KNOWN_ADDRESSES:
                    self._known.popitem(last=False)
            return found

    def _exceeded(self, error: RateLimitExceeded) -> ResponseReturnValue:
        current = self._limiter.current_limit
        left = 1 if current is None else max(1, math.ceil(current.window[0] - time.time()))
        sentence = (
            f"Too many requests from your address (limit: {error.limit.limit}): wait for the seconds in Retry-After, or"
            " raise DOWNLOADER_RATE_LIMIT."
        )
        return {"error": sentence}, 429, {"Retry-After": str(left)}

    def _seconds_left(self, limit: RateLimitItem, *identifiers: str) -> int:
        return max(1, math.ceil(self._limiter.limiter.get_window_stats(limit, *identifiers).reset_time - time.time()))


def _address() -> str:
    """Return the client's address; for IPv6 its /64 network, because a client usually has all of it."""
    address = _client()
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return "unknown" if address is None else str(address)


def _is_own() -> bool:
    # A local user can overload this machine without us. Or it is a proxy that is not configured in
    # DOWNLOADER_TRUSTED_PROXIES, whose users would all count as one client.
    address = _client()
    return address is not None and address.is_loopback


def _client() -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = request.remote_addr or ""
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:  # a Unix socket, or a proxy that reports `unknown`
        return None
    return getattr(address, "ipv4_mapped", None) or address

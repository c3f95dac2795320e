"""yt-dlp's request handler for plain requests, and the one for `data:` URLs. Loads yt-dlp.

As yt-dlp's own for requests and urllib, with less between it and the socket: a request on a connection that is open
already takes a third of the processor time.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import zlib
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import Request as UrllibRequest

from yt_dlp.networking._helper import add_accept_encoding_header, get_redirect_method
from yt_dlp.networking._urllib import UrllibRH
from yt_dlp.networking.common import RequestHandler, Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    ProxyError,
    RequestError,
    SSLError,
    TransportError,
)
from yt_dlp.utils.networking import normalize_url

from downloader.egress.connections import Connections, Reply

_MAX_REDIRECTS = 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024

Headers = dict[str, str]


class GuardedRH(RequestHandler):  # type: ignore[misc]  # yt-dlp comes without types
    """Sends http and https requests on `connections`."""

    _SUPPORTED_URL_SCHEMES = ("http", "https")
    #: Not looked at, whatever they are: `connections` has the only proxy.
    _SUPPORTED_PROXY_SCHEMES = None
    _SUPPORTED_FEATURES = None

    connections: Connections

    def _check_extensions(self, extensions: dict[str, Any]) -> None:
        super()._check_extensions(extensions)
        for name in ("cookiejar", "timeout", "legacy_ssl", "keep_header_casing"):
            extensions.pop(name, None)

    def _prepare_headers(self, _: Any, headers: Any) -> None:
        add_accept_encoding_header(headers, ("gzip", "deflate"))
        headers.setdefault("Connection", "keep-alive")

    def _send(self, request: Any) -> Response:
        url, method, data = request.url, request.method, request.data
        headers: Headers = self._get_headers(request)
        for _ in range(_MAX_REDIRECTS):
            reply = self._exchange(request, method, url, headers, data)
            location = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or location is None:
                return _checked(reply, url)
            reply.drain(_CHUNK_BYTES)
            target = _target(url, location)
            headers = _for_redirect(headers, url, target)
            if (next_method := get_redirect_method(method, reply.status)) != method:
                method, data = next_method, None
                headers = _without(headers, "content-length", "content-type")
            url = target
        raise HTTPError(_PlainResponse(reply, url), redirect_loop=True)

    def _exchange(self, request: Any, method: str, url: str, headers: Headers, data: Any) -> Reply:
        """Send one request, with its cookies; store those of the response."""
        if (scheme := urlsplit(url).scheme) not in self._SUPPORTED_URL_SCHEMES:
            raise RequestError(f"a redirect to a URL of the scheme {scheme!r}")
        jar = self._get_cookiejar(request)
        about = UrllibRequest(url, headers=headers)
        jar.add_cookie_header(about)
        if cookies := about.unredirected_hdrs.get("Cookie"):  # unless the request has some of its own
            headers = {**headers, "Cookie": cookies}
        try:
            reply = self.connections.request(
                method,
                url,
                headers,
                body=data,
                timeout_seconds=self._calculate_timeout(request),
                context=self._make_sslcontext(legacy_ssl_support=request.extensions.get("legacy_ssl")),
            )
        except Exception as error:
            raise _translated(error) from error
        if "Set-Cookie" in reply.headers:
            jar.extract_cookies(reply, about)
        return reply


def _checked(reply: Reply, url: str) -> Response:
    response = _PlainResponse(reply, url)
    if not 200 <= response.status < 300:
        raise HTTPError(response)
    return response


def _target(url: str, location: str) -> str:
    """Return where *location*, a header of the response to *url*, leads."""
    with contextlib.suppress(UnicodeDecodeError):
        location = location.encode("latin-1").decode()  # http.client takes every header for Latin-1
    try:
        target: str = normalize_url(urljoin(url, location))
        parts = urlsplit(target)
        _ = parts.port  # checks it
    except ValueError as error:
        raise RequestError(f"a redirect to a malformed URL: {error}", cause=error) from error
    return target if parts.fragment else parts._replace(fragment=urlsplit(url).fragment).geturl()


def _for_redirect(headers: Headers, url: str, target: str) -> Headers:
    # Cookies are chosen for each URL; a credential is for its host only, and is never sent in the clear after all.
    before, after = urlsplit(url), urlsplit(target)
    if before.netloc == after.netloc and after.scheme in (before.scheme, "https"):
        return _without(headers, "cookie")
    return _without(headers, "cookie", "authorization", "host")


def _without(headers: Headers, *names: str) -> Headers:
    return {name: value for name, value in headers.items() if name.lower() not in names}


def _translated(error: Exception) -> RequestError:
    """Return *error*, of a request or of reading its response, as yt-dlp's."""
    if isinstance(error, http.client.IncompleteRead):
        return IncompleteRead(partial=len(error.partial), expected=error.expected, cause=error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateVerifyError(cause=error)
    if isinstance(error, ssl.SSLError):
        return SSLError(cause=error)
    if "tunnel connection failed" in str(error).lower():
        return ProxyError(cause=error)
    if isinstance(error, OSError | http.client.HTTPException | zlib.error | EOFError):
        return TransportError(cause=error)
    return RequestError(cause=error)


class _PlainResponse(Response):  # type: ignore[misc]
    """A response as yt-dlp reads it: decompressed."""

    def __init__(self, reply: Reply, url: str) -> None:
        coding = reply.headers.get("Content-Encoding", "").strip().lower()
        body = _Inflated(reply) if coding in ("gzip", "x-gzip", "deflate") else reply
        super().__init__(fp=body, headers={}, url=url, status=reply.status, reason=reply.reason)
        self.headers = reply.headers  # as they are: yt-dlp would copy each

    def readable(self) -> bool:
        return True

    def read(self, amt: int | None = None) -> bytes:
        try:
            if amt is not None and amt >= 0:
                return self.fp.read(amt) if amt else b""
            return b"".join(iter(lambda: self.fp.read(_CHUNK_BYTES), b""))
        except Exception as error:
            raise _translated(error) from error


class _Inflated:
    """The body of a compressed response; never holds more than what is asked for."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._inflate: Any = None
        self._rest = b""  #: read, but not decompressed yet
        self._complete = False  #: one part, usually the only one, has been read to its end

    @property
    def closed(self) -> bool:
        return self._reply.closed

    def close(self) -> None:
        self._reply.close()

    def read(self, size: int) -> bytes:
        while data := self._rest or self._reply.read(_CHUNK_BYTES):
            if found := self._decompress(data, size):
                return found
        if self._inflate is None or self._complete:
            return b""  # at the end, or without a body, as the response to HEAD
        if found := self._kept(self._inflate, b"", size):
            return found
        if not self._complete:
            raise EOFError("the compressed response is incomplete")
        return b""

    def _decompress(self, data: bytes, size: int) -> bytes:
        if self._inflate is not None and not self._inflate.eof:
            return self._kept(self._inflate, data, size)
        try:
            return self._kept(zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), data, size)  # gzip or zlib
        except zlib.error:
            if not self._complete:  # some servers' "deflate" has no header
                return self._kept(zlib.decompressobj(wbits=-zlib.MAX_WBITS), data, size)
        self._rest = b""  # rubbish after the end, which browsers ignore too
        self._reply.close()
        return b""

    def _kept(self, inflate: Any, data: bytes, size: int) -> bytes:
        found: bytes = inflate.decompress(data, size)
        self._inflate = inflate
        self._complete = self._complete or inflate.eof
        self._rest = inflate.unconsumed_tail or inflate.unused_data
        return found


class DataRH(UrllibRH):  # type: ignore[misc]
    """Reads `data:` URLs, which need no network."""

    _SUPPORTED_URL_SCHEMES = ("data",)

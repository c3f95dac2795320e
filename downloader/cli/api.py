"""Asks a server: its API over HTTP, and a sentence for everything that can go wrong with that."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import quote, urlencode, urlsplit

from downloader.download_settings import CLIENT_KEY
from downloader.util.printable import visible

#: A server that starts, or has a slow disk, may take a while to answer.
TIMEOUT_SECONDS = 60.0

#: Most results of one request.
PAGE = 200

#: More than any answer has, and less than fills the memory.
MAX_ANSWER_BYTES = 256 * 1024 * 1024

Query = Mapping[str, str | int | None]


class UsageError(Exception):
    """The command is wrong; str() says how."""


class ServerError(Exception):
    """The server cannot be reached, or refused; str() is a sentence."""

    def __init__(self, sentence: str, *, status: int | None = None, wait_seconds: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status  #: None: it did not answer
        self.wait_seconds = wait_seconds  #: how long it asked us to wait

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (None, 429, 502, 503, 504)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    # The key is for the server that was named, not for where it points to.
    def redirect_request(self, *_: object) -> None:
        return None


class Server:
    """A server at a URL, which may have a path."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Use the server at *url* with *key*. Raises UsageError if that cannot be a server's, or a key."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # of its port
            usable = False
        if not usable or parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
            raise UsageError("The server's address must be a URL such as http://localhost:8000.")
        if "@" in parts.netloc:
            raise UsageError(f"The server's address must be without a user and a key: set {CLIENT_KEY}.")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise UsageError("The key has characters that no key has.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A proxy of the environment is for other machines.
        proxies = [urllib.request.ProxyHandler({})] if _is_this_machine(parts.hostname or "") else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def ask(
        self, path: str, query: Query | None = None, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object at *path*; with a *body*, POST that. Raises ServerError."""
        data = None if body is None else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "application/json"}
        with self.open(path, query, data=data, headers={**kind, **(headers or {})}) as response:
            answer = _json(_read(response))
        if answer is None:
            raise ServerError(self._not_ours())
        return answer

    def open(
        self,
        path: str,
        query: Query | None = None,
        *,
        method: str | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Return the response of *path*, to be closed. Raises ServerError."""
        pairs = {name: value for name, value in (query or {}).items() if value is not None}
        address = f"{self.url}{quote(path)}" + (f"?{urlencode(pairs)}" if pairs else "")
        request = urllib.request.Request(address, data, {**self._headers, **(headers or {})}, method=method)
        try:
            response: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_SECONDS)
            return response
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(self._unreachable(error)) from None

    def jobs(self, **query: str | int | None) -> Iterator[dict[str, Any]]:
        """Yield the records of all jobs that match *query*, newest first. Raises ServerError."""
        cursor, seen = None, set[str]()
        while True:
            page = self.ask("/api/v1/jobs", {"limit": PAGE, **query, "cursor": cursor})
            yield from page["jobs"]
            cursor = page["next_cursor"]
            if cursor is None:
                return
            if cursor in seen:
                raise ServerError(self._not_ours())
            seen.add(cursor)

    def _refusal(self, error: urllib.error.HTTPError) -> ServerError:
        seconds = error.headers.get("Retry-After", "")
        wait_seconds = int(seconds) if seconds.isdecimal() and len(seconds) < 6 else None
        if 300 <= error.code < 400:
            to = urlsplit(error.headers.get("Location", ""))
            there = visible(f"{to.scheme}://{to.netloc}") if to.netloc else "another address"
            return ServerError(f"{self.url} leads to {there}: name that with --server.", status=error.code)
        answer = _json(_read(error))
        sentence = None if answer is None else answer.get("error")
        if error.code in (502, 504):  # a reverse proxy, whose server is away
            return ServerError(f"The server behind {self.url} does not answer.", status=error.code)
        if not isinstance(sentence, str):
            return ServerError(self._not_ours(), status=error.code)
        if error.code == 401:
            what = "is not a key of" if self._headers else "is needed for"
            sentence = f"{'This' if self._headers else 'A key'} {what} {self.url}: set {CLIENT_KEY}, or use --key."
        elif wait_seconds is not None:
            sentence = f"{sentence} Try again in {wait_seconds} seconds."
        return ServerError(visible(sentence), status=error.code, wait_seconds=wait_seconds)

    def _unreachable(self, error: Exception) -> str:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate of {self.url} is not valid ({visible(cause.verify_message)})."
        if isinstance(cause, ssl.SSLError):
            return f"{self.url} does not speak TLS: is it http instead of https?"
        if isinstance(cause, http.client.HTTPException) and not isinstance(cause, http.client.RemoteDisconnected):
            return self._not_ours()
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return f"No server answers at {self.url} ({visible(str(reason))}): start it, or name another with --server."

    def _not_ours(self) -> str:
        return f"What answers at {self.url} is not a batch video downloader: name one with --server."


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(response: IO[bytes]) -> bytes:
    try:
        content = response.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise ServerError("The connection to the server was lost.") from error
    if len(content) == MAX_ANSWER_BYTES:
        raise ServerError("The server's answer does not end.", status=HTTPStatus.OK)
    return content


def _json(text: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None

"""The HTTP of the egress proxy: parses request and response heads strictly, and serializes them again. No I/O.

An attacker can exploit two parsers that disagree about where a message ends. So anything ambiguous is refused, one
connection carries one request, and what is forwarded is serialized from what was parsed.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 32 * 1024
END_OF_HEAD = b"\r\n\r\n"
TUNNEL_IS_OPEN = b"HTTP/1.1 200 Connection established\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Why the proxy itself responded; the proxy removes these headers from all other responses.
REFUSED_HEADER = "X-Egress-Refused"  #: the host is forbidden
FAILED_HEADER = "X-Egress-Failed"  #: the host could not be reached

Headers = Sequence[tuple[str, str]]

_OURS = (REFUSED_HEADER.lower(), FAILED_HEADER.lower())
#: Headers for this connection only.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "upgrade", *_OURS})
#: A Connection header cannot remove these: they define where a message goes and where it ends.
_FRAME = frozenset({"host", "content-length", "transfer-encoding"})

_CLOSE = ("Connection", "close")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/1\.([01])")
_HEADER_LINE = re.compile(rf"({_TOKEN}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_HOST = r"(?:\[([0-9A-Za-z:.%_~-]+)\]|([^\[\]:/?#@\\]+))"
_AUTHORITY = re.compile(rf"{_HOST}:([0-9]{{1,5}})")
_ABSOLUTE = re.compile(rf"http://{_HOST}(?::([0-9]{{1,5}}))?([/?][^#]*)?", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"(?!http:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")


class Malformed(Exception):
    """A head that cannot be parsed and is not forwarded; str() is the reason."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A client's request: for a tunnel to `host` and `port`, or for one response from there."""

    method: str
    host: str  #: without brackets
    port: int
    path: str = ""  #: with query; empty for a tunnel
    version: str = "1.1"
    headers: Headers = ()  #: for the server, without those for the proxy
    body_bytes: int = 0
    expects_continue: bool = False  #: waits for `CONTINUE` before it sends the body
    credential: tuple[str, str] = ("", "")  #: user and password, not checked
    foreign_scheme: bool = False  #: neither a tunnel nor http; the other fields are empty

    @property
    def is_tunnel(self) -> bool:
        """Whether it asks for a tunnel."""
        return self.method == "CONNECT"

    @property
    def authority(self) -> str:
        """`host:port`, as URLs write it."""
        return authority(self.host, self.port)


def authority(host: str, port: int) -> str:
    """Return `host:port`, as URLs write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_request(head: bytes) -> Request:
    """Return the request in *head*, which ends with its empty line.

    Raises:
        Malformed: it is invalid or ambiguous.
    """
    first, headers = _parse_head(head)
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        raise Malformed("no request line")
    method, target, minor = found.groups()
    if len(_values(headers, "host")) > 1:
        raise Malformed("several hosts")
    body_bytes = _body_bytes(headers)
    credential = _credential(headers)
    if method == "CONNECT":
        at = _AUTHORITY.fullmatch(target)
        if at is None or body_bytes:
            raise Malformed("no host and port to connect to" if at is None else "a body before the tunnel")
        return Request(method=method, host=at[1] or at[2], port=_port(at[3]), credential=credential)
    if method not in _METHODS:
        raise Malformed("an unknown method", 501)
    if _OTHER_SCHEME.match(target):
        return Request(method=method, host="", port=0, foreign_scheme=True, credential=credential)
    at = _ABSOLUTE.fullmatch(target)
    if at is None:
        raise Malformed("no plain http address")
    path = at[4] or "/"
    return Request(
        method=method,
        host=at[1] or at[2],
        port=_port(at[3] or "80"),
        path=path if path.startswith("/") else f"/{path}",
        version=f"1.{minor}",
        headers=[(name, value) for name, value in _end_to_end(headers) if name.lower() not in ("host", "expect")],
        body_bytes=body_bytes,
        expects_continue=bool(_values(headers, "expect")),
        credential=credential,
    )


def request_head(request: Request, *, absolute: bool = False, extra: Headers = ()) -> bytes:
    """Return the head of *request* for its server or, if *absolute*, for an upstream proxy."""
    shown = request.authority if request.port != 80 else request.authority.removesuffix(":80")
    target = f"http://{shown}{request.path}" if absolute else request.path
    headers = [("Host", shown), *extra, *request.headers, _CLOSE]
    return serialize_head(f"{request.method} {target} HTTP/{request.version}", headers)


def response_head(head: bytes) -> tuple[int, bytes]:
    """Return the status of a server's response, and its head for the client, which closes the connection.

    Raises:
        Malformed: it is not HTTP.
    """
    if b"\x00" in head:
        raise Malformed("a response that is not HTTP")
    # Lenient, because the response ends with the connection, whatever its head says.
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").replace("\r\n", "\n").split("\n")
    first = first.rstrip()
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None or any("\r" in line for line in (first, *lines)):
        raise Malformed("a response that is not HTTP")
    status = int(status_line[1])
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and headers:
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {line.strip()}")
        elif found := _HEADER_LINE.fullmatch(line):
            headers.append((found[1], found[2].rstrip()))
        else:
            raise Malformed("a response with a malformed header")
    close = [_CLOSE] if status >= 200 else []
    return status, serialize_head(first, [*_end_to_end(headers), *close])


def proxy_response(status: int, why: str, headers: Headers = ()) -> bytes:
    """Return a response of the proxy itself, which closes the connection; *why* is a line of text."""
    body = f"{why}\n".encode()
    about_body = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    return serialize_head(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", [*headers, *about_body, _CLOSE]) + body


def serialize_head(first: str, headers: Headers) -> bytes:
    """Return a head of *first*, its first line, and *headers*."""
    lines = [first, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def basic(user: str, password: str) -> str:
    """Return the value of a (Proxy-)Authorization header for *user* and *password*."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _parse_head(head: bytes) -> tuple[str, Headers]:
    """Return the first line of *head*, and its headers."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = []
    for line in lines:
        found = _HEADER_LINE.fullmatch(line)
        if found is None:  # or folded, or with a bare CR or LF, where only some parsers end a line
            raise Malformed("a malformed header")
        headers.append((found[1], found[2].rstrip(" \t")))
    return first, headers


def _values(headers: Headers, name: str) -> list[str]:
    return [value for each, value in headers if each.lower() == name]


def _body_bytes(headers: Headers) -> int:
    lengths = _values(headers, "content-length")
    if _values(headers, "transfer-encoding"):
        # Our clients never send a body without its length.
        raise Malformed("a body in chunks", 400 if lengths else 411)
    if not lengths:
        return 0
    if len(lengths) > 1 or not re.fullmatch(r"[0-9]{1,15}", lengths[0]):
        raise Malformed("no length of a body")
    return int(lengths[0])


def _credential(headers: Headers) -> tuple[str, str]:
    """Return user and password for the proxy; both empty unless there is exactly one Basic credential."""
    given = _values(headers, "proxy-authorization")
    if len(given) != 1:
        return "", ""
    scheme, _, rest = given[0].partition(" ")
    try:
        user, _, password = base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:  # not base64, or not text
        return "", ""
    return (user, password) if scheme.lower() == "basic" else ("", "")


def _port(digits: str) -> int:
    port = int(digits)
    if not 0 < port < 65536:
        raise Malformed("no such port")
    return port


def _end_to_end(headers: Headers) -> Headers:
    """Return *headers* without those for this connection or for the proxy."""
    named = {option.strip().lower() for value in _values(headers, "connection") for option in value.split(",")}
    drop = _HOP_BY_HOP | (named - _FRAME)
    return [
        (name, value) for name, value in headers if name.lower() not in drop and not name.lower().startswith("proxy-")
    ]

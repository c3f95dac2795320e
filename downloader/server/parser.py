"""A request parser for waitress that is stricter about framing, and drains bodies it refuses."""

from __future__ import annotations

import re
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import RequestEntityTooLarge

#: A body that is too large is drained up to this size. Most clients read the response only after they have sent the
#: whole request, and would lose it if the connection were closed before.
MAX_DRAINED_BYTES = 256 * 1024**2

_TRANSFER_ENCODING = re.compile(rb"^transfer-encoding:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class StrictParser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Refuses requests that a proxy could frame differently: request smuggling (RFC 9112, 6.3)."""

    error: Any
    expect_continue: bool

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self._deferred_error: RequestEntityTooLarge | None = None  #: the error to answer with, once the body is drained
        self._drained_bytes = 0

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.version not in ("1.0", "1.1"):
            raise ParsingError("This server speaks HTTP/1.1")
        if "TRANSFER_ENCODING" in self.headers:  # waitress removes it where it supports it
            raise ParsingError("HTTP/1.0 has no Transfer-Encoding")
        codings = [coding.strip(b" \t").lower() for coding in _TRANSFER_ENCODING.findall(header_plus)]
        if codings and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding cannot be combined")
        if codings and codings != [b"chunked"]:
            raise ParsingError("Transfer-Encoding must be exactly one: chunked")
        if self.version == "1.1" and "HOST" not in self.headers:
            raise ParsingError("HTTP/1.1 needs a Host header")

    def received(self, data: bytes) -> int:
        """Parse *data*; return how many of its bytes belong to this request."""
        if self._deferred_error is not None:
            return self._drain(data)
        consumed: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            if self.expect_continue and not self.body_bytes_received:
                self.expect_continue = False  # the client waits for our go-ahead, so no body follows
            elif self.content_length <= MAX_DRAINED_BYTES and not self.body_rcv.completed:
                self._deferred_error, self.error, self.completed = self.error, None, False
                self.body_rcv.buf = _NullBuffer()
        return consumed

    def _drain(self, data: bytes) -> int:
        consumed: int = self.body_rcv.received(data)
        self._drained_bytes += consumed
        if self.body_rcv.completed or self.body_rcv.error or self._drained_bytes > MAX_DRAINED_BYTES:
            self.error, self.completed, self.connection_close = self._deferred_error, True, True
        return consumed


class _NullBuffer:
    """A buffer that discards what is appended."""

    def append(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def __len__(self) -> int:
        return 0

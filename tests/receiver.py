"""A receiver of notifications on loopback, which answers as it is told."""

from __future__ import annotations

import json
import queue
import ssl
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = 20


class Request:
    """A request as it came."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.method, self.path, self.headers, self.body = handler.command, handler.path, handler.headers, body

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None: ...


class Receiver:
    """Answers each request with the next of `answers`, then with 200.

    An answer is a status, with headers perhaps; bytes, sent as they are; or `None`: it hangs until `release`.
    """

    def __init__(self) -> None:
        self.requests: queue.Queue[Request] = queue.Queue()
        self.answers: deque[int | bytes | tuple[int, dict[str, str]] | None] = deque()
        self._released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                answer = receiver.answers.popleft() if receiver.answers else 200
                receiver.requests.put(Request(self, body))
                with suppress(OSError):
                    self._answer(answer)

            do_GET = do_POST

            def _answer(self, answer: int | bytes | tuple[int, dict[str, str]] | None) -> None:
                if answer is None:
                    receiver._released.wait(SECONDS)
                elif isinstance(answer, bytes):
                    self.wfile.write(answer)
                else:
                    status, headers = (answer, {}) if isinstance(answer, int) else answer
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self.authority = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Take no other requests from now on; handshakes are done by the threads that serve them."""
        server = self._server
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)

    def next(self) -> Request:
        """Return the next request that came, or comes."""
        return self.requests.get(timeout=SECONDS)

    def release(self) -> None:
        """Let what hangs end."""
        self._released.set()

    def close(self) -> None:
        self.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

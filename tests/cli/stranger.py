"""A server that is not ours, or not well: it answers what a test wants."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response; the connection is closed after *sent* bytes of its body."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: int | None = None


@dataclass
class Stranger:
    url: str
    answers: dict[str, list[Answer]] = field(default_factory=dict)  #: by path; the last one stays
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)


@contextlib.contextmanager
def stranger(answers: Mapping[str, list[Answer]]) -> Iterator[Stranger]:
    """Run a server with *answers* by path, `*` for all others."""
    seen = Stranger("", dict(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            seen.requests.append((self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            left = seen.answers.get(path, seen.answers.get("*", [Answer(status=404, body=b'{"error": "Gone."}')]))
            answer = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.sent])

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield seen
        server.shutdown()
        thread.join()

"""Raw connections to a server."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from tests.real_server import Server


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def response_on(sock: socket.socket) -> tuple[int, Any]:
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, json.loads(answer.read())

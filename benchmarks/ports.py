"""Finds ports for servers that cannot tell which one they took."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port

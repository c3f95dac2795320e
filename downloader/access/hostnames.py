"""What this machine is called."""

from __future__ import annotations

import socket
from functools import cache


@cache
def machine_names() -> frozenset[str]:
    """Return the names of this machine, lower case, with and without domain; may wait for the name service, once."""
    name = socket.gethostname().lower().removesuffix(".")
    short = name.partition(".")[0]
    full = socket.getfqdn().lower().removesuffix(".")
    return frozenset({name, short, f"{short}.local", full}) - {"", ".local"}

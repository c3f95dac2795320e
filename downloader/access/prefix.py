"""Path prefixes: what a reverse proxy serves this server below."""

from __future__ import annotations

import re

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)

MAX_CHARACTERS = 200

#: How the service's own addresses begin. A prefix that does so too could not be told from them.
OWN_PARTS = frozenset({
    "add", "api", "audio_download", "cancel-add", "cookie-status", "dashboard", "delete", "delete-cookies",
    "detect-platform", "download", "healthz", "history", "login", "login.css", "logout", "manifest.webmanifest",
    "metrics", "openapi.json", "portal", "presets", "readyz", "retry", "service-worker.js", "start", "tunnel",
    "upload-cookies", "version",
})  # fmt: skip


def is_prefix(text: str) -> bool:
    """Tell whether *text* is a prefix such as `/videos`: nothing that could be another host or need escaping."""
    return len(text) <= MAX_CHARACTERS and _PREFIX.fullmatch(text) is not None


def parse_prefix(text: str) -> str:
    """Return *text* as a prefix, or "" for the top.

    Raises:
        ValueError: it is not a path, or begins like an address of the service's own.
    """
    prefix = f"/{text.strip('/')}".rstrip("/")
    if prefix and not is_prefix(prefix):
        raise ValueError("must be a path such as /videos, of letters, digits and -._~")
    if first_part(prefix) in OWN_PARTS:
        raise ValueError("must not begin like an address of the service's own: choose another path, such as /videos")
    return prefix


def first_part(path: str) -> str:
    """Return the first part of *path*: `api` of `/api/v1/jobs`."""
    return path.split("/", 2)[1] if path.startswith("/") else ""

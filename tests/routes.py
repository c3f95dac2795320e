"""Every route of an app, for tests that hold for all of them: a new one is covered without being named."""

from __future__ import annotations

import re

from flask import Flask

#: Long enough to be an id, and none.
NOBODY = "aaaaaaaaaaaaaaaa"


def every_route(app: Flask, *, fill: str | None = None) -> list[tuple[str, str]]:
    """Return (method, path) of each; with *fill* only of those that have something variable, which it is put in for."""
    return [
        (method, re.sub("<[^<>]+>", lambda _: fill or NOBODY, rule.rule))
        for rule in app.url_map.iter_rules()
        if fill is None or rule.arguments
        for method in sorted(rule.methods or ())
    ]


def changing_routes(app: Flask) -> list[tuple[str, str]]:
    """Return those that may change something."""
    return [(method, path) for method, path in every_route(app) if method not in ("GET", "HEAD", "OPTIONS")]

"""API documentation: the OpenAPI document and a page made from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from downloader.web.openapi import JSON, Operation, document

NAME = "Batch Video Downloader"
DESCRIPTION = "Give it links from TikTok, Instagram, Twitter/X and YouTube, get playable files."


def create_docs(version: str, operations: Iterable[Operation], *, needs_key: bool) -> Blueprint:
    """Return the documentation routes for *operations*."""
    docs = Blueprint("docs", __name__, static_folder="static", static_url_path="/api/docs/static")

    @cache  # made on demand: few processes ever show it
    def described() -> dict[str, Any]:
        info = {"title": NAME, "version": version, "description": DESCRIPTION}
        return document(operations, info, needs_key=needs_key)

    @docs.get("/openapi.json")
    async def show_document() -> ResponseReturnValue:
        """Return the OpenAPI document."""
        return Response(json.dumps(described(), indent=2), content_type=JSON)

    @docs.get("/api/docs")
    async def show_docs() -> ResponseReturnValue:
        """Show the document as a page, without any script."""
        return render_template("api_docs.html", document=described(), groups=_groups(described()), body=_example)

    return docs


def _groups(described: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Return (method, path, operation) of every route, grouped by tag."""
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return groups


_EXAMPLES = {
    "url": "https://…",
    "urls": ["https://…"],
    "retry_failed_once": False,
    "ids": ["…"],
    "files": False,
    "cookies": "…",
}


def _example(described: dict[str, Any], reference: str) -> str:
    """Return an example request body for the schema that *reference* points to."""
    schema = described["components"]["schemas"][reference.rpartition("/")[2]]
    return json.dumps({name: _EXAMPLES[name] for name in schema["properties"]}, ensure_ascii=False)

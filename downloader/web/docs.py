"""The API's description: an OpenAPI document for programs, a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from downloader.web.openapi import JSON, Operation, document
from downloader.web.responses import Refusal

_CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def create_docs(
    *, title: str, version: str, description: str, operations: Iterable[Operation], needs_key: bool
) -> Blueprint:
    """Return the routes that describe *operations*, and whether they want a key."""
    docs = Blueprint("docs", __name__, static_folder="static", static_url_path="/api/docs/static")
    described = document(
        title=title,
        version=version,
        description=description,
        refusal=Refusal,
        operations=operations,
        needs_key=needs_key,
    )
    text = json.dumps(described, indent=2)

    @docs.get("/openapi.json")
    async def show_document() -> ResponseReturnValue:
        """Answer the OpenAPI document."""
        return Response(text, content_type=JSON)

    @docs.get("/api/docs")
    async def show_docs() -> ResponseReturnValue:
        """Show the document as a page; it needs no script."""
        return render_template("api_docs.html", document=described, groups=_groups(described), body=_example)

    @docs.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return docs


def _groups(described: dict[str, Any]) -> dict[str, list[tuple[str, str, dict[str, Any]]]]:
    """Return (method, path, operation) of each route, by tag."""
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
    """Return an example of the request body that *reference* points at."""
    schema = described["components"]["schemas"][reference.rpartition("/")[2]]
    return json.dumps({name: _EXAMPLES[name] for name in schema["properties"]}, ensure_ascii=False)

"""The OpenAPI document, made from the routes' declarations and their models, and a page that shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from downloader.web.requests import RequestModel, WantedRequest
from downloader.web.responses import ErrorResponse

NAME = "Batch Video Downloader"
DESCRIPTION = "Give it links from TikTok, Instagram, Twitter/X and YouTube, get playable files."

JSON = "application/json"

#: A model for each content type; None where the content is not JSON.
Content = Mapping[str, type[BaseModel] | None]

#: JSON schemas, by model and mode.
Schemas = Mapping[Any, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route's declaration: its request and its responses."""

    method: str
    path: str  #: in OpenAPI's syntax: `/jobs/{job_id}`
    name: str
    tag: str
    text: str  #: the first line is the summary
    responses: Mapping[int, Content]
    errors: Mapping[int, str]  #: statuses from 400 on, with the reason
    query: type[RequestModel] | None
    headers: type[RequestModel] | None
    body: type[RequestModel] | None
    #: Path parameters of the operations that may follow this one, as JSON pointers into its response.
    links: Mapping[str, Mapping[str, str]]
    #: If set, the body may also be plain text; it replaces the model's own parsing.
    parse_bytes: Callable[[bytes], Any] | None


def create_docs(
    version: str, operations: Sequence[Operation], *, needs_key: bool, presets: Sequence[str], default_preset: str
) -> Blueprint:
    """Return the documentation routes for *operations*; requests may name one of *presets*."""
    docs = Blueprint("docs", __name__, static_folder="static", static_url_path="/api/docs/static")

    @cache  # made on demand: few processes ever show it
    def described() -> dict[str, Any]:
        document = _document(version, operations, needs_key=needs_key)
        for model in {operation.body for operation in operations}:
            if model is not None and issubclass(model, WantedRequest):
                schema = document["components"]["schemas"][model.__name__]
                schema["properties"]["preset"] |= {"enum": [*presets], "default": default_preset}
        return document

    @lru_cache(maxsize=4)  # not more: a stranger may choose the prefix
    def serialized(root: str) -> str:
        return json.dumps({**described(), **({"servers": [{"url": root}]} if root else {})}, indent=2)

    @docs.get("/openapi.json")
    async def show_document() -> ResponseReturnValue:
        """Return the OpenAPI document."""
        return Response(serialized(request.script_root), content_type=JSON)

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
    "preset": "video",
    "subtitles": ["en"],
    "folder": "",
    "again": False,
    "expand": None,
    "limit": 100,
    "photos": True,
    "retry_failed_once": False,
    "ids": ["…"],
    "files": False,
    "cookies": "…",
    "archive": "youtube dQw4w9WgXcQ",
}


def _example(described: dict[str, Any], reference: str) -> str:
    """Return an example request body for the schema that *reference* points to."""
    schema = described["components"]["schemas"][reference.rpartition("/")[2]]
    return json.dumps({name: _EXAMPLES[name] for name in schema["properties"]}, ensure_ascii=False)


def _document(version: str, operations: Sequence[Operation], *, needs_key: bool) -> dict[str, Any]:
    # A dict, because every run has to list the schemas in the same order.
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(ErrorResponse, "serialization"): None}
    for operation in operations:
        if operation.body is not None:
            wanted[operation.body, "validation"] = None
        models = [model for content in operation.responses.values() for model in content.values()]
        wanted |= {(model, "serialization"): None for model in models if model is not None}
    schemas, rest = models_json_schema(tuple(wanted), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": NAME, "version": version, "description": DESCRIPTION},
        **({"security": [{"key": []}, {"password": []}]} if needs_key else {}),
        "paths": paths,
        "components": {
            "schemas": rest["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "Any name; the key is the password."},
            },
        },
    }


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    summary, _, more = operation.text.partition("\n")
    described: dict[str, Any] = {"operationId": operation.name, "tags": [operation.tag], "summary": summary}
    if more:
        described["description"] = " ".join(more.split())
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: {"schema": schemas[operation.body, "validation"]}}
        if operation.parse_bytes is not None:
            content["text/plain"] = {"schema": {"type": "string"}}
        described["requestBody"] = {"required": True, "content": content}
    links = {
        name: {
            "operationId": name,
            "parameters": {field: f"$response.body#{pointer}" for field, pointer in fields.items()},
        }
        for name, fields in operation.links.items()
    }
    responses = {
        status: _response(_summary(content), content, schemas) | ({"links": links} if links else {})
        for status, content in operation.responses.items()
    }
    for status, reason in sorted(operation.errors.items()):
        responses[status] = _response(reason, {JSON: ErrorResponse}, schemas)
    described["responses"] = {str(status): response for status, response in responses.items()}
    return described


def _summary(content: Content) -> str:
    texts = [(model.__doc__ or "").partition("\n")[0] for model in content.values() if model is not None]
    return texts[0] if texts else "The requested content."


def _response(description: str, content: Content, schemas: Schemas) -> dict[str, Any]:
    contents = {
        kind: {"schema": {"type": "string"} if model is None else schemas[model, "serialization"]}
        for kind, model in content.items()
    }
    return {"description": description} | ({"content": contents} if contents else {})


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    for location, model in (("query", operation.query), ("header", operation.headers)):
        if model is not None:
            properties = model.model_json_schema()["properties"]
            parameters += [_parameter(name, location, schema) for name, schema in properties.items()]
    return parameters


def _parameter(name: str, location: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a query parameter or header, all of which are optional."""
    del schema["title"]
    # Optional, not nullable: a URL or header cannot express null.
    if options := schema.pop("anyOf", None):
        [only] = [option for option in options if option != {"type": "null"}]
        del schema["default"]
        schema = only | schema
    description = schema.pop("description", None)
    return {"name": name, "in": location, "required": False, "schema": schema} | (
        {"description": description} if description else {}
    )

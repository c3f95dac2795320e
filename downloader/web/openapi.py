"""Builds the OpenAPI document from the routes' declarations and their models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

JSON = "application/json"

Mode = Literal["validation", "serialization"]

#: A model, or a model for each content type; None where the content is not JSON.
Content = type[BaseModel] | Mapping[str, type[BaseModel] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route's declaration: its request and its responses."""

    method: str
    rule: str  #: in Flask's syntax: `/jobs/<job_id>`
    name: str
    tag: str
    text: str  #: the first line is the summary
    responses: Mapping[int, Content]
    errors: Mapping[int, str]  #: statuses from 400 on, with the reason
    query: type[BaseModel] | None = None
    headers: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    #: Path parameters of the operations that may follow this one, as JSON pointers into its response.
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    parse_body: Callable[[object], Any] | None = field(default=None, compare=False)
    #: If set, the body may also be plain text.
    parse_bytes: Callable[[bytes], Any] | None = field(default=None, compare=False)

    @property
    def path(self) -> str:
        """The path in OpenAPI's syntax: `/jobs/{job_id}`."""
        return re.sub(r"<(?:[^<>:]+:)?(\w+)>", r"{\1}", self.rule)


def document(
    *,
    title: str,
    version: str,
    description: str,
    error: type[BaseModel],
    operations: Iterable[Operation],
    needs_key: bool = False,
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of *operations* as a dict; *error* is the model of all error responses."""
    operations = tuple(operations)
    schemas = _Schemas(operations, error)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, error)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        **({"security": [{"key": []}]} if needs_key else {}),
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


class _Schemas:
    """The JSON schemas of all models, including those that others refer to."""

    def __init__(self, operations: Iterable[Operation], error: type[BaseModel]) -> None:
        wanted: dict[tuple[type[BaseModel], Mode], None] = {(error, "serialization"): None}
        for operation in operations:
            wanted |= {(model, "validation"): None for model in (operation.body,) if model is not None}
            for content in operation.responses.values():
                models = _by_type(content).values()
                wanted |= {(model, "serialization"): None for model in models if model is not None}
        self._schemas, rest = models_json_schema(tuple(wanted), ref_template="#/components/schemas/{model}")
        self.definitions: dict[str, Any] = rest.get("$defs", {})

    def of(self, model: type[BaseModel], mode: Mode) -> dict[str, Any]:
        return self._schemas[model, mode]


def _by_type(content: Content) -> Mapping[str, type[BaseModel] | None]:
    return content if isinstance(content, Mapping) else {JSON: content}


def _operation(operation: Operation, schemas: _Schemas, error: type[BaseModel]) -> dict[str, Any]:
    summary, _, more = operation.text.partition("\n")
    described: dict[str, Any] = {"operationId": operation.name, "tags": [operation.tag], "summary": summary.strip()}
    if more.strip():
        described["description"] = " ".join(more.split())
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.body is not None:
        schema = schemas.of(operation.body, "validation")
        content = {JSON: {"schema": schema}}
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
    described["responses"] = {
        str(status): _response(_summary(content), content, schemas) | ({"links": links} if links else {})
        for status, content in operation.responses.items()
    } | {str(status): _response(reason, error, schemas) for status, reason in sorted(operation.errors.items())}
    return described


def _summary(content: Content) -> str:
    texts = [(model.__doc__ or "").partition("\n")[0] for model in _by_type(content).values() if model is not None]
    return texts[0] if texts else "The requested content."


def _response(description: str, content: Content, schemas: _Schemas) -> dict[str, Any]:
    contents = {
        kind: {"schema": {"type": "string"} if model is None else schemas.of(model, "serialization")}
        for kind, model in _by_type(content).items()
    }
    return {"description": description} | ({"content": contents} if contents else {})


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    for location, model in (("query", operation.query), ("header", operation.headers)):
        if model is not None:
            parameters += _fields(location, model)
    return parameters


def _fields(location: str, model: type[BaseModel]) -> Iterable[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True)
    for name, field_schema in schema["properties"].items():
        shape = dict(field_schema)
        description = shape.pop("description", None)
        shape.pop("title", None)
        # Optional, not nullable: a URL or header cannot express null.
        options = [option for option in shape.pop("anyOf", ()) if option != {"type": "null"}]
        if options:
            [only] = options
            shape |= only
            shape.pop("default", None)
            description = description or shape.pop("description", None)
        shape.pop("description", None)
        yield {
            "name": name,
            "in": location,
            "required": name in schema.get("required", ()),
            "schema": shape,
            **({"description": description} if description else {}),
        }

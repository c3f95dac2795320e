"""The OpenAPI document: complete, true to the routes, and held against a live server by schemathesis."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader import create_downloader_app
from downloader.records import Record
from downloader.settings import Settings
from downloader.web import responses as api_models
from tests.real_server import Server

#: For people and for machines that watch; the document is about the API.
UNDESCRIBED = re.compile(
    "/(dashboard|portal/.*|manifest.webmanifest|service-worker.js|login(.css)?|logout|api/docs.*|openapi.json"
    "|healthz|readyz|metrics)"
)

#: Contracts of other people: see docs/clients.md.
OTHERS = ("metube.", "cobalt.")


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.mimetype == "application/json"
    document: dict[str, Any] = answer.get_json()
    return document


def test_every_route_is_in_the_document(app: Flask, document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    routed = {
        (method, re.sub("<(?:[^<>]+:)?(.*?)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not UNDESCRIBED.fullmatch(rule.rule) and not rule.endpoint.startswith(OTHERS)
    }
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == routed
    assert {("POST", "/download/batch"), ("GET", "/api/v1/events")} <= described


def test_the_document_says_whether_a_key_is_needed(document: dict[str, Any], tmp_path: Path) -> None:
    assert "security" not in document
    key = "a-key-that-no-one-guesses"
    keyed = create_downloader_app(Settings.model_validate({"storage_dir": tmp_path, "api_key": key})).test_client()
    assert keyed.get("/openapi.json").status_code == 401
    told = keyed.get("/openapi.json", headers={"Authorization": f"Bearer {key}"}).get_json()
    assert told["security"] == [{"key": []}, {"password": []}]
    schemes = told["components"]["securitySchemes"]
    assert {name: scheme["scheme"] for name, scheme in schemes.items()} == {"key": "bearer", "password": "basic"}


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"].endswith(".") for operation in operations)
    assert all(answer["description"] for operation in operations for answer in operation["responses"].values())


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names <= document["components"]["schemas"].keys()


def test_the_record_is_described_as_it_is() -> None:
    fields = [field.name for field in dataclasses.fields(Record)]
    assert list(api_models.DownloadRecord.model_fields) == fields
    assert set(api_models.JobRecord.model_fields) >= set(fields)


def test_a_body_says_which_presets_there_are(client: FlaskClient, document: dict[str, Any]) -> None:
    names = [preset["name"] for preset in client.get("/api/v1/presets").get_json()["presets"]]
    for model in ("DownloadRequest", "BatchRequest", "QueuedBatchRequest"):
        schema = document["components"]["schemas"][model]["properties"]["preset"]
        assert (schema["type"], schema["enum"], schema["default"]) == ("string", names, "video")


def test_the_page_shows_every_route_without_any_script(client: FlaskClient, document: dict[str, Any]) -> None:
    answer = client.get("/api/docs")
    assert answer.status_code == 200
    for path, methods in document["paths"].items():
        assert path in answer.text
        assert all(f'id="{operation["operationId"]}"' in answer.text for operation in methods.values())
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script|<style|style=|\son\w+=", answer.text)
    [sheet] = re.findall('<link rel="stylesheet" href="(.*?)">', answer.text)
    assert client.get(sheet).mimetype == "text/css"


def test_every_link_of_the_page_leads_somewhere(client: FlaskClient) -> None:
    text = client.get("/api/docs").text
    targets = set(re.findall('id="(.*?)"', text))
    assert {link for link in re.findall('href="#(.*?)"', text)} <= targets


# Against a live server

#: A cursor, a folder and an archive are strings, but not every string is one of ours.
SCHEMATHESIS = """
[[operations]]
include-name = [
    "GET /api/v1/jobs", "GET /api/v1/batches", "POST /api/v1/batches", "POST /download", "POST /download/batch",
    "POST /api/v1/archive",
]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409"]
"""


@pytest.mark.timeout(150)
def test_every_route_answers_as_the_document_says(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Whatever is sent, sense or rubbish: no 5xx, and nothing that is not in the document."""
    server = start_server(DOWNLOADER_COMPAT="false")  # see OTHERS
    config = tmp_path / "schemathesis.toml"
    config.write_text(SCHEMATHESIS)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{server.url}/openapi.json",
        # Streams do not end; the same by polling does.
        "--header", "Accept: application/json",
        "--seed", "1", "--max-examples", "5", "--no-color", "--generation-database", "none", "--warnings", "off",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=140, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    operations = sum(len(methods) for methods in server.ask("GET", "/openapi.json")[1]["paths"].values())
    assert f"Tested: {operations}" in done.stdout, done.stdout[-2000:]
    assert "Traceback" not in "".join(server.log)

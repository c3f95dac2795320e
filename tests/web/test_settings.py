"""The settings over HTTP: all of them, and no secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from downloader.settings import Settings
from downloader.web.settings import GROUPS, shown
from tests.web.world import BEARER, KEY, V1, refused

SECRETS = {
    "api_key": f"{KEY},another-key-of-many-letters",
    "proxy": "http://ada:pass-word@proxy.example:3128/?token=pass-word",
    "database_url": "postgresql://ada:pass-word@db.example/videos?password=pass-word",
    "broker_url": "amqp://ada:pass-word@rabbit.example/videos",
    "ytdlp_options": '{"username": "ada", "password": "pass-word", "http_headers": {"Cookie": "pass-word"}}',
    "notify": "tgram://pass-word/1, json://ada:pass-word@localhost/",
    "webhook_url": "https://ada:pass-word@hooks.example.org/pass-word",
    "webhook_secret": "pass-word-of-many-letters",
    "presets": '{"tiny": {"ytdlp_options": {"password": "pass-word"}}}',
}


def by_name(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {record["name"].removeprefix("DOWNLOADER_").lower(): record for record in records}


def test_every_setting_is_shown_once_with_where_it_comes_from(client: FlaskClient) -> None:
    said = client.get(f"{V1}/settings").get_json()
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(Settings.model_fields)
    settings = by_name(said["settings"])
    assert settings.keys() == Settings.model_fields.keys()
    assert (settings["max_attempts"]["value"], settings["max_attempts"]["source"]) == (1, "environment")
    assert (settings["workers"]["value"], settings["workers"]["source"]) == (8, "default")
    assert (settings["photos"]["value"], settings["max_file_bytes"]["value"]) == (True, None)
    assert settings["storage_dir"]["description"] == "storage folder; videos are saved in its raw/"


def test_no_secret_is_shown() -> None:
    records = shown(Settings.model_validate(SECRETS))
    settings = by_name(records)
    assert settings["api_key"]["value"] == 2  # keys
    assert settings["proxy"]["value"] == "http://proxy.example:3128/"
    assert settings["database_url"]["value"] == "postgresql://db.example/videos"
    assert settings["broker_url"]["value"] == "amqp://rabbit.example/videos"
    assert settings["ytdlp_options"]["value"] == ["http_headers", "password", "username"]
    assert settings["presets"]["value"] == ["tiny"]
    assert settings["notify"]["value"] == 2  # URLs
    assert (settings["webhook_url"]["value"], settings["webhook_secret"]["value"]) == (True, True)
    for secret in ("pass-word", "ada", KEY, "another-key"):
        assert secret not in str(records)


def test_it_needs_the_key_and_tells_how_full_the_storage_is(make_app: Callable[..., Flask]) -> None:
    app = make_app(api_key=KEY, max_storage_bytes=10**9)
    raw = app.extensions["downloader"].settings.raw_dir
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "a.mp4").write_bytes(b"x" * 1000)
    client = app.test_client()
    refused(client.get(f"{V1}/settings"), 401)
    storage = client.get(f"{V1}/settings", headers=BEARER).get_json()["storage"]
    assert (storage["folder"], storage["used_bytes"], storage["max_bytes"]) == (str(raw.parent), 1000, 10**9)
    assert storage["free_bytes"] > 0

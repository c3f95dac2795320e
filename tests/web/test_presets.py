"""The presets over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient

from tests.web.world import TIKTOK, V1, paused, refused, submit


def test_the_presets_are_listed_with_what_each_gives(client: FlaskClient) -> None:
    shown = client.get(f"{V1}/presets").get_json()
    assert shown["default"] == "video"
    names = [preset["name"] for preset in shown["presets"]]
    assert names == ["video", "1080p", "720p", "480p", "smallest", "audio", "mp3"]
    kinds = {preset["name"]: (preset["kind"], preset["max_height"]) for preset in shown["presets"]}
    assert kinds["video"] == ("video", None)
    assert kinds["720p"] == ("video", 720)
    assert kinds["audio"] == kinds["mp3"] == ("audio", None)
    assert all(preset["label"] and preset["description"].endswith(".") for preset in shown["presets"])


def test_the_operators_presets_count_as_ours_do(make_app: Callable[..., Flask]) -> None:
    opus = {"label": "Opus", "kind": "audio", "ytdlp_options": {"format": "ba[acodec=opus]"}}
    client = make_app(presets={"opus": opus}, default_preset="opus").test_client()
    paused(client)
    shown = client.get(f"{V1}/presets").get_json()
    assert (shown["presets"][-1]["label"], shown["default"]) == ("Opus", "opus")
    assert "ytdlp_options" not in shown["presets"][-1]
    [by_default] = submit(client, f"{TIKTOK}1")["jobs"]
    assert (by_default["preset"], by_default["kind"]) == ("opus", "audio")
    [video] = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1"], "preset": "video"}).get_json()["jobs"]
    assert (video["preset"], video["kind"]) == ("video", "video")
    sentence = refused(client.post("/download", json={"url": f"{TIKTOK}1", "preset": "x"}), 400)
    assert "mp3, opus, or none to get opus" in sentence
    document = client.get("/openapi.json").get_json()["components"]["schemas"]["BatchRequest"]["properties"]["preset"]
    assert (document["enum"][-1], document["default"]) == ("opus", "opus")

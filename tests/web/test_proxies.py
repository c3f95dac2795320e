"""The service behind proxies: below a prefix, which they strip from the path or not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from downloader import create_downloader_app
from downloader.access.prefix import OWN_PARTS, first_part
from downloader.errors import StartRefused
from downloader.settings import Settings, load_settings
from tests.simulator.client import Simulator

BROWSER = {"Accept": "text/html"}
MakeApp = Callable[..., Flask]

#: Settings, headers and path: of a proxy that sends the prefix in the path, in a header, or in both; and of a client
#: on the same machine, such as a health check, that knows of no prefix.
WAYS: list[tuple[dict[str, Any], dict[str, str], str, str]] = [
    ({"url_prefix": "/videos"}, {}, "/videos", "/videos"),
    ({"url_prefix": "/videos"}, {}, "", "/videos"),
    ({"trusted_proxies": 1}, {"X-Forwarded-Prefix": "/videos"}, "", "/videos"),
    ({"trusted_proxies": 1}, {"X-Forwarded-Prefix": "/videos/"}, "/videos", "/videos"),
    ({"trusted_proxies": 1, "url_prefix": "/a"}, {"X-Forwarded-Prefix": "/videos"}, "/videos", "/videos"),
    ({"trusted_proxies": 1, "url_prefix": "/a/b.c"}, {}, "/a/b.c", "/a/b.c"),
]


@pytest.mark.parametrize(("settings", "headers", "below", "root"), WAYS)
def test_every_address_that_it_gives_is_below_its_prefix(
    make_app: MakeApp, settings: dict[str, Any], headers: dict[str, str], below: str, root: str
) -> None:
    client = make_app(**settings).test_client()
    about = client.get(f"{below}/", headers=headers).get_json()
    assert (about["dashboard"], about["documentation"]) == (f"{root}/dashboard", f"{root}/api/docs")
    assert client.get(f"{below}/", headers={**headers, **BROWSER}).location == f"{root}/dashboard"
    added = client.post(f"{below}/api/v1/batches", json={"urls": ["https://netflix.com/1"]}, headers=headers)
    assert added.headers["Location"].startswith(f"{root}/api/v1/batches/")
    assert client.get(f"{below}/openapi.json", headers=headers).get_json()["servers"] == [{"url": root}]
    assert f"{root}/api/v1/jobs" in client.get(f"{below}/api/docs", headers=headers).text
    manifest = client.get(f"{below}/manifest.webmanifest", headers=headers).get_json()
    assert (manifest["scope"], manifest["start_url"]) == (f"{root}/", f"{root}/dashboard")
    assert {icon["src"].split("/portal/")[0] for icon in manifest["icons"]} == {root}
    worker = client.get(f"{below}/service-worker.js", headers=headers)
    assert worker.headers["Service-Worker-Allowed"] == f"{root}/"


@pytest.mark.parametrize("forwarded", ["//evil.example", "/a/../b", "https://evil.example", '/"x', "/a//b", " ", "/"])
def test_a_forwarded_prefix_that_is_none_is_ignored(make_app: MakeApp, forwarded: str) -> None:
    client = make_app(trusted_proxies=1).test_client()
    about = client.get("/", headers={"X-Forwarded-Prefix": forwarded})
    assert about.get_json()["dashboard"] == "/dashboard"


def test_a_prefix_of_someone_who_is_no_trusted_proxy_is_ignored(make_app: MakeApp) -> None:
    about = make_app().test_client().get("/", headers={"X-Forwarded-Prefix": "/videos"})
    assert about.get_json()["dashboard"] == "/dashboard"


@pytest.mark.parametrize("path", ["/videosx/", "/video", "/other/api/v1/queue", "/VIDEOS/"])
def test_what_is_not_below_it_is_not_found(make_app: MakeApp, path: str) -> None:
    assert make_app(url_prefix="/videos").test_client().get(path).status_code == 404


@pytest.mark.parametrize("prefix", ["/api", "/download/batch", "/portal/x", "/healthz"])
def test_a_prefix_that_begins_like_a_route_is_refused(prefix: str) -> None:
    """With the settings, so that `check` says so too."""
    with pytest.raises(StartRefused, match="DOWNLOADER_URL_PREFIX is set wrongly: must not begin like"):
        load_settings(url_prefix=prefix)


def test_what_a_prefix_must_not_begin_like_are_the_routes(make_app: MakeApp) -> None:
    assert {first_part(rule.rule) for rule in make_app().url_map.iter_rules()} == {"", *OWN_PARTS}


def test_a_forwarded_one_that_begins_like_a_route_has_been_stripped(make_app: MakeApp) -> None:
    client = make_app(trusted_proxies=1).test_client()
    answer = client.get("/api/v1/queue", headers={"X-Forwarded-Prefix": "/api"})
    assert answer.status_code == 200


def test_events_and_records_name_thumbnails_below_it(
    make_settings: Callable[..., Settings], simulator: Simulator
) -> None:
    app = create_downloader_app(make_settings(url_prefix="/videos"))
    client = app.test_client()
    record = client.post("/download", json={"url": simulator.url("tiktok", "ok")}).get_json()
    expected = f"/videos/api/v1/jobs/{record['job_id']}/thumbnail"
    assert record["thumbnail_url"] == expected
    page = client.get("/videos/api/v1/events?since=0", headers={"Accept": "application/json"}).get_json()
    assert {event["data"].get("thumbnail_url") for event in page["events"]} - {None} == {expected}
    stream = client.get("/videos/api/v1/events?since=0", headers={"Accept": "text/event-stream"})
    assert any(f'"thumbnail_url":"{expected}"' in str(frame) for frame in itertools.islice(stream.response, 9))
    stream.close()
    app.extensions["downloader"].close(grace_seconds=0)


# Logging in


def log_in(client: FlaskClient, below: str, **form: str) -> Any:
    return client.post(f"{below}/login", data={"key": "a-key-that-no-one-guesses", **form}, headers=BROWSER)


def test_a_session_is_of_this_prefix_alone(make_app: MakeApp) -> None:
    below = "/videos"
    client = make_app(url_prefix="/videos", api_key="a-key-that-no-one-guesses").test_client()
    leads = client.get(f"{below}/dashboard?url=1", headers=BROWSER).location
    assert leads == "/videos/login?next=/videos/dashboard?url%3D1"
    answer = log_in(client, below, next="/videos/dashboard?url=1")
    assert answer.location == "/videos/dashboard?url=1"
    assert "; Path=/videos;" in f"{answer.headers['Set-Cookie']};"
    assert log_in(client, below, next="/other/dashboard").location == "/videos/dashboard"
    assert log_in(client, below, next="/videosx").location == "/videos/dashboard"
    ended = client.post(f"{below}/logout", headers=BROWSER)
    assert ended.location == "/videos/login"
    assert "; Path=/videos;" in f"{ended.headers['Set-Cookie']};"
    assert "log in at /videos/login." in client.get(f"{below}/api/v1/queue").get_json()["error"]


def test_over_tls_its_cookie_is_one_that_needs_tls(make_app: MakeApp) -> None:
    app = make_app(url_prefix="/videos", api_key="a-key-that-no-one-guesses", trusted_proxies=1)
    headers = {**BROWSER, "X-Forwarded-Proto": "https"}
    form = {"key": "a-key-that-no-one-guesses"}
    answer = app.test_client().post("/videos/login", data=form, headers=headers)
    assert answer.headers["Set-Cookie"].startswith("__Secure-downloader_session=")
    assert "; Secure" in answer.headers["Set-Cookie"]

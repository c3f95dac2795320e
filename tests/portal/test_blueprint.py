"""The dashboard over HTTP."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from downloader import create_downloader_app
from downloader.settings import Settings


@pytest.fixture
def client(make_settings: Callable[..., Settings]) -> FlaskClient:
    return create_downloader_app(make_settings()).test_client()


def assets(client: FlaskClient) -> list[str]:
    page = client.get("/dashboard").get_data(as_text=True)
    return re.findall(r'(?:href|src)="(/portal/static/[^"]+)"', page)


def test_the_page_has_no_script_or_style_in_it(client: FlaskClient) -> None:
    page = client.get("/dashboard").get_data(as_text=True)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)
    policy = client.get("/dashboard").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_server_that_is_open_to_all_says_so(make_settings: Callable[..., Settings]) -> None:
    def page(**settings: str) -> str:
        return create_downloader_app(make_settings(**settings)).test_client().get("/dashboard").get_data(as_text=True)

    assert "Anyone on your network can use this server." in page(host="0.0.0.0")
    assert "Anyone on your network can use this server." not in page(host="127.0.0.1")


def test_files_never_change(client: FlaskClient) -> None:
    found = assets(client)
    assert len(found) > 20
    for address in found:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_files_are_compressed_for_those_who_can_read_it(client: FlaskClient) -> None:
    address = next(address for address in assets(client) if address.endswith("/links.js"))
    plain = client.get(address)
    packed = client.get(address, headers={"Accept-Encoding": "br, gzip"})
    assert plain.headers.get("Content-Encoding") is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != packed.headers["ETag"]
    assert client.get(address, headers={"Accept-Encoding": "gzip;q=0"}).data == plain.data


def test_modules_of_another_version_are_never_mixed_in(client: FlaskClient) -> None:
    address = next(address for address in assets(client) if address.endswith("/api.js"))
    old = re.sub("static/[0-9a-f]+/", "static/0123456789abcdef/", address)
    assert client.get(old).status_code == 404


@pytest.mark.parametrize(
    "name", ["..%2f..%2fshell.py", "../../shell.py", "%2e%2e/shell.py", "nothing.js", "a%00b.js", ""]
)
def test_nothing_but_the_pages_files_is_served(client: FlaskClient, name: str) -> None:
    folder = assets(client)[0].rpartition("/")[0]
    answer = client.get(f"{folder}/{name}")
    assert answer.status_code in {404, 405}
    assert answer.is_json


def test_every_module_is_fetched_at_once(client: FlaskClient) -> None:
    """A module that the page does not name is fetched only after the module that imports it."""
    named = {address.rpartition("/")[2] for address in assets(client)}
    for address in assets(client):
        if address.endswith(".js"):
            imported = re.findall(r'from "\./(\w+\.js)"', client.get(address).get_data(as_text=True))
            assert set(imported) <= named, address


def test_the_page_is_asked_for_each_time_but_sent_once(client: FlaskClient) -> None:
    first = client.get("/dashboard")
    assert first.headers["Cache-Control"] == "no-cache"
    assert client.get("/dashboard", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_it_can_be_installed_and_shared_to(client: FlaskClient) -> None:
    answer = client.get("/manifest.webmanifest")
    assert answer.content_type.startswith("application/manifest+json")
    manifest = json.loads(answer.data)
    assert manifest["share_target"]["action"] == manifest["start_url"] == "/dashboard"
    assert manifest["share_target"]["params"] == {"title": "title", "text": "text", "url": "url"}
    for icon in manifest["icons"]:
        assert client.get(icon["src"]).content_type.startswith(icon["type"])


def test_below_a_prefix_everything_has_it(client: FlaskClient) -> None:
    options = {"base_url": "http://localhost/videos/"}
    page = client.get("/dashboard", **options).get_data(as_text=True)
    assert 'data-root="/videos"' in page
    for address in re.findall(r'(?:href|src)="(/[^"]+)"', page):
        assert address.startswith("/videos/")
    assert client.get("/service-worker.js", **options).headers["Service-Worker-Allowed"] == "/videos/"
    shell = client.get("/portal/shell.json", **options).get_json()
    assert all(address.startswith("/videos/") for address in shell["files"])

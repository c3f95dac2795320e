"""Access control on every route: keys, hosts, origins and security headers."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from limits import parse
from werkzeug.http import parse_options_header

from downloader.errors import StartRefused
from downloader.settings import load_settings
from downloader.web import rate_limits
from tests.real_server import REPOSITORY, Server
from tests.routes import NOBODY, changing_routes, every_route
from tests.web.world import BEARER, KEY, ask

pytestmark = pytest.mark.thorough

SECOND = "another-key-no-one-guesses"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NAMED = "https://named.example"

#: All that is answered without a key.
OPEN = ("/healthz", "/login", "/portal/static/", "/manifest.webmanifest", "/service-worker.js", "/portal/shell.json",
        "/tunnel")  # fmt: skip
#: What programs written for cobalt ask first.
INFO = (("GET", "/"), ("HEAD", "/"))
#: Refuses in cobalt's words: see test_cobalt.py.
COBALT = ("POST", "/")


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Return an app that wants a key."""
    return make_app(api_key=f"{KEY},{SECOND}", cors_origins=NAMED)


@pytest.fixture
def open_app(make_app: Callable[..., Flask]) -> Flask:
    """Return an app that wants none."""
    return make_app()


# Keys


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_every_route_wants_the_key(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "WRONG_KEYS_PER_ADDRESS", parse("9999/minute"))
    monkeypatch.setattr(rate_limits, "WRONG_KEYS_ALTOGETHER", parse("9999/minute"))
    routes = [
        *every_route(app),
        ("GET", "/nothing"),
        ("GET", "/favicon.ico/"),
        ("GET", "/healthz/"),
    ]
    assert {path for _, path in routes} >= {"/", "/metrics", "/readyz", "/openapi.json", "/api/docs", "/api/v1/events"}
    for method, path in routes:
        if (method, path) == COBALT:
            continue
        if (method, path) in INFO or (path.startswith(OPEN) and path != "/healthz/"):
            assert path in ("/login", "/tunnel") or ask(app, method, path).status_code != 401, (method, path)
            continue
        for headers in ({}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": f"Basic {KEY}"}, {"X-Api-Key": KEY}):
            answer = ask(app, method, path, headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            challenges = answer.headers.getlist("WWW-Authenticate")
            assert [challenge.partition(" ")[0] for challenge in challenges] == ["Bearer", "Api-Key", "Basic"]
            if method != "HEAD":
                assert answer.get_json().keys() == {"error"}
        for header in (f"bearer {KEY}", f"Api-Key {SECOND}", basic(f"any name:{KEY}")):
            answer = ask(app, method, path, headers={"Authorization": header})
            assert answer.status_code not in (401, 403, 429), (method, path)


def test_cobalts_doors_are_closed_with_the_setting(make_app: Callable[..., Flask]) -> None:
    app = make_app(api_key=KEY, compat=False)
    for method, path in (*INFO, ("GET", "/tunnel"), ("POST", "/"), ("POST", "/add")):
        assert ask(app, method, path).status_code == 401, (method, path)


def test_without_a_key_every_route_is_open(open_app: Flask) -> None:
    for method, path in every_route(open_app):
        for headers in ({}, BEARER):
            assert ask(open_app, method, path, headers=headers).status_code not in (401, 403, 429), (method, path)


def test_the_key_opens_nothing_in_an_address_or_a_form(client: FlaskClient) -> None:
    assert client.get(f"/api/v1/queue?key={KEY}&api_key={KEY}&token={KEY}").status_code == 401
    assert client.post("/api/v1/batches", data={"key": KEY}).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer  ", "bearer \xff\xfe", f"Bearer {KEY},{SECOND}", f"Bearer {KEY} {SECOND}",
     "Bearer sha256:" + "0" * 64, "Bearer " + "x" * 100_000],
)  # fmt: skip
def test_a_broken_header_is_no_key(client: FlaskClient, header: str) -> None:
    assert client.get("/api/v1/queue", headers={"Authorization": header}).status_code == 401


def test_a_key_that_is_no_ascii_works(make_app: Callable[..., Flask]) -> None:
    client = make_app(api_key="schlüssel-mit-ümlaut").test_client()
    header = "Bearer schlüssel-mit-ümlaut".encode().decode("latin-1")  # as WSGI hands on what curl sends
    assert client.get("/api/v1/queue", headers={"Authorization": header}).status_code == 200


def test_a_page_is_answered_with_the_way_to_log_in(client: FlaskClient) -> None:
    for path in (
        "/",
        "/dashboard",
        "/api/docs",
        f"/api/v1/files/{NOBODY}?download=true",
        "/dashboard?url=https%3A%2F%2Fx.com",
    ):
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == 303
        where = urlsplit(answer.location)
        assert (where.scheme, where.netloc, where.path) == ("", "", "/login")
        assert parse_qs(where.query) == {"next": [path]}
    assert client.head("/dashboard", headers=BROWSER).location == "/login"
    assert client.post("/logout", headers=BROWSER).location == "/login"
    assert client.get("/dashboard", headers={**BROWSER, "Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize("path", ["/\\attacker.example", "/%5cattacker.example", "/%0d%0aX:y"])
def test_the_way_back_never_leads_elsewhere(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers=BROWSER)
    assert answer.location.startswith("/login")
    assert "next=//" not in answer.location
    assert "next=%2F%2F" not in answer.location
    assert "\\" not in answer.location
    assert "\n" not in answer.location


def test_the_key_is_never_told(make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app = make_app(api_key=KEY)
    for headers in (BEARER, {"Authorization": f"Bearer {KEY}x"}):
        for path in ("/", "/metrics", "/openapi.json", "/nothing"):
            answer = app.test_client().get(path, headers=headers)
            assert KEY not in answer.text + str(answer.headers)
    assert "wrong key" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(vars(app.extensions["downloader"])) + repr(app.config)


# Hosts


def test_a_strange_host_is_refused_on_every_route(app: Flask, open_app: Flask) -> None:
    for each, headers in ((open_app, {}), (app, BEARER)):
        for method, path in [*every_route(each), ("GET", "/nothing")]:
            for host in ("attacker.example", "attacker.example:8000", "localhost.attacker.example"):
                answer = ask(each, method, path, headers={**headers, "Host": host})
                assert answer.status_code == 400, (method, path)
                assert method == "HEAD" or "DOWNLOADER_ALLOWED_HOSTS" in answer.get_json()["error"]
                assert "attacker" not in answer.text + str(answer.headers)


def test_forwarded_headers_count_only_behind_a_proxy(make_app: Callable[..., Flask]) -> None:
    forwarded = {"X-Forwarded-Host": "videos.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    direct = make_app()
    assert ask(direct, "GET", "/healthz", headers=forwarded).status_code == 200
    assert ask(direct, "GET", "/healthz", headers={**forwarded, "Host": "videos.example.org"}).status_code == 400
    behind = make_app(trusted_proxies=1, allowed_hosts="videos.example.org", api_key=KEY)
    assert ask(behind, "GET", "/healthz", headers=forwarded).status_code == 200
    # A page can have the one sent, but not the other.
    headers = {**forwarded, "Host": "attacker.example"}
    assert ask(behind, "GET", "/healthz", headers=headers).status_code == 400
    assert ask(behind, "GET", "/healthz", headers={"X-Forwarded-Host": "attacker.example"}).status_code == 400
    cookie = ask(behind, "POST", "/login", data={"key": KEY}, headers=forwarded).headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure;" in cookie
    assert (
        "Secure"
        not in ask(make_app(api_key=KEY), "POST", "/login", data={"key": KEY}, headers=forwarded).headers["Set-Cookie"]
    )


# Other origins


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
def test_what_another_page_sends_is_refused_on_every_route(open_app: Flask, app: Flask, said: dict[str, str]) -> None:
    for each, headers in ((open_app, {}), (app, BEARER)):
        for method, path in every_route(each):
            answer = ask(each, method, path, headers={**headers, **said}, data="{}")
            assert answer.status_code == 403, (method, path)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert method == "HEAD" or answer.get_json().keys() == {"error"}


def test_our_own_page_and_no_page_at_all_may_change_things(open_app: Flask) -> None:
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    for method, path in changing_routes(open_app):
        for headers in ({}, own, {"Sec-Fetch-Site": "none"}, {"Content-Type": "text/plain"}):
            assert ask(open_app, method, path, headers=headers).status_code != 403, (method, path)
    answer = open_app.test_client().post("/detect-platform", data='{"url": "https://youtu.be/x"}')  # as curl -d
    assert answer.get_json()["platform"] == "youtube"


def test_a_link_from_elsewhere_leads_to_pages_and_not_to_streams(open_app: Flask) -> None:
    visit = {**BROWSER, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert ask(open_app, "GET", "/dashboard?url=https%3A%2F%2Fx.com", headers=visit).status_code == 200
    assert ask(open_app, "GET", f"/api/v1/files/{NOBODY}", headers=visit).status_code == 404
    for path in ("/api/v1/events", "/api/v1/events/", "/api/v1/events?since=0"):
        assert ask(open_app, "GET", path, headers=visit).status_code == 403
    assert ask(open_app, "POST", "/api/v1/queue/pause", headers=visit).status_code == 403


def test_a_named_origin_may_use_the_api_with_a_key_and_without_the_session(app: Flask) -> None:
    client, cors = app.test_client(), {"Origin": NAMED, "Sec-Fetch-Site": "cross-site"}
    preflight = client.options(
        "/api/v1/batches",
        headers={**cors, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"},
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == NAMED
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    answer = client.get("/api/v1/queue", headers={**cors, **BEARER})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == NAMED
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    refused = client.get("/api/v1/queue", headers=cors)
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == NAMED  # so that the page can tell why
    client.post("/login", data={"key": KEY})
    assert client.get("/api/v1/queue").status_code == 200
    assert client.get("/api/v1/queue", headers=cors).status_code == 401


def test_a_browser_is_not_asked_for_a_name_and_password(client: FlaskClient) -> None:
    """It would open a dialog of its own over the page that asks for the key."""
    for headers in ({}, BROWSER):
        answer = client.get("/api/v1/queue", headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", **headers})
        assert "Basic" not in " ".join(answer.headers.getlist("WWW-Authenticate"))


EXTENSIONS = (f"chrome-extension://{'abcdefghijklmnop' * 2}", "moz-extension://0f9e8d7c-1234-4abc-8def-0123456789ab")


def test_an_extension_needs_a_key_and_no_name(app: Flask, open_app: Flask) -> None:
    """It cannot use the session of the browser that it runs in."""
    for origin in EXTENSIONS:
        for site in ("cross-site", "none"):  # differs by browser, and by what the extension may reach
            sent = {"Origin": origin, "Sec-Fetch-Site": site}
            client = app.test_client()
            wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
            preflight = client.options("/api/v1/batches", headers={**sent, **wish})
            assert (preflight.status_code, preflight.headers["Access-Control-Allow-Origin"]) == (200, origin)
            assert client.get("/api/v1/queue", headers={**sent, **BEARER}).status_code == 200
            client.post("/login", data={"key": KEY})
            assert client.get("/api/v1/queue").status_code == 200
            refused = client.get("/api/v1/queue", headers=sent)
            assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, origin)
            assert ask(open_app, "GET", "/api/v1/queue", headers=sent).status_code == 403


def test_without_a_key_extensions_are_allowed_by_scheme(make_app: Callable[..., Flask]) -> None:
    app = make_app(cors_origins="moz-extension://*")
    chrome, firefox = (ask(app, "GET", "/api/v1/queue", headers={"Origin": origin}) for origin in EXTENSIONS)
    assert chrome.status_code == 403
    assert "Access-Control-Allow-Origin" not in chrome.headers
    assert (firefox.status_code, firefox.headers["Access-Control-Allow-Origin"]) == (200, EXTENSIONS[1])


def test_an_origin_in_brackets_can_be_named(make_app: Callable[..., Flask]) -> None:
    app = make_app(cors_origins="http://[::1]:3000")
    answer = ask(app, "GET", "/api/v1/queue", headers={"Origin": "http://[::1]:3000"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://[::1]:3000"
    assert ask(app, "GET", "/api/v1/queue", headers={"Origin": "http://[::1]:30000"}).status_code == 403
    assert "Access-Control-Allow-Origin" not in ask(app, "GET", "/api/v1/queue").headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_HOSTS", "https://example.org"),
        ("ALLOWED_HOSTS", "exa mple"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "example.org"),
        ("CORS_ORIGINS", "https://*"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "all"),
        ("RATE_LIMIT", "0/minute"),
        ("RATE_LIMIT", "many"),
        ("RATE_LIMIT", "5 per fortnight"),
    ],
)
def test_a_bad_setting_stops_the_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"DOWNLOADER_{name}", value)
    with pytest.raises(StartRefused, match=f"DOWNLOADER_{name}"):
        load_settings()


# Every answer


def test_every_answer_is_sealed(app: Flask, open_app: Flask) -> None:
    for each, headers in ((open_app, {}), (app, BEARER), (app, {}), (open_app, {"Host": "attacker.example"})):
        for method, path in [*every_route(each), ("GET", "/nothing"), ("PUT", "/")]:
            answer = ask(each, method, path, headers=headers)
            assert answer.headers["X-Content-Type-Options"] == "nosniff", (method, path)
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            policy = answer.headers["Content-Security-Policy"]
            assert policy == "sandbox" or ("default-src 'none'" in policy and "frame-ancestors 'none'" in policy)
            assert "unsafe" not in policy
            assert "Server" not in answer.headers


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'"


def test_what_is_sent_is_never_answered_as_markup(open_app: Flask, make_app: Callable[..., Flask]) -> None:
    keyed = make_app(api_key=KEY)
    names = ("url", "text", "title", "next", "state", "platform", "batch", "cursor", "limit", "since", "index",
             "download", "files", "key", "x<b>")  # fmt: skip
    for app in (open_app, keyed):
        paths = [
            *every_route(app),
            *every_route(app, fill=quote(MARKUP, safe="")),
            ("GET", "/" + quote(MARKUP)),
        ]
        for method, path in paths:
            for query in ({}, dict.fromkeys(names, MARKUP)):
                for body in (MARKUP, json.dumps({"url": MARKUP, "urls": [MARKUP], "ids": [MARKUP], MARKUP: MARKUP})):
                    answer = ask(app, method, path, query_string=query, data=body, headers={
                        **BROWSER, "Idempotency-Key": "<b>", "Last-Event-ID": "<b>", "Range": "<b>", "Cookie": MARKUP,
                        "Authorization": f"Basic {MARKUP}",
                    })  # fmt: skip
                    if answer.mimetype == "text/html":
                        assert "<script>alert" not in answer.text, (method, path)
                        assert "<img src=x" not in answer.text, (method, path)
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert "<script>" not in str(answer.headers)


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range", "Date"])
def test_impossible_dates_are_none(app: Flask, name: str) -> None:
    plain = ask(app, "GET", "/portal/shell.json")
    for date in (
        "Wed, 01 Jan 2020 00:00:00 +99999999999999",
        "Wed, 01 Jan 0001 00:00:00 +2359",
        "99999999999",
        "0" * 99,
    ):
        answer = ask(app, "GET", "/portal/shell.json", headers={name: date, "Range": "bytes=0-5"})
        assert (answer.status_code, answer.data) == (200, plain.data)


TRAVERSALS = [
    "../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "....//....//etc/passwd",
    "..%5c..%5cetc%5cpasswd", "%2fetc%2fpasswd", "//etc/passwd", "..%00/", "%00", "..%252f..%252fetc%252fpasswd",
    "%c0%ae%c0%ae/etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "C:%5cWindows%5cwin.ini", ".", "..", "session.key",
    "..%2fsession.key", "..%2f..%2f..%2fdownloader.db",
]  # fmt: skip


def test_no_path_leads_out(open_app: Flask, make_app: Callable[..., Flask]) -> None:
    keyed = make_app(api_key=KEY)
    secret = (keyed.extensions["downloader"].settings.storage_dir / "session.key").read_bytes()
    assert len(secret) == 32
    rules = [rule.rule for rule in keyed.url_map.iter_rules() if "<" in rule.rule]
    assert "/portal/static/<path:filename>" in rules or len(rules) > 5
    for app, headers in ((open_app, {}), (keyed, {}), (keyed, BEARER)):
        for fill in TRAVERSALS:
            for method, path in every_route(app, fill=fill):
                answer = ask(app, method, path, headers=headers)
                assert answer.status_code >= 400 or method == "OPTIONS", (method, path)
                assert answer.status_code < 500, (method, path)
                assert b"root:" not in answer.data
                assert secret not in answer.data


@pytest.mark.parametrize(
    "name",
    ['a"; filename="evil.html', "a\r\nSet-Cookie: x=y", "a\nX: y", "a\x01b", "a;b=c", "é\u2028«.html", "a%0d%0aX: y",
     "<script>alert(1)<script>"],
)  # fmt: skip
@pytest.mark.parametrize("download", ["true", "false"])
def test_a_file_name_adds_no_header(open_app: Flask, monkeypatch: pytest.MonkeyPatch, name: str, download: str) -> None:
    """File names come from titles, and users may put files of their own into the folder."""

    def write(url: str, output_dir: str) -> tuple[bool, str, None]:
        path = Path(output_dir) / f"{name}.mp4"
        path.write_bytes(b"a video")
        return True, str(path), None

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", write)
    client = open_app.test_client()
    headers = {"Idempotency-Key": "a%0d%0aX: y"}
    sent = client.post("/api/v1/batches", json={"urls": ["https://www.tiktok.com/@ada/video/7"]}, headers=headers)
    assert "X" not in sent.headers
    record = client.post("/download", json={"url": "https://www.tiktok.com/@ada/video/8"}).get_json()
    answer = client.get(f"/api/v1/files/{record['job_id']}?download={download}")
    assert answer.status_code == 200
    assert answer.data == b"a video"
    assert answer.mimetype == "video/mp4"
    assert not {"X", "Set-Cookie"} & set(answer.headers.keys())
    [disposition] = answer.headers.getlist("Content-Disposition")
    assert re.fullmatch(r"[ -~]+", disposition)
    kind, options = parse_options_header(disposition)
    assert kind == ("attachment" if download == "true" else "inline")
    assert options.keys() == {"filename"}
    answer.close()


# The server as it is started


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def test_a_real_server_tells_little_and_takes_no_second_header(start_server: Callable[..., Server]) -> None:
    server = start_server(DOWNLOADER_API_KEY=KEY)
    end = b"Connection: close\r\n\r\n"
    answers = {
        name: raw(server.port, request)
        for name, request in {
            "http/1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
            "named": b"GET /healthz HTTP/1.1\r\nHost: attacker.example\r\n" + end,
            "twice": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: attacker.example\r\n" + end,
            "absolute": b"GET http://attacker.example/dashboard HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n"
            + end,
            "slashes": b"GET //attacker.example/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n" + end,
            "broken": b"rubbish\r\n\r\n",
            "injected": b"GET /%0d%0aSet-Cookie:x=y HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n" + end,
            "forwarded": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Host: attacker.example\r\n" + end,
        }.items()
    }
    statuses = {name: int(answer.split()[1]) for name, answer in answers.items()}
    assert statuses == {"http/1.0": 200, "named": 400, "twice": 400, "absolute": 303, "slashes": 303, "broken": 400,
                        "injected": 303, "forwarded": 200}  # fmt: skip
    for answer in answers.values():
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"\nserver:" not in head
        assert b"waitress" not in head
        assert b"\nset-cookie" not in head
        assert b"attacker.example" not in head
        assert b"nosniff" in head
    assert "OPEN TO ALL" not in "".join(server.log)


def test_a_proxy_that_is_trusted_tells_who_asks(start_server: Callable[..., Server]) -> None:
    """Through waitress too, which keeps such headers from the app unless it is told otherwise."""

    def statuses(server: Server) -> list[int]:
        found = []
        for number in range(4):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            # Only the last is the proxy's own word.
            headers = {"X-Forwarded-For": f"192.0.2.{number}, 198.51.100.1"}
            connection.request("GET", "/api/v1/queue", headers=headers)
            found.append(connection.getresponse().status)
            connection.close()
        return found

    server = start_server(DOWNLOADER_RATE_LIMIT="2/hour", DOWNLOADER_TRUSTED_PROXIES="1")
    assert statuses(server) == [200, 200, 429, 429]
    server.stop()
    assert statuses(start_server(DOWNLOADER_RATE_LIMIT="2/hour")) == [200] * 4  # this machine's own


@pytest.mark.integration
@pytest.mark.parametrize(
    ("key", "is_open"),
    [("", True), (KEY, False)],
)
def test_a_server_open_to_all_says_so(key: str, is_open: bool, tmp_path: Path) -> None:
    # This server stops itself, so that it is reachable from the network for a moment only.
    script = (
        "import os, signal, sys, downloader_main as main; from downloader.server.wsgi import WsgiServer;"
        "serve = WsgiServer.start;"
        "WsgiServer.start = lambda server: (serve(server), os.kill(os.getpid(), signal.SIGTERM));"
        "status = main.main(sys.argv[1:]); print(os.environ.get('DOWNLOADER_API_KEY'), flush=True); os._exit(status)"
    )
    environment = {"DOWNLOADER_STORAGE_DIR": str(tmp_path), "DOWNLOADER_API_KEY": key}
    run = subprocess.run(
        [sys.executable, "-c", script, "--host", "0.0.0.0", "--port", "0"],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    first, *rest = run.stdout.splitlines()
    assert "/dashboard" in first
    assert any("OPEN TO ALL" in line for line in rest) == is_open
    assert ("WARNING downloader: open to all" in run.stderr) == is_open
    assert rest[-1] == "None"  # nothing that it starts inherits the key
    assert KEY not in run.stdout + run.stderr

"""Rate limits: for requests, and for wrong keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.web.world import BEARER, KEY, ask, time_passes


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Return an app that needs a key."""
    return make_app(api_key=KEY)


def test_wrong_keys_are_refused_for_a_while_then_the_right_one_too(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client, wrong = app.test_client(), {"Authorization": "Bearer wrong"}
    assert [client.get("/api/v1/queue", headers=wrong).status_code for _ in range(12)] == [401] * 10 + [429] * 2
    refused = client.get("/api/v1/queue", headers=BEARER)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert "wait" in refused.get_json()["error"]
    assert client.get("/healthz").status_code == 200
    # Others are not concerned.
    assert client.get("/api/v1/queue", headers=BEARER, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200
    time_passes(monkeypatch, 301)
    assert client.get("/api/v1/queue", headers=BEARER).status_code == 200


def test_many_addresses_do_not_help(app: Flask) -> None:
    client, wrong = app.test_client(), {"Authorization": "Bearer wrong"}

    def status(address: str, headers: dict[str, str]) -> int:
        return client.get("/api/v1/queue", headers=headers, environ_base={"REMOTE_ADDR": address}).status_code

    assert status("198.51.100.1", BEARER) == 200
    statuses = [status(f"192.0.2.{number}", wrong) for number in range(120)]
    assert statuses == [401] * 100 + [429] * 20
    assert status("192.0.2.200", BEARER) == 429
    assert status("198.51.100.1", BEARER) == 200  # otherwise an attacker could lock out every user


def test_an_ipv6_network_is_one_address(app: Flask) -> None:
    client, wrong = app.test_client(), {"Authorization": "Bearer wrong"}

    def status(address: str) -> int:
        return client.get("/api/v1/queue", headers=wrong, environ_base={"REMOTE_ADDR": address}).status_code

    assert [status(f"2001:db8::{number}") for number in range(1, 12)] == [401] * 10 + [429]
    assert status("2001:db8:0:1::1") == 401
    assert [status(f"::ffff:192.0.2.{number}") for number in (1, 2)] == [401] * 2
    assert [status(odd) for odd in ("", "unknown", "fe80::1%eth0")] == [401] * 3


def test_an_address_stays_the_same_with_another_port(make_app: Callable[..., Flask]) -> None:
    """Some proxies tell of the port too: each connection would have guesses of its own."""
    app = make_app(api_key=KEY, trusted_proxies=1)

    def status(forwarded: str) -> int:
        headers = {"Authorization": "Bearer wrong", "X-Forwarded-For": forwarded}
        return ask(app, "GET", "/api/v1/queue", headers=headers).status_code

    assert [status(f"192.0.2.1:{port}") for port in range(4000, 4010)] == [401] * 10
    assert status("192.0.2.1") == 429
    assert [status(f"[2001:db8::{number}]:{number}") for number in range(1, 11)] == [401] * 10
    assert [status(odd) for odd in ("2001:db8::1", "[2001:db8::1]")] == [429] * 2
    assert [status(f"unknown-{number}") for number in range(11)] == [401] * 10 + [429]  # what is no address is one


def test_an_address_may_ask_only_so_often(make_app: Callable[..., Flask]) -> None:
    app = make_app(rate_limit="3/hour")
    away = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}}
    assert [ask(app, "GET", "/api/v1/queue", **away).status_code for _ in range(5)] == [200] * 3 + [429] * 2
    refused = ask(app, "GET", "/openapi.json", **away)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 3600
    assert "DOWNLOADER_RATE_LIMIT" in refused.get_json()["error"]
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(app, "GET", "/healthz", **away).status_code == 200
    assert ask(app, "GET", "/api/v1/queue", environ_base={"REMOTE_ADDR": "192.0.2.2"}).status_code == 200
    for own in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert [ask(app, "GET", "/api/v1/queue", environ_base={"REMOTE_ADDR": own}).status_code for _ in range(5)] == [
            200
        ] * 5


@pytest.mark.parametrize("path", ["/nothing", "/portal/static/a/b", "/api/docs/static/docs.css", "/login"])
def test_the_limit_holds_for_every_path(make_app: Callable[..., Flask], path: str) -> None:
    app = make_app(rate_limit="3/hour", api_key=KEY)
    away = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}, "headers": BEARER}
    assert [ask(app, "GET", path, **away).status_code == 429 for _ in range(5)] == [False] * 3 + [True] * 2
    assert ask(app, "POST", "/healthz", **away).status_code == 405
    assert ask(app, "GET", "/healthz", **away).status_code == 200


@pytest.mark.thorough
def test_no_limit_is_no_limit(make_app: Callable[..., Flask]) -> None:
    app = make_app(rate_limit="off")
    away = {"environ_base": {"REMOTE_ADDR": "192.0.2.1"}}
    assert {ask(app, "GET", "/openapi.json", **away).status_code for _ in range(1300)} == {200}

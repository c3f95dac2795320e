"""The receivers on the pages work as written, and the message that is shown is what is sent."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import HTTPServer
from typing import Any

import pytest

from downloader.jobs import Message
from downloader.notify.receivers import REFUSED_SERVICES, NotDelivered
from downloader.notify.webhook import SEND_SECONDS, Webhook
from downloader.store.outbox import MAX_PROBLEMS, MAX_TEXT, MAX_URL
from tests.notify.conftest import OpenGrant
from tests.real_server import REPOSITORY
from tests.receiver import Receiver

PAGE = (REPOSITORY / "docs" / "notifications.md").read_text(encoding="utf-8")
RECIPES = (REPOSITORY / "docs" / "recipes.md").read_text(encoding="utf-8")
SECRET = "a-secret-of-many-letters"


def block(language: str, page: str = PAGE) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return str(found)


@contextmanager
def running(code: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run a page's receiver on a free port; yield its URL and its names."""
    *lines, last = code.strip().splitlines()
    assert last == 'HTTPServer(("127.0.0.1", 9000), Hook).serve_forever()'
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    server = HTTPServer(("127.0.0.1", 0), names["Hook"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", names
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_receiver_on_the_page_takes_what_is_genuine_once(
    open_grant: OpenGrant, message: Message, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    with running(block("python")) as (url, _):
        for _ in range(2):
            Webhook(url, SECRET, open_grant).send(message)
        for secret in (None, "another-secret-of-many-letters"):
            with pytest.raises(NotDelivered, match="403"):
                Webhook(url, secret, open_grant).send(message)
    counts = {"queued": 0, "running": 0, "waiting": 0, "succeeded": 0, "failed": 1, "cancelled": 0}
    assert capsys.readouterr().out == f"{counts}\n"


def test_the_recipe_for_media_servers_asks_them_to_scan(
    open_grant: OpenGrant, message: Message, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOWNLOADER_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("MEDIA_SERVER_KEY", "a-key")
    code = re.sub(r"localhost:(8096|32400)", receiver.authority, block("python", RECIPES))
    arrived = replace(message, body=message.body.replace('"succeeded":0', '"succeeded":1'))
    assert arrived != message
    with running(code) as (url, names):
        Webhook(url, SECRET, open_grant).send(message)  # nothing has arrived
        Webhook(url, SECRET, open_grant).send(arrived)
        request = receiver.next()
        assert (request.method, request.path) == ("POST", "/Library/Refresh")
        assert request.headers["Authorization"] == 'MediaBrowser Token="a-key"'
        names["SCAN"] = names["PLEX"]
        Webhook(url, SECRET, open_grant).send(arrived)
        request = receiver.next()
        assert (request.method, request.path) == ("GET", "/library/sections/1/refresh")
        assert request.headers["X-Plex-Token"] == "a-key"
        with pytest.raises(NotDelivered, match="403"):
            Webhook(url, "another-secret-of-many-letters", open_grant).send(arrived)
        receiver.answers.append(401)
        with pytest.raises(NotDelivered, match="502"):
            Webhook(url, SECRET, open_grant).send(arrived)
        receiver.next()
        assert receiver.requests.empty()


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else None


def test_the_message_on_the_page_has_the_fields_that_are_sent(message: Message) -> None:
    assert shape(json.loads(block("json"))) == shape(json.loads(message.body))


def test_the_page_names_the_limits_and_what_is_refused() -> None:
    for words in (f"first {MAX_PROBLEMS} jobs", f"{MAX_URL:,} characters", f"texts at {MAX_TEXT}"):
        assert words in PAGE
    assert f"within {SEND_SECONDS:g} seconds" in PAGE.replace("\n", " ")
    assert set(re.findall(r"`(\w+)://`", PAGE)) <= set(REFUSED_SERVICES)

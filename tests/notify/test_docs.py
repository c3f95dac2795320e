"""The page about notifications: its receiver works as written, and its message is what is sent."""

from __future__ import annotations

import json
import re
import threading
from http.server import HTTPServer
from typing import Any

import pytest

from downloader.jobs import Message
from downloader.notify.receivers import REFUSED_SERVICES, NotDelivered
from downloader.notify.webhook import SEND_SECONDS, Webhook
from downloader.store.outbox import MAX_PROBLEMS, MAX_TEXT, MAX_URL
from tests.notify.conftest import OpenGrant
from tests.real_server import REPOSITORY

PAGE = (REPOSITORY / "docs" / "notifications.md").read_text(encoding="utf-8")
SECRET = "a-secret-of-many-letters"


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_receiver_on_the_page_takes_what_is_genuine_once(
    open_grant: OpenGrant, message: Message, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    *lines, last = block("python").strip().splitlines()
    assert last == 'HTTPServer(("127.0.0.1", 9000), Hook).serve_forever()'
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)
    server = HTTPServer(("127.0.0.1", 0), names["Hook"])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        for _ in range(2):
            Webhook(url, SECRET, open_grant).send(message)
        for secret in (None, "another-secret-of-many-letters"):
            with pytest.raises(NotDelivered, match="403"):
                Webhook(url, secret, open_grant).send(message)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    counts = {"queued": 0, "running": 0, "waiting": 0, "succeeded": 0, "failed": 1, "cancelled": 0}
    assert capsys.readouterr().out == f"{counts}\n"


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

"""A real server tells of batches that end: killed at any moment, and without a word of what is secret in its log."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import sqlite3
from collections.abc import Callable

import pytest

from tests.end_to_end.batches import submit
from tests.real_server import Server
from tests.receiver import Receiver
from tests.simulator.client import Simulator

SECRET = "pass-word-of-many-letters"


@pytest.fixture
def receivers() -> list[Receiver]:
    return [Receiver(), Receiver()]


def test_a_server_killed_between_end_and_delivery_delivers_after_its_next_start(
    start_server: Callable[..., Server], simulator: Simulator, receivers: list[Receiver]
) -> None:
    pytest.importorskip("apprise")
    webhook, service = receivers
    settings = {
        "DOWNLOADER_WEBHOOK_URL": f"http://ada:pass-word@{webhook.authority}/pass-word",
        "DOWNLOADER_WEBHOOK_SECRET": SECRET,
        "DOWNLOADER_NOTIFY": f"json://ada:pass-word@{service.authority}/pass-word",
        "DOWNLOADER_LOG_LEVEL": "DEBUG",
    }
    try:
        webhook.answers += [None]  # it hangs until the server is killed
        service.answers += [None]
        first = start_server(**settings)
        batch_id = submit(first, [simulator.url("tiktok", "ok"), simulator.url("youtube", "removed")])
        before = webhook.next()
        service.next()
        first.process.kill()
        first.wait()
        second = start_server(**settings)
        after = webhook.next()
        assert after.body == before.body  # and so the id, to those who look at it
        assert service.next().json["title"] == "Batch finished: 1 of 2 failed"
        signature = hmac.new(SECRET.encode(), after.body, hashlib.sha256).hexdigest()
        assert after.headers["X-Signature-256"] == f"sha256={signature}"
        body = after.json
        assert (body["batch"]["id"], body["batch"]["counts"]["succeeded"]) == (batch_id, 1)
        [problem] = body["problems"]
        assert (problem["url"], problem["error_code"]) == (simulator.url("youtube", "removed"), "removed")
        assert str(second.storage) not in after.body.decode()
        # A retry that ends again is another message.
        second.ask("POST", f"/api/v1/jobs/{problem['job_id']}/retry")
        assert webhook.next().json["id"] != body["id"]
        assert "Batch finished" in service.next().json["title"]
        shown = second.ask("GET", "/api/v1/settings")[1]
        assert second.stop() == 0
        assert (webhook.requests.empty(), service.requests.empty()) == (True, True)
        with contextlib.closing(sqlite3.connect(second.storage / "downloader.db")) as database:
            assert database.execute("SELECT count(*) FROM outbox").fetchall() == [(0,)]
        said = "".join([*first.log, *second.log, str(shown)])
        assert said.count("notification delivered") == 4
        assert "pass-word" not in said
    finally:
        for each in receivers:
            each.close()

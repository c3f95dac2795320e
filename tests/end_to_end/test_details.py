"""Titles and thumbnails at once: on a real server whose platform holds the media back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from tests.end_to_end.batches import follow, jobs_of, submit
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_title_and_its_thumbnail_are_there_while_the_media_still_download(
    start_server: Callable[..., Server], simulator: Simulator, platform: Any
) -> None:
    server = start_server(DOWNLOADER_SOCKET_TIMEOUT_SECONDS="60", DOWNLOADER_STALL_TIMEOUT_SECONDS="60")
    batch_id = submit(server, [simulator.url(platform, "hang_in_body")])
    simulator.wait_until_hanging(1, timeout_seconds=20)
    [job] = follow(server, batch_id, lambda jobs: jobs[0]["title"] is not None, polls=60)
    assert job["state"] == "running"
    assert job["title"].endswith("Ada's garden, part 1")
    assert job["uploader"].lower() == "ada"
    events = Request(f"{server.url}/api/v1/events?since=0&batch={batch_id}", headers={"Accept": "application/json"})
    with build_opener(ProxyHandler({})).open(events, timeout=20) as answer:
        page = json.load(answer)
    titles = [event["data"]["title"] for event in page["events"] if event["kind"] == "job_changed"]
    assert titles[-1] == job["title"]
    with build_opener(ProxyHandler({})).open(server.url + job["thumbnail_url"], timeout=20) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.read().startswith(b"\xff\xd8")
    server.ask("POST", f"/api/v1/jobs/{job['job_id']}/cancel")
    [cancelled] = jobs_of(server, batch_id)
    assert (cancelled["state"], cancelled["title"]) == ("cancelled", job["title"])

"""A real server that is killed again and again, or stalls, loses nothing and does nothing twice."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.end_to_end.batches import (
    FINAL,
    all_final,
    check_files,
    check_mixed,
    follow,
    jobs_of,
    let_run,
    mixed_urls,
    none_running,
    submit,
)
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.model import PLATFORMS, Platform

JOBS = 120
KILLS = 10
MEDIA_BYTES = 200_000
PACE = 150_000

#: What a download has read is on disk after a tenth of a second, and a busy machine is late. Without resuming, a kill
#: would cost it all that it had: most of a second.
LOST_SECONDS = 0.3

#: Where one refused page fails an attempt; YouTube's extractor goes on without it.
STUMBLING: tuple[Platform, ...] = ("tiktok", "instagram", "twitter")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_server_killed_ten_times_finishes_its_batch(
    start_server: Callable[..., Server], simulator: Simulator, ffmpeg: str, tmp_path: Path
) -> None:
    random = Random(20)
    # As many as one process runs: another one would take half a second of CPU at each start.
    many = {"DOWNLOADER_WORKERS": "8", "DOWNLOADER_PLATFORM_CONCURRENCY": "6"}
    urls = mixed_urls(simulator, JOBS)
    simulator.configure(latency_ms=20, media_bytes_per_second=PACE)
    try:
        server = start_server(**many)
        batch_id = submit(server, urls)
        for number in range(KILLS):
            if number % 2:  # else it may still be starting: a busy machine's often is
                follow(server, batch_id, lambda jobs: not none_running(jobs) or all_final(jobs))
            let_run(server, random.uniform(0.3, 1.6))
            server.process.kill()
            server.wait()
            server = start_server(**many)
        simulator.configure(latency_ms=0, media_bytes_per_second=0)
        jobs = follow(server, batch_id, all_final)
    finally:
        simulator.configure(latency_ms=0, media_bytes_per_second=0)

    assert [job["url"] for job in jobs] == urls
    good = check_mixed(jobs, ffmpeg)
    assert len({job["file_path"] for job in good}) == len(good)

    # Nothing was done twice, by the server's account and by the bytes that the platforms sent.
    interrupted = 0
    for job in jobs:
        _, answer = server.ask("GET", f"/api/v1/jobs/{job['job_id']}")
        results = Counter(attempt["result"] for attempt in answer["attempts"])
        interrupted += results["interrupted"]
        assert results["succeeded"] == (1 if job["state"] == "succeeded" else 0), answer
    assert interrupted > KILLS
    stats = simulator.stats()
    needed = sum(MEDIA_BYTES * (2 if job["platform"] == "youtube" else 1) for job in good)
    sent = sum(stats.media_bytes_sent.values())
    # How many downloads a kill meets differs with the machine's speed; what it costs each of them does not.
    lost = (sent - needed) / interrupted
    assert lost < PACE * LOST_SECONDS, f"{lost:.0f} bytes for each interrupted download"
    assert stats.errors == ()
    check_files(tmp_path / "storage", good)


def follow_events(server: Server, batch_id: str, since: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a batch after number *since*, as they happen."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", f"/api/v1/events?batch={batch_id}&since={since}")
        answer = connection.getresponse()
        while line := answer.readline():
            field, _, value = line.decode().partition(": ")
            if field == "data" and "kind" in (event := json.loads(value)):
                yield event


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_round_retries_what_failed(
    start_server: Callable[..., Server], simulator: Simulator, killed: bool
) -> None:
    server = start_server(DOWNLOADER_MAX_ATTEMPTS="1")
    urls = [simulator.url(platform, "unavailable_once") for platform in STUMBLING]
    urls += [simulator.url(platform, "ok", 1) for platform in PLATFORMS]
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls, "retry_failed_once": True})
    assert status == 202, answer
    batch_id = answer["batch"]["id"]
    states = dict.fromkeys((job["job_id"] for job in answer["jobs"]), "queued")
    rounds, last_id = [], 0
    while not FINAL.issuperset(states.values()):
        for event in follow_events(server, batch_id, last_id):
            last_id = event["id"]
            if event["kind"] == "job_changed":
                states[event["job_id"]] = event["data"]["state"]
            if event["kind"] == "batch_changed":
                rounds.append(event["data"])
                if killed:
                    server.process.kill()
                    server.wait()
                    server = start_server(DOWNLOADER_MAX_ATTEMPTS="1")
                    break
            if FINAL.issuperset(states.values()):
                break
    # A client takes it for done now; the API agrees.
    assert set(states.values()) == {"succeeded"}

    [event] = rounds
    _, answer = server.ask("GET", f"/api/v1/batches/{batch_id}")
    batch, jobs = answer["batch"], answer["jobs"]
    assert {state: number for state, number in batch["counts"].items() if number} == {"succeeded": len(urls)}
    assert [job["url"] for job in jobs if job["success"]] == urls
    attempts = [server.ask("GET", f"/api/v1/jobs/{job['job_id']}")[1]["attempts"] for job in jobs]
    ended = [[attempt["result"] for attempt in each if attempt["result"] != "interrupted"] for each in attempts]
    assert ended == [["failed", "succeeded"]] * len(STUMBLING) + [["succeeded"]] * len(PLATFORMS)
    assert batch["second_round_jobs"] == event["second_round_jobs"] == len(STUMBLING)
    assert datetime.fromisoformat(batch["second_round_at"]) == datetime.fromisoformat(event["second_round_at"])


def test_cancelling_a_download_that_hangs_frees_its_worker_at_once(
    start_server: Callable[..., Server], simulator: Simulator
) -> None:
    server = start_server(DOWNLOADER_WORKERS="1", DOWNLOADER_SOCKET_TIMEOUT_SECONDS="60")
    for scenario in ("hang", "hang_in_body"):
        batch_id = submit(server, [simulator.url("tiktok", scenario), simulator.url("youtube", "ok")])
        simulator.wait_until_hanging(1)
        [hanging, _] = jobs_of(server, batch_id)
        status, answer = server.ask("POST", f"/api/v1/jobs/{hanging['job_id']}/cancel", timeout_seconds=20)
        assert status == 200, answer
        assert answer["job"]["state"] == "cancelled"
        # Long before the 60 s are over. The connection is closed: the worker is gone,
        simulator.wait_until_hanging(0, timeout_seconds=20)
        follow(server, batch_id, all_final)  # and the other job has it


def test_a_stalled_download_is_ended(start_server: Callable[..., Server], simulator: Simulator) -> None:
    server = start_server(
        DOWNLOADER_STALL_TIMEOUT_SECONDS="1", DOWNLOADER_SOCKET_TIMEOUT_SECONDS="60", DOWNLOADER_MAX_ATTEMPTS="1"
    )
    batch_id = submit(server, [simulator.url("tiktok", "hang_in_body"), simulator.url("instagram", "hang")])
    for job in follow(server, batch_id, all_final):
        assert (job["state"], job["error_code"]) == ("failed", "timeout")


def test_a_cooling_platform_gets_no_request_across_a_restart(
    start_server: Callable[..., Server], simulator: Simulator
) -> None:
    server = start_server()
    limited = [simulator.url("tiktok", "rate_limited")]
    batch_id = submit(server, limited)
    follow(server, batch_id, lambda jobs: jobs[0]["state"] == "waiting")
    asked = simulator.stats().platforms["tiktok"].requests
    others = submit(server, [simulator.url("tiktok", "ok", number) for number in range(8)])
    twitter = submit(server, [simulator.url("twitter", "ok", number) for number in range(8)])
    server.process.kill()
    server.wait()
    server = start_server()
    follow(server, twitter, all_final)
    assert {job["state"] for job in jobs_of(server, others)} == {"queued"}
    assert simulator.stats().platforms["tiktok"].requests == asked
    _, answer = server.ask("GET", "/api/v1/platforms")
    [tiktok] = [view for view in answer["platforms"] if view["platform"] == "tiktok"]
    assert tiktok["cooling_until"] is not None
    assert tiktok["cap"] == 2

    # Ended by hand, it resumes, once the job that would meet the limit again is out of the way.
    server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    assert server.ask("POST", "/api/v1/platforms/tiktok/end-cooldown")[0] == 200
    follow(server, others, lambda jobs: any(job["state"] == "succeeded" for job in jobs))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("platform", ["instagram", "twitter"])
def test_one_walled_post_and_one_limit_do_not_stop_their_platform(
    start_server: Callable[..., Server], simulator: Simulator, platform: Platform
) -> None:
    server = start_server()
    good = [simulator.url(platform, "ok", number) for number in range(20)]
    walled, limited = simulator.url(platform, "login_wall"), simulator.url(platform, "rate_limited_once")
    batch_id = submit(server, [*good[:3], walled, *good[3:10], limited, *good[10:]])

    def others_are_done(jobs: list[Any]) -> bool:
        return all(job["state"] == "succeeded" for job in jobs if job["url"] != walled)

    jobs = follow(server, batch_id, others_are_done, polls=800)  # a cooldown of the platform takes 16 minutes
    [wall] = [job for job in jobs if job["url"] == walled]
    # Instagram's page may also mean a limit, so that job is tried once more when others have got through.
    expected = {"instagram": ("waiting", "rate_limited"), "twitter": ("failed", "login_required")}
    assert (wall["state"], wall["error_code"]) == expected[platform]
    _, answer = server.ask("GET", "/api/v1/platforms")
    assert [view["cooling_until"] for view in answer["platforms"]] == [None] * 4


def test_a_second_server_on_the_same_database_is_refused(start_server: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    server = start_server(DOWNLOADER_DATABASE_URL=f"sqlite:///{tmp_path / 'db' / 'queue.db'}")
    server.environment["DOWNLOADER_STORAGE_DIR"] = str(tmp_path / "other")
    refused = server.refused()
    assert refused.returncode == 2
    assert "Another server is at work" in refused.stderr


def test_a_second_server_on_the_same_storage_is_refused(start_server: Callable[..., Server], tmp_path: Path) -> None:
    server = start_server()
    refused = server.refused()
    assert refused.returncode == 2
    assert "Another server is at work" in refused.stderr
    assert server.ask("GET", "/healthz")[0] == 200

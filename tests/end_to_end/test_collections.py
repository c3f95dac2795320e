"""Collections sent to a real server: taken apart page by page, while their first entries download."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.batches import FINAL, let_run
from tests.real_server import Server
from tests.simulator.client import Simulator
from tests.simulator.lists import Plan, list_url
from tests.simulator.model import Platform

KILLS = 10
SIZE = 5_000


@pytest.fixture
def slow_media(simulator: Simulator) -> Iterator[Simulator]:
    """Return the simulator, where the entries of a list are still being downloaded when the list has been read."""
    simulator.configure(media_bytes_per_second=2_000)
    yield simulator
    simulator.configure(latency_ms=0, media_bytes_per_second=0)


@pytest.fixture
def slow(slow_media: Simulator) -> Simulator:
    """Return the simulator, slow enough to catch a list in the middle."""
    slow_media.configure(latency_ms=150)
    return slow_media


def submit(server: Server, *urls: str, **wanted: Any) -> tuple[str, str]:
    """Submit a batch; return its id, and that of its first job."""
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls, "expand": {}, **wanted})
    assert status == 202, answer
    return answer["batch"]["id"], answer["jobs"][0]["job_id"]


def job_of(server: Server, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = server.ask("GET", f"/api/v1/jobs/{job_id}")[1]["job"]
    return job


def until(
    server: Server, job_id: str, condition: Callable[[dict[str, Any]], bool], polls: int = 1200, pause: float = 0.1
) -> dict[str, Any]:
    """Return a job once *condition* is true of it; look every *pause* seconds, which costs the server time."""
    for _ in range(polls):
        if condition(job := job_of(server, job_id)):
            return job
        let_run(server, pause)
    raise TimeoutError({name: job[name] for name in ("state", "error", "entries", "elapsed_seconds")})


def is_listed(job: dict[str, Any]) -> bool:
    return job["state"] in FINAL


def reading_after(taken: int) -> Callable[[dict[str, Any]], bool]:
    """Return what is true of a job that is being read and has more entries than *taken*, or has ended."""
    # One that waits after a kill may have more too: of the moment between the last look and the kill.
    return lambda job: job["state"] != "queued" and job["entries"]["taken"] > taken


def is_done(job: dict[str, Any]) -> bool:
    return is_listed(job) and job["entries"]["done"] + job["entries"]["failed"] == job["entries"]["taken"]


def entries_of(server: Server, job_id: str) -> list[dict[str, Any]]:
    """Return all entries of a collection, in its order."""
    entries: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        _, page = server.ask("GET", f"/api/v1/jobs?parent={job_id}&limit=200&cursor={cursor}")
        entries, cursor = entries + page["jobs"], page["next_cursor"]
    return entries[::-1]


def serials(entries: list[dict[str, Any]]) -> list[int]:
    """Return the numbers of the simulator's posts: those of their places in the list."""
    return [int(entry["url"][-7:]) for entry in entries]


def test_a_playlist_becomes_jobs_of_its_batch_and_the_rest_is_taken_in_one_call(
    shared_server: Server, simulator: Simulator
) -> None:
    server, url = shared_server, list_url("youtube", "mixed", 30)
    # Beside it: the same once more, and its first video.
    batch_id, job_id = submit(server, url, f"{url}&si=x", simulator.url("youtube", "ok", 0), expand={"limit": 12})
    job = until(server, job_id, is_listed)
    assert (job["kind"], job["success"], job["error"], job["title"]) == (
        "collection",
        True,
        None,
        "Playlist sim-mixed-30",
    )
    job = until(server, job_id, lambda job: job["entries"]["done"] + job["entries"]["failed"] == 11)
    assert job["entries"] == {"found": 30, "taken": 12, "done": 8, "failed": 3}
    entries = entries_of(server, job_id)
    assert serials(entries) == [*range(1, 12)]
    assert [entry["error_code"] for entry in entries if entry["error"]] == ["private", "removed", "not_yet_available"]
    assert {entry["parent_id"] for entry in entries} == {job_id}
    assert job["files"] == [path for entry in entries for path in entry["files"]]
    assert job["size_bytes"] == sum(entry["size_bytes"] for entry in entries if entry["success"])
    _, batch = server.ask("GET", f"/api/v1/batches/{batch_id}")
    assert (batch["batch"]["total"], sum(batch["batch"]["counts"].values())) == (3, 13)
    assert [each["job_id"] for each in batch["jobs"][:2]] == [job_id, job_id]
    assert batch["jobs"][0]["entries"] == job["entries"]

    assert server.ask("POST", f"/api/v1/jobs/{entries[0]['job_id']}/expand", {})[0] == 409
    assert server.ask("POST", f"/api/v1/jobs/{job_id}/expand", {"limit": 0})[0] == 400
    status, answer = server.ask("POST", f"/api/v1/jobs/{job_id}/expand", {})
    assert (status, answer["job"]["state"] in ("queued", "running")) == (200, True)
    job = until(server, job_id, lambda job: is_listed(job) and job["entries"]["done"] + job["entries"]["failed"] == 29)
    assert job["entries"] == {"found": 30, "taken": 30, "done": 20, "failed": 9}
    assert serials(entries_of(server, job_id)) == [*range(1, 30)]


def test_a_waiting_request_gets_one_record_once_its_entries_are_final(shared_server: Server) -> None:
    body = {"urls": [list_url("tiktok", "plain", 10)], "expand": True, "preset": "audio"}
    status, answer = shared_server.ask("POST", "/download/batch", body)
    [record] = answer["downloads"]
    assert (status, record["success"], record["kind"], record["error"]) == (200, True, "collection", None)
    assert record["entries"] == {"found": 10, "taken": 10, "done": 10, "failed": 0}
    assert len(record["files"]) == 10
    # Had already: the second time nothing is downloaded.
    [again] = shared_server.ask("POST", "/download/batch", body)[1]["downloads"]
    assert again["files"] == record["files"]
    assert {entry["reused"] for entry in entries_of(shared_server, again["job_id"])} == {True}
    _, zip_bytes = shared_server.read(f"/api/v1/batches/{again['batch_id']}/zip")
    assert zip_bytes.count(b"PK\x01\x02") == 10


def test_without_expand_a_collection_fails_and_says_how(shared_server: Server) -> None:
    _, record = shared_server.ask("POST", "/download", {"url": list_url("youtube", "plain", 3)})
    assert (record["error_code"], record["kind"], record["entries"]) == ("invalid_url", "video", None)
    assert "`expand`" in record["error"]


@pytest.mark.parametrize(
    ("platform", "serial", "title", "taken"), [("tiktok", 10, "sim-plain-60", 5), ("instagram", 3, "Story by ada", 3)]
)
def test_a_short_link_that_leads_to_a_collection_is_taken_apart(
    shared_server: Server, simulator: Simulator, platform: Any, serial: int, title: str, taken: int
) -> None:
    cookies = "# Netscape HTTP Cookie File\n.instagram.com\tTRUE\t/\tTRUE\t4102444800\tsessionid\tsimulated\n"
    assert shared_server.ask("PUT", "/api/v1/cookies/instagram", {"cookies": cookies})[0] == 200
    body = {"url": simulator.url(platform, "leads_astray", serial, form="short")}
    _, refused = shared_server.ask("POST", "/download", body)
    assert (refused["error_code"], "`expand`" in refused["error"]) == ("invalid_url", True)
    _, record = shared_server.ask("POST", "/download", {**body, "expand": {"limit": 5}})
    assert (record["success"], record["kind"], record["title"]) == (True, "collection", title), record
    assert (record["url"], record["attempts"]) == (body["url"], 1)
    assert (record["entries"]["taken"], record["entries"]["done"]) == (taken, taken)
    # A short link to a post is that post.
    _, record = shared_server.ask(
        "POST", "/download", {"url": simulator.url(platform, "ok", 700, form="short"), "expand": True}
    )
    assert (record["success"], record["kind"], record["entries"]) == (True, "video", None)


@pytest.mark.parametrize(
    ("plan", "note"),
    [
        ("loop", "YouTube sends the same pages over and over here, so reading stopped there."),
        ("stale", "YouTube sends the same pages over and over here, so reading stopped there."),
        ("deep", "Playlists within its playlists are left out."),
        ("empty", None),
    ],
)
@pytest.mark.usefixtures("slow_media")
def test_what_is_missing_of_a_list_is_told(shared_server: Server, plan: Any, note: str | None) -> None:
    batch_id, job_id = submit(
        shared_server, list_url("youtube", plan, 0 if plan == "empty" else 240), expand={"limit": 5_000}
    )
    job = until(shared_server, job_id, is_listed)
    shared_server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    assert (job["state"], job["error"]) == ("succeeded", None)
    if note is not None:
        assert note in (job["detail"] or "")


#: Where a list breaks off, by platform where they differ: TikTok continues from a time, which does not expire, and a
#: story of Instagram comes at once.
BREAKS: list[tuple[Platform, Plan, str, str]] = [
    ("youtube", "relenting", "rate_limited", "YouTube is limiting requests from this server."),
    ("tiktok", "relenting", "rate_limited", "TikTok is limiting requests from this server."),
    ("youtube", "expired", "server_error", "YouTube is having problems right now."),
    ("youtube", "withdrawn", "server_error", "YouTube is having problems right now."),
]


@pytest.mark.usefixtures("slow_media")
@pytest.mark.parametrize(("platform", "plan", "code", "told"), BREAKS)
def test_a_list_that_breaks_off_says_why_and_keeps_its_entries_and_the_rest_can_be_taken(
    start_server: Callable[..., Server], platform: Platform, plan: Plan, code: str, told: str
) -> None:
    server, size, listed = start_server(), *((240, 200) if platform == "youtube" else (60, 30))
    batch_id, job_id = submit(server, list_url(platform, plan, size), expand={"limit": size})
    job = until(server, job_id, lambda job: job["state"] == "waiting")
    assert (job["error_code"], job["entries"]["taken"]) == (code, listed)
    assert job["error"].startswith(told)
    assert serials(entries_of(server, job_id)) == [*range(listed)]
    status, refused = server.ask("POST", f"/api/v1/jobs/{job_id}/expand", {})
    assert (status, refused["error"]) == (
        409, "This collection is still being read: wait until that is done, or cancel it first."
    )  # fmt: skip
    # Not that its retry be waited for:
    server.ask("POST", f"/api/v1/jobs/{job_id}/cancel")
    server.ask("POST", f"/api/v1/platforms/{platform}/end-cooldown")
    take_the_rest(server, batch_id, job_id, size)


LONG: list[tuple[Platform, int]] = [("youtube", 800), ("tiktok", 200)]


@pytest.mark.parametrize(("platform", "size"), LONG)
def test_a_cancelled_list_keeps_its_entries_and_the_rest_can_be_taken(
    start_server: Callable[..., Server], slow: Simulator, platform: Platform, size: int
) -> None:
    server = start_server()
    batch_id, job_id = submit(server, list_url(platform, "plain", size), expand={"limit": size - 10})
    until(server, job_id, lambda job: job["entries"]["taken"] > 0)
    job = server.ask("POST", f"/api/v1/jobs/{job_id}/cancel")[1]["job"]
    assert (job["state"], job["error"]) == ("cancelled", "Download cancelled.")
    assert 0 < job["entries"]["taken"] < size - 10
    assert serials(entries_of(server, job_id)) == [*range(job["entries"]["taken"])]
    slow.configure(latency_ms=0)
    take_the_rest(server, batch_id, job_id, size)


@pytest.mark.parametrize(("platform", "size"), LONG)
def test_a_list_that_the_server_stops_in_says_so_continues_and_the_rest_can_be_taken(
    start_server: Callable[..., Server], slow: Simulator, platform: Platform, size: int
) -> None:
    slow.configure(latency_ms=800)  # it may use the time that what runs has for its end
    server = start_server()
    with ThreadPoolExecutor(1) as threads:
        body = {"url": list_url(platform, "plain", size), "expand": {"limit": size - 10}}
        waiting = threads.submit(server.ask, "POST", "/download", body)
        while not (jobs := server.ask("GET", "/api/v1/jobs")[1]["jobs"]):
            let_run(server, 0.05)
        until(server, jobs[0]["job_id"], lambda job: job["entries"]["taken"] > 0)
        assert server.stop() == 0
        record = waiting.result(30)[1]
    assert record["error"] == "This download is still in the queue and continues on the server."
    assert 0 < (taken := record["entries"]["taken"]) < size - 10
    slow.configure(latency_ms=0)
    server = start_server()
    assert job_of(server, record["job_id"])["entries"]["taken"] >= taken
    job = until(server, record["job_id"], is_listed)
    assert (job["state"], job["entries"]["taken"]) == ("succeeded", size - 10)
    take_the_rest(server, record["batch_id"], record["job_id"], size)


def take_the_rest(server: Server, batch_id: str, job_id: str, size: int) -> None:
    """Take what is left of a list of *size* in one call, and check that each entry is there once."""
    status, answer = server.ask("POST", f"/api/v1/jobs/{job_id}/expand", {})
    assert (status, answer["job"]["error"]) == (200, None)
    job = until(server, job_id, is_listed)
    server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    assert (job["state"], job["error"], job["entries"]["found"], job["entries"]["taken"]) == (
        "succeeded", None, size, size
    )  # fmt: skip
    assert serials(entries_of(server, job_id)) == [*range(size)]


def test_deleting_the_record_of_a_collection_leaves_its_entries(shared_server: Server) -> None:
    server = shared_server
    batch_id, job_id = submit(server, list_url("tiktok", "plain", 3), preset="mp3")
    until(server, job_id, is_done)
    paths = [entry["file_path"] for entry in entries_of(server, job_id)]
    assert server.ask("DELETE", f"/api/v1/jobs/{job_id}?files=true")[1] == {"deleted": [job_id]}
    entries = entries_of(server, job_id)
    assert [entry["file_path"] for entry in entries] == paths
    assert len(server.ask("DELETE", f"/api/v1/batches/{batch_id}")[1]["deleted"]) == 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_ten_times_a_playlist_of_5000_is_5000_jobs(start_server: Callable[..., Server], slow: Simulator) -> None:
    slow.configure(latency_ms=50)  # the first entries download meanwhile, but slowly: the list has the processor
    server = start_server()
    batch_id, job_id = submit(server, list_url("youtube", "plain", SIZE), expand={"limit": SIZE})
    taken = 0
    for _ in range(KILLS):
        # Not much further than the last time: each start reads again all that came before.
        job = until(server, job_id, reading_after(taken), polls=2000)
        assert job["state"] == "running"
        taken = job["entries"]["taken"]
        server.process.kill()
        server.wait()
        server = start_server()
    job = until(server, job_id, is_listed, polls=1000, pause=0.25)
    server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    assert (job["state"], job["error"]) == ("succeeded", None)
    assert (job["entries"]["found"], job["entries"]["taken"]) == (SIZE, SIZE)
    assert serials(entries_of(server, job_id)) == [*range(SIZE)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_list_without_end_is_cut_and_told_and_leaves_the_server_as_it_was(
    start_server: Callable[..., Server], slow: Simulator
) -> None:
    server = start_server()
    server.ask("POST", "/download", {"url": slow.url("youtube", "removed", 1)})  # loads what it needs
    before = resident_bytes(server)
    batch_id, job_id = submit(server, list_url("youtube", "endless", 1), expand={"limit": 10_000})
    seconds: list[float] = []

    def is_read(job: dict[str, Any]) -> bool:
        started = time.perf_counter()
        server.ask("GET", "/api/v1/jobs?limit=50")
        seconds.append(time.perf_counter() - started)
        return is_listed(job)

    job = until(server, job_id, is_read, polls=500, pause=0.5)
    assert (job["state"], job["detail"]) == (
        "succeeded", "This list is read no further than its first 10,000 entries."
    )  # fmt: skip
    assert (job["entries"]["found"], job["entries"]["taken"]) == (None, 10_000)
    # Some 5 ms on a quiet machine (benchmarks/queue.py); seconds if it were blocked.
    assert statistics.median(seconds) <= 0.5
    pages = [entry for entry in slow.stats().log if entry.path.startswith(("/playlist", "/youtubei/v1/browse"))]
    assert len(pages) <= 103
    _, answer = server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    assert answer["batch"]["counts"]["cancelled"] == len(answer["jobs"]) > 9_000
    assert len(server.ask("POST", f"/api/v1/batches/{batch_id}/retry")[1]["jobs"]) == len(answer["jobs"])
    server.ask("POST", f"/api/v1/batches/{batch_id}/cancel")
    assert len(server.ask("DELETE", f"/api/v1/batches/{batch_id}")[1]["deleted"]) == 10_001
    assert resident_bytes(server) - before <= 30_000_000


def resident_bytes(server: Server) -> int:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")

"""Each post once: repeated links, spellings, short links, and a server that is killed in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.platform_detector import read_link
from tests.end_to_end.batches import all_final, check_files, follow, jobs_of, let_run, submit
from tests.real_server import Server
from tests.simulator.client import Simulator, Stats
from tests.simulator.model import PLATFORMS

THUMBNAILS = ("cover.jpeg", "cover.jpg", "a.jpg", "hqdefault.jpg")


def spellings(simulator: Simulator) -> list[str]:
    """Return 15 links to 3 posts."""
    tiktok, youtube, instagram = (
        read_link(simulator.url(platform, "ok", 5)).name for platform in ("tiktok", "youtube", "instagram")
    )
    return [
        simulator.url("tiktok", "ok", 5, form="short"),
        f"https://www.tiktok.com/@ada/video/{tiktok}",
        f"https://www.tiktok.com/@someone.else/video/{tiktok}?lang=en",
        f"http://m.tiktok.com/v/{tiktok}.html",
        f"https://www.tiktok.com/embed/v2/{tiktok}",
        f"https://youtu.be/{youtube}?si=abc",
        f"https://www.youtube.com/watch?v={youtube}&t=7",
        f"https://music.youtube.com/watch?v={youtube}",
        f"youtube.com/shorts/{youtube}",
        f"https://m.youtube.com/watch?app=desktop&v={youtube}",
        simulator.url("instagram", "ok", 5, form="short"),
        f"https://www.instagram.com/reel/{instagram}/",
        f"https://instagram.com/p/{instagram}",
        f"https://www.instagram.com/ada/p/{instagram}/?igsh=1",
        f"https://www.INSTAGRAM.com/tv/{instagram}/",
    ]


def downloads(stats: Stats) -> int:
    """Return how many posts' media were requested; for one, several requests may be made."""
    return sum(count.media_requests > 0 for count in stats.posts.values())


def pages(stats: Stats) -> list[int]:
    return [count.page_requests for count in stats.posts.values() if count.page_requests]


def total(stats: Stats) -> int:
    """Return the number of requests; those for thumbnails of the batch before, in the background, left out."""
    return len([each for each in stats.log if each.method != "CONNECT" and not each.path.endswith(THUMBNAILS)])


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_200_links_pasted_twice_are_requested_once(server: Server, simulator: Simulator) -> None:
    urls = [simulator.url(PLATFORMS[number % 4], "ok", number) for number in range(200)]
    first = follow(server, submit(server, urls), all_final, polls=480)
    assert [job["error"] for job in first if not job["success"]] == []
    simulator.reset()
    _, events = server.ask("GET", "/api/v1/statistics")
    status, answer = server.ask("POST", "/api/v1/batches", {"urls": urls})
    assert status == 202
    assert answer["batch"]["counts"]["succeeded"] == 200
    assert {(job["state"], job["reused"], job["attempts"]) for job in answer["jobs"]} == {("succeeded", True, 0)}
    assert [job["files"] for job in answer["jobs"]] == [job["files"] for job in first]
    assert [job["title"] for job in answer["jobs"]] == [job["title"] for job in first]
    status, answer = server.ask("POST", "/download/batch", {"urls": urls})
    assert [record["success"] for record in answer["downloads"]] == [True] * 200
    assert total(simulator.stats()) == 0
    counted = [server.ask("GET", "/api/v1/statistics")[1]["platforms"], events["platforms"]]
    assert [[each["succeeded"] for each in platforms] for platforms in counted] == [[50] * 4] * 2


@pytest.mark.timeout(120)
def test_15_spellings_of_3_posts_are_3_downloads(server: Server, simulator: Simulator, tmp_path: Path) -> None:
    urls = spellings(simulator)
    one_batch = follow(server, submit(server, urls), all_final)
    assert [job["url"] for job in one_batch] == urls
    assert [job["error"] for job in one_batch if not job["success"]] == []
    stats = simulator.stats()
    assert (downloads(stats), len(pages(stats))) == (3, 3)
    assert len({job["file_path"] for job in one_batch}) == 3
    simulator.reset()
    batches = [submit(server, [url]) for url in urls]
    jobs = [follow(server, batch_id, all_final)[0] for batch_id in batches]
    assert {(job["state"], job["reused"]) for job in jobs} == {("succeeded", True)}
    stats = simulator.stats()
    assert (downloads(stats), pages(stats)) == (0, [])
    assert 2 <= total(stats) <= 4  # the short links; yt-dlp may follow a redirect by one request more
    check_files(tmp_path / "storage", one_batch)


@pytest.mark.timeout(120)
def test_batches_of_the_same_links_at_the_same_moment_fetch_each_once(
    server: Server, simulator: Simulator, tmp_path: Path
) -> None:
    urls = [*spellings(simulator), *(simulator.url(PLATFORMS[number % 4], "ok", 20 + number) for number in range(8))]
    batches: list[str] = []
    threads = [threading.Thread(target=lambda: batches.append(submit(server, urls))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = [job for batch_id in batches for job in follow(server, batch_id, all_final)]
    assert [job["error"] for job in jobs if not job["success"]] == []
    stats = simulator.stats()
    assert downloads(stats) == 11
    # TikTok and Twitter are asked for a post once, Instagram twice, YouTube three times.
    assert sorted(pages(stats)) == [1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert sum(not job["reused"] for job in {job["job_id"]: job for job in jobs}.values()) == 11
    check_files(tmp_path / "storage", jobs)


@pytest.mark.timeout(120)
def test_a_deleted_file_is_fetched_again_and_so_is_what_is_wanted_again(
    server: Server, simulator: Simulator, tmp_path: Path
) -> None:
    url = simulator.url("youtube", "ok", 3)
    _, first = server.ask("POST", "/download", {"url": url})
    Path(first["file_path"]).unlink()
    _, second = server.ask("POST", "/download", {"url": url})
    assert (second["success"], second["reused"], second["file_path"]) == (True, False, first["file_path"])
    assert server.ask("POST", "/download", {"url": url})[1]["reused"]
    before = Path(first["file_path"]).stat().st_ino
    _, again = server.ask("POST", "/download", {"url": url, "again": True})
    assert (again["success"], again["reused"], again["file_path"]) == (True, False, first["file_path"])
    assert Path(first["file_path"]).stat().st_ino != before
    assert pages(simulator.stats()) == [9]  # YouTube is asked three times for each
    status, _ = server.ask("DELETE", f"/api/v1/jobs/{again['job_id']}")
    assert status == 200
    assert server.ask("POST", "/download", {"url": url})[1]["reused"]  # the others have it still
    check_files(tmp_path / "storage", [again])


@pytest.mark.timeout(120)
def test_posts_of_an_archive_are_not_requested(server: Server, simulator: Simulator) -> None:
    urls = [simulator.url(platform, "ok", 3) for platform in PLATFORMS]
    names = {platform: read_link(url).name for platform, url in zip(PLATFORMS, urls, strict=True)}
    lines = [f"{platform} {name}" for platform, name in names.items()]
    _, added = server.ask("POST", "/api/v1/archive", {"archive": "\n".join([*lines, "vimeo 7", ""])})
    assert added == {"added": 4, "known": 0, "ignored": 1}
    short = simulator.url("tiktok", "ok", 3, form="short")
    jobs = follow(server, submit(server, [*urls, short]), all_final)
    assert {(job["success"], job["reused"], job["file_path"], job["file_url"]) for job in jobs} == {
        (True, True, None, None)
    }
    assert pages(simulator.stats()) == []
    _, again = server.ask("POST", "/download", {"url": urls[0], "again": True})
    assert (again["success"], again["reused"]) == (True, False)


def running(jobs: list[dict[str, Any]]) -> bool:
    return any(job["state"] == "running" for job in jobs)


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_server_that_is_killed_again_and_again_fetches_no_post_twice(
    start_server: Callable[..., Server], simulator: Simulator, tmp_path: Path
) -> None:
    """Short links and others to the same posts, from several batches: none is lost, and each file is there once."""
    simulator.configure(latency_ms=60)
    try:
        urls = spellings(simulator)
        urls += [simulator.url("tiktok", "ok", number, form="short") for number in range(30, 42)]
        urls += [simulator.url("tiktok", "ok", number) for number in range(30, 42)]
        server = start_server()
        batches = [submit(server, urls), submit(server, urls[::-1])]
        for pause in (0.4, 0.8, 1.2, 1.6, 2.0):
            let_run(server, pause)
            server.process.kill()
            server.wait()
            server = start_server()
        jobs = [job for batch_id in batches for job in follow(server, batch_id, all_final)]
    finally:
        simulator.configure(latency_ms=0)
    assert len(jobs) == 2 * len(urls)
    assert [job["error"] for job in jobs if not job["success"]] == []
    assert len({job["file_path"] for job in jobs}) == 15
    assert sum(not job["reused"] for job in {job["job_id"]: job for job in jobs}.values()) == 15
    check_files(tmp_path / "storage", jobs)
    simulator.reset()
    assert {job["reused"] for job in jobs_of(server, submit(server, urls[1:5]))} == {True}
    assert total(simulator.stats()) == 0

"""Each post once, as the queue sees to it: at submission, while it runs, and behind short links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.jobs import Job
from downloader.models import Media, Outcome
from downloader.presets import PRESETS, Wanted
from downloader.queue.reuse import post_key
from tests.queue_world import World, open_world, running, take_away, tiktok, world

__all__ = ["open_world", "world"]  # fixtures

AGAIN = Wanted(again=True)


def spelling(number: int) -> str:
    """Return another link to the post of `tiktok(number)`."""
    return f"https://www.tiktok.com/@someone.else/video/{number}"


def succeed(world: World, link: str, name: str = "a.mp4") -> Path:
    """End an attempt with a real file."""
    path = world.settings.raw_dir / name
    path.write_bytes(b"film")
    media = Media(files=(str(path),), id="1", title="t", size_bytes=4)
    world.engine.running[link].set_result(Outcome(True, str(path), None, media=media))
    return path


def is_final(job: Job) -> bool:
    return job.state in ("succeeded", "failed", "cancelled")


async def had(world: World, number: int = 1) -> tuple[Job, Path]:
    """Download a post."""
    [job] = await world.submit(tiktok(number))
    await running(world, tiktok(number))
    path = succeed(world, tiktok(number))
    return await world.until(job, is_final), path


@pytest.mark.parametrize(
    ("link", "preset", "subtitles", "key"),
    [
        ("https://youtu.be/dQw4w9WgXcQ", "video", (), "youtube:dQw4w9WgXcQ:video:"),
        ("https://youtu.be/dQw4w9WgXcQ", "mp3", ("pt-BR", "en", "EN"), "youtube:dQw4w9WgXcQ:mp3:en,pt-br"),
        ("https://vm.tiktok.com/ZM1/", "video", (), None),
        ("https://www.youtube.com/@channel", "video", (), None),
        ("https://www.tiktok.com/strange/form", "video", (), None),
        ("https://example.com/", "video", (), None),
        (None, "video", (), None),
    ],
)
def test_the_key_names_the_post_and_what_is_wanted_of_it(
    link: str | None, preset: str, subtitles: tuple[str, ...], key: str | None
) -> None:
    assert post_key(link, preset, subtitles) == key


def test_a_post_without_its_pictures_is_another() -> None:
    whole, videos = (post_key("https://x.com/i/status/20", "video", (), photos) for photos in (True, False))
    assert (whole, videos) == ("twitter:20:video:", "twitter:20:video::videos")


# -- at submission


async def test_a_post_whose_file_is_there_is_answered_at_once(world: World) -> None:
    source, path = await had(world)
    submission = await world.queue.submit([spelling(1), tiktok(1)])
    [reused] = {job.id: job for job in submission.jobs}.values()
    assert (reused.state, reused.reused, reused.files) == ("succeeded", True, (str(path),))
    assert submission.batch.counts == {"succeeded": 1}
    assert await asyncio.wait_for(world.queue.wait(submission), 1) == [reused, reused]
    assert len(world.engine.started) == 1
    # One file, two records: it goes with the last.
    await world.queue.delete([source.id], with_files=True)
    assert path.exists()
    await world.queue.delete([reused.id], with_files=True)
    assert not path.exists()


def _delete(path: Path) -> None:
    path.unlink()


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".aside"))
    path.symlink_to(path.with_suffix(".aside"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("harm", [_delete, _link, _folder])
async def test_a_post_whose_file_is_gone_is_fetched_again(world: World, harm: Callable[[Path], None]) -> None:
    _, path = await had(world)
    harm(path)
    [job] = await world.submit(spelling(1))
    assert (job.state, job.reused) == ("queued", False)
    await running(world, spelling(1))


async def test_a_file_outside_the_folder_does_not_count(world: World, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "a.mp4").write_bytes(b"film")
    (world.settings.raw_dir / "way").symlink_to(tmp_path / "else")
    for name in (tmp_path / "else" / "a.mp4", world.settings.raw_dir / "way" / "a.mp4"):
        [job] = await world.submit(tiktok(1))
        assert job.state == "queued"
        await running(world, tiktok(1))
        media = Media(files=(str(name),), id="1", title="t", size_bytes=4)
        world.engine.running[tiktok(1)].set_result(Outcome(True, str(name), None, media=media))
        await world.until(job, is_final)
    assert [job.state for job in await world.submit(tiktok(1))] == ["queued"]


async def test_another_preset_and_again_are_downloads_of_their_own(world: World) -> None:
    await had(world)
    [audio] = (await world.queue.submit([tiktok(1)], Wanted(preset=PRESETS["audio"]))).jobs
    await running(world, tiktok(1))
    succeed(world, tiktok(1), "a.m4a")
    await world.until(audio, is_final)
    [again] = (await world.queue.submit([tiktok(1)], AGAIN)).jobs
    await running(world, tiktok(1))
    succeed(world, tiktok(1))
    assert not (await world.until(again, is_final)).reused
    assert len(world.engine.started) == 3


async def test_a_job_without_its_record_cannot_be_reused(world: World) -> None:
    source, _ = await had(world)
    await world.queue.delete([source.id], with_files=False)
    assert [job.state for job in await world.submit(tiktok(1))] == ["queued"]


async def test_while_the_storage_is_away_nothing_counts_as_there(world: World) -> None:
    await had(world)
    (world.settings.raw_dir / "a.mp4").unlink()
    take_away(world)
    world.scheduler.storage.disk.doubt()
    await world.scheduler.storage.poll()
    assert [job.state for job in await world.submit(tiktok(1))] == ["queued"]


async def test_the_archive_answers_until_it_is_forgotten(world: World) -> None:
    assert await world.queue.add_to_archive([("tiktok", "1"), ("youtube", "x"), ("tiktok", "1")]) == 2
    [job] = await world.submit(spelling(1))
    assert (job.state, job.reused, job.files) == ("succeeded", True, ())
    [again] = (await world.queue.submit([tiktok(1)], AGAIN)).jobs
    await running(world, tiktok(1))
    path = succeed(world, tiktok(1))
    await world.until(again, is_final)
    assert [job.files for job in await world.submit(tiktok(1))] == [(str(path),)]  # real files are better
    assert await world.queue.clear_archive() == 2
    path.unlink()
    assert [job.state for job in await world.submit(tiktok(1))] == ["queued"]


# -- while it runs


async def test_a_post_that_is_running_is_waited_for_and_reused(world: World) -> None:
    [leader] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    followers = [(await world.submit(spelling(1)))[0] for _ in range(5)]
    [other] = await world.submit(tiktok(2))  # comes behind them, and is not held up
    await running(world, tiktok(2))
    waiting = asyncio.create_task(world.queue.wait(await world.queue.submit([spelling(1)])))
    path = succeed(world, tiktok(1))
    for follower in followers:
        job = await world.until(follower, is_final)
        assert (job.state, job.reused, job.files) == ("succeeded", True, (str(path),))
        assert (job.attempt_number, await world.queue.attempts(job.id)) == (0, [])
    [answered] = await asyncio.wait_for(waiting, 30)
    assert answered.reused
    assert not (await world.until(leader, is_final)).reused
    assert [work.link for work in world.engine.started] == [tiktok(1), tiktok(2)]
    assert (await world.queue.job(other.id)).state == "running"


@pytest.mark.parametrize("deed", ["fail", "cancel", "delete the file"])
async def test_what_waited_runs_by_itself_where_there_is_nothing_to_reuse(world: World, deed: str) -> None:
    [leader] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    [follower] = await world.submit(spelling(1))
    [second] = await world.submit(spelling(1))
    if deed == "fail":
        world.engine.fail(tiktok(1), "removed")
    elif deed == "cancel":
        await world.queue.cancel([leader.id])
    else:
        succeed(world, tiktok(1)).unlink()
    await running(world, spelling(1))
    succeed(world, spelling(1))
    assert not (await world.until(follower, is_final)).reused
    assert (await world.until(second, is_final)).reused


async def test_what_waits_for_its_retry_is_reused_once_another_was_quicker(world: World) -> None:
    [first] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    world.engine.fail(tiktok(1), "network")
    await world.until(first, lambda job: job.state == "waiting")
    (world.settings.work_dir / first.id).mkdir(parents=True)
    [second] = await world.submit(spelling(1))
    await running(world, spelling(1))
    await world.forward(3600)  # its time has come, but the post is being fetched
    await world.submit(tiktok(2))
    await running(world, tiktok(2))
    assert (await world.queue.job(first.id)).state == "waiting"
    succeed(world, spelling(1))
    job = await world.until(first, is_final)
    assert (job.state, job.reused, job.error) == ("succeeded", True, None)
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["failed"]
    assert not (await world.until(second, is_final)).reused
    while (world.settings.work_dir / first.id).exists():
        await asyncio.sleep(0)


async def test_a_retry_finds_what_others_fetched_meanwhile(world: World) -> None:
    [failed] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    world.engine.fail(tiktok(1), "removed")
    await world.until(failed, is_final)
    await had(world)
    await world.queue.retry([failed.id])
    assert (await world.until(failed, is_final)).reused
    assert len(world.engine.started) == 2


async def test_a_paused_queue_holds_what_waits_for_a_post(world: World) -> None:
    [leader] = await world.submit(tiktok(1))
    await running(world, tiktok(1))
    await world.scheduler.set_paused(True)  # first: no claim is under way
    [follower] = await world.submit(spelling(1))
    succeed(world, tiktok(1))
    await world.until(leader, is_final)
    assert (await world.queue.job(follower.id)).state == "queued"
    await world.scheduler.set_paused(False)
    assert (await world.until(follower, is_final)).reused


async def test_many_for_one_post_neither_start_it_nor_hold_up_others(open_world: Callable[..., Any]) -> None:
    world: World = await open_world(workers=2, platform_concurrency=2, pages_ahead=0)
    await world.submit(tiktok(1))
    await running(world, tiktok(1))
    followers = [(await world.submit(spelling(1)))[0] for _ in range(30)]
    await world.submit(tiktok(2))
    await running(world, tiktok(2))
    succeed(world, tiktok(1))
    for follower in followers:
        assert (await world.until(follower, is_final)).reused
    assert len(world.engine.started) == 2


async def test_what_waits_for_a_post_is_not_asked_for_over_and_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.submit(tiktok(1))
    await running(world, tiktok(1))
    claim, asked = world.store.exchange, list[object]()

    def exchange(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        return claim(*args, **kwargs)

    monkeypatch.setattr(world.store, "exchange", exchange)
    await world.submit(spelling(1))
    for _ in range(200):
        await asyncio.to_thread(world.store.last_event_id)
    assert len(asked) < 5


# -- short links

SHORT = "https://vm.tiktok.com/ZM1/"
LED_TO = "https://www.tiktok.com/@_/video/1"


async def test_a_short_link_to_a_new_post_is_fetched_and_known_from_then_on(world: World) -> None:
    [job] = await world.submit(SHORT)
    await running(world, SHORT)
    world.engine.on_resolved[SHORT](LED_TO)
    while world.engine.proceeding != [job.id]:
        await asyncio.sleep(0)
    succeed(world, SHORT)
    await world.until(job, is_final)
    assert [job.reused for job in await world.submit(tiktok(1))] == [True]


async def test_a_short_link_to_a_post_that_is_there_ends_without_a_download(world: World) -> None:
    _, path = await had(world)
    [job] = await world.submit(SHORT)
    await running(world, SHORT)
    world.engine.on_resolved[SHORT](LED_TO)
    ended = await world.until(job, is_final)
    assert (ended.state, ended.reused, ended.files) == ("succeeded", True, (str(path),))
    assert ended.counted_attempts == 0
    assert [attempt.result for attempt in await world.queue.attempts(job.id)] == ["interrupted"]
    assert (world.engine.proceeding, world.engine.cancelled) == ([], [SHORT])


async def test_a_short_link_to_a_post_that_is_running_waits_for_it(world: World) -> None:
    await world.submit(tiktok(1))
    [job] = await world.submit(SHORT)
    await running(world, tiktok(1))
    await running(world, SHORT)
    world.engine.on_resolved[SHORT](LED_TO)
    await world.until(job, lambda job: job.state == "queued")
    world.engine.fail(tiktok(1), "removed")
    await running(world, LED_TO)  # it was followed before, and is not again
    assert (await world.queue.job(job.id)).url == SHORT


async def test_two_short_links_to_one_post_are_one_download(world: World) -> None:
    others = [f"{SHORT[:-2]}{number}/" for number in (2, 3)]
    first, second = await world.submit(*others)
    for link in others:
        await running(world, link)
    world.engine.on_resolved[others[0]](LED_TO)
    while world.engine.proceeding != [first.id]:
        await asyncio.sleep(0)
    world.engine.on_resolved[others[1]](LED_TO)
    await world.until(second, lambda job: job.state == "queued")
    assert world.engine.proceeding == [first.id]
    succeed(world, others[0])
    assert (await world.until(second, is_final)).reused


async def test_a_short_link_that_is_fetched_again_asks_no_one(world: World) -> None:
    await had(world)
    [job] = (await world.queue.submit([SHORT], AGAIN)).jobs
    await running(world, SHORT)
    world.engine.on_resolved[SHORT](LED_TO)
    while world.engine.proceeding != [job.id]:
        await asyncio.sleep(0)


async def test_a_short_link_whose_job_is_cancelled_meanwhile_is_left_alone(world: World) -> None:
    [job] = await world.submit(SHORT)
    await running(world, SHORT)
    resolved = world.engine.on_resolved[SHORT]
    await world.queue.cancel([job.id])
    resolved(LED_TO)
    await world.submit(tiktok(1))
    await running(world, tiktok(1))
    assert (world.engine.proceeding, (await world.queue.job(job.id)).post_key) == ([], None)

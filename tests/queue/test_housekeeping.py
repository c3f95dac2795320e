"""What is cleaned up between downloads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from downloader.queue.housekeeping import PRUNE_INTERVAL_SECONDS
from tests.queue_world import World, open_world, tiktok, world

__all__ = ["open_world", "world"]  # fixtures


async def test_old_events_are_removed(open_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("downloader.queue.housekeeping.KEPT_EVENTS", 3)
    world: World = await open_world()
    await world.scheduler.set_paused(True)
    for number in range(10):
        await world.submit(tiktok(number))
    with world.queue.hub.subscribe():
        await world.forward(PRUNE_INTERVAL_SECONDS + 1)
        await world.scheduler.set_paused(False)
        await world.engine.until(lambda engine: len(engine.running) == 4)
    oldest = (await world.queue.events_since(0))[0].id
    assert oldest > 5


async def test_unfinished_files_of_jobs_that_are_done_with_go_at_the_next_start(
    open_world: Callable[..., Any],
) -> None:
    dead: World = await open_world()
    done, waiting = await dead.submit(tiktok(1), tiktok(2))
    await dead.engine.until(lambda engine: len(engine.running) == 2)
    dead.engine.fail(tiktok(1), "private")
    await dead.until(done, lambda job: job.state == "failed")
    folders = [dead.settings.work_dir / name for name in (done.id, waiting.id, "deleted-job")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "1.mp4.part").write_bytes(b"x")
    await open_world()
    assert [folder.exists() for folder in folders] == [False, True, False]

"""Limits: never exceeded, fair, shared by event loops, and no permit is ever lost."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from downloader.limiter import ConcurrencyLimiter, Permit


async def settled() -> None:
    """Let everything that can happen on this loop happen."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_start_than_the_caps_allow() -> None:
    limiter = ConcurrencyLimiter(total=3, per_platform=2)
    tiktok = [asyncio.ensure_future(limiter.acquire("tiktok")) for _ in range(5)]
    youtube = [asyncio.ensure_future(limiter.acquire("youtube")) for _ in range(5)]
    await settled()
    assert [task.done() for task in tiktok] == [True, True, False, False, False]
    assert [task.done() for task in youtube] == [True, False, False, False, False]

    (await tiktok[0]).release()
    await settled()
    # The longest waiting one that may start: the third of TikTok.
    assert sum(task.done() for task in tiktok) == 3
    assert sum(task.done() for task in youtube) == 1
    for task in tiktok + youtube:
        task.cancel()


async def test_a_full_platform_does_not_hold_up_the_others() -> None:
    limiter = ConcurrencyLimiter(total=8, per_platform=2)
    stuck = [asyncio.ensure_future(limiter.acquire("tiktok")) for _ in range(20)]
    permit = await asyncio.wait_for(limiter.acquire("youtube"), 30)
    assert permit.platform == "youtube"
    assert limiter.running("tiktok") == 2
    for task in stuck:
        task.cancel()


async def test_a_permit_released_twice_counts_once() -> None:
    limiter = ConcurrencyLimiter(total=2, per_platform=2)
    first = await limiter.acquire("tiktok")
    await limiter.acquire("tiktok")
    first.release()
    first.release()
    assert limiter.running("tiktok") == 1


async def test_a_waiter_that_gives_up_leaves_no_trace() -> None:
    limiter = ConcurrencyLimiter(total=1, per_platform=1)
    permit = await limiter.acquire("tiktok")
    waiting = asyncio.ensure_future(limiter.acquire("tiktok"))
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    permit.release()
    assert limiter.running("tiktok") == 0
    await asyncio.wait_for(limiter.acquire("tiktok"), 30)


async def test_a_waiter_cancelled_just_as_its_permit_was_granted_releases_it() -> None:
    limiter = ConcurrencyLimiter(total=1, per_platform=1)
    permit = await limiter.acquire("tiktok")
    waiting = asyncio.ensure_future(limiter.acquire("tiktok"))
    await settled()
    permit.release()  # grants the next one; its loop has not run since
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert limiter.running("tiktok") == 0


def test_caps_hold_across_event_loops_and_threads() -> None:
    limiter = ConcurrencyLimiter(total=4, per_platform=3)
    lock = threading.Lock()
    running = peak = 0

    async def job() -> None:
        nonlocal running, peak
        permit = await limiter.acquire("instagram")
        with lock:
            running += 1
            peak = max(peak, running)
        await settled()
        with lock:
            running -= 1
        await asyncio.to_thread(permit.release)

    async def many() -> None:
        await asyncio.gather(*(job() for _ in range(25)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert peak == 3
    assert limiter.running("instagram") == 0


def test_a_loop_that_ended_does_not_keep_a_permit() -> None:
    limiter = ConcurrencyLimiter(total=1, per_platform=1)
    permit = asyncio.run(limiter.acquire("tiktok"))
    loop = asyncio.new_event_loop()
    forgotten = loop.create_task(limiter.acquire("tiktok"))
    loop.run_until_complete(settled())
    loop.close()
    permit.release()

    async def next_one() -> None:
        (await asyncio.wait_for(limiter.acquire("tiktok"), 30)).release()

    asyncio.run(next_one())
    assert not forgotten.done()
    # A task of a closed loop complains when it is discarded, here on purpose.
    forgotten._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_permit_granted_to_a_loop_that_then_ended_is_released() -> None:
    limiter = ConcurrencyLimiter(total=2, per_platform=1)
    loop = asyncio.new_event_loop()

    async def one_runs_one_waits() -> Permit:
        permit = await limiter.acquire("tiktok")
        waiting.append(asyncio.ensure_future(limiter.acquire("tiktok")))
        await settled()
        return permit

    waiting: list[asyncio.Future[Permit]] = []
    permit = loop.run_until_complete(one_runs_one_waits())
    permit.release()  # grants one to the waiter, whose loop runs no more
    loop.close()
    waiting.pop()._log_destroy_pending = False  # type: ignore[attr-defined]  # forgotten on purpose
    gc.collect()
    assert limiter.running("tiktok") == 0


@pytest.mark.thorough
async def test_many_that_wait_for_one_platform_cost_each_other_nothing() -> None:
    """Looking through all of them for each would take minutes, and the test's time would run out."""
    limiter = ConcurrencyLimiter(total=8, per_platform=4)

    async def download() -> None:
        permit = await limiter.acquire("tiktok")
        await asyncio.sleep(0)
        permit.release()

    await asyncio.gather(*(download() for _ in range(30_000)))
    assert limiter.running("tiktok") == 0

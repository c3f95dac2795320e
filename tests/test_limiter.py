"""Caps: never passed, fair, shared by event loops, and no slot is ever lost."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from downloader.limiter import Gate, Slot


async def settled() -> None:
    """Let everything that can happen on this loop happen."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_start_than_the_caps_allow() -> None:
    gate = Gate(total=3, per_platform=2)
    tiktok = [asyncio.ensure_future(gate.acquire("tiktok")) for _ in range(5)]
    youtube = [asyncio.ensure_future(gate.acquire("youtube")) for _ in range(5)]
    await settled()
    assert [task.done() for task in tiktok] == [True, True, False, False, False]
    assert [task.done() for task in youtube] == [True, False, False, False, False]

    (await tiktok[0]).release()
    await settled()
    # Whoever came first of those that may: the third of TikTok.
    assert sum(task.done() for task in tiktok) == 3
    assert sum(task.done() for task in youtube) == 1
    for task in tiktok + youtube:
        task.cancel()


async def test_a_full_platform_does_not_hold_up_the_others() -> None:
    gate = Gate(total=8, per_platform=2)
    stuck = [asyncio.ensure_future(gate.acquire("tiktok")) for _ in range(20)]
    slot = await asyncio.wait_for(gate.acquire("youtube"), 5)
    assert slot.platform == "youtube"
    assert gate.running("tiktok") == 2
    for task in stuck:
        task.cancel()


async def test_a_slot_released_twice_counts_once() -> None:
    gate = Gate(total=2, per_platform=2)
    first = await gate.acquire("tiktok")
    await gate.acquire("tiktok")
    first.release()
    first.release()
    assert gate.running("tiktok") == 1


async def test_a_waiter_that_gives_up_leaves_no_trace() -> None:
    gate = Gate(total=1, per_platform=1)
    slot = await gate.acquire("tiktok")
    waiting = asyncio.ensure_future(gate.acquire("tiktok"))
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    slot.release()
    assert gate.running("tiktok") == 0
    await asyncio.wait_for(gate.acquire("tiktok"), 5)


async def test_a_waiter_cancelled_just_as_it_was_admitted_gives_its_slot_back() -> None:
    gate = Gate(total=1, per_platform=1)
    slot = await gate.acquire("tiktok")
    waiting = asyncio.ensure_future(gate.acquire("tiktok"))
    await settled()
    slot.release()  # admits it; its loop has not run since
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate.running("tiktok") == 0


def test_caps_hold_across_event_loops_and_threads() -> None:
    gate = Gate(total=4, per_platform=3)
    lock = threading.Lock()
    running = peak = 0

    async def job() -> None:
        nonlocal running, peak
        slot = await gate.acquire("instagram")
        with lock:
            running += 1
            peak = max(peak, running)
        await settled()
        with lock:
            running -= 1
        await asyncio.to_thread(slot.release)

    async def many() -> None:
        await asyncio.gather(*(job() for _ in range(25)))

    threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert peak == 3
    assert gate.running("instagram") == 0


def test_a_loop_that_ended_does_not_keep_a_slot() -> None:
    gate = Gate(total=1, per_platform=1)
    slot = asyncio.run(gate.acquire("tiktok"))
    loop = asyncio.new_event_loop()
    forgotten = loop.create_task(gate.acquire("tiktok"))
    loop.run_until_complete(settled())
    loop.close()
    slot.release()

    async def next_one() -> None:
        (await asyncio.wait_for(gate.acquire("tiktok"), 5)).release()

    asyncio.run(next_one())
    assert not forgotten.done()
    # A task of a closed loop complains when it is thrown away; it was forgotten on purpose.
    forgotten._log_destroy_pending = False  # type: ignore[attr-defined]


def test_a_slot_handed_to_a_loop_that_then_ended_comes_back() -> None:
    gate = Gate(total=2, per_platform=1)
    loop = asyncio.new_event_loop()

    async def one_runs_one_waits() -> Slot:
        slot = await gate.acquire("tiktok")
        waiting.append(asyncio.ensure_future(gate.acquire("tiktok")))
        await settled()
        return slot

    waiting: list[asyncio.Future[Slot]] = []
    slot = loop.run_until_complete(one_runs_one_waits())
    slot.release()  # hands it to the one that waits, on a loop that runs no more
    loop.close()
    waiting.pop()._log_destroy_pending = False  # type: ignore[attr-defined]  # it is forgotten on purpose
    gc.collect()
    assert gate.running("tiktok") == 0

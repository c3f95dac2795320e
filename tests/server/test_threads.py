"""The threads that answer requests: none without need, none too few, and no task is ever forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from downloader.server.threads import Threads

SECONDS = 20


class Task:
    """Blocks the thread that serves it until it is let go."""

    def __init__(self, *, blocks: bool = False) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.served = threading.Event()
        self.cancelled = threading.Event()
        self.blocks = blocks

    def service(self) -> None:
        self.begun.set()
        assert not self.blocks or self.let_go.wait(SECONDS)
        self.served.set()

    def cancel(self) -> None:
        self.cancelled.set()


@pytest.fixture
def make() -> Iterator[Callable[[int, int], Threads]]:
    made: list[Threads] = []

    def make_threads(most: int, spare: int) -> Threads:
        made.append(Threads(most, spare))
        return made[-1]

    yield make_threads
    for threads in made:
        threads.shutdown(timeout=SECONDS)


def wait_for_count(threads: Threads, count: int) -> None:
    with threads.lock:
        assert threads.thread_exit_cv.wait_for(lambda: len(threads.threads) == count, SECONDS)


def wait_until_idle(threads: Threads) -> None:
    pause = threading.Event()
    for _ in range(SECONDS * 200):
        with threads.lock:
            if not threads.queue and threads.active_count == 0:
                return
        pause.wait(0.005)
    pytest.fail("some are still at it")


def test_a_thread_is_started_when_it_is_needed_and_used_again(make: Callable[[int, int], Threads]) -> None:
    threads = make(10, 4)
    assert not threads.threads
    for _ in range(5):
        task = Task()
        threads.add_task(task)
        assert task.served.wait(SECONDS)
        wait_until_idle(threads)
    assert len(threads.threads) == 1


def test_each_task_has_a_thread_up_to_the_limit_and_the_rest_waits(make: Callable[[int, int], Threads]) -> None:
    threads = make(10, 2)
    long = [Task(blocks=True) for _ in range(10)]
    for task in long:
        threads.add_task(task)
    assert all(task.begun.wait(SECONDS) for task in long)
    late = [Task() for _ in range(5)]
    for task in late:
        threads.add_task(task)
    assert len(threads.threads) == 10
    assert not any(task.begun.is_set() for task in late)
    long[3].let_go.set()
    assert all(task.served.wait(SECONDS) for task in late)
    for task in long:
        task.let_go.set()
    wait_for_count(threads, 2)
    assert all(task.served.is_set() for task in long)


def test_a_task_that_comes_while_others_wait_for_ever_is_served(make: Callable[[int, int], Threads]) -> None:
    threads = make(300, 8)
    streams = [Task(blocks=True) for _ in range(299)]
    for task in streams:
        threads.add_task(task)
    request = Task()
    threads.add_task(request)
    assert request.served.wait(SECONDS)
    for task in streams:
        task.let_go.set()
    wait_for_count(threads, 8)


def test_what_fails_takes_no_thread_with_it(make: Callable[[int, int], Threads]) -> None:
    class Broken(Task):
        def service(self) -> None:
            raise SystemExit

    threads = make(1, 1)
    for task in (Broken(), Broken(), last := Task()):
        threads.add_task(task)
    assert last.served.wait(SECONDS)
    assert len(threads.threads) == 1


@pytest.mark.parametrize("spare", [1, 3, 50])
def test_no_task_is_forgotten_however_they_come(make: Callable[[int, int], Threads], spare: int) -> None:
    threads = make(12, spare)

    def send(_: int) -> list[Task]:
        sent = []
        for number in range(300):
            sent.append(Task())
            threads.add_task(sent[-1])
            if number % 7 == 0:
                assert sent[-1].served.wait(SECONDS)
        return sent

    with ThreadPoolExecutor(8) as pool:
        for sent in pool.map(send, range(8)):
            assert all(task.served.wait(SECONDS) for task in sent)
    wait_until_idle(threads)
    assert len(threads.threads) <= min(spare, 12)


def test_shutdown_lets_what_is_served_finish_and_cancels_the_rest(make: Callable[[int, int], Threads]) -> None:
    threads = make(1, 1)
    running, queued, after = Task(blocks=True), Task(), Task()
    threads.add_task(running)
    assert running.begun.wait(SECONDS)
    threads.add_task(queued)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(threads.shutdown, timeout=SECONDS)
        running.let_go.set()
        assert ending.result(SECONDS)
    assert running.served.is_set()
    assert queued.cancelled.is_set() or queued.served.is_set()  # served, where the shutdown came after it
    assert not threads.threads
    threads.add_task(after)
    assert not threads.threads


def test_shutdown_waits_no_longer_than_it_was_told_to(make: Callable[[int, int], Threads]) -> None:
    threads = make(2, 1)
    running = Task(blocks=True)
    threads.add_task(running)
    assert running.begun.wait(SECONDS)
    assert threads.shutdown(timeout=0.05)
    running.let_go.set()
    wait_for_count(threads, 0)


def test_without_another_thread_the_first_serves_all(
    make: Callable[[int, int], Threads], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = make(10, 4)
    first, second = Task(blocks=True), Task()
    threads.add_task(first)
    assert first.begun.wait(SECONDS)

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "start_new_thread", refuse)
    threads.add_task(second)
    first.let_go.set()
    assert second.served.wait(SECONDS)
    wait_until_idle(threads)
    assert len(threads.threads) == 1

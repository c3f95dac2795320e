"""The threads that answer requests: as many as are needed at a time, up to a limit."""

from __future__ import annotations

import logging
from typing import Any

from waitress.task import ThreadedTaskDispatcher

log = logging.getLogger(__name__)


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    """Waitress's own, which starts all threads at once, but for when they start and end: each holds 40 kB.

    Everything that decides, waits and counts does so with `lock` held. `active_count` has the threads that do not wait:
    those that serve, and those that were started or woken and have not got that far.
    """

    def __init__(self, most: int, spare: int) -> None:
        """Start threads when requests need them, *most* at once; keep up to *spare* of those with nothing to do."""
        super().__init__()
        self._most = most
        self._spare = spare

    def add_task(self, task: Any) -> None:
        """Have *task* served: by a thread that waits for one, else a new one, else the first that is free."""
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()
            # One that was woken for an earlier task still counts as waiting, and that task still as queued.
            if len(self.queue) > self._waiting():
                self._start_one()

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """Start no more threads, have each end with what it serves now, and cancel what is queued."""
        with self.lock:
            self._most = 0
        return bool(super().shutdown(cancel_pending, timeout))

    def handler_thread(self, thread_no: int) -> None:
        """Serve tasks until there are threads enough without this one."""
        while (task := self._next_task(thread_no)) is not None:
            try:
                task.service()
            except BaseException:
                log.exception("a request could not be served")

    def _next_task(self, thread_no: int) -> Any:
        """Return what is to be served next; None where the thread *thread_no* has to end, which is noted then."""
        with self.lock:
            # Whatever woke it, and whoever was quicker: it goes by what is in the queue now.
            while not self.queue and self.stop_count == 0 and self._waiting() < self._spare:
                self.active_count -= 1
                self.queue_cv.wait()
                self.active_count += 1
            if self.queue and self.stop_count == 0:
                return self.queue.popleft()
            if self.stop_count > 0:
                self.stop_count -= 1
            self.active_count -= 1
            self.threads.discard(thread_no)
            self.thread_exit_cv.notify()
            return None

    def _waiting(self) -> int:
        return len(self.threads) - int(self.active_count)

    def _start_one(self) -> None:
        if len(self.threads) >= self._most:
            return
        number = next(number for number in range(self._most) if number not in self.threads)
        self.threads.add(number)
        self.active_count += 1
        try:
            self.start_new_thread(self.handler_thread, number)
        except RuntimeError:
            # The system has none for us now; what is queued waits for one of those that there are.
            self.threads.discard(number)
            self.active_count -= 1
            log.exception("no thread can be had", extra={"threads": len(self.threads)})

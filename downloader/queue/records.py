"""The records of a batch, each as soon as its job ends."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from downloader.jobs import Job, Submission
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.records import Record

#: How often to look whether anyone still listens.
TICK_SECONDS = 0.5


def records_as_they_end(
    services: Services, submission: Submission, urls: Sequence[str], gone: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """Yield a record for each of *urls*, which *submission* came of, in the order in which their jobs end. Blocking.

    Ends early where the client is *gone*; the jobs go on without it.
    """
    urls_of: dict[str, list[str]] = defaultdict(list)
    for url, job in zip(urls, submission.jobs, strict=True):
        urls_of[job.id].append(url)
    ended: SimpleQueue[Job | None] = SimpleQueue()
    watching = services.loop.submit(_watch(services.open(), submission, ended.put))
    try:
        while not gone():
            try:
                one = ended.get(timeout=TICK_SECONDS)
            except Empty:
                continue
            if one is None:
                watching.result()  # raises what went wrong
                return
            for url in urls_of[one.id]:
                yield Record.reply(one, url).to_json()
    finally:
        watching.cancel()


async def _watch(queue: JobQueue, submission: Submission, tell: Callable[[Job | None], None]) -> None:
    async def watch_one(job: Job) -> None:
        tell(*await queue.wait(replace(submission, jobs=(job,))))

    try:
        async with asyncio.TaskGroup() as group:
            for job in {job.id: job for job in submission.jobs}.values():
                group.create_task(watch_one(job))
    finally:
        tell(None)

"""The queue over HTTP: batches, jobs, platforms. Thin: parses by models, asks the queue, answers by models."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from flask import Blueprint, request, url_for
from werkzeug.exceptions import Conflict

from downloader.errors import NotFound
from downloader.jobs import FINAL_STATES, Attempt, Batch, Job, PlatformView, Progress, Submission
from downloader.platforms import PlatformType
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.files import FILES_PATH
from downloader.web.queries import BatchesQuery, DeleteQuery, JobIds, JobIdsToDelete, JobsQuery, SubmitHeaders
from downloader.web.requests import QueuedBatchRequest, parse_queued_batch
from downloader.web.responses import (
    AttemptRecord,
    BatchDetail,
    BatchPage,
    BatchRecord,
    ChangedJob,
    ChangedJobs,
    Deleted,
    JobDetail,
    JobPage,
    JobRecord,
    PlatformRecord,
    Platforms,
    ProgressRecord,
    QueueRecord,
    StateCounts,
)
from downloader.web.routes import Routes

# Long enough to be an id: `cancel`, `retry` and `delete` are none, and have routes of their own.
ID = "string(minlength=8)"

#: Where what a submission answers leads to.
_LINKS = {
    **{name: {"batch_id": "/batch/id"} for name in ("show_batch", "cancel_batch", "retry_batch", "delete_batch")},
    **{
        name: {"job_id": "/jobs/0/job_id"}
        for name in ("show_job", "cancel_job", "retry_job", "delete_job", "send_media")
    },
}


def create_v1_api(services: Services) -> Routes:
    """Return the routes that use the queue of *services*."""
    routes = Routes(Blueprint("v1", __name__, url_prefix="/api/v1"), tag="batches")
    _add_batches(routes, services)
    _add_jobs(routes.tagged("jobs"), services)
    _add_queue(routes.tagged("queue"), services)
    return routes


# Batches


def _add_batches(routes: Routes, services: Services) -> None:
    @routes.post(
        "/batches",
        {202: BatchDetail, 200: BatchDetail},
        body=QueuedBatchRequest,
        parse_body=lambda body: parse_queued_batch(body, max_urls=services.settings.max_batch_urls),
        headers=SubmitHeaders,
        links=_LINKS,
        refusals={409: "The Idempotency-Key was used with other URLs."},
    )
    async def submit_batch(body: QueuedBatchRequest, headers: SubmitHeaders) -> tuple[BatchDetail, int, dict[str, str]]:
        """Queue a batch: it is stored when this answers 202.

        With an `Idempotency-Key` it is safe to repeat: the same URLs again answer 200 with the first batch.
        With `retry_failed_once` a batch has a second round; without it, what has failed is final.
        """
        submission, sent = await services.acall(_submit, body, headers.idempotency_key)
        where = {"Location": url_for("v1.show_batch", batch_id=submission.batch.id)}
        return _batch_detail(submission.batch, sent), 202 if submission.created else 200, where

    @routes.get("/batches", BatchPage, query=BatchesQuery)
    async def list_batches(query: BatchesQuery) -> BatchPage:
        """List batches, newest first."""
        batches, cursor = await services.acall(JobQueue.batches, before=query.cursor, limit=query.limit)
        return BatchPage(batches=[BatchRecord.of(batch) for batch in batches], next_cursor=cursor)

    @routes.get("/batches/<batch_id>", BatchDetail)
    async def show_batch(batch_id: str) -> BatchDetail:
        """Show a batch with a record for each URL sent, in that order."""
        return _batch_detail(*await services.acall(_batch_with_jobs, batch_id))

    @routes.post("/batches/<batch_id>/cancel", BatchDetail)
    async def cancel_batch(batch_id: str) -> BatchDetail:
        """Cancel what is not final of a batch, and its second round; answer the jobs that this changed."""
        return _changed_batch(*await services.acall(_change_batch, JobQueue.cancel_batch, batch_id))

    @routes.post("/batches/<batch_id>/retry", BatchDetail)
    async def retry_batch(batch_id: str) -> BatchDetail:
        """Put what failed or was cancelled of a batch back into the queue; answer the jobs that this changed."""
        return _changed_batch(*await services.acall(_change_batch, JobQueue.retry_batch, batch_id))

    @routes.delete("/batches/<batch_id>", Deleted, query=DeleteQuery, refusals={409: "Something of it is not final."})
    async def delete_batch(batch_id: str, query: DeleteQuery) -> Deleted:
        """Delete the records of a batch, with `files=true` the media too."""
        _, jobs = await services.acall(_batch_with_jobs, batch_id)
        if unfinished := {job.id for _, job in jobs if job.state not in FINAL_STATES}:
            raise Conflict(f"{len(unfinished)} of this batch's jobs are not done: cancel it first, then delete it.")
        ids = [job.id for _, job in jobs]
        return _deleted(await services.acall(JobQueue.delete, ids, with_files=query.files))


async def _submit(
    queue: JobQueue, body: QueuedBatchRequest, idempotency_key: str | None
) -> tuple[Submission, list[tuple[str, Job]]]:
    submission = await queue.submit(
        body.urls, idempotency_key=idempotency_key, retry_failed_once=body.retry_failed_once
    )
    if submission.created:
        return submission, list(zip(body.urls, submission.jobs, strict=True))
    return submission, await queue.batch_jobs(submission.batch.id)  # some of its jobs may have been deleted since


async def _batch_with_jobs(queue: JobQueue, batch_id: str) -> tuple[Batch, list[tuple[str, Job]]]:
    return await queue.batch(batch_id), await queue.batch_jobs(batch_id)


async def _change_batch(
    queue: JobQueue, change: Callable[[JobQueue, str], Coroutine[Any, Any, list[Job]]], batch_id: str
) -> tuple[Batch, list[Job]]:
    changed = await change(queue, batch_id)
    return await queue.batch(batch_id), changed


# Jobs


def _add_jobs(routes: Routes, services: Services) -> None:
    @routes.get("/jobs", JobPage, query=JobsQuery)
    async def list_jobs(query: JobsQuery) -> JobPage:
        """List jobs, newest first."""
        jobs, cursor = await services.acall(JobQueue.jobs, query.filter())
        return JobPage(jobs=_records(jobs), next_cursor=cursor)

    @routes.get(f"/jobs/<{ID}:job_id>", JobDetail)
    async def show_job(job_id: str) -> JobDetail:
        """Show a job with its attempts and, while it runs, its progress."""
        job, attempts, progress = await services.acall(_job_with_history, job_id)
        return JobDetail(
            job=_record(job),
            attempts=[AttemptRecord.of(attempt) for attempt in attempts],
            progress=None if progress is None else ProgressRecord.model_validate(progress),
        )

    @routes.post(f"/jobs/<{ID}:job_id>/cancel", ChangedJob, refusals={409: "It has succeeded or failed."})
    async def cancel_job(job_id: str) -> ChangedJob:
        """Cancel a job; one that is cancelled stays so."""
        job, changed = await services.acall(_change_job, JobQueue.cancel, job_id)
        if not changed and job.state != "cancelled":
            raise Conflict(f"This job has {job.state} already: there is nothing to cancel.")
        return ChangedJob(job=_record(job))

    @routes.post(
        f"/jobs/<{ID}:job_id>/retry", ChangedJob, refusals={409: "It has not failed, or no platform owns its URL."}
    )
    async def retry_job(job_id: str) -> ChangedJob:
        """Put a failed or cancelled job back into the queue."""
        job, changed = await services.acall(_change_job, JobQueue.retry, job_id)
        if not changed and job.link is None:
            raise Conflict("No platform owns this job's URL: trying again would come to the same.")
        if not changed:
            raise Conflict(f"This job is {job.state}: only what failed or was cancelled can be retried.")
        return ChangedJob(job=_record(job))

    @routes.delete(f"/jobs/<{ID}:job_id>", Deleted, query=DeleteQuery, refusals={409: "It is not final."})
    async def delete_job(job_id: str, query: DeleteQuery) -> Deleted:
        """Delete the record of a job, with `files=true` its media too."""
        job = await services.acall(JobQueue.job, job_id)
        deleted = await services.acall(JobQueue.delete, [job_id], with_files=query.files)
        if not deleted:
            raise Conflict(f"This job is {job.state}: cancel it first, then delete it.")
        return _deleted(deleted)

    @routes.post("/jobs/cancel", ChangedJobs, body=JobIds)
    async def cancel_jobs(body: JobIds) -> ChangedJobs:
        """Cancel those of the named jobs that are not final; answer the jobs that this changed."""
        return ChangedJobs(jobs=_records(await services.acall(JobQueue.cancel, body.ids)))

    @routes.post("/jobs/retry", ChangedJobs, body=JobIds)
    async def retry_jobs(body: JobIds) -> ChangedJobs:
        """Put those of the named jobs that failed or were cancelled back into the queue; answer them."""
        return ChangedJobs(jobs=_records(await services.acall(JobQueue.retry, body.ids)))

    @routes.post("/jobs/delete", Deleted, body=JobIdsToDelete)
    async def delete_jobs(body: JobIdsToDelete) -> Deleted:
        """Delete the records of those of the named jobs that are final; answer their ids."""
        return _deleted(await services.acall(JobQueue.delete, body.ids, with_files=body.files))


async def _job_with_history(queue: JobQueue, job_id: str) -> tuple[Job, list[Attempt], Progress | None]:
    job = await queue.job(job_id)
    progress = (each for each in queue.scheduler.progress() if each.job_id == job_id and job.state == "running")
    return job, await queue.attempts(job_id), next(progress, None)


async def _change_job(
    queue: JobQueue, change: Callable[[JobQueue, list[str]], Coroutine[Any, Any, list[Job]]], job_id: str
) -> tuple[Job, bool]:
    await queue.job(job_id)  # NotFound, if there is none
    changed = await change(queue, [job_id])
    return await queue.job(job_id), bool(changed)


# The queue and its platforms


def _add_queue(routes: Routes, services: Services) -> None:
    @routes.get("/queue", QueueRecord)
    async def show_queue() -> QueueRecord:
        """Show whether new downloads are begun, and how much there is to do."""
        return await services.acall(_queue_record)

    @routes.post("/queue/pause", QueueRecord)
    async def pause_queue() -> QueueRecord:
        """Begin nothing more; what runs goes on."""
        return await services.acall(_set_paused, True)

    @routes.post("/queue/resume", QueueRecord)
    async def resume_queue() -> QueueRecord:
        """Go on."""
        return await services.acall(_set_paused, False)

    @routes.get("/platforms", Platforms)
    async def list_platforms() -> Platforms:
        """Show how each platform is treated, and how it fared in the last hour."""
        return Platforms(platforms=[_platform(view) for view in await services.acall(JobQueue.platforms)])

    @routes.post("/platforms/<name>/end-cooldown", PlatformRecord)
    async def end_cooldown(name: str) -> PlatformRecord:
        """Let a platform that rests start again at once; answer how it is treated then."""
        views = {view.platform: view for view in await services.acall(JobQueue.platforms)}
        platform = next((platform for platform in views if platform == name), None)
        if platform is None:
            raise NotFound("platform")
        await services.acall(_end_cooldown, platform)
        views = {view.platform: view for view in await services.acall(JobQueue.platforms)}
        return _platform(views[platform])


async def _set_paused(queue: JobQueue, paused: bool) -> QueueRecord:
    await queue.scheduler.set_paused(paused)
    return await _queue_record(queue)


async def _end_cooldown(queue: JobQueue, platform: PlatformType) -> None:
    await queue.scheduler.end_rest(platform)


async def _queue_record(queue: JobQueue) -> QueueRecord:
    await queue.scheduler.look()
    status = queue.scheduler.status()
    totals: dict[str, int] = {}
    for counts in (await queue.counts()).values():
        for state, number in counts.items():
            totals[state] = totals.get(state, 0) + number
    return QueueRecord(
        paused=status.paused,
        disk_low=status.disk_low,
        storage_full=status.storage_full,
        storage_error=status.storage_error or status.database_error,
        free_bytes=status.free_bytes,
        counts=StateCounts.model_validate(totals),
    )


# Records


def _record(job: Job, url: str | None = None) -> JobRecord:
    return JobRecord.of(job, files_url=request.script_root + FILES_PATH, url=url)


def _records(jobs: Iterable[Job]) -> list[JobRecord]:
    return [_record(job) for job in jobs]


def _batch_detail(batch: Batch, sent: Iterable[tuple[str, Job]]) -> BatchDetail:
    return BatchDetail(batch=BatchRecord.of(batch), jobs=[_record(job, url) for url, job in sent])


def _changed_batch(batch: Batch, changed: Iterable[Job]) -> BatchDetail:
    return BatchDetail(batch=BatchRecord.of(batch), jobs=_records(changed))


def _deleted(jobs: Iterable[Job]) -> Deleted:
    return Deleted(deleted=[job.id for job in jobs])


def _platform(view: PlatformView) -> PlatformRecord:
    ended = view.succeeded_last_hour + view.failed_last_hour
    return PlatformRecord(
        platform=view.platform,
        label=view.label,
        cap=view.cap,
        running=view.running,
        queued=view.queued,
        waiting=view.waiting,
        cooling_until=view.cooling_until,
        succeeded_last_hour=view.succeeded_last_hour,
        failed_last_hour=view.failed_last_hour,
        success_rate_last_hour=view.succeeded_last_hour / ended if ended else None,
        mean_seconds_last_hour=view.mean_seconds_last_hour,
    )

"""Batches: submit, list, show, cancel, retry and delete."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from flask import Blueprint, url_for
from werkzeug.exceptions import Conflict

from downloader.jobs import FINAL_STATES, Batch, Job, Submission
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.jobs import deleted_ids, job_record, job_records
from downloader.web.requests import BatchesQuery, DeleteQuery, QueuedBatchRequest, SubmitHeaders, parse_batch
from downloader.web.responses import BatchDetail, BatchPage, BatchRecord, Deleted
from downloader.web.routes import Routes

#: The operations that may follow a submission.
_LINKS = {
    **{name: {"batch_id": "/batch/id"} for name in ("show_batch", "cancel_batch", "retry_batch", "delete_batch")},
    **{
        name: {"job_id": "/jobs/0/job_id"}
        for name in ("show_job", "cancel_job", "retry_job", "delete_job", "send_media")
    },
}


def create_batches_api(services: Services) -> Routes:
    """Return the routes for batches."""
    routes = Routes(Blueprint("batches", __name__, url_prefix="/api/v1"), tag="batches")

    @routes.post(
        "/batches",
        {202: BatchDetail, 200: BatchDetail},
        body=QueuedBatchRequest,
        parse_body=partial(parse_batch, QueuedBatchRequest, max_urls=services.settings.max_batch_urls),
        headers=SubmitHeaders,
        links=_LINKS,
        errors={409: "The Idempotency-Key was used with other URLs."},
    )
    async def submit_batch(body: QueuedBatchRequest, headers: SubmitHeaders) -> tuple[BatchDetail, int, dict[str, str]]:
        """Queue a batch; when this returns 202, it is stored.

        With an `Idempotency-Key` the request is safe to repeat: the same URLs return 200 and the first batch. With
        `retry_failed_once`, the batch has a second round for jobs that failed; without it their failure is final.
        """
        submission, sent = await services.acall(_submit, body, headers.idempotency_key)
        location = {"Location": url_for("batches.show_batch", batch_id=submission.batch.id)}
        return _batch_detail(submission.batch, sent), 202 if submission.created else 200, location

    @routes.get("/batches", BatchPage, query=BatchesQuery)
    async def list_batches(query: BatchesQuery) -> BatchPage:
        """List batches, newest first."""
        batches, cursor = await services.acall(JobQueue.batches, before=query.cursor, limit=query.limit)
        return BatchPage(batches=[BatchRecord.of(batch) for batch in batches], next_cursor=cursor)

    @routes.get("/batches/<batch_id>", BatchDetail)
    async def show_batch(batch_id: str) -> BatchDetail:
        """Show a batch, with a record for each submitted URL in order."""
        return _batch_detail(*await services.acall(_batch_with_jobs, batch_id))

    @routes.post("/batches/<batch_id>/cancel", BatchDetail)
    async def cancel_batch(batch_id: str) -> BatchDetail:
        """Cancel a batch's unfinished jobs and its second round; return the jobs that changed."""
        return _changed_batch(*await services.acall(_change_batch, JobQueue.cancel_batch, batch_id))

    @routes.post("/batches/<batch_id>/retry", BatchDetail)
    async def retry_batch(batch_id: str) -> BatchDetail:
        """Queue a batch's failed and cancelled jobs again; return the jobs that changed."""
        return _changed_batch(*await services.acall(_change_batch, JobQueue.retry_batch, batch_id))

    @routes.delete("/batches/<batch_id>", Deleted, query=DeleteQuery, errors={409: "Some of its jobs are not final."})
    async def delete_batch(batch_id: str, query: DeleteQuery) -> Deleted:
        """Delete the records of a batch, with `files=true` its media too."""
        _, jobs = await services.acall(_batch_with_jobs, batch_id)
        if unfinished := {job.id for _, job in jobs if job.state not in FINAL_STATES}:
            raise Conflict(f"{len(unfinished)} of this batch's jobs are not done: cancel it first, then delete it.")
        ids = [job.id for _, job in jobs]
        return deleted_ids(await services.acall(JobQueue.delete, ids, with_files=query.files))

    return routes


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


def _batch_detail(batch: Batch, sent: Iterable[tuple[str, Job]]) -> BatchDetail:
    return BatchDetail(batch=BatchRecord.of(batch), jobs=[job_record(job, url) for url, job in sent])


def _changed_batch(batch: Batch, changed: Iterable[Job]) -> BatchDetail:
    return BatchDetail(batch=BatchRecord.of(batch), jobs=job_records(changed))

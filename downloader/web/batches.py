"""Batches: submit, list, show, cancel, retry and delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flask import Blueprint, Response, url_for
from werkzeug.exceptions import Conflict

from downloader.jobs import FINAL_STATES
from downloader.queue.operations import PORTION, JobQueue
from downloader.queue.services import Services
from downloader.web.jobs import job_record, job_records_json
from downloader.web.openapi import JSON, Content
from downloader.web.queries import BatchesQuery, DeleteQuery, SubmitHeaders
from downloader.web.requests import QueuedBatchRequest
from downloader.web.responses import BatchDetail, BatchPage, Deleted
from downloader.web.routes import Routes

Detail = dict[str, Any]  #: as BatchDetail has it

_SUBMITTED: Mapping[int, Content] = {202: {JSON: BatchDetail}, 200: {JSON: BatchDetail}}
_KEY_CONFLICT = {409: "The Idempotency-Key was used with other URLs, or to get something else of them."}

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
    _add_submitting(routes, services)

    @routes.route("GET", "/batches", BatchPage)
    async def list_batches(query: BatchesQuery) -> dict[str, Any]:
        """List batches, newest first."""
        batches, cursor = await services.acall(JobQueue.batches, before=query.cursor, limit=query.limit)
        return {"batches": batches, "next_cursor": cursor}

    @routes.route("GET", "/batches/<batch_id>", BatchDetail)
    async def show_batch(batch_id: str) -> Detail:
        """Show a batch, with a record for each submitted URL in order."""
        return await _detail(services, batch_id)

    @routes.route("POST", "/batches/<batch_id>/cancel", BatchDetail)
    async def cancel_batch(batch_id: str) -> Response:
        """Cancel a batch's unfinished jobs and its second round; return the jobs that changed."""
        portions = []
        while jobs := await services.acall(JobQueue.cancel_batch, batch_id):
            portions.append(job_records_json(jobs))
        return await _changed(services, batch_id, portions)

    @routes.route("POST", "/batches/<batch_id>/retry", BatchDetail)
    async def retry_batch(batch_id: str) -> Response:
        """Queue a batch's failed and cancelled jobs again; return the jobs that changed."""
        ids = await services.acall(JobQueue.job_ids, batch_id, states=("failed", "cancelled"))
        portions = []
        for start in range(0, len(ids), PORTION):
            if jobs := await services.acall(JobQueue.retry, ids[start : start + PORTION]):
                portions.append(job_records_json(jobs))
        return await _changed(services, batch_id, portions)

    @routes.route("DELETE", "/batches/<batch_id>", Deleted, errors={409: "Some of its jobs are not final."})
    async def delete_batch(batch_id: str, query: DeleteQuery) -> dict[str, list[str]]:
        """Delete the records of a batch, with `files=true` its media too."""
        counts = (await services.acall(JobQueue.batch, batch_id)).counts
        if unfinished := sum(number for state, number in counts.items() if state not in FINAL_STATES):
            raise Conflict(f"{unfinished} of this batch's jobs are not done: cancel it first, then delete it.")
        ids = await services.acall(JobQueue.job_ids, batch_id)
        return {"deleted": await services.acall(JobQueue.delete, ids, with_files=query.files)}

    return routes


def _add_submitting(routes: Routes, services: Services) -> None:
    @routes.route("POST", "/batches", _SUBMITTED, links=_LINKS, errors=_KEY_CONFLICT)
    async def submit_batch(body: QueuedBatchRequest, headers: SubmitHeaders) -> tuple[Detail, int, dict[str, str]]:
        """Queue a batch; when this returns 202, it is stored.

        With an `Idempotency-Key` the request is safe to repeat: the same one returns 200 and the first batch. With
        `retry_failed_once`, the batch has a second round for jobs that failed; without it their failure is final.
        """
        body.refuse_more_than(services.settings.max_batch_urls)
        submission = await services.acall(
            JobQueue.submit,
            body.urls,
            body.wanted(services.settings),
            idempotency_key=headers.idempotency_key,
            retry_failed_once=body.retry_failed_once,
        )
        location = {"Location": url_for("batches.show_batch", batch_id=submission.batch.id)}
        if not submission.created:  # some of its jobs may have been deleted since
            return await _detail(services, submission.batch.id), 200, location
        jobs = [job_record(job, url) for url, job in zip(body.urls, submission.jobs, strict=True)]
        return {"batch": submission.batch, "jobs": jobs}, 202, location


async def _detail(services: Services, batch_id: str) -> Detail:
    """Return the batch and all its jobs."""
    batch = await services.acall(JobQueue.batch, batch_id)
    sent = await services.acall(JobQueue.batch_jobs, batch_id)
    return {"batch": batch, "jobs": [job_record(job, url) for url, job in sent]}


async def _changed(services: Services, batch_id: str, portions: Iterable[str]) -> Response:
    """Return the batch and the jobs that changed, whose records are JSON already.

    There may be thousands, which take ten times the memory as long as they are objects.
    """
    batch = await services.acall(JobQueue.batch, batch_id)
    empty = BatchDetail.model_validate({"batch": batch, "jobs": []}).model_dump_json()
    return Response(f"{empty.removesuffix(']}')}{','.join(portions)}]}}", content_type=JSON)

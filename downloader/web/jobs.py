"""Jobs: list, show, cancel, retry and delete, one or many."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from flask import Blueprint, request
from werkzeug.exceptions import Conflict

from downloader.jobs import Attempt, Job, Progress
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.web.files import FILES_PATH
from downloader.web.requests import DeleteQuery, JobIds, JobIdsToDelete, JobsQuery
from downloader.web.responses import (
    AttemptRecord,
    ChangedJob,
    ChangedJobs,
    Deleted,
    JobDetail,
    JobPage,
    JobRecord,
    ProgressRecord,
)
from downloader.web.routes import Routes

# Longer than `cancel`, `retry` and `delete`, which have routes of their own.
_JOB = "/jobs/<string(minlength=8):job_id>"


def create_jobs_api(services: Services) -> Routes:
    """Return the routes for jobs."""
    routes = Routes(Blueprint("jobs", __name__, url_prefix="/api/v1"), tag="jobs")
    _add_one_job(routes, services)
    _add_many_jobs(routes, services)
    return routes


def _add_one_job(routes: Routes, services: Services) -> None:
    @routes.get(_JOB, JobDetail)
    async def show_job(job_id: str) -> JobDetail:
        """Show a job with its attempts and, while it runs, its progress."""
        job, attempts, progress = await services.acall(_job_with_history, job_id)
        return JobDetail(
            job=job_record(job),
            attempts=[AttemptRecord.of(attempt) for attempt in attempts],
            progress=None if progress is None else ProgressRecord.model_validate(progress),
        )

    @routes.post(f"{_JOB}/cancel", ChangedJob, errors={409: "The job has succeeded or failed."})
    async def cancel_job(job_id: str) -> ChangedJob:
        """Cancel a job; has no effect on a cancelled one."""
        job, changed = await services.acall(_change_job, JobQueue.cancel, job_id)
        if not changed and job.state != "cancelled":
            raise Conflict(f"This job has already {job.state}, so it cannot be cancelled.")
        return ChangedJob(job=job_record(job))

    @routes.post(f"{_JOB}/retry", ChangedJob, errors={409: "The job has not failed, or its platform is not supported."})
    async def retry_job(job_id: str) -> ChangedJob:
        """Queue a failed or cancelled job again."""
        job, changed = await services.acall(_change_job, JobQueue.retry, job_id)
        if not changed and job.link is None:
            raise Conflict("The platform of this job's URL is not supported: a retry would fail again.")
        if not changed:
            raise Conflict(f"This job is {job.state}: only failed or cancelled jobs can be retried.")
        return ChangedJob(job=job_record(job))

    @routes.delete(_JOB, Deleted, query=DeleteQuery, errors={409: "The job is not final."})
    async def delete_job(job_id: str, query: DeleteQuery) -> Deleted:
        """Delete the record of a job, with `files=true` its media too."""
        job = await services.acall(JobQueue.job, job_id)
        deleted = await services.acall(JobQueue.delete, [job_id], with_files=query.files)
        if not deleted:
            raise Conflict(f"This job is {job.state}: cancel it first, then delete it.")
        return deleted_ids(deleted)


def _add_many_jobs(routes: Routes, services: Services) -> None:
    @routes.get("/jobs", JobPage, query=JobsQuery)
    async def list_jobs(query: JobsQuery) -> JobPage:
        """List jobs, newest first."""
        jobs, cursor = await services.acall(JobQueue.jobs, query.filter())
        return JobPage(jobs=job_records(jobs), next_cursor=cursor)

    @routes.post("/jobs/cancel", ChangedJobs, body=JobIds)
    async def cancel_jobs(body: JobIds) -> ChangedJobs:
        """Cancel the given jobs that are not final; return those that changed."""
        return ChangedJobs(jobs=job_records(await services.acall(JobQueue.cancel, body.ids)))

    @routes.post("/jobs/retry", ChangedJobs, body=JobIds)
    async def retry_jobs(body: JobIds) -> ChangedJobs:
        """Queue the given jobs again that failed or were cancelled; return them."""
        return ChangedJobs(jobs=job_records(await services.acall(JobQueue.retry, body.ids)))

    @routes.post("/jobs/delete", Deleted, body=JobIdsToDelete)
    async def delete_jobs(body: JobIdsToDelete) -> Deleted:
        """Delete the records of the given jobs that are final; return their ids."""
        return deleted_ids(await services.acall(JobQueue.delete, body.ids, with_files=body.files))


async def _job_with_history(queue: JobQueue, job_id: str) -> tuple[Job, list[Attempt], Progress | None]:
    job = await queue.job(job_id)
    progress = (each for each in queue.scheduler.progress() if each.job_id == job_id and job.state == "running")
    return job, await queue.attempts(job_id), next(progress, None)


async def _change_job(
    queue: JobQueue, change: Callable[[JobQueue, list[str]], Coroutine[Any, Any, list[Job]]], job_id: str
) -> tuple[Job, bool]:
    await queue.job(job_id)  # raises NotFound
    changed = await change(queue, [job_id])
    return await queue.job(job_id), bool(changed)


def job_record(job: Job, url: str | None = None) -> JobRecord:
    """Return the record of *job*, for *url* if its link was submitted in another spelling."""
    return JobRecord.of(job, files_url=request.script_root + FILES_PATH, url=url)


def job_records(jobs: Iterable[Job]) -> list[JobRecord]:
    """Return the records of *jobs*."""
    return [job_record(job) for job in jobs]


def deleted_ids(jobs: Iterable[Job]) -> Deleted:
    """Return the response that names the deleted *jobs*."""
    return Deleted(deleted=[job.id for job in jobs])

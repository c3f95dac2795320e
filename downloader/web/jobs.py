"""Jobs: list, show, cancel, retry and delete, one or many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask import Blueprint, request
from werkzeug.exceptions import Conflict

from downloader.jobs import Job, JobFilter, Progress
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.records import Record
from downloader.web.files import FILES_PATH
from downloader.web.queries import DeleteQuery, JobsQuery
from downloader.web.requests import JobIds, JobIdsToDelete, TakeMore
from downloader.web.responses import ChangedJob, ChangedJobs, Deleted, JobDetail, JobPage
from downloader.web.routes import Routes

# Longer than `cancel`, `retry` and `delete`, which have routes of their own.
_JOB = "/jobs/<string(minlength=8):job_id>"


def create_jobs_api(services: Services) -> Routes:
    """Return the routes for jobs."""
    routes = Routes(Blueprint("jobs", __name__, url_prefix="/api/v1"), tag="jobs")
    _add_one_job(routes, services)

    @routes.route("GET", "/jobs", JobPage)
    async def list_jobs(query: JobsQuery) -> dict[str, Any]:
        """List jobs, newest first or in another order."""
        wanted = JobFilter(**dict(query))
        jobs, cursor = await services.acall(JobQueue.jobs, wanted)
        total = await services.acall(JobQueue.number_of_jobs, wanted)
        return {**job_records(jobs), "total": total, "next_cursor": cursor}

    @routes.route("POST", "/jobs/cancel", ChangedJobs)
    async def cancel_jobs(body: JobIds) -> dict[str, Any]:
        """Cancel the given jobs that are not final; return those that changed."""
        return job_records(await services.acall(JobQueue.cancel, body.ids))

    @routes.route("POST", "/jobs/retry", ChangedJobs)
    async def retry_jobs(body: JobIds) -> dict[str, Any]:
        """Queue the given jobs again that failed or were cancelled; return them."""
        return job_records(await services.acall(JobQueue.retry, body.ids))

    @routes.route("POST", "/jobs/delete", Deleted)
    async def delete_jobs(body: JobIdsToDelete) -> dict[str, list[str]]:
        """Delete the records of the given jobs that are final; return their ids."""
        return {"deleted": await services.acall(JobQueue.delete, body.ids, with_files=body.files)}

    return routes


def _add_one_job(routes: Routes, services: Services) -> None:
    @routes.route("GET", _JOB, JobDetail)
    async def show_job(job_id: str) -> dict[str, Any]:
        """Show a job with its attempts and, while it runs, its progress."""
        job = await services.acall(JobQueue.job, job_id)
        attempts = await services.acall(JobQueue.attempts, job_id)
        progress = await services.acall(_progress, job_id) if job.state == "running" else None
        return {"job": job_record(job), "attempts": attempts, "progress": progress}

    @routes.route("POST", f"{_JOB}/cancel", ChangedJob, errors={409: "The job has succeeded or failed."})
    async def cancel_job(job_id: str) -> dict[str, Any]:
        """Cancel a job; has no effect on a cancelled one."""
        changed = await services.acall(JobQueue.cancel, [job_id])
        [job] = changed or [await services.acall(JobQueue.job, job_id)]
        if not changed and job.state != "cancelled":
            raise Conflict(f"This job has already {job.state}, so it cannot be cancelled.")
        return {"job": job_record(job)}

    @routes.route(
        "POST", f"{_JOB}/retry", ChangedJob, errors={409: "The job has not failed, or its platform is not supported."}
    )
    async def retry_job(job_id: str) -> dict[str, Any]:
        """Queue a failed or cancelled job again."""
        changed = await services.acall(JobQueue.retry, [job_id])
        [job] = changed or [await services.acall(JobQueue.job, job_id)]
        if not changed and job.link is None:
            raise Conflict("The platform of this job's URL is not supported: a retry would fail again.")
        if not changed:
            raise Conflict(f"This job is {job.state}: only failed or cancelled jobs can be retried.")
        return {"job": job_record(job)}

    @routes.route(
        "POST", f"{_JOB}/expand", ChangedJob, errors={409: "The job is no collection, or is still being read."}
    )
    async def take_more(job_id: str, body: TakeMore) -> dict[str, Any]:
        """Take more entries of a collection, after those that were taken."""
        return {"job": job_record(await services.acall(JobQueue.take_more, job_id, body.limit))}

    @routes.route("DELETE", _JOB, Deleted, errors={409: "The job is not final."})
    async def delete_job(job_id: str, query: DeleteQuery) -> dict[str, list[str]]:
        """Delete the record of a job, with `files=true` its media too."""
        job = await services.acall(JobQueue.job, job_id)
        deleted = await services.acall(JobQueue.delete, [job_id], with_files=query.files)
        if not deleted:
            raise Conflict(f"This job is {job.state}: cancel it first, then delete it.")
        return {"deleted": deleted}


async def _progress(queue: JobQueue, job_id: str) -> Progress | None:
    return next((each for each in queue.scheduler.progress() if each.job_id == job_id), None)


def job_record(job: Job, url: str | None = None) -> dict[str, Any]:
    """Return *job* as JobRecord has it, for *url* if its link was submitted in another spelling."""
    record = Record.from_job(job).for_url(url or job.url)
    return {
        **record.to_json(),
        "thumbnail_url": record.thumbnail_url and f"{request.script_root}{record.thumbnail_url}",
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "file_url": f"{request.script_root}{FILES_PATH}{job.id}" if job.files else None,
    }


def job_records(jobs: Iterable[Job]) -> dict[str, Any]:
    """Return the response that has the records of *jobs*."""
    return {"jobs": [job_record(job) for job in jobs]}


def job_records_json(jobs: Iterable[Job]) -> str:
    """Return the records of *jobs* as JSON, separated by commas."""
    return ChangedJobs.model_validate(job_records(jobs)).model_dump_json().removeprefix('{"jobs":[').removesuffix("]}")

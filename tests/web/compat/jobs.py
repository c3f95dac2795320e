"""Jobs made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from downloader.jobs import Job

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def job_of(**fields: Any) -> Job:
    """Return a job that has succeeded, but for *fields*."""
    usual: dict[str, Any] = {
        "id": "abcdefghijklmnop", "batch_id": "b", "url": "https://youtu.be/dQw4w9WgXcQ", "link": None,
        "platform": "youtube", "state": "succeeded", "counted_attempts": 1, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Job(**{**usual, **fields})

"""The folder that a request names."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from tests.web.world import TIKTOK, V1, paused, refused


def test_a_folder_is_kept_with_the_job(client: FlaskClient, services: Services) -> None:
    paused(client)
    body = {"urls": [f"{TIKTOK}1"], "folder": " Mu\u0308sik/2026 "}
    [job] = client.post(f"{V1}/batches", json=body).get_json()["jobs"]
    assert services.call(JobQueue.job, job["job_id"]).folder == "M\u00fcsik/2026"
    [plain] = client.post(f"{V1}/batches", json={"urls": [f"{TIKTOK}1"]}).get_json()["jobs"]
    assert services.call(JobQueue.job, plain["job_id"]).folder == ""


@pytest.mark.parametrize("path", ["/download", "/download/batch", f"{V1}/batches"])
@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("../x", "begin with a dot"),
        ("/etc", "begin with /"),
        ("a/", "is empty"),
        ("a\\b", "must not contain"),
        ("C:x", "must not contain"),
        ("nul.txt", "reserves"),
        ("a\u202eb", "control characters"),
        ("\ud800", "control characters"),
        ("x" * 144, "143 bytes"),
        (None, "must be text"),
        (7, "must be text"),
        (["a"], "must be text"),
    ],
)
def test_a_folder_that_leads_elsewhere_is_refused(client: FlaskClient, path: str, folder: Any, reason: str) -> None:
    body = {"url" if path == "/download" else "urls": f"{TIKTOK}1" if path == "/download" else [f"{TIKTOK}1"]}
    assert reason in refused(client.post(path, json={**body, "folder": folder}), 400)

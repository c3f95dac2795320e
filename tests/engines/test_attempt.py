"""One attempt, in this thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from downloader.engines.attempt import run_attempt
from downloader.models import Outcome
from downloader.settings import Settings
from downloader.ytdlp import client
from tests.engines.helpers import ignore, work
from tests.simulator.client import Simulator


def test_the_wrapper_is_looked_up_when_the_attempt_starts(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "downloader.batch_downloader.download_tiktok_video", lambda url, output_dir: (True, f"{output_dir}/a.mp4", None)
    )
    outcome = run_attempt(work(tmp_path, simulator), make_settings().for_downloads(), threading.Event(), ignore)
    assert outcome == (True, f"{tmp_path}/raw/a.mp4", None)


def test_the_wrapper_is_told_what_to_get(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(url: str, output_dir: str) -> tuple[bool, None, str]:
        context = client._CONTEXT.get()
        assert context is not None
        asked.append(context.preset)
        return False, None, "No."

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", note)
    settings, job = make_settings().for_downloads(), work(tmp_path, simulator)
    for each in (job, replace(job, preset="480p")):
        run_attempt(each, settings, threading.Event(), ignore)
    assert asked == ["video", "480p"]


def test_a_crash_of_the_wrapper_is_an_outcome(
    make_settings: Callable[..., Settings], simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(url: str, output_dir: str) -> Outcome:
        raise SystemExit(3)

    monkeypatch.setattr("downloader.batch_downloader.download_tiktok_video", crash)
    outcome = run_attempt(work(tmp_path, simulator), make_settings().for_downloads(), threading.Event(), ignore)
    assert (outcome.error_code, outcome.detail) == ("internal", "SystemExit: 3")

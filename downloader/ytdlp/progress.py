"""Reduces yt-dlp's progress hooks to a few reports: phase, bytes, total, speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from downloader.jobs import Phase, Progress
from downloader.models import Details

Report = Callable[[Progress], None]

#: yt-dlp reports every block; a page needs four reports a second.
REPORT_INTERVAL_SECONDS = 0.25

_Stream = tuple[int, str]  #: which video of the post, which of its formats


class ProgressMeter:
    """Counts one post's bytes over all its files; reports at most 4 times a second, and at every change of phase.

    Every sign of life triggers a report, unless the last one was a moment ago: without reports, a download hangs. The
    first one, that it starts, is the engine's own, as it needs no message between processes.
    """

    def __init__(self, report: Report, job_id: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        """Send the job's progress to *report*."""
        self._report = report
        self._job_id = job_id
        self._clock = clock
        # With some options, yt-dlp fetches fragments in several threads.
        self._lock = threading.Lock()
        self._phase: Phase = "extracting"
        self._next_report_at = clock() + REPORT_INTERVAL_SECONDS  # the engine reports the start
        self._downloaded: dict[_Stream, int] = {}
        self._totals: dict[_Stream, int | None] = {}
        self._all_planned = False
        self._speed: float | None = None

    def sign_of_life(self) -> None:
        """Note a sign of life, such as a response."""
        if self._clock() >= self._next_report_at:
            with self._lock:
                self._send()

    def enter(self, phase: Phase) -> None:
        """Note that *phase* begins."""
        with self._lock:
            changed, self._phase = phase != self._phase, phase
            if phase != "downloading":
                self._speed = None
            if changed:
                self._send()

    def plan(self, info: Mapping[str, Any]) -> None:
        """Note the files that one video of the post will consist of (yt-dlp's info before the download)."""
        video = info.get("playlist_index") or 1
        with self._lock:
            for part in info.get("requested_formats") or (info,):
                size = part.get("filesize")
                self._totals.setdefault((video, str(part.get("format_id"))), size if isinstance(size, int) else None)
            # The total of a post with several videos is known once the last one is planned.
            self._all_planned = video >= (info.get("n_entries") or 1)

    def describe(self, details: Details) -> None:
        """Report what the page says of the post."""
        with self._lock:
            self._send(details)

    def downloading(self, progress: Mapping[str, Any]) -> None:
        """Take a report of yt-dlp's progress hook; cheap, because it comes with every block of bytes."""
        if progress["status"] not in ("downloading", "finished"):
            return
        finished = progress["status"] == "finished"
        if self._phase == "downloading" and self._clock() < self._next_report_at and not finished:
            return
        info = progress.get("info_dict") or {}
        stream = (info.get("playlist_index") or 1, str(info.get("format_id")))
        total = progress.get("total_bytes")  # not yt-dlp's estimate for streams of segments, which has another name
        downloaded = progress.get("downloaded_bytes")
        if downloaded is None and finished:
            downloaded = total  # the file exists from an earlier attempt
        with self._lock:
            self._downloaded[stream] = int(downloaded or 0)
            if total is not None:
                self._totals[stream] = int(total)
            self._speed = progress.get("speed")
            changed, self._phase = self._phase != "downloading", "downloading"
            if changed or self._clock() >= self._next_report_at:
                self._send()

    def processing(self, progress: Mapping[str, Any]) -> None:
        """Take a report of yt-dlp's post-processor hook."""
        if progress["status"] != "started":
            self.sign_of_life()
            return
        name = str(progress["postprocessor"])
        # The remuxer always runs, and does nothing if the file is an mp4 already.
        idle = name == "VideoRemuxer" and (progress.get("info_dict") or {}).get("ext") == "mp4"
        if not idle and (name in ("Merger", "VideoRemuxer") or name.startswith("Fixup")):
            self.enter("merging")

    def _send(self, details: Details | None = None) -> None:
        """Report; the caller holds the lock, so that reports stay in order."""
        self._next_report_at = self._clock() + REPORT_INTERVAL_SECONDS
        downloaded, total = sum(self._downloaded.values()), self._total()
        eta = max(0.0, (total - downloaded) / self._speed) if total is not None and self._speed else None
        self._report(
            Progress(
                job_id=self._job_id,
                phase=self._phase,
                downloaded_bytes=downloaded,
                total_bytes=total,
                speed_bytes_per_second=self._speed,
                eta_seconds=eta,
                details=details,
            )
        )

    def _total(self) -> int | None:
        sizes = list(self._totals.values())
        known = [size for size in sizes if size is not None]
        if not self._all_planned or not sizes or len(known) < len(sizes):
            return None
        # A platform may announce less than it sends.
        return max(sum(known), sum(self._downloaded.values()))

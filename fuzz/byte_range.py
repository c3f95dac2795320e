"""The Range header, by the real route: the answer is 200, 206 or 416, and holds the bytes that it says."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from flask import Flask

from downloader.jobs import Job
from downloader.queue.services import Services
from downloader.settings import Settings
from downloader.web.errors import handle_errors
from downloader.web.files import FILES_PATH, create_files_api
from fuzz.runner import Check, Finding, Target

SIZE = 1000
_MEDIA = bytes((number * 7 + number // 256) % 256 for number in range(SIZE))

_PLAIN = re.compile(r"bytes=([0-9]{1,30})-([0-9]{0,30})|bytes=-([0-9]{1,30})")
_CONTENT_RANGE = re.compile(rf"bytes ([0-9]+)-([0-9]+)/{SIZE}")


class _OneJob:
    """Services whose queue has one job."""

    def __init__(self, settings: Settings, media: Path) -> None:
        self.settings = settings
        now = datetime.now(UTC)
        self._job = Job(
            id="job",
            batch_id="batch",
            url="",
            link=None,
            platform="tiktok",
            state="succeeded",
            counted_attempts=1,
            created_at=now,
            updated_at=now,
            files=(str(media),),
        )

    async def acall(self, function: object, job_id: str) -> Job:
        return self._job


@contextmanager
def opened() -> Iterator[Check]:
    """Yield the check, which needs an app and a file."""
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(storage_dir=Path(name))
        settings.raw_dir.mkdir(parents=True)
        media = settings.raw_dir / "video.mp4"
        media.write_bytes(_MEDIA)
        app = Flask("fuzz")
        app.register_blueprint(create_files_api(cast(Services, _OneJob(settings, media))).blueprint)
        handle_errors(app)
        client = app.test_client()

        def check(text: str) -> bool:
            """Tell whether *text*, as a Range, gets a part of the file; see whether it is the right one."""
            # As a server hands it on: one line, in Latin-1, no blanks at its ends.
            value = re.sub(r"[\r\n\x00]", "", text).encode("latin-1", "replace").decode("latin-1").strip(" \t")
            answer = client.get(f"{FILES_PATH}job", environ_overrides={"HTTP_RANGE": value})
            body, content_range = answer.data, answer.headers.get("Content-Range")
            if answer.headers.get("Content-Length") != str(len(body)):
                raise Finding(f"{len(body)} bytes, but Content-Length is {answer.headers.get('Content-Length')}")
            wanted = _wanted(value)
            if wanted is not None and wanted != _sent(answer.status_code, content_range):
                raise Finding(f"wanted {wanted}, got {answer.status_code} {content_range}")
            if answer.status_code == 200:
                if body != _MEDIA or content_range is not None:
                    raise Finding("200, but not the whole file")
            elif answer.status_code == 206:
                start, end = _sent(206, content_range)
                if not start <= end < SIZE or body != _MEDIA[start : end + 1]:
                    raise Finding(f"206, but {content_range} is not what came")
            elif answer.status_code != 416 or content_range != f"bytes */{SIZE}" or not answer.get_json()["error"]:
                raise Finding(f"answered {answer.status_code} {content_range}")
            return answer.status_code == 206

        yield check


def _wanted(value: str) -> tuple[int, int] | None:
    """Return what part *value* asks for; (0, -1): one that there is not; None: it is not for us to say."""
    match = _PLAIN.fullmatch(value)
    if match is None:
        return None
    if match[3]:
        last = int(match[3])
        return (max(SIZE - last, 0), SIZE - 1) if last else (0, -1)
    start, end = int(match[1]), int(match[2] or SIZE)
    if match[2] and end < start:
        return None
    return (start, min(end, SIZE - 1)) if start < SIZE else (0, -1)


def _sent(status: int, content_range: str | None) -> tuple[int, int]:
    """Return what part was sent, by what the answer says; (0, -1): none."""
    if status == 416:
        return 0, -1
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if match is None:
        raise Finding(f"{status} with Content-Range {content_range!r}")
    return int(match[1]), int(match[2])


RANGE = Target(
    name="range",
    open=opened,
    share=2,
    pieces=(
        *("bytes=", "bytes", "Bytes=", "items=", "=", "-", "--", ",", " ", "\t", "0", "1", "-1", "999", "1000", "1001"),
        *("0-", "0-0", "-0", "500-499", "9" * 30, "9" * 5000, "+1", "0x1", "1_0", "1.5", "\xb2", "\xa0", ";", "/", "*"),
    ),
    corpus=("bytes=0-99", "bytes=-5", "bytes=999-", "bytes=0-0,5-6", "bytes=1000-", "bytes=5-2", "items=0-5", "", "x"),
)

"""Work folders: one for each unfinished download, made and removed here."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

from downloader.media.move import inherit_permissions
from downloader.media.outcome import OUTCOME_NAME, remove_copies

log = logging.getLogger(__name__)


def prepare_work_dir(work_dir: Path, output_dir: Path) -> bool:
    """Create *work_dir* for this user alone; if it exists, remove symbolic links in its place and inside it.

    Files created in it get the group and ACL that they would get in *output_dir*. Returns whether it is new, and empty.
    """
    if work_dir.is_symlink():
        work_dir.unlink()
    is_new = not work_dir.exists()
    work_dir.mkdir(exist_ok=True, mode=0o700)
    inherit_permissions(work_dir, output_dir)
    if is_new:
        return True
    for folder, folders, files in os.walk(work_dir, followlinks=False):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                log.warning("removed a link among unfinished files", extra={"path": str(path)})
                path.unlink()
    return False


def remove_work_dir(work_dir: Path, output_dir: Path | None = None) -> None:
    """Remove *work_dir* with its contents, and unfinished copies of its files in *output_dir*.

    Only for jobs that will not be retried. Links are not followed.
    """
    if output_dir is not None:
        remove_copies(work_dir, output_dir)
    with contextlib.suppress(OSError):
        if work_dir.is_symlink():
            work_dir.unlink(missing_ok=True)
    try:
        # All that a success leaves, as a rule; this takes a third of the time that `rmtree` takes.
        (work_dir / OUTCOME_NAME).unlink(missing_ok=True)
        work_dir.rmdir()
    except OSError:
        shutil.rmtree(work_dir, ignore_errors=True)


def clear_work_dir(work_dir: Path, *, but: str | None = None) -> None:
    """Remove the contents of *work_dir*, except the file named *but*."""
    for path in work_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != but:
            path.unlink(missing_ok=True)

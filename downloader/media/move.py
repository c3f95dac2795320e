"""Moves a finished file into the output folder, with the group and the ACL of a file created there.

On one file system this is a rename: work folders inherit their group and ACL from the output folder (see
`inherit_permissions`). Across file systems the file is copied under a hidden name, and renamed once it is complete.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

#: Prefix of files that are being copied into a folder: hidden, so that nothing takes them for a video.
INCOMING_PREFIX = ".incoming-"

_BLOCK_BYTES = 1024 * 1024

#: Errors for a name that a file system cannot store: too long, or with a character that it does not know.
NAME_REFUSED = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})

#: Errors for a hard link on a file system without them, or to a file that the system protects.
_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

_DEFAULT_ACL = "system.posix_acl_default"


def move(source: Path, places: Sequence[Path], *, heartbeat: Callable[[], None] = lambda: None) -> None:
    """Move *source* to the first of *places* whose name the file system accepts; all are in one folder.

    An existing file is replaced atomically. If the process is killed, the move can be repeated: *source* exists until
    the file is in its place. *heartbeat* is called for each megabyte copied; an exception from it stops the copy.

    Raises:
        OSError: it cannot be moved; *source* still exists.
    """
    if _renamed(source, places, Path.replace):
        return
    folder = places[0].parent
    copy = incoming(folder, source.parent)
    with _removed_on_failure(copy):
        _copy(source, copy, heartbeat)
        _rename(copy, places, Path.replace)
    _sync(folder)
    source.unlink()


def move_new(source: Path, places: Sequence[Path], *, heartbeat: Callable[[], None] = lambda: None) -> None:
    """Move *source* like `move`, but never replace a file.

    The copy that crosses file systems is complete once *source* is gone; then it is what is moved.

    Raises:
        FileExistsError: there is one of that name, maybe only since this moment.
        OSError: it cannot be moved; *source* still exists, or its copy.
    """
    folder = places[0].parent
    copy = incoming(folder, source.parent, source.name)
    if source.is_file():
        if _renamed(source, places, _rename_new):
            return
        with _removed_on_failure(copy):
            _copy(source, copy, heartbeat)
            times = source.stat()
            os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        _sync(folder)
        source.unlink()
    _rename(copy, places, _rename_new)
    _sync(folder)


def incoming(folder: Path, work_dir: Path, name: str = "") -> Path:
    """Return the path in *folder* that a file from *work_dir* is copied to, one at a time; or that of a certain *name*.

    A work folder's name tells it from all others.
    """
    digest = f"-{hashlib.sha256(name.encode()).hexdigest()[:16]}" if name else ""
    return folder / f"{INCOMING_PREFIX}{work_dir.name}{digest}"


def is_same_file(one: Path, other: Path) -> bool:
    """Tell whether both are hard links to one file. Some file systems number no files, and have no hard links."""
    try:
        first, second = one.lstat(), other.lstat()
    except OSError:
        return False
    return first.st_nlink > 1 and os.path.samestat(first, second)


def inherit_permissions(work_dir: Path, folder: Path) -> None:
    """Give files created in *work_dir* the group and ACL that they would get in *folder*.

    Where that is not permitted, or the file systems differ, `move` copies instead.
    """
    there, here = folder.stat(), work_dir.stat()
    shared = there.st_mode & stat.S_ISGID
    acl = _default_acl(folder)
    with contextlib.suppress(OSError):
        if shared and here.st_gid != there.st_gid:
            os.chown(work_dir, -1, there.st_gid)
        if here.st_mode & stat.S_ISGID != shared:
            work_dir.chmod(0o700 | shared)
    with contextlib.suppress(OSError):
        if acl != _default_acl(work_dir):
            _set_default_acl(work_dir, acl)


def try_move(work_dir: Path, folder: Path) -> None:
    """Move a small file from *work_dir* to *folder*, like a download, and remove it. Raises OSError if that fails."""
    source = work_dir / f"{INCOMING_PREFIX}{uuid.uuid4().hex}"
    place = folder / source.name
    try:
        source.write_bytes(bytes(64 * 1024))
        move(source, [place])
        place.unlink()
    finally:
        for path in (source, place):
            with contextlib.suppress(OSError):
                path.unlink()


def _keeps_rights(source: Path, folder: Path) -> bool:
    """Tell whether *source*, renamed into *folder*, has the group and the ACL of a file created there."""
    there = folder.stat()
    if there.st_mode & stat.S_ISGID and source.stat().st_gid != there.st_gid:
        return False
    return _default_acl(source.parent) == _default_acl(folder)


def _renamed(source: Path, places: Sequence[Path], rename: Callable[[Path, Path], object]) -> bool:
    """Rename *source* to one of *places* by *rename*; return whether that can be done: otherwise it is to be copied."""
    if not _keeps_rights(source, places[0].parent):
        return False
    try:
        _rename(source, places, rename)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


@contextlib.contextmanager
def _removed_on_failure(copy: Path) -> Iterator[None]:
    try:
        yield
    except Exception:
        with contextlib.suppress(OSError):
            copy.unlink()
        raise


def _rename(source: Path, places: Sequence[Path], rename: Callable[[Path, Path], object]) -> None:
    for place in places:
        try:
            rename(source, place)
            return
        except OSError as error:
            if error.errno not in NAME_REFUSED or place == places[-1]:
                raise


def _rename_new(source: Path, place: Path) -> None:
    """Rename *source* to *place*, where there must be nothing; killed in between, it has both names."""
    if os.name == "nt":
        source.rename(place)  # which replaces nothing there
        return
    try:
        os.link(source, place)
    except FileExistsError:
        if not is_same_file(source, place):  # a share's server may have done it, and its answer was lost
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with _locked(place.parent):
            if os.path.lexists(place):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from error
            source.rename(place)
        return
    source.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others of us out of *folder*, on a file system without hard links; a process that ends unlocks it."""
    import fcntl  # Windows has none, and needs none

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not supported everywhere; then a moment is left to chance
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _copy(source: Path, copy: Path, heartbeat: Callable[[], None]) -> None:
    copy.unlink(missing_ok=True)  # left by a killed process, or a link, which must not be followed
    with source.open("rb") as original, copy.open("xb") as file:
        while block := original.read(_BLOCK_BYTES):
            file.write(block)
            heartbeat()
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make a new file in *folder* survive a power cut; the source on the other file system may be gone then."""
    with contextlib.suppress(OSError):  # not supported everywhere
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _default_acl(folder: Path) -> bytes | None:
    """Return the default ACL of *folder*, or None."""
    if sys.platform != "linux":
        return None
    try:
        return os.getxattr(folder, _DEFAULT_ACL)
    except OSError:
        return None


def _set_default_acl(folder: Path, acl: bytes | None) -> None:
    if sys.platform == "linux":
        if acl is None:
            os.removexattr(folder, _DEFAULT_ACL)
        else:
            os.setxattr(folder, _DEFAULT_ACL, acl)

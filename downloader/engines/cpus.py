"""How many processors there are for us: fewer than the machine has where a container or a service may use only some."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: Of Linux: which control groups this process is in, and where they are.
_MEMBERSHIP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def usable_processors(membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> int:
    """Return how many processors this process may use, one at least; a part of one counts as one.

    That is those it is bound to, and no more than its control groups grant it time of (`docker run --cpus`, systemd's
    `CPUQuota`), as the files *membership* and those below *groups* say: see cgroups(7), and the kernel's
    admin-guide/cgroup-v2 and scheduler/sched-bwc.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(membership, groups))]))


def _quotas(membership: Path, groups: Path) -> Iterator[float]:
    """Yield the processors that each control group above this process is granted, where it is not all there are."""
    for line in _text(membership).splitlines():
        _, _, tail = line.partition(":")
        controllers, _, name = tail.partition(":")
        if not controllers:
            root, of = groups, _unified_quota
        elif "cpu" in controllers.split(","):
            root, of = groups / "cpu", _legacy_quota
        else:
            continue
        # A container may be told the name that its host knows it by: then there is only the root to look at.
        path = PurePosixPath(name.lstrip("/"))
        for part in (path, *path.parents) if ".." not in path.parts else (PurePosixPath(),):
            if (quota := of(root / part)) is not None:
                yield quota


def _unified_quota(group: Path) -> float | None:
    return _processors(_text(group / "cpu.max"))


def _legacy_quota(group: Path) -> float | None:
    return _processors(_text(group / "cpu.cfs_quota_us") + " " + _text(group / "cpu.cfs_period_us"))


def _processors(said: str) -> float | None:
    """Return what *said* grants: microseconds of processor time, and in how many of the clock's; None: all there is."""
    match said.split():
        case [time, period] if time.isdecimal() and period.isdecimal() and int(period) > 0:
            return int(time) / int(period)
    return None  # "max", "-1", or nothing where there are no such groups


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # not there, or no name of a file
        return ""

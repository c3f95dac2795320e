"""Processors, as Linux says what a process may use; its files are made here, since making such groups takes root."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from downloader.engines.cpus import usable_processors

Count = Callable[[str, dict[str, str]], int]


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Return what counts on a machine with 16 processors: given /proc/self/cgroup, and files below /sys/fs/cgroup."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)

    def count(membership: str, files: dict[str, str]) -> int:
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "groups" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return usable_processors(tmp_path / "cgroup", tmp_path / "groups")

    return count


def test_what_this_process_is_bound_to(tmp_path: Path) -> None:
    assert usable_processors(tmp_path / "none", tmp_path / "none") == (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("said", "processors"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("0 100000\n", 1),
        ("6400000 100000\n", 16),
        ("max 100000\n", 16),
        ("", 16),
        ("200000\n", 16),
        ("200000 0\n", 16),
        ("-1 100000\n", 16),
        ("two one\n", 16),
        ("² ¹\n", 16),
    ],
)
def test_a_container_gets_what_it_is_granted(count: Count, said: str, processors: int) -> None:
    assert count("0::/\n", {"cpu.max": said}) == processors


def test_the_least_that_a_group_above_is_granted_counts(count: Count) -> None:
    files = {
        "system.slice/downloader.service/cpu.max": "max 100000\n",
        "system.slice/cpu.max": "300000 100000\n",
        "other.slice/cpu.max": "100000 100000\n",
    }
    assert count("0::/system.slice/downloader.service\n", files) == 3
    files["system.slice/downloader.service/cpu.max"] = "100000 50000\n"
    assert count("0::/system.slice/downloader.service\n", files) == 2


@pytest.mark.parametrize(("quota", "processors"), [("250000\n", 3), ("-1\n", 16)])
def test_groups_of_the_first_kind(count: Count, quota: str, processors: int) -> None:
    """Docker's name for the container, which inside of it leads nowhere; the files are at the root there."""
    files = {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000\n"}
    assert count("5:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/\n", files) == processors
    assert count("4:cpuset:/docker/1f\n", files) == 16


def test_a_name_that_leads_out_is_not_followed(count: Count) -> None:
    assert count("0::/../../elsewhere\n", {"../elsewhere/cpu.max": "100000 100000\n"}) == 16
    assert count("0::/../../elsewhere\n", {"cpu.max": "100000 100000\n"}) == 1


def test_one_processor_is_one(count: Count, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert count("0::/\n", {"cpu.max": "400000 100000\n"}) == 1


@pytest.mark.parametrize("membership", ["", "\n", "0\n", "::\n", ":::\n", "4:cpu\n", "\x00:\xff:/\n", "0::/a\x00b\n"])
def test_what_cannot_be_read_limits_nothing(count: Count, membership: str) -> None:
    assert count(membership, {}) == 16

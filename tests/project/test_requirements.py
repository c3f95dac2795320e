"""The lock that CI installs from: it fits what users install, says nothing of where it was made, and is audited."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).parents[2]
LOCK = (REPOSITORY / "requirements.lock").read_text()

PYTHONS = ("3.11", "3.12", "3.13")


def declared() -> list[Requirement]:
    """Return what requirements*.txt ask for."""
    lines = [
        line.partition(" #")[0].strip()
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (REPOSITORY / name).read_text().splitlines()
    ]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]


def locked() -> dict[str, list[tuple[Requirement, list[str]]]]:
    """Return what the lock holds, by name: each entry with its hashes."""
    found: dict[str, list[tuple[Requirement, list[str]]]] = {}
    for entry in LOCK.replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.startswith("#"):
            text, *hashes = entry.split("--hash=")
            requirement = Requirement(text.strip())
            found.setdefault(canonicalize_name(requirement.name), []).append((requirement, hashes))
    return found


def applies(marker: Marker | None, python: str) -> bool:
    return marker is None or marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("wanted", declared(), ids=str)
def test_the_lock_holds_what_is_asked_for(wanted: Requirement, python: str) -> None:
    if not applies(wanted.marker, python):
        return
    entries = locked()[canonicalize_name(wanted.name)]
    [held] = [entry for entry, _ in entries if applies(entry.marker, python)]
    [pin] = held.specifier
    assert pin.operator == "=="
    assert wanted.specifier.contains(Version(pin.version)), "run: make lock"
    assert held.extras == wanted.extras, "run: make lock"


def test_every_file_has_its_hash() -> None:
    for name, entries in locked().items():
        for _, hashes in entries:
            assert hashes, name
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", each) for each in hashes), name


def test_the_lock_says_nothing_of_where_it_was_made() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^\s*-", LOCK.replace("    --hash=", ""), re.MULTILINE)
    comments = [line for line in LOCK.splitlines() if line.startswith("#")]
    assert comments[1:] == ["#    make lock"]


# The audit


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", REPOSITORY / ".ci/audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


KNOWN: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1)"}
BAD = {"name": "c", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"], "aliases": ["CVE-1"]}]}


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ([KNOWN, KNOWN], 0, "no known vulnerabilities in 2 packages"),
        ([KNOWN, UNKNOWN], 0, "in 1 packages; 1 that"),
        ([UNKNOWN, UNKNOWN], 0, "NOT DONE"),
        ([KNOWN, UNKNOWN, BAD], 1, "c 1: PYSEC-1 (fixed in 2)"),
    ],
)
def test_a_known_vulnerability_fails(audit: ModuleType, packages: list[Any], status: int, words: str) -> None:
    said = audit.verdict(json.dumps({"dependencies": packages, "fixes": []}), "")
    assert said[0] == status
    assert words in said[1]


@pytest.mark.parametrize(
    ("stderr", "status"),
    [
        ("Traceback …\nrequests.exceptions.ConnectionError: HTTPSConnectionPool(): Max retries exceeded", 0),
        ("Traceback …\nrequests.exceptions.ProxyError: HTTPSConnectionPool(): Unable to connect to proxy", 0),
        ("ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed\nTip: your network may be blocking", 0),
        ("pip_audit._service.interface.ServiceError", 0),
        ("ERROR:pip_audit._cli:requirement a is not pinned", 1),
        ("No module named pip_audit", 1),
        ("", 1),
    ],
)
def test_a_service_that_does_not_answer_is_told_and_no_failure(audit: ModuleType, stderr: str, status: int) -> None:
    said = audit.verdict("", stderr)
    assert said[0] == status
    assert ("NOT DONE" in said[1]) == (status == 0)
    assert status or "\n" not in said[1]

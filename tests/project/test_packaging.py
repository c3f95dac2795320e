"""Docker's files and the systemd unit fit the project."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from downloader.settings import Settings
from tests.project.test_wheel import SOURCES
from tests.real_server import REPOSITORY

FILES = ("Dockerfile", "compose.yaml", "packaging/batch-video-downloader.service")


def copied() -> set[str]:
    """Return what the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.*)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    return {source for line in lines for source in shlex.split(line)[:-1]}


def test_the_image_is_made_of_what_the_wheel_needs() -> None:
    assert copied() - {"packaging/entrypoint.sh"} == set(SOURCES)


def test_the_image_sees_what_it_copies_and_nothing_else() -> None:
    first, *others = [
        line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    assert {line.removeprefix("!") for line in others if line.startswith("!")} == copied()
    assert all((REPOSITORY / name).exists() for name in copied())


@pytest.mark.parametrize("name", FILES)
def test_every_variable_is_a_setting(name: str) -> None:
    found = re.findall(r"\bDOWNLOADER_(\w+)", Path(REPOSITORY, name).read_text())
    assert found
    assert {field.lower() for field in found} <= Settings.model_fields.keys()


def test_the_entry_point_of_the_image_can_be_started() -> None:
    assert (REPOSITORY / "packaging" / "entrypoint.sh").stat().st_mode & 0o111 == 0o111

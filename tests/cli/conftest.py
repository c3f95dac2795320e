"""The command line, run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import downloader_main
from downloader.download_settings import CLIENT_SERVER

Run = Callable[..., "Ended"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that this user's programs keep their state in."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command, with the server at the address *at*."""

    def run_command(*arguments: str, at: str | None = None) -> Ended:
        if at is not None:
            monkeypatch.setenv(CLIENT_SERVER, at)
        try:
            status = downloader_main.main(arguments)
        except SystemExit as end:  # of argparse
            status = int(end.code or 0)
        return Ended(status, *capsys.readouterr())

    return run_command

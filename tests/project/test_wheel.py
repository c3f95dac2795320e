"""The wheel: what it installs serves and downloads, without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.real_server import REPOSITORY, Server
from tests.simulator.client import Simulator

pytestmark = [pytest.mark.slow, pytest.mark.integration]

SOURCES = ("downloader", "portal", "downloader_main.py", "pyproject.toml", "requirements.txt", "README.md")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel, built from a copy: setuptools writes beside what it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run(pip, cwd=folder, check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the command that *wheel* installs; what it needs is ours."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    paths = {name: sysconfig.get_path(name, "venv", {"base": str(folder)}) for name in ("purelib", "scripts")}
    ours = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    Path(paths["purelib"], "ours.pth").write_text("\n".join(dict.fromkeys(ours)))
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    return str(Path(paths["scripts"], "batch-video-downloader"))


class InstalledServer(Server):
    """A server of the installed command."""

    def _start(
        self, under: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*under, "serve", *arguments],
            cwd=self.storage.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def test_the_installed_command_serves_and_downloads(command: str, simulator: Simulator, tmp_path: Path) -> None:
    server = InstalledServer(simulator, tmp_path / "storage", under=[command])
    try:
        page = server.read("/dashboard")[1].decode()
        assert "/portal/static/" in page
        for path in ("/login.css", "/api/docs", "/openapi.json"):
            server.read(path)
        link = simulator.url("tiktok", "ok", 1)
        ended = run(command, "add", link, "--wait", "--server", server.url, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        ended = run(command, "get", ended.stdout.strip(), "-o", "here", "--server", server.url, cwd=tmp_path)
        [file] = (tmp_path / "storage" / "raw").iterdir()
        assert Path(tmp_path, ended.stdout.strip()).read_bytes() == file.read_bytes()
        assert server.stop() == 0
    finally:
        server.close()


def test_the_installed_command_checks_its_set_up(command: str, simulator: Simulator, tmp_path: Path) -> None:
    options = ("--host", "127.0.0.1", "--port", "0")
    ended = run(command, "check", *options, cwd=tmp_path, **simulator.environment())
    assert ended.returncode == 0, ended.stdout
    assert "OK      yt-dlp: Version" in ended.stdout


def run(*command: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)

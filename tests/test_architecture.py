"""Who may import whom. An arrow that is not drawn here is a change of the architecture: draw it, and say why."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

#: What every module may import: data and words, which import nothing of ours but each other.
WORDS = {"models", "errors", "settings"}

ARROWS: dict[str, set[str]] = {
    "downloader_main": {"downloader", "services", "toolchain", "wsgi_server"},
    "__init__": {"api", "portal", "services"},
    "api": {"platform_detector", "services", "validation"},
    "services": {"batch_downloader", "service_loop"},
    "validation": set(),
    "service_loop": set(),
    "batch_downloader": {
        "governor",
        "platform_detector",
        "tiktok_downloader",
        "insta_downloader",
        "twitter_downloader",
        "youtube_downloader",
        "ytdlp_client",
    },
    "platform_detector": set(),
    "governor": set(),
    "tiktok_downloader": {"ytdlp_client"},
    "insta_downloader": {"ytdlp_client"},
    "twitter_downloader": {"ytdlp_client"},
    "youtube_downloader": {"ytdlp_client"},
    "ytdlp_client": {"address_guard", "error_classifier", "media_check", "media_files", "toolchain"},
    "error_classifier": set(),
    "address_guard": set(),
    "media_files": {"media_check", "media_names"},
    "media_check": set(),
    "media_names": set(),
    "toolchain": set(),
    "wsgi_server": set(),
    "models": set(),
    "errors": set(),
    "settings": set(),
}

#: Libraries that belong to some rooms alone.
RESERVED = {
    "flask": {"__init__", "api", "portal"},
    "werkzeug": {"api"},
    "waitress": {"wsgi_server"},
    "yt_dlp": {"ytdlp_client"},
    "pydantic": {"settings", "validation"},
    "pydantic_core": {"validation"},
    "pydantic_settings": {"settings"},
    "pathvalidate": {"media_names"},
    "imageio_ffmpeg": {"toolchain"},
}


def modules() -> dict[str, Path]:
    found = {path.stem: path for path in (REPOSITORY / "downloader").glob("*.py")}
    return found | {"downloader_main": REPOSITORY / "downloader_main.py", "portal": REPOSITORY / "portal/__init__.py"}


def imports(path: Path) -> set[str]:
    """Return the dotted names that *path* imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative import"
            own = node.module == "downloader"
            names |= {f"downloader.{alias.name}" for alias in node.names} if own else {node.module}
    return names


def ours(names: set[str]) -> set[str]:
    found = set()
    for name in names:
        if name.split(".")[0] == "portal":
            found.add("portal")
        elif name.startswith("downloader."):
            part = name.split(".")[1]
            found.add(part if part in modules() else "downloader")
    return found


def test_every_module_has_its_arrows_drawn() -> None:
    assert modules().keys() - {"portal"} == ARROWS.keys()


@pytest.mark.parametrize("module", sorted(ARROWS))
def test_a_module_imports_only_along_its_arrows(module: str) -> None:
    allowed = ARROWS[module] | WORDS
    assert ours(imports(modules()[module])) <= allowed


def test_the_portal_imports_nothing_of_ours() -> None:
    assert ours(imports(modules()["portal"])) == set()


@pytest.mark.parametrize("library", sorted(RESERVED))
def test_a_library_stays_in_its_rooms(library: str) -> None:
    users = {module for module, path in modules().items() if library in {name.split(".")[0] for name in imports(path)}}
    assert users <= RESERVED[library]


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_opens_with_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(modules()[module].read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", "?", "`", ":")), docstring.splitlines()[0]

"""Which package may import which, and where each library may be seen: `docs/architecture.md` draws it."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
WRAPPERS = {"tiktok_downloader", "insta_downloader", "twitter_downloader", "youtube_downloader"}
#: Words that every package may use; what they import of ours are words themselves.
WORDS = {"errors", "models", "jobs", "records", "platforms", "platform_detector", "download_settings"}
WORDS |= {"daemon_thread", "util"}
ARROWS = {
    "downloader_main": {"downloader", "settings", "server", "engines", "queue", "ytdlp"},
    "downloader": {"web", "queue", "settings", "portal"},
    "portal": set(),
    "web": {"queue", "cookies", "media", "ytdlp", "access", "settings"},
    "queue": {"engines", "store", "batch_downloader", "cookies", "media", "ytdlp", "egress", "settings"},
    "engines": {"batch_downloader", "egress", "ytdlp"},
    "batch_downloader": {*WRAPPERS, "ytdlp", "limiter", "settings"},
    **{wrapper: {"ytdlp"} for wrapper in WRAPPERS},
    "ytdlp": {"media", "cookies", "egress", "settings"},
    "settings": {"access", "egress"},
    **{package: set() for package in ("access", "server", "store", "media", "cookies", "egress", "limiter", *WORDS)},
}
LIBRARIES = {
    "flask": {"downloader", "web", "portal"},
    "yt_dlp": {"ytdlp"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
}
LIBRARIES |= {"pydantic": {"web", "settings"}, "waitress": {"server"}, "multiprocessing": {"engines"}, "av": {"media"}}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


PATHS = [
    *(REPOSITORY / "downloader").rglob("*.py"),
    *(REPOSITORY / "portal").rglob("*.py"),
    REPOSITORY / "downloader_main.py",
]
MODULES = {module_name(path): path for path in PATHS if "migrations" not in path.parts}


def package(module: str) -> str:
    return module.split(".")[1] if module.startswith("downloader.") else module.split(".")[0]


def imports(module: str, *, at_load: bool = False) -> set[str]:
    """Return what *module* imports: modules of ours, libraries by their first name."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body if at_load else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    owners = {
        next((name for name in (full, full.rpartition(".")[0]) if name in MODULES), full.split(".")[0])
        for full in found
    }
    return owners - {module}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_along_the_arrows_of_its_package(module: str) -> None:
    here = package(module)
    ours = {package(name) for name in imports(module) if name in MODULES}
    assert ours - {here} - WORDS <= ARROWS[here]
    libraries = imports(module) & LIBRARIES.keys()
    assert {library for library in libraries if here not in LIBRARIES[library]} == set()


def test_no_module_imports_itself_by_a_detour() -> None:
    TopologicalSorter({module: imports(module, at_load=True) & MODULES.keys() for module in MODULES}).prepare()

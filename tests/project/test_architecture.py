"""The layout's rules, by folder: who imports whom, and where each library may be seen."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
WRAPPERS = {f"{name}_downloader" for name in ("tiktok", "insta", "twitter", "youtube")}
#: Modules that every package may import; of ours, they import only one another.
BASE = {"download_settings", "errors", "jobs", "models", "platforms", "platform_detector", "presets", "records", "util"}
ARROWS = {
    "downloader_main": {"downloader", "settings", "server", "engines", "queue", "ytdlp", "cli", "checks"},
    "cli": {"media"},  # names and moves of files; of the server it knows only the API
    "checks": {"settings", "server", "queue", "store", "engines", "media", "ytdlp", "cookies", "egress"},
    "downloader": {"web", "queue", "settings", "portal"},
    "web": {"queue", "cookies", "media", "ytdlp", "access", "settings"},
    "queue": {"engines", "store", "batch_downloader", "cookies", "media", "ytdlp", "egress", "notify", "settings"},
    "engines": {"batch_downloader", "egress", "ytdlp"},
    "batch_downloader": {*WRAPPERS, "ytdlp", "limiter", "settings"},
    "ytdlp": {"media", "cookies", "egress", "settings"},
}
ARROWS |= {"notify": {"egress"}, "settings": {"access", "egress", "notify"}, **{name: {"ytdlp"} for name in WRAPPERS}}
LIBRARIES = {"flask": {"downloader", "web", "portal"}, "pydantic": {"web", "settings"}, "waitress": {"server"}}
LIBRARIES |= {"yt_dlp": {"ytdlp"}, "sqlalchemy": {"store"}, "alembic": {"store"}, "av": {"media"}}
LIBRARIES |= {"apprise": {"notify"}, "celery": {"engines"}, "kombu": {"engines"}, "multiprocessing": set(), "": set()}
PATHS = [path for top in ("downloader*.py", "downloader/**/*.py", "portal/**/*.py") for path in REPOSITORY.glob(top)]
MODULES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path for path in PATHS
}


def package(module: str) -> str:
    return module.split(".")[1] if module.startswith("downloader.") else module.split(".")[0]


def imports(module: str) -> set[str]:
    """Return what *module* imports, in functions too: our modules, of libraries the first name, "" if relative."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = f"{'.' * node.level}{node.module}." if isinstance(node, ast.ImportFrom) else ""
            found |= {origin + alias.name for alias in node.names}
    near = {name: name if name in MODULES else name.rpartition(".")[0] for name in found}
    return {near[name] if near[name] in MODULES else name.split(".")[0] for name in found} - {module}


def test_imports_follow_the_arrows_and_libraries_stay_in_their_packages() -> None:
    wrong = []
    for module in MODULES:
        here, found = package(module), imports(module)
        allowed = {here, *BASE, *ARROWS.get(here, ())}
        wrong += [f"{module} -> {name}" for name in found & MODULES.keys() if package(name) not in allowed]
        wrong += [f"{module} -> {name}" for name in found & LIBRARIES.keys() if here not in LIBRARIES[name]]
    assert wrong == []


def test_no_imports_form_a_cycle() -> None:
    TopologicalSorter({module: imports(module) & MODULES.keys() for module in MODULES}).prepare()

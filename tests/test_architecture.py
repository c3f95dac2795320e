"""Who may import whom. An arrow that is not drawn here is a change of the architecture: draw it, and say why."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

#: What every module may import: data and words, which import nothing of ours but each other.
WORDS = {"download_settings", "jobs", "models", "errors", "settings"}

ARROWS: dict[str, set[str]] = {
    "downloader_main": {
        "downloader",
        "process_memory",
        "services",
        "toolchain",
        "worker_process",
        "wsgi_server",
        "ytdlp_release",
    },
    "__init__": {
        "access_guard",
        "api",
        "api_cookies",
        "api_docs",
        "api_events",
        "api_figures",
        "api_files",
        "api_health",
        "api_tools",
        "api_v1",
        "api_zip",
        "portal",
        "services",
    },
    "access_guard": {"api_keys", "login", "machine_names", "rate_limits", "request_origin", "sessions"},
    "login": {"api_keys", "sessions"},
    "api_keys": set(),
    "machine_names": set(),
    "rate_limits": set(),
    "request_origin": set(),
    "sessions": set(),
    "api": {"api_models", "api_routes", "openapi", "platform_detector", "record_stream", "services", "validation"},
    "api_v1": {"api_files", "api_models", "api_requests", "api_routes", "job_queue", "jobs", "services", "validation"},
    "api_cookies": {"api_models", "api_requests", "api_routes", "cookie_text", "services", "validation"},
    "cookie_shelf": {"cookie_text"},
    "cookie_text": set(),
    "api_files": {"api_requests", "api_routes", "jobs", "services"},
    "api_figures": {"api_models", "api_requests", "api_routes", "services"},
    "api_tools": {"api_models", "api_routes", "toolchain", "ytdlp_release"},
    "api_zip": {"api_files", "api_routes", "job_queue", "jobs", "media_zip", "services"},
    "api_events": {"api_models", "api_requests", "api_routes", "event_feed", "jobs", "openapi", "services"},
    "api_docs": {"api_models", "openapi"},
    "api_routes": {"openapi", "validation"},
    "api_models": {"cookie_shelf", "figures", "jobs"},
    "api_requests": {"jobs"},
    "openapi": set(),
    "event_feed": {"event_stream", "job_queue", "jobs", "services"},
    "record_stream": {"job_queue", "jobs", "services"},
    "services": {
        "batch_downloader",
        "cookie_shelf",
        "egress",  # what each download would fail at is found at the start
        "engine",
        "event_stream",
        "governor",
        "instance_lock",
        "job_queue",
        "media_move",
        "metrics",
        "process_engine",
        "scheduler",
        "service_loop",
        "store",
        "thread_engine",
        "worker_crew",
    },
    "api_health": {"metrics", "services"},
    "job_queue": {"event_stream", "figures", "platform_detector", "scheduler"},
    "scheduler": {
        "attempt_runner",
        "clock_watch",
        "daemon_thread",
        "disk_watch",
        "engine",
        "event_stream",
        "governor",
        "media_files",
        "media_removal",
        "retention",
        "retry_policy",
        "silence",
        "storage_watch",
        "store",
    },
    "clock_watch": set(),
    "figures": set(),
    "disk_watch": {"media_move"},
    "storage_watch": set(),
    "media_removal": {"media_files"},
    "retention": {"media_removal", "store"},
    "silence": set(),
    "retry_policy": set(),
    "event_stream": set(),
    "instance_lock": set(),
    "metrics": {"engine", "ytdlp_release"},
    "validation": set(),
    "service_loop": set(),
    "batch_downloader": {
        "daemon_thread",
        "gate",
        "platform_detector",
        "tiktok_downloader",
        "insta_downloader",
        "twitter_downloader",
        "youtube_downloader",
        "ytdlp_client",
    },
    "platform_detector": {"post_links"},
    "post_links": set(),
    "post_finder": {"post_links"},
    "gate": set(),
    "governor": set(),
    "tiktok_downloader": {"ytdlp_client"},
    "insta_downloader": {"ytdlp_client"},
    "twitter_downloader": {"ytdlp_client"},
    "youtube_downloader": {"ytdlp_client"},
    "ytdlp_client": {
        "egress",
        "error_classifier",
        "media_check",
        "media_decoder",
        "media_files",
        "media_limits",
        "post_finder",
        "media_move",
        "progress_meter",
        "toolchain",
        "ytdlp_extractors",
        "ytdlp_lean",
        "ytdlp_network",
        "ytdlp_options",
        "ytdlp_requests",
    },
    "ytdlp_extractors": {"ytdlp_posts"},
    "ytdlp_posts": set(),
    "ytdlp_lean": set(),
    "ytdlp_network": {"egress_http"},
    "ytdlp_options": {"cookie_shelf", "cookie_text", "media_limits", "toolchain", "ytdlp_lean"},
    "ytdlp_requests": {"egress_policy", "error_classifier", "progress_meter", "ytdlp_network"},
    "progress_meter": set(),
    "daemon_thread": set(),
    "engine": set(),
    "attempt_runner": {"batch_downloader", "ytdlp_client"},
    "thread_engine": {"attempt_runner", "batch_downloader", "daemon_thread", "engine"},
    "process_engine": {"attempt_runner", "egress", "engine", "worker", "worker_crew", "worker_process"},
    "worker_crew": {"processors", "worker", "worker_process"},
    "processors": set(),
    "worker_process": {"worker"},
    "worker": {"attempt_runner", "batch_downloader", "process_memory"},
    "process_memory": set(),
    "worker_preload": {"batch_downloader", "worker"},
    "error_classifier": {"egress_http"},
    "egress": {"egress_dial", "egress_proxy", "egress_upstream"},
    "egress_proxy": {"egress_buffer", "egress_dial", "egress_http", "egress_relay"},
    "egress_dial": {"daemon_thread", "egress_policy", "egress_upstream"},
    "egress_upstream": {"egress_http"},
    "egress_relay": {"egress_buffer"},
    "egress_buffer": set(),
    "egress_http": set(),
    "egress_policy": set(),
    "media_files": {"media_check", "media_limits", "media_move", "media_names"},
    "media_move": set(),
    "media_limits": set(),
    "media_zip": {"media_names"},
    "media_check": {"media_decoder"},
    "media_decoder": set(),
    "media_names": set(),
    "toolchain": set(),
    "ytdlp_release": {"toolchain"},
    "wsgi_server": {"wsgi_parser", "wsgi_threads"},
    "wsgi_parser": set(),
    "wsgi_threads": set(),
    "store": {"schema", "store_changes", "store_database", "store_queries", "store_rows"},
    "store_changes": {"schema", "store_queries", "store_rows"},
    "store_queries": {"schema", "store_rows"},
    "store_rows": {"schema"},
    "store_database": {"schema"},
    "schema": set(),
    "download_settings": set(),
    "jobs": set(),
    "models": set(),
    "errors": set(),
    # Pure rules: what makes a key, a host or an origin is said once.
    "settings": {"api_keys", "environment", "request_origin"},
    "environment": set(),
}

#: Libraries that belong to some rooms alone.
RESERVED = {
    "flask": {
        "__init__",
        "access_guard",
        "api",
        "api_cookies",
        "api_docs",
        "api_events",
        "api_figures",
        "api_files",
        "api_health",
        "api_routes",
        "api_tools",
        "api_v1",
        "api_zip",
        "login",
        "portal",
        "rate_limits",
    },
    "flask_cors": {"access_guard"},
    "flask_limiter": {"rate_limits"},
    "limits": {"rate_limits"},
    "itsdangerous": {"sessions"},
    "werkzeug": {
        "access_guard",
        "api",
        "api_cookies",
        "api_events",
        "api_files",
        "api_routes",
        "api_v1",
        "api_zip",
        "login",
        "rate_limits",
    },
    "waitress": {"wsgi_parser", "wsgi_server", "wsgi_threads"},
    "prometheus_client": {"metrics"},
    "filelock": {"instance_lock"},
    "yt_dlp": {"post_finder", "ytdlp_client", "ytdlp_extractors", "ytdlp_lean"},
    "pydantic": {"api_events", "api_models", "api_requests", "api_routes", "openapi", "settings", "validation"},
    "pydantic_core": {"validation"},
    "pydantic_settings": {"settings"},
    "pathvalidate": {"media_names"},
    "zipstream": {"media_zip"},
    "imageio_ffmpeg": {"toolchain"},
    "av": {"media_decoder"},
    "sqlalchemy": {"schema", "store", "store_changes", "store_database", "store_queries", "store_rows"},
    "alembic": {"store_database"},
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


@pytest.mark.parametrize("path", sorted((REPOSITORY / "portal").glob("*.py")), ids=lambda path: path.stem)
def test_the_portal_imports_nothing_of_ours(path: Path) -> None:
    assert ours(imports(path)) <= {"portal"}
    assert "flask" not in {name.split(".")[0] for name in imports(path)} or path.stem == "__init__"


@pytest.mark.parametrize("library", sorted(RESERVED))
def test_a_library_stays_in_its_rooms(library: str) -> None:
    users = {module for module, path in modules().items() if library in {name.split(".")[0] for name in imports(path)}}
    assert users <= RESERVED[library]


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_opens_with_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(ast.parse(modules()[module].read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", "?", "`", ":")), docstring.splitlines()[0]

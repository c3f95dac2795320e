"""The settings as users may see them: values and where they come from, never a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint

from downloader.download_settings import PREFIX
from downloader.presets import PRESETS
from downloader.queue.operations import JobQueue
from downloader.queue.services import Services
from downloader.settings import Settings
from downloader.web.queue_responses import SettingsReport
from downloader.web.routes import Routes

#: What is shown, in this order. A setting that is missing here is not.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "downloads": (
        "workers", "platform_concurrency", "platform_interval_seconds", "pages_ahead", "downloads_per_worker",
        "worker_processes", "max_attempts", "retries", "socket_timeout_seconds", "stall_timeout_seconds",
        "default_preset", "presets", "photos", "ytdlp_options",
    ),
    "limits": (
        "max_file_bytes", "max_duration_seconds", "max_batch_urls", "max_request_bytes", "rate_limit",
    ),
    "storage": (
        "storage_dir", "name_template", "max_storage_bytes", "min_free_bytes", "retention_days", "database_url",
        "cookies_dir", "umask",
    ),
    "server": (
        "host", "port", "proxy", "allow_private_addresses", "trusted_proxies", "url_prefix", "compat", "log_level",
        "broker_url", "machine", "egress",
    ),
    "access": ("api_key", "allowed_hosts", "cors_origins"),
    "notifications": ("notify", "webhook_url", "webhook_secret", "notify_on"),
}  # fmt: skip


def _without_credentials(url: str) -> str:
    """Return where *url* leads to: neither its user and password nor its query, which may hold some too."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


#: How values are shown that are not as they are.
_SHOWN: Mapping[str, Callable[[Any], object]] = {
    "api_key": len,
    "notify": len,
    "webhook_url": bool,
    "webhook_secret": bool,
    "proxy": _without_credentials,
    "database_url": _without_credentials,
    "broker_url": _without_credentials,
    "ytdlp_options": sorted,
    "presets": lambda presets: [name for name in presets if name not in PRESETS],
}


def create_settings_api(services: Services) -> Routes:
    """Return the route that shows the settings."""
    routes = Routes(Blueprint("settings", __name__, url_prefix="/api/v1"), tag="queue")

    @routes.route("GET", "/settings", SettingsReport)
    async def show_settings() -> dict[str, Any]:
        """Show the settings, and how full the storage is; never a key, a password or a cookie."""
        return {"settings": shown(services.settings), "storage": await services.acall(_storage, services.settings)}

    return routes


def shown(settings: Settings) -> list[dict[str, Any]]:
    """Return *settings* as SettingRecord has them."""
    return [
        {
            "name": PREFIX + name.upper(),
            "group": group,
            "value": _value(name, getattr(settings, name)),
            "source": "environment" if name in settings.model_fields_set else "default",
            "description": (Settings.model_fields[name].description or "").replace("`", ""),
        }
        for group, names in GROUPS.items()
        for name in names
    ]


def _value(name: str, value: Any) -> object:
    if value is None:
        return None
    if name in _SHOWN:
        return _SHOWN[name](value)
    if isinstance(value, bool | int | float):
        return value
    return list(value) if isinstance(value, tuple) else str(value)


async def _storage(queue: JobQueue, settings: Settings) -> dict[str, Any]:
    storage = queue.scheduler.storage
    await storage.poll()
    return {
        "folder": str(settings.storage_dir),
        "used_bytes": await storage.used_bytes(),
        "free_bytes": storage.disk.free_bytes,
        "max_bytes": settings.max_storage_bytes,
    }

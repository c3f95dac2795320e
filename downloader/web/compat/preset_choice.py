"""Chooses among this server's presets for programs that know others."""

from __future__ import annotations

from downloader.errors import RequestRefused
from downloader.presets import Preset
from downloader.settings import Settings


def first_preset(settings: Settings, *names: str, asked: str) -> Preset:
    """Return the first of the presets *names* that this server has; the operator may have added some.

    Raises:
        RequestRefused: it has none of them; the reason says what was *asked* for.
    """
    for name in names:
        if name in settings.presets:
            return settings.presets[name]
    raise RequestRefused(f"This server has no preset for {asked}: it has {', '.join(settings.presets)}.")

"""The settings a download needs. Plain data: a worker that receives them loads no pydantic, which takes 9 MB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downloader.presets import PRESETS, Preset

#: Prefix of every environment variable that is a setting.
PREFIX = "DOWNLOADER_"

#: Where media files go, below the output folder. The extension is added.
DEFAULT_NAME_TEMPLATE = "{platform}_{id}_{title}"
NAME_FIELDS = ("platform", "id", "title", "uploader", "date", "preset", "index")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadSettings:
    """The part of the operator's settings that downloads use; made by `Settings.for_downloads`."""

    retries: int  #: of a request or a fragment that broke off
    socket_timeout_seconds: float
    stall_timeout_seconds: float  #: a download without a sign of life for this long is stopped
    max_file_bytes: int | None  #: None: no limit
    max_duration_seconds: float | None  #: None: no limit
    cookies_folder: Path  #: one file per platform; may not exist
    ytdlp_options: Mapping[str, Any]  #: merged last
    allow_private_addresses: bool
    umask_bits: int
    #: URL of the upstream proxy, which may hold a password: workers get None, since they only see the egress proxy.
    proxy: str | None = field(default=None, repr=False)
    presets: Mapping[str, Preset] = field(default_factory=lambda: PRESETS)  #: ours and the operator's, by name
    name_template: str = DEFAULT_NAME_TEMPLATE

"""The settings a download needs, and what they may be.

Plain data: a worker that receives them loads no pydantic, which takes 9 MB.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downloader.presets import PRESETS, Preset

#: Prefix of every environment variable that is a setting.
PREFIX = "DOWNLOADER_"

#: Not settings: the server that `add`, `list` and `get` talk to, and its key.
CLIENT_SERVER, CLIENT_KEY = f"{PREFIX}CLIENT_SERVER", f"{PREFIX}CLIENT_KEY"

OPEN_TO_ALL = (
    "OPEN TO ALL: anyone who can reach this machine over the network can use this server and see its files. Set"
    f" {PREFIX}API_KEY to require a key, or start it with --host 127.0.0.1 to allow this machine only."
)

NEEDS_FLEET = (
    f"{PREFIX}BROKER_URL needs Celery, which is not installed: pip install 'batch-video-downloader[fleet]', or pip"
    " install celery."
)

#: Where media files go, below the output folder. The extension is added.
DEFAULT_NAME_TEMPLATE = "{platform}_{id}_{title}"
NAME_FIELDS = ("platform", "id", "title", "uploader", "date", "preset", "index")

#: Options of yt-dlp that are refused, and why. All others are allowed.
REFUSED_YTDLP_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys((
        "outtmpl", "paths", "playlist_items", "logger", "progress_hooks", "match_filter", "ignoreerrors", "simulate",
        "skip_download", "allowed_extractors", "force_generic_extractor", "enable_file_urls", "cookiefile",
        "postprocessor_hooks", "post_hooks",
    ), "is the service's own and cannot be set"),
    **dict.fromkeys((
        "proxy", "geo_verification_proxy", "source_address", "external_downloader", "external_downloader_args",
        "debug_printtraffic",
    ), f"would bypass the guard of private networks; an upstream proxy is set by {PREFIX}PROXY"),
    **dict.fromkeys(
        ("download_archive", "print_to_file", "write_pages", "cachedir"), "would write outside the storage folder"
    ),
    "netrc_cmd": "would run a program",
    "remote_components": "would fetch a program from elsewhere and run it",
    "cookiesfrombrowser": f"would read a browser's cookies for all sites; cookies are set by {PREFIX}COOKIES_DIR",
    "load_info_filename": "would read a file in place of the link",
}  # fmt: skip


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


def parse_json_object(value: object) -> dict[str, Any]:
    """Return *value*, parsed if it is text; raise ValueError with the rule if that is no object."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise ValueError('must be a JSON object, such as {"format": "worst"}')
    return value


def check_ytdlp_options(value: dict[str, Any]) -> dict[str, Any]:
    """Return *value*; raise ValueError if it has an option that is refused."""
    if refused := sorted(REFUSED_YTDLP_OPTIONS.keys() & value.keys()):
        raise ValueError(f"{refused[0]!r} {REFUSED_YTDLP_OPTIONS[refused[0]]}")
    if "exec" in json.dumps(value.get("postprocessors")).lower():
        raise ValueError("the postprocessor 'Exec' would run a program")
    if "allow-unsafe-ext" in json.dumps(value.get("compat_opts")):
        raise ValueError("'allow-unsafe-ext' would let a platform choose any file extension")
    return value


#: In file names, URLs and on command lines.
_PRESET_NAME = re.compile("[a-z0-9][a-z0-9-]{0,31}")
_PRESET_RULE = 'must be a JSON object, such as {"tiny": {"label": "Tiny", "ytdlp_options": {"format": "worst"}}}'


def parse_presets(value: object) -> dict[str, Preset]:
    """Return our presets and the operator's, which are given as a JSON object."""
    try:
        written = parse_json_object(value)
    except ValueError as error:
        raise ValueError(_PRESET_RULE) from error
    theirs = {name: fields for name, fields in written.items() if PRESETS.get(name) != fields}
    return {**PRESETS, **{name: _parse_preset(name, fields) for name, fields in theirs.items()}}


def _parse_preset(name: str, written: object) -> Preset:
    if isinstance(written, Preset):
        return written
    if not _PRESET_NAME.fullmatch(name):
        raise ValueError("a preset's name must have at most 32 characters of a-z, 0-9 and -")
    if name in PRESETS:
        raise ValueError(f"{name!r} is one of the service's own presets")
    if not isinstance(written, dict) or not isinstance(written.get("ytdlp_options"), dict):
        raise ValueError(_PRESET_RULE)
    if unknown := sorted(written.keys() - {"label", "description", "kind", "ytdlp_options"}):
        raise ValueError(f"the preset {name!r} has an unknown field {unknown[0]!r}")
    texts = {field: written[field] for field in ("label", "description") if field in written}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f"the label and description of the preset {name!r} must be text")
    if (kind := written.get("kind", "video")) not in ("video", "audio"):
        raise ValueError(f"the kind of the preset {name!r} must be video or audio")
    options = check_ytdlp_options(written["ytdlp_options"])
    return Preset(name=name, kind=kind, ytdlp_options=options, **{"label": name, **texts})

"""What of the operator's settings a download needs to know, which is what a worker is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

#: Of every variable in the environment that is a setting.
PREFIX = "DOWNLOADER_"


class DownloadSettings(Protocol):
    """A `Settings`, or what a worker has of one."""

    @property
    def retries(self) -> int:
        """How often a request or a fragment that broke off is repeated."""

    @property
    def socket_timeout_seconds(self) -> float:
        """How long a silent platform is waited for."""

    @property
    def stall_timeout_seconds(self) -> float:
        """After how long without a sign of life a download is ended."""

    @property
    def max_file_bytes(self) -> int | None:
        """What one media file may have; None: no limit."""

    @property
    def max_duration_seconds(self) -> float | None:
        """How long one video may last; None: no limit."""

    @property
    def cookies_folder(self) -> Path:
        """The folder with a file of cookies for each platform; perhaps not there."""

    @property
    def ytdlp_options(self) -> Mapping[str, Any]:
        """What yt-dlp is told last."""

    @property
    def allow_private_addresses(self) -> bool:
        """Whether downloads may reach the server's own network."""

    @property
    def umask_bits(self) -> int:
        """The rights that nobody else gets to what is written."""

    @property
    def proxy(self) -> str | None:
        """URL of the upstream proxy, with its password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedSettings:
    """`DownloadSettings` as plain data. Nothing is loaded to read them: pydantic would be 9 MB in every worker."""

    retries: int
    socket_timeout_seconds: float
    stall_timeout_seconds: float
    max_file_bytes: int | None
    max_duration_seconds: float | None
    cookies_folder: Path
    ytdlp_options: Mapping[str, Any]
    allow_private_addresses: bool
    umask_bits: int
    #: The guard's business: whoever carries these has a way out from it, and no use for the password.
    proxy: None = field(default=None, init=False)

    @classmethod
    def of(cls, settings: DownloadSettings) -> CarriedSettings:
        """Return what of *settings* is carried."""
        return cls(**{each.name: getattr(settings, each.name) for each in fields(cls) if each.init})

"""Settings: `DOWNLOADER_<NAME>` in the environment, read once, frozen."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo

from downloader.access.keys import parse_keys
from downloader.access.origins import parse_allowed_hosts, parse_origins
from downloader.access.prefix import parse_prefix
from downloader.download_settings import (
    DEFAULT_NAME_TEMPLATE,
    NAME_FIELDS,
    PREFIX,
    DownloadSettings,
    check_ytdlp_options,
    parse_json_object,
    parse_presets,
)
from downloader.egress.environment import read_environment
from downloader.errors import StartRefused
from downloader.notify.receivers import check_webhook_secret, check_webhook_url, parse_apprise_urls
from downloader.platforms import PLATFORMS
from downloader.presets import DEFAULT_PRESET, Preset
from downloader.util.sizes import parse_size
from downloader.util.templates import parse_template

log = logging.getLogger(__name__)


def _absolute(path: Path) -> Path:
    # A record's file_path must stay valid when the process changes its directory.
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # an unknown ~user
        raise ValueError("there is no such user") from error


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


def _parsed_by(parse: Callable[[str], tuple[str, ...]]) -> BeforeValidator:
    """Return a validator that parses comma-separated text with *parse*; an empty list becomes None."""
    return BeforeValidator(lambda value: (parse(value) or None) if isinstance(value, str) and value else value or None)


#: Comma-separated lists.
Keys = Annotated[tuple[str, ...] | None, _parsed_by(parse_keys)]
Hosts = Annotated[tuple[str, ...] | None, _parsed_by(parse_allowed_hosts)]
Origins = Annotated[tuple[str, ...] | None, _parsed_by(parse_origins)]
AppriseUrls = Annotated[tuple[str, ...] | None, _parsed_by(parse_apprise_urls)]

#: A number of bytes, or text with a unit.
Bytes = Annotated[int, BeforeValidator(parse_size)]


def _matching(pattern: str, rule: str) -> AfterValidator:
    """Return a validator for text that matches *pattern*, or else breaks *rule*."""

    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _none_if_off(value: str | None) -> str | None:
    return None if value is None or value.lower() in ("", "off", "none") else value


def _check_folder(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise ValueError("there is no such folder")
    return path


def _check_proxy(value: str | None) -> str | None:
    if value is None:
        return None
    if not value.startswith(("http://", "https://", "socks4://", "socks5://", "socks5h://")):
        raise ValueError("must begin with http://, https:// or socks5://")
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:  # without the reason: it could repeat the password
        raise ValueError("must be a URL such as http://user:password@host:3128")
    return value


def _check_default_preset(value: str, info: ValidationInfo) -> str:
    # Without presets, theirs is the error that is reported.
    if value not in (presets := info.data.get("presets", {value: None})):
        raise ValueError(f"must be one of the presets: {', '.join(presets)}")
    return value


def _check_name_template(value: str) -> str:
    parse_template(value, NAME_FIELDS)
    return value


class Settings(BaseModel):
    """All settings; `load_settings` reads them and names the variable that is wrong."""

    model_config = ConfigDict(frozen=True, validate_default=True, hide_input_in_errors=True, allow_inf_nan=False)

    host: str = Field("0.0.0.0", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one")
    storage_dir: AbsolutePath = Field(Path("./storage"), description="storage folder; videos are saved in its `raw/`")
    workers: int = Field(8, ge=1, le=256, description="downloads that run at once")
    downloads_per_worker: int = Field(
        8,
        ge=1,
        le=64,
        description="most downloads that share a worker process; fewer share one if there are more than two CPUs; 1"
        " isolates each download, at about 25 MB more for each",
    )
    worker_processes: int | None = Field(
        None,
        ge=1,
        le=64,
        examples=[2],
        description="processes that downloads are spread over, more only if DOWNLOADER_DOWNLOADS_PER_WORKER requires"
        " it; unset: one less than the CPUs. Set it where a container may use fewer CPUs than the machine has",
    )
    platform_concurrency: int = Field(4, ge=1, le=256, description="downloads that run at once from one platform")
    pages_ahead: int = Field(
        2,
        ge=0,
        le=64,
        description="posts of one platform whose pages may be read while the media of others still download; 0: none",
    )
    platform_interval_seconds: float = Field(
        0, ge=0, le=3600, description="seconds between two starts on one platform, give or take a third"
    )
    max_attempts: int = Field(3, ge=1, le=100, description="attempts per link, including the first")
    database_url: Annotated[
        str | None,
        _matching("(?s)(sqlite:///|postgresql(\\+psycopg)?://).*", "must begin with sqlite:/// or postgresql://"),
    ] = Field(None, description="`sqlite:///…` or `postgresql://…`; unset: `downloader.db` in the storage folder")
    min_free_bytes: Bytes = Field(
        200 * 1024**2, ge=0, description="no new downloads start with less free disk space than this"
    )
    max_file_bytes: Bytes | None = Field(
        None, ge=1, description="largest media file, all its parts together; larger downloads are ended"
    )
    max_duration_seconds: float | None = Field(
        None, gt=0, examples=[3600], description="longest video, in seconds; longer ones are refused"
    )
    max_storage_bytes: Bytes | None = Field(
        None, ge=1, description="no new downloads start while `raw/` and `work/` together hold this much"
    )
    retention_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        examples=[30],
        description="finished jobs older than this many days are deleted with their files; fractions allowed",
    )
    max_batch_urls: int = Field(1000, ge=1, le=100_000, description="most URLs in one batch")
    max_request_bytes: Bytes = Field(4 * 1024**2, ge=1024, description="largest request body")
    socket_timeout_seconds: float = Field(
        20, gt=0, le=3600, description="seconds that a connection may be silent before it is closed"
    )
    stall_timeout_seconds: float = Field(
        60,
        gt=0,
        le=24 * 3600,
        description="a download without any response or byte for this many seconds is ended and retried later",
    )
    retries: int = Field(3, ge=0, le=100, description="how often yt-dlp repeats a failed request or fragment")
    proxy: Annotated[str | None, AfterValidator(_check_proxy)] = Field(
        None, description="upstream proxy for downloads, `http://`, `https://` or `socks5://`"
    )
    cookies_dir: Annotated[AbsolutePath | None, AfterValidator(_check_folder)] = Field(
        None,
        description=f"folder with {', '.join(f'`{name}.txt`' for name in PLATFORMS)} in Netscape format;"
        " unset: `cookies` in the storage folder",
    )
    ytdlp_options: Annotated[
        dict[str, Any], BeforeValidator(parse_json_object), AfterValidator(check_ytdlp_options)
    ] = Field(default_factory=dict, description="options of yt-dlp's Python API, as a JSON object; they override ours")
    presets: Annotated[Mapping[str, Preset], BeforeValidator(parse_presets)] = Field(
        default_factory=dict, description="further presets, as a JSON object"
    )
    default_preset: Annotated[str, AfterValidator(_check_default_preset)] = Field(
        DEFAULT_PRESET, description="what to get if a request doesn't say"
    )
    name_template: Annotated[str, AfterValidator(_check_name_template)] = Field(
        DEFAULT_NAME_TEMPLATE, description="names of media files, with / for folders"
    )
    photos: bool = Field(True, description="also fetch the pictures of posts, unless a request says otherwise")
    umask: Annotated[
        str, _matching("0?0[0-7][0-7]", "must be three octal digits of which the first is 0, such as 077 or 027")
    ] = Field("077", description="octal; permissions withheld from the files and folders that the server creates")
    allow_private_addresses: bool = Field(
        False, description="also fetch from loopback and private addresses; for trusted setups only"
    )
    api_key: Keys = Field(
        None, repr=False, description="keys, or their `sha256:<hex>`; requests without one of them are refused"
    )
    allowed_hosts: Hosts = Field(None, description="further names of the server, besides the machine's own")
    cors_origins: Origins = Field(None, description="other sites and extensions that may use the API")
    compat: bool = Field(True, description="also answer programs that were written for MeTube or cobalt")
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="number of reverse proxies in front, whose `X-Forwarded-…` headers are used"
    )
    url_prefix: Annotated[str, AfterValidator(parse_prefix)] = Field(
        "", examples=["/videos"], description="path below which a reverse proxy serves this server, such as `/videos`"
    )
    rate_limit: Annotated[
        str | None,
        AfterValidator(_none_if_off),
        _matching(
            "[1-9][0-9]{0,8}/(second|minute|hour|day)",
            "must be a number per second, minute, hour or day, such as 1200/minute, or off",
        ),
    ] = Field("1200/minute", description="requests that one address may send; `off`: no limit")
    notify: AppriseUrls = Field(None, repr=False, description="Apprise URLs that are told when a batch has ended")
    webhook_url: Annotated[str | None, AfterValidator(check_webhook_url)] = Field(
        None, repr=False, description="URL that gets a JSON message when a batch has ended"
    )
    webhook_secret: Annotated[str | None, AfterValidator(check_webhook_secret)] = Field(
        None, repr=False, description="signs the webhook's messages, in `X-Signature-256`"
    )
    notify_on: Annotated[str, _matching("always|problems", "must be always or problems")] = Field(
        "always", description="`problems`: only of batches in which something failed"
    )
    broker_url: Annotated[
        str | None,
        _matching("(?s)amqps?://[^/].*", "must be a URL such as amqp://user:password@host:5672/name"),
    ] = Field(None, repr=False, description="RabbitMQ, `amqp://…` or `amqps://…`: downloads run on other machines")
    egress: Annotated[str, _matching("[a-z0-9-]{0,32}", "must have at most 32 characters of a-z, 0-9 and -")] = Field(
        "", description="name of the way out to the network that this machine takes, if machines have several"
    )
    machine: Annotated[
        str | None, _matching("[A-Za-z0-9._-]{1,64}", "must have at most 64 letters, digits, dots, - and _")
    ] = Field(None, description="this machine's name, unique among those of a broker; unset: the host's")
    log_level: Annotated[
        str, AfterValidator(str.upper), _matching("DEBUG|INFO|WARNING|ERROR", "must be DEBUG, INFO, WARNING or ERROR")
    ] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    def for_downloads(self) -> DownloadSettings:
        """Return the part of these settings that downloads use."""
        return DownloadSettings(**{each.name: getattr(self, each.name) for each in fields(DownloadSettings)})

    @property
    def is_open_to_all(self) -> bool:
        """Whether other machines can reach the service, and no key is needed."""
        try:
            is_loopback = self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            is_loopback = False
        return not self.api_key and not is_loopback

    @property
    def raw_dir(self) -> Path:
        """The folder of finished media files."""
        return self.storage_dir / "raw"

    @property
    def work_dir(self) -> Path:
        """The folder of unfinished files, with a subfolder for each job."""
        return self.storage_dir / "work"

    @property
    def thumbnails_dir(self) -> Path:
        """The folder of thumbnails, each named by its job; made with the first."""
        return self.storage_dir / "thumbnails"

    @property
    def cookies_folder(self) -> Path:
        """The folder with a cookie file for each platform; may not exist."""
        return self.cookies_dir or self.storage_dir / "cookies"

    @property
    def umask_bits(self) -> int:
        """`umask` as a number."""
        return int(self.umask, 8)

    @property
    def store_file(self) -> Path | None:
        """The file of the queue's database, or None for a server."""
        path = self.store_url.removeprefix("sqlite:///")
        return None if path == self.store_url else _absolute(Path(path))

    @property
    def store_url(self) -> str:
        """URL of the queue's database."""
        return self.database_url or f"sqlite:///{self.storage_dir / 'downloader.db'}"


def load_settings(**overrides: Any) -> Settings:
    """Return the settings from the environment, with *overrides* by field name; log what looks wrong.

    Raises:
        StartRefused: a value is invalid; the message names the variable, but never repeats a value: it may be secret.
    """
    environment = read_environment(os.environ, Settings.model_fields)
    for variable, sentence in environment.notes.items():
        log.warning("setting needs attention", extra={"variable": variable, "detail": sentence})
    return parse_settings({**environment.values, **overrides})


def parse_settings(values: Mapping[str, Any]) -> Settings:
    """Return *values*, by field name, as settings.

    Raises:
        StartRefused: as `load_settings`.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name, reason = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        if first["type"] != "value_error":
            reason = _rule(name) or reason
        raise StartRefused(f"{PREFIX}{name.upper()} is set wrongly: {reason}. Correct it and start again.") from error


def _rule(name: str) -> str | None:
    """Return in plain words what a setting must be, for numbers, sizes and booleans; else None."""
    field = Settings.model_fields[name]
    types = {field.annotation, *get_args(field.annotation)}
    if name.endswith("_bytes"):
        return f"must be a size in bytes, {_range(field)}, such as 500000000, 500M or 5G"
    if bool in types:
        return "must be true or false"
    if not types & {int, float}:
        return None
    kind = "a number" if float in types else "a whole number"
    unit = next((f" of {word}" for word in ("seconds", "days") if name.endswith(f"_{word}")), "")
    return f"must be {kind}{unit} {_range(field)}, such as {(field.examples or [field.default])[0]}"


def _range(field: FieldInfo) -> str:
    bounds = {
        name: getattr(each, name) for each in field.metadata for name in ("ge", "gt", "le") if hasattr(each, name)
    }
    low = f"above {bounds['gt']}" if "gt" in bounds else f"{bounds['ge']} or more"
    if "le" not in bounds:
        return low
    return f"{low}, at most {bounds['le']}" if "gt" in bounds else f"from {bounds['ge']} to {bounds['le']}"


@cache
def default_settings() -> Settings:
    """Return the settings from the environment, read once, for library calls that are given none."""
    return load_settings()

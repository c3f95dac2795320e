"""What the server and its machines say to each other, and the queues that it goes through."""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Literal

from celery import Celery
from kombu import Connection, Exchange, Queue, compression

from downloader.download_settings import DownloadSettings
from downloader.engines.fleet.codec import decode, encode
from downloader.errors import ErrorCode, sentence
from downloader.jobs import Progress, Work
from downloader.models import Media, Outcome
from downloader.platform_detector import parse_link
from downloader.platforms import PLATFORMS, PlatformType
from downloader.presets import MAX_ENTRIES, Expand

#: The one task, and the one control command.
TASK, COMMAND = "downloader.attempt", "attempt"

#: How soon the broker notices that a machine has gone without a word: after twice as long.
HEARTBEAT_SECONDS = 6

#: How often machines send a sign of life at least.
SIGN_SECONDS = 0.5

_QUORUM = {"x-queue-type": "quorum"}

#: What must not be lost.
REPORTS = Queue("downloader.reports", Exchange("downloader.reports"), "reports", queue_arguments=_QUORUM)

#: Signs of life: only the latest count, so they go to servers that listen now.
SIGNS = Exchange("downloader.signs", "fanout")

#: Most attempts that a machine runs at once.
MAX_PLACES = 256

_JOB_ID = re.compile("[a-z0-9-]{1,64}")
_EGRESS = re.compile("[a-z0-9-]{0,32}")
_LANGUAGE = re.compile("[A-Za-z0-9-]{1,20}")

#: Settings that each machine may have its own of.
_OWN = {"proxy", "cookies_folder"}


class Refused(ValueError):
    """A message is not one that the server sends; str() says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a machine is told of an attempt: names no path and no option, since the broker may be taken over."""

    job: str
    attempt: int
    platform: PlatformType
    link: str
    preset: str
    subtitles: tuple[str, ...] = ()
    folder: str = ""
    expand: Expand | None = None
    listed: int = 0
    photos: bool = True
    may_download: bool = True

    @classmethod
    def of(cls, work: Work) -> Order:
        """Return what to tell of *work*."""
        shared = {each.name for each in fields(cls)} - {"job"}
        return cls(job=work.job_id, **{name: getattr(work, name) for name in shared})

    @classmethod
    def read(cls, value: object, settings: DownloadSettings) -> Order:
        """Return the order that *value* is, if one with *settings* may follow it. Raises Refused."""
        try:
            order = decode(cls, value)
        except ValueError as error:
            raise Refused(f"not an attempt: {error}") from error
        link = parse_link(order.link)
        if not _JOB_ID.fullmatch(order.job) or order.attempt < 1 or order.listed < 0:
            raise Refused("a job id or a number that there cannot be")
        if link is None or link.platform != order.platform:
            raise Refused(f"{order.link!r} is no link of {order.platform}")
        if order.preset not in settings.presets:
            raise Refused(f"there is no preset {order.preset!r} here")
        if order.expand is not None and not 0 < order.expand.limit <= MAX_ENTRIES:
            raise Refused("a limit that there cannot be")
        if len(order.subtitles) > 100 or not all(map(_LANGUAGE.fullmatch, order.subtitles)):
            raise Refused("a language that there cannot be")
        return order


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """An `Outcome`, with files relative to the output folder."""

    success: bool
    error: str | None = None
    media: Media | None = None
    error_code: ErrorCode | None = None
    detail: str | None = None
    retry_after_seconds: float | None = None
    walled: bool = False

    @classmethod
    def of(cls, outcome: Outcome, relative: Callable[[Media], Media]) -> End:
        """Return *outcome* with the files of its media made relative by *relative*."""
        media = None if outcome.media is None else relative(outcome.media)
        names = ("error_code", "detail", "retry_after_seconds", "walled")
        return cls(
            success=outcome[0], error=outcome[2], media=media, **{name: getattr(outcome, name) for name in names}
        )


ReportKind = Literal["ask", "details", "page", "resolved", "end", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a machine tells of an attempt."""

    kind: ReportKind
    node: str
    job: str
    attempt: int
    progress: Progress | None = None  #: with details, or with a page
    link: str | None = None  #: where a short link leads
    end: End | None = None  #: None: it was ended, by the server's word or with the machine
    detail: str | None = None  #: why it was refused

    def names_only(self, platform: PlatformType) -> bool:
        """Tell whether all links in it are ones of *platform*."""
        page = None if self.progress is None else self.progress.page
        links = [*(() if page is None else (entry.url for entry in page.entries)), *filter(None, [self.link])]
        return all((link := parse_link(each)) is not None and link.platform == platform for each in links)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt that a machine runs."""

    job: str
    attempt: int
    is_listing: bool = False  #: it lists a collection
    progress: Progress | None = None  #: if there is some since the last sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A sign of life of a machine."""

    node: str  #: unique: a machine that is started again has another
    name: str
    egress: str
    places: int
    version: str
    fingerprint: str  #: of the settings that all must have
    started_at: datetime
    running: tuple[Running, ...] = ()
    is_draining: bool = False
    is_consuming: bool = True  #: connected to its queue
    fault: str | None = None

    @classmethod
    def read(cls, value: object) -> Sign:
        """Return the sign that *value* is, if a machine can have sent it. Raises ValueError."""
        sign = decode(cls, value)
        if not (0 < sign.places <= MAX_PLACES and _EGRESS.fullmatch(sign.egress)):
            raise Refused("places or a way out that there cannot be")
        if not all(0 < len(each) < 300 and each.isprintable() for each in (sign.name, sign.node)):
            raise Refused("a name that there cannot be")
        return sign


CommandKind = Literal["grant", "drop", "cancel", "permit", "proceed", "follow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the server tells a machine about an attempt."""

    kind: CommandKind
    job: str
    attempt: int
    may_download: bool = True


def relative_file(path: str, output_dir: str) -> str:
    """Return *path*, a file below *output_dir*, as it is named in an `End`."""
    return PurePosixPath(path).relative_to(output_dir).as_posix()


def absolute_file(name: str, output_dir: str) -> str:
    """Return the path of what an `End` names. Raises Refused if it is not below *output_dir*."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or set(part) & set("\\\0") for part in parts):
        raise Refused(f"{name!r} is not the name of a file")
    return str(PurePosixPath(output_dir, *parts))


def fingerprint(settings: DownloadSettings) -> str:
    """Return what differs if settings differ that all machines must have alike."""
    shared = {each.name: getattr(settings, each.name) for each in fields(settings) if each.name not in _OWN}
    shared["presets"] = encode(tuple(settings.presets.values()))
    return hashlib.sha256(json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()[:16]


def failed(code: ErrorCode, platform: PlatformType, detail: str) -> End:
    """Return the end of an attempt that failed."""
    return End(success=False, error=sentence(code, PLATFORMS[platform].label), error_code=code, detail=detail)


# The broker


class _QuickConnection(Connection):  # type: ignore[misc]
    """Tries again sooner than Celery does by itself: after two seconds at most."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(*args, **{**kwargs, "interval_start": 0.2, "interval_max": 2})


def attempts_queue(egress: str) -> Queue:
    """Return the queue of the machines that take the way out *egress*."""
    name = f"downloader.attempts.{egress}"
    return Queue(name, Exchange("downloader.attempts"), name, queue_arguments=_QUORUM)


def make_app(url: str, egress: str = "") -> Celery:
    """Return a Celery app for the broker at *url*, whose workers take attempts for *egress*."""
    for content_type in compression.encoders():  # a small message must not become a large one
        compression.register(None, None, content_type)
    queue = attempts_queue(egress)
    app = Celery("downloader", broker=url, set_as_current=False, fixups=[])
    app.amqp.Connection = _QuickConnection
    app.control.mailbox.producer_pool = None  # commands go by the connection that is given, not by a new one each
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=[queue],
        task_default_queue=queue.name,
        task_default_queue_type="quorum",
        task_create_missing_queues=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        control_queue_exclusive=True,
        broker_heartbeat=HEARTBEAT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=0,
        # By itself it would take the certificate of any other host. None: the host of the URL.
        broker_use_ssl={"server_hostname": None, "cert_reqs": ssl.CERT_REQUIRED} if url.startswith("amqps") else False,
        broker_transport_options={"confirm_publish": True, "read_timeout": 10, "write_timeout": 10},
    )
    return app


def try_broker(url: str, timeout_seconds: float) -> str:
    """Connect to the broker at *url*; return its name and version. Raises OSError if that fails."""
    with make_app(url).connection_for_write(connect_timeout=timeout_seconds) as connection:
        try:
            connection.connect()
            answered = connection.connection.server_properties
        except OSError:
            raise
        except (*connection.connection_errors, *connection.channel_errors) as error:  # such as of a wrong password
            raise OSError(None, getattr(error, "reply_text", None) or str(error)) from error
    return f"{answered.get('product')} {answered.get('version')}"

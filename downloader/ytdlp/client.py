"""Runs yt-dlp: takes a link, returns files that play, or one of our errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from downloader.download_settings import DownloadSettings
from downloader.egress.guard import open_egress
from downloader.errors import RETRYABLE, DownloadFailed, ErrorCode, NotAPost, StartRefused, sentence
from downloader.media.files import Downloaded, finalize
from downloader.media.limits import ArrivalCount, MediaLimits
from downloader.media.move import try_move
from downloader.models import Media, Outcome
from downloader.platforms import Platform
from downloader.ytdlp import hooks, tools
from downloader.ytdlp.errors import classify
from downloader.ytdlp.extractors import add_extractors
from downloader.ytdlp.finder import canonical_url, follow
from downloader.ytdlp.lean import make_lean
from downloader.ytdlp.network import GuardedRequests, force_proxy
from downloader.ytdlp.options import cookie_fault, ytdlp_options
from downloader.ytdlp.progress import ProgressMeter, Report
from downloader.ytdlp.resume import MAYBE_STORAGE, resume, temporary_work_dir

# yt_dlp is imported where it is used: that takes a third of a second, and the server must listen sooner.

log = logging.getLogger(__name__)

#: Where wrappers put files by default.
RAW_DIR = "./storage/raw"

#: Errors that the cookies of a logged-in user may help against.
_HELPED_BY_COOKIES: frozenset[ErrorCode] = frozenset({"login_required", "private", "age_restricted", "bot_check"})

_SEVERAL_VIDEOS = ("playlist", "multi_video")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a download needs beside its link."""

    settings: DownloadSettings
    stop: threading.Event = field(default_factory=threading.Event)  #: set: the download ends at its next byte
    #: Where unfinished files stay from one attempt to the next. After a success it holds only the outcome (see
    #: `media.files`); the caller removes it. None: a temporary folder.
    work_dir: Path | None = None
    in_storage: bool = False  #: the folders are in a storage folder whose disk may be missing: never create that folder
    #: URL of the egress proxy, credential included; None: the download opens its own
    proxy: str | None = field(default=None, repr=False)
    report: Report | None = None  #: called in the download's thread at signs of life, at most 4 times a second


_CONTEXT: ContextVar[FetchContext | None] = ContextVar("fetch_context", default=None)


@contextmanager
def fetch_context(context: FetchContext) -> Iterator[None]:
    """Have every `fetch` within use *context*; the wrappers' signatures are fixed and cannot carry it."""
    token = _CONTEXT.set(context)
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def fetch(platform: Platform, url: str, output_dir: str) -> Outcome:
    """Download the post at *url* into *output_dir*; blocking.

    Returns:
        (success, file_path, error); a success is a file that was checked to play. Never raises for a fault of the
        platform, the link or the disk.
    """
    context = _CONTEXT.get() or _default_context()
    if context.proxy is not None:
        return _fetch(platform, url, output_dir, context)
    with ExitStack() as stack:
        try:
            egress = stack.enter_context(open_egress(context.settings))
        except StartRefused as error:  # in a program that uses us as a library; a server reports it at startup
            return Outcome(False, None, str(error), error_code="internal", detail=str(error))
        except OSError as error:
            return _failed("internal", platform, f"the egress proxy did not start: {error}")
        outcome = _fetch(platform, url, output_dir, replace(context, proxy=egress.url))
        refusal = egress.refusal(outcome)
    return outcome if refusal is None else _failed("blocked_address", platform, refusal)


def _default_context() -> FetchContext:
    # Imported here because workers, which have a context, must not load pydantic.
    from downloader.settings import default_settings

    return FetchContext(settings=default_settings().for_downloads())


def _failed(code: ErrorCode, platform: Platform, detail: str) -> Outcome:
    return Outcome(False, None, sentence(code, platform.label), error_code=code, detail=detail)


def _fetch(platform: Platform, url: str, output_dir: str, context: FetchContext) -> Outcome:
    try:
        media = _download(platform, canonical_url(platform, url), Path(output_dir), context)
    except Exception as error:
        return _failure_outcome(error, platform, url, Path(output_dir), context)
    log.info("download finished", extra={"platform": platform.name, "url": url, "size_bytes": media.size_bytes})
    return Outcome(True, media.files[0], None, media=media)


def _failure_outcome(
    error: Exception, platform: Platform, url: str, output_dir: Path, context: FetchContext
) -> Outcome:
    failure = _translate(error, platform, folders=_folders(output_dir, context.work_dir))
    if failure.code in MAYBE_STORAGE:
        failure = _storage_failure(platform, output_dir, context.work_dir) or failure
    is_internal = failure.code == "internal"
    log.log(
        logging.ERROR if is_internal else logging.WARNING,
        "download failed",
        extra={"platform": platform.name, "url": url, "error_code": failure.code, "detail": failure.detail},
        exc_info=error if is_internal else None,
    )
    message = str(failure)
    if failure.code in _HELPED_BY_COOKIES and (fault := cookie_fault(context.settings, platform)):
        message += f" {fault}"
    return Outcome(
        False,
        None,
        message,
        error_code=failure.code,
        detail=failure.detail,
        retry_after_seconds=failure.retry_after_seconds,
        walled=failure.walled,
    )


def _download(platform: Platform, url: str, output_dir: Path, context: FetchContext) -> Media:
    attempt = _Attempt(platform, url, output_dir, context)
    if context.work_dir is None:
        with temporary_work_dir(output_dir) as work_dir:
            return attempt.run(work_dir)
    return resume(
        attempt.run,
        platform,
        context.work_dir,
        output_dir,
        make_parents=not context.in_storage,
        heartbeat=attempt.heartbeat,
    )


class _Attempt:
    """One post, downloaded by yt-dlp; `run` may be called again with the files of an earlier call."""

    def __init__(self, platform: Platform, url: str, output_dir: Path, context: FetchContext) -> None:
        self._platform = platform
        self._url = url
        self._output_dir = output_dir
        self._context = context
        self._limits = MediaLimits.of(context.settings)
        self._meter = ProgressMeter(context.report)
        self.heartbeat = hooks.heartbeat(context.stop, self._meter)

    def run(self, work_dir: Path) -> Media:
        """Download into *work_dir*, check the files, and move them to their place. Raises DownloadFailed."""
        downloads = self._run_ytdlp(self._options(work_dir))
        self._meter.enter("checking")
        hooks.check_stop(self._context.stop)  # before any file is in its place
        ffmpeg = tools.ffmpeg()
        return finalize(
            self._platform.name,
            downloads,
            self._output_dir,
            ffmpeg=None if ffmpeg is None else ffmpeg.path,
            work_dir=self._context.work_dir,
            limits=self._limits,
            heartbeat=self.heartbeat,
        )

    def _options(self, work_dir: Path) -> dict[str, Any]:
        context, stop_hook = self._context, partial(hooks.check_stop, self._context.stop)
        assert context.proxy is not None
        options = ytdlp_options(self._platform, context.settings, work_dir, proxy=context.proxy)
        pauses = options.get("retry_sleep_functions") or {}
        return options | {
            "keep_fragments": context.work_dir is not None,  # see `resume`
            "progress_hooks": [
                stop_hook,
                ArrivalCount(self._limits),
                hooks.check_arrived,
                self._meter.downloading,
            ],
            "postprocessor_hooks": [stop_hook, self._meter.processing],
            "retry_sleep_functions": hooks.interruptible_backoff(pauses, context.stop),
        }

    def _run_ytdlp(self, options: Mapping[str, Any]) -> list[Downloaded]:
        """Return the files that yt-dlp downloaded, at least one."""
        import yt_dlp

        with yt_dlp.YoutubeDL(options, auto_init=False) as ydl:
            ydl._outtmpl_expandpath = str  # a folder named $HOME is not a variable
            force_proxy(ydl, options["proxy"])
            make_lean(ydl)
            ydl.urlopen = requests = GuardedRequests(
                ydl.urlopen,
                allow_private=self._context.settings.allow_private_addresses,
                stop=self._context.stop,
                meter=self._meter,
            )
            ydl.add_post_processor(hooks.preflight(self._limits, self._meter), when="before_dl")
            try:
                post = follow(requests, self._platform, self._url)
                add_extractors(ydl, self._platform, post)
                info = ydl.extract_info(post, download=True)
            except Exception as error:
                folders = _folders(self._output_dir, self._context.work_dir)
                raise _translate(error, self._platform, requests.last_failure, folders=folders) from error
            finally:
                requests.close()
            if downloads := _downloads(ydl, info):
                return downloads
        is_several = isinstance(info, Mapping) and info.get("_type") in _SEVERAL_VIDEOS
        raise DownloadFailed("no_video" if is_several else "file_missing", platform_label=self._platform.label)


def _downloads(ydl: Any, info: Any) -> list[Downloaded]:
    """Return the files of *info*, a video or a post with several of them."""
    if not isinstance(info, Mapping):
        return []
    if info.get("_type") in _SEVERAL_VIDEOS:
        return [found for entry in info.get("entries") or () for found in _downloads(ydl, entry)]
    requested = info.get("requested_downloads")
    paths = [part.get("filepath") for part in requested] if isinstance(requested, list) else []
    # Without a list of downloads there is still the name that yt-dlp would give the file.
    return [Downloaded.from_info(Path(path), info) for path in paths or [ydl.prepare_filename(info)] if path]


# Errors


def _folders(output_dir: Path, work_dir: Path | None) -> tuple[Path, ...]:
    """Return where a download writes; without a *work_dir* that is below *output_dir*."""
    return tuple(folder.absolute() for folder in (output_dir, work_dir) if folder is not None)


def _storage_failure(platform: Platform, output_dir: Path, work_dir: Path | None) -> DownloadFailed | None:
    """Return what is wrong with the folders of a failed download, or None."""
    try:
        try_move(work_dir or output_dir, output_dir)
    except OSError as error:
        error.__suppress_context__ = True  # the download's failure did not cause this one
        return _translate(error, platform, folders=_folders(output_dir, work_dir))
    return None


def _translate(
    error: Exception,
    platform: Platform,
    last_request: Exception | None = None,
    *,
    folders: Collection[Path] = (),
) -> DownloadFailed:
    """Return *error* as one of ours.

    Where yt-dlp blames the platform's page although its *last_request* failed, that failure is the reason: YouTube's
    extractor, for one, continues after a 429 and then finds nothing to read.
    """
    found = classify(error, folders=folders)
    if isinstance(error, NotAPost):
        return NotAPost(str(error), detail=found.detail)
    if found.code == "platform_changed" and last_request is not None:
        cause = classify(last_request)
        found = cause if cause.code in RETRYABLE else found
    # yt-dlp is given only links to posts, so a link that it calls bad is one that the post leads to.
    leads_elsewhere = found.code == "invalid_url" and not isinstance(error, DownloadFailed)
    return DownloadFailed(
        "no_video" if leads_elsewhere else found.code,
        platform_label=platform.label,
        detail=found.detail,
        retry_after_seconds=found.retry_after_seconds,
        walled=found.walled,
    )

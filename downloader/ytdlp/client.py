"""Runs yt-dlp: takes a link, returns files that play, or one of our errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from downloader.download_settings import DownloadSettings
from downloader.egress.guard import open_egress
from downloader.errors import DownloadFailed, IsCollection, PresetGone, StartRefused
from downloader.media.details import details_of
from downloader.media.downloads import Downloaded
from downloader.media.files import finalize
from downloader.media.folders import parse_folder
from downloader.media.limits import ArrivalCount, MediaLimits
from downloader.media.move import try_move
from downloader.media.names import name_template
from downloader.media.photos import settle_plain_files
from downloader.media.places import Layout
from downloader.media.sound import take_sounds
from downloader.media.srt import Subtitles
from downloader.models import Details, Media, Outcome
from downloader.platforms import Platform
from downloader.presets import DEFAULT_PRESET, Preset, PresetKind
from downloader.ytdlp import hooks, tools
from downloader.ytdlp.errors import blame, classify
from downloader.ytdlp.extractors import add_extractors
from downloader.ytdlp.failures import failed
from downloader.ytdlp.finder import canonical_url, follow
from downloader.ytdlp.lean import make_lean
from downloader.ytdlp.network import GuardedRequests
from downloader.ytdlp.options import ytdlp_options
from downloader.ytdlp.plain_files import PlainFiles, plain_kind
from downloader.ytdlp.progress import ProgressMeter, Report
from downloader.ytdlp.resume import MAYBE_STORAGE, resume, temporary_work_dir
from downloader.ytdlp.sorting import isolate_sorting
from downloader.ytdlp.subtitles import INFO_KEY, SubtitleFetcher, subtitle_options
from downloader.ytdlp.transport import Transport

# yt_dlp is imported where it is used: that takes a third of a second, and the server must listen sooner.

log = logging.getLogger(__name__)

#: Where wrappers put files by default.
RAW_DIR = "./storage/raw"

#: How soon a download that waits for its permit notices that it is to stop.
_PERMIT_POLL_SECONDS = 0.5

#: Links to media in a page expire, the earliest after an hour.
_PAGE_LIFETIME_SECONDS = 600.0

_SEVERAL_VIDEOS = ("playlist", "multi_video")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a download needs beside its link."""

    settings: DownloadSettings
    preset: str = DEFAULT_PRESET  #: what to get, one of the settings' presets
    subtitles: tuple[str, ...] = ()  #: codes of the languages wanted
    folder: str = ""  #: where the files go, below the output folder
    photos: bool = True  #: whether a post's pictures are wanted too
    stop: threading.Event = field(default_factory=threading.Event)  #: set: the download ends at its next byte
    permit: threading.Event | None = None  #: until it is set, pages are read, but no media; None: as if it were set
    expand: bool = False  #: whether a short link may lead to a collection
    #: Called with the link of the post or the collection, once a short link was followed.
    resolved: Callable[[str], None] = lambda _: None
    proceed: threading.Event | None = None  #: until it is set, nothing more is requested then; None: as if it were set
    #: Where unfinished files stay from one attempt to the next. After a success it holds only the outcome (see
    #: `media.outcome`); the caller removes it. None: a temporary folder.
    work_dir: Path | None = None
    in_storage: bool = False  #: the folders are in a storage folder whose disk may be missing: never create that folder
    transport: Transport | None = None  #: the way to the network; None: the download opens its own
    report: Report = lambda _: None  #: called in the download's thread at signs of life, at most 4 times a second
    job_id: str = ""  #: named in reports


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
    return guarded(
        platform, context, lambda transport: _Download(platform, url, Path(output_dir), context, transport).outcome()
    )


def guarded(platform: Platform, context: FetchContext, run: Callable[[Transport], Outcome]) -> Outcome:
    """Return what comes of *run*, which gets the context's way to the network, or one opened for it."""
    if context.transport is not None:
        return run(context.transport)
    try:
        with open_egress(context.settings) as egress, closing(Transport(egress.url)) as transport:
            outcome = run(transport)
            refusal = egress.refusal(outcome)
    except StartRefused as error:  # in a program that uses us as a library; a server reports it at startup
        return Outcome(False, None, str(error), error_code="internal", detail=str(error))
    except OSError as error:
        return Outcome.failed("internal", platform.name, f"the egress proxy did not start: {error}")
    return outcome if refusal is None else Outcome.failed("blocked_address", platform.name, refusal)


def _default_context() -> FetchContext:
    # Imported here because workers, which have a context, must not load pydantic.
    from downloader.settings import default_settings

    settings = default_settings()
    return FetchContext(settings=settings.for_downloads(), photos=settings.photos)


class _PageTooOld(Exception):
    """So much time has passed since the page was read that its links to media may have expired."""


class _Download:
    """The download of one post by yt-dlp, in one attempt or, if that resumed unusable files, two."""

    def __init__(
        self, platform: Platform, url: str, output_dir: Path, context: FetchContext, transport: Transport
    ) -> None:
        self._platform = platform
        self._url = url
        self._output_dir = output_dir
        self._context = context
        self._transport = transport
        self._limits = MediaLimits.of(context.settings)
        self._meter = ProgressMeter(context.report, context.job_id)
        self._layout = Layout()
        self._details: Details | None = None  #: of the first video, once its page is read
        self._missing: str | None = None  #: pictures that could not be had, each with the reason
        self._started = False  #: the folders are in use

    def outcome(self) -> Outcome:
        """Return what came of it. Never raises."""
        try:
            media = self._media()
        except Exception as error:
            return self._failure(error)
        facts = {"platform": self._platform.name, "url": self._url, "size_bytes": media.size_bytes}
        # In a worker, a record costs as much as a report, and the server logs the end of every attempt.
        log.debug("download finished", extra=facts)
        return Outcome(True, media.files[0], None, media=media, detail=media.pictures_missing)

    def _media(self) -> Media:
        post, context = canonical_url(self._platform, self._url), self._context
        preset = context.settings.presets.get(context.preset)
        if preset is None:  # the operator's, and removed since it was chosen
            raise PresetGone(context.preset, context.settings.presets)
        self._layout = _layout(context)
        self._started = True
        attempt = partial(self._attempt, post, preset)
        if context.work_dir is None:
            with temporary_work_dir(self._output_dir) as work_dir:
                return attempt(work_dir)
        return resume(
            attempt,
            context.work_dir,
            self._output_dir,
            make_parents=not context.in_storage,
            preset=preset.name,
            heartbeat=self._heartbeat,
        )

    def _attempt(self, url: str, preset: Preset, work_dir: Path) -> Media:
        """Download *url* into *work_dir*, check the files, and move them to their place."""
        try:
            downloads = self._run_ytdlp(url, preset.kind, self._options(preset, work_dir))
        except _PageTooOld:
            downloads = self._run_ytdlp(url, preset.kind, self._options(preset, work_dir))
        tool = tools.ffmpeg()
        ffmpeg = None if tool is None else tool.path
        if preset.kind == "audio":
            self._meter.enter("merging")
            downloads = take_sounds(
                downloads,
                ffmpeg,
                as_mp3=preset.name == "mp3",
                max_bytes=self._limits.file_bytes,
                # No sign of life: an ffmpeg that writes nothing more is noticed.
                heartbeat=self._check_stop,
            )
        self._meter.enter("checking")
        downloads = settle_plain_files(downloads, ffmpeg, heartbeat=self._heartbeat)
        self._check_stop()  # before any file is in its place
        return finalize(
            self._platform.name,
            downloads,
            self._output_dir,
            ffmpeg=ffmpeg,
            preset=preset,
            layout=self._layout,
            work_dir=self._context.work_dir,
            details=self._details or Details(),
            pictures_missing=self._missing,
            limits=self._limits,
            heartbeat=self._heartbeat,
        )

    def _options(self, preset: Preset, work_dir: Path) -> dict[str, Any]:
        context = self._context
        options = ytdlp_options(self._platform, context.settings, work_dir, proxy=self._transport.proxy, preset=preset)
        pauses = options.get("retry_sleep_functions") or {}
        arrived = ArrivalCount(self._limits)
        if context.subtitles:
            options |= subtitle_options(options)
        return options | {
            "keep_fragments": context.work_dir is not None,  # see `resume`
            "progress_hooks": [self._check_stop, arrived, hooks.check_arrived, self._meter.downloading],
            "postprocessor_hooks": [self._check_stop, self._meter.processing],
            "retry_sleep_functions": hooks.interruptible_backoff(pauses, context.stop),
        }

    def _run_ytdlp(self, url: str, kind: PresetKind, options: Mapping[str, Any]) -> list[Downloaded]:
        """Return the files that yt-dlp downloaded, at least one."""
        with self._transport.youtube_dl(options) as ydl:
            ydl._outtmpl_expandpath = str  # a folder named $HOME is not a variable
            isolate_sorting()
            make_lean(ydl)
            ydl.urlopen = requests = GuardedRequests(
                ydl.urlopen,
                allow_private=self._context.settings.allow_private_addresses,
                stop=self._context.stop,
                meter=self._meter,
            )
            describe, self._details = partial(self._describe, kind), None
            preflight = hooks.preflight(self._limits, self._meter, describe, self._await_permit)
            ydl.add_post_processor(preflight, when="before_dl")
            plain = PlainFiles.of(ydl, preflight.inspect)
            if self._context.subtitles:
                ydl.add_post_processor(self._subtitles(requests).step(), when="before_dl")
            try:
                post = self._post_at(requests, url)
                add_extractors(ydl, self._platform, post, kind, photos=self._context.photos)
                info = ydl.extract_info(post, download=True)
            except _PageTooOld:
                raise
            except Exception as error:
                raise self._translate(error, requests.last_failure, kind) from error
            finally:
                requests.close()
            downloads = _downloads(ydl, info, Subtitles(missing=self._context.subtitles))
            self._note_missing(plain, downloads)
            if downloads:
                return downloads
        is_several = isinstance(info, Mapping) and info.get("_type") in _SEVERAL_VIDEOS
        if not is_several:
            raise DownloadFailed("file_missing")
        raise DownloadFailed("no_audio" if kind == "audio" else "no_video")

    def _note_missing(self, plain: PlainFiles, downloads: Sequence[Downloaded]) -> None:
        """Note which of a post's pictures are gone. Raises DownloadFailed if nothing to look at is left."""
        found = [(name, self._classify(error)) for name, error in plain.missing]
        if found and all(each.plain == "sound" for each in downloads):
            raise found[0][1]
        self._missing = "; ".join(f"{name} is missing: {failure.detail}" for name, failure in found) or None

    def _subtitles(self, requests: GuardedRequests) -> SubtitleFetcher:
        context = self._context
        return SubtitleFetcher(
            context.subtitles,
            requests,
            max_bytes=self._limits.file_bytes,
            heartbeat=self._heartbeat,
            pause=context.stop.wait,
        )

    def _post_at(self, requests: GuardedRequests, url: str) -> str:
        """Return the link of the post at *url*; of a short link, once what it leads to may be fetched."""
        try:
            post = follow(requests, self._platform, url)
        except IsCollection as found:
            if self._context.expand:
                self._await_proceed(found.link)  # the queue ends this attempt, and has the collection listed
            raise
        if post != url:
            self._await_proceed(post)
        return post

    def _await_proceed(self, link: str) -> None:
        """Report where a short link leads, and wait until that may be fetched."""
        proceed = self._context.proceed
        self._context.resolved(link)
        while proceed is not None and not proceed.wait(_PERMIT_POLL_SECONDS):
            self._heartbeat()

    def _describe(self, kind: PresetKind, info: Mapping[str, Any]) -> None:
        """Report what *info* says of the post; of a post with several videos only what it says of the first."""
        if self._details is None:
            self._details = details_of(info, kind)
            self._meter.describe(self._details)

    def _await_permit(self) -> None:
        """Wait until media may be downloaded. Raises `_PageTooOld` after a long time."""
        permit, waited = self._context.permit, 0.0
        if permit is None or permit.is_set():
            return
        self._meter.enter("downloading")
        while not permit.wait(_PERMIT_POLL_SECONDS):
            self._heartbeat()
            waited += _PERMIT_POLL_SECONDS
        if waited > _PAGE_LIFETIME_SECONDS:
            raise _PageTooOld

    def _check_stop(self, *_: object) -> None:
        if self._context.stop.is_set():
            raise DownloadFailed("interrupted")

    def _heartbeat(self) -> None:
        """End long steps once `stop` is set; report a sign of life."""
        self._check_stop()
        self._meter.sign_of_life()

    def _classify(self, error: Exception) -> DownloadFailed:
        # Without a work folder, unfinished files are below the output folder.
        folders = [folder.absolute() for folder in (self._output_dir, self._context.work_dir) if folder is not None]
        return classify(error, folders=folders)

    def _translate(self, error: Exception, last_request: Exception | None, kind: PresetKind) -> DownloadFailed:
        """Return yt-dlp's *error* as one of ours."""
        found = blame(self._classify(error), last_request)
        # yt-dlp is given only links to posts, so a link that it calls bad is one that the post leads to.
        if found.code == "invalid_url" and not isinstance(error, DownloadFailed):
            found = DownloadFailed("no_video", detail=found.detail)
        if found.code == "no_video" and kind == "audio":
            return DownloadFailed("no_audio", detail=found.detail)
        return found

    def _failure(self, error: Exception) -> Outcome:
        """Log *error*, which ended the download, and return the outcome."""
        failure = self._classify(error)
        if self._started and failure.code in MAYBE_STORAGE:
            failure = self._storage_failure() or failure
        return failed("download failed", self._platform, self._url, self._context.settings, failure, error)

    def _storage_failure(self) -> DownloadFailed | None:
        """Return what is wrong with the download's folders, or None."""
        try:
            try_move(self._context.work_dir or self._output_dir, self._output_dir)
        except OSError as error:
            error.__suppress_context__ = True  # the download's failure did not cause this one
            return self._classify(error)
        return None


def _layout(context: FetchContext) -> Layout:
    """Return where the files of *context* go. Raises DownloadFailed."""
    try:
        return Layout(name_template(context.settings.name_template), parse_folder(context.folder))
    except ValueError as error:  # requests with such a folder are refused, so something else has written it
        raise DownloadFailed("internal", detail=f"{context.folder!r} is no folder: {error}") from error


def _downloads(ydl: Any, info: Any, none: Subtitles) -> list[Downloaded]:
    """Return the files of *info*, a video or a post with several; *none* is what those without subtitles have."""
    if not isinstance(info, Mapping):
        return []
    if info.get("_type") in _SEVERAL_VIDEOS:
        return [found for entry in info.get("entries") or () for found in _downloads(ydl, entry, none)]
    requested, plain = info.get("requested_downloads"), plain_kind(info)
    parts = requested if isinstance(requested, list) else []
    if not parts and plain is None:
        # There is still the name that yt-dlp would give the file.
        parts = [{"filepath": ydl.prepare_filename(info)}]
    return [
        Downloaded.from_info(Path(path), info, plain).with_subtitles(part.get(INFO_KEY, none))
        for part in parts
        if (path := part.get("filepath"))
    ]

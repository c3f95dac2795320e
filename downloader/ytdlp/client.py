"""The only module that runs yt-dlp: a link goes in, files that play or an error of ours come out."""

from __future__ import annotations

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from downloader.download_settings import DownloadSettings
from downloader.egress.guard import open_egress
from downloader.errors import DownloadFailed, ErrorCode, NotAPost, StartRefused, is_retryable, sentence
from downloader.media import decoder as media_decoder
from downloader.media.check import NotPlayable, check_part
from downloader.media.files import Downloaded, clear_work_dir, finalize, prepare_work_dir, recover
from downloader.media.limits import ArrivalCount, MediaLimits
from downloader.media.move import INCOMING_PREFIX, try_move
from downloader.models import Media, Outcome
from downloader.platforms import Platform
from downloader.ytdlp import tools as toolchain
from downloader.ytdlp.errors import classify
from downloader.ytdlp.extractors import add_extractors, extractors_of
from downloader.ytdlp.finder import canonical_url, follow
from downloader.ytdlp.lean import make_lean
from downloader.ytdlp.options import cookie_fault, warm_up_options, ytdlp_options
from downloader.ytdlp.progress import ProgressMeter, Report
from downloader.ytdlp.proxying import tie_to_proxy
from downloader.ytdlp.requests import Requests

# yt_dlp itself is imported where it is used: it takes a third of a second, and the server listens before that.

log = logging.getLogger(__name__)

#: Where wrappers put files when nothing else is said.
RAW_DIR = "./storage/raw"

#: Below the output folder, on the same file system: unfinished downloads, one folder each, so that two downloads of
#: one post cannot disturb each other and nothing unchecked ever stands among the finished files.
PARTIAL_DIR = ".partial"

#: In a work folder for as long as an attempt is at work in it: what is gone with it was deleted by someone else.
MARK_NAME = ".attempt"

#: How long an unfinished download lies untouched before it counts as left behind.
LEFTOVER_SECONDS = 24 * 3600.0

#: What cookies of somebody who is logged in may help against.
_HELPED_BY_COOKIES: frozenset[ErrorCode] = frozenset({"login_required", "private", "age_restricted", "bot_check"})

#: What a disk that fails may look like from outside: whether it does is then tried.
_PERHAPS_STORAGE: frozenset[ErrorCode] = frozenset({"internal", "file_missing", "not_a_video", "network"})

#: What yt-dlp downloads by itself, by requests that we see; it leaves the other protocols to other programs.
_OWN_PROTOCOLS = frozenset(
    {"http", "https", "m3u8_native", "http_dash_segments", "http_dash_segments_generator", "f4m", "ism", "mhtml"}
)

#: Subtitles, which only an operator's own options ask for.
_TEXT_PARTS = frozenset({"vtt", "srt", "ass", "lrc", "ttml", "srv1", "srv2", "srv3", "json3", "json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchContext:
    """What a download needs to know beyond its link: the operator's settings, and when to give up."""

    settings: DownloadSettings
    stop: threading.Event = field(default_factory=threading.Event)  #: set: the download ends at its next byte
    #: Where unfinished files are kept from one attempt to the next. A success leaves only its outcome there (see
    #: `media.files`); the caller removes it. None: a folder for this attempt alone.
    work_dir: Path | None = None
    in_storage: bool = False  #: the folders are in a storage folder, which may be away with its disk: it is never made
    #: URL of the proxy that is the only way out, credential included; None: the download asks for one by itself
    proxy: str | None = field(default=None, repr=False)
    report: Report | None = None  #: called in the download's thread at every sign of life, 4 times a second at most


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
        (success, file_path, error); a success is a file that was checked to play. Never raises for what a platform,
        a link or a disk can do wrong.
    """
    context = _CONTEXT.get() or _default_context()
    if context.proxy is not None:
        return _fetch(platform, url, output_dir, context)
    with ExitStack() as stack:
        try:
            way = stack.enter_context(open_egress(context.settings))
        except StartRefused as error:  # of a program that uses us as a library: a server says so at its start
            return Outcome(False, None, str(error), error_code="internal", detail=str(error))
        except OSError as error:
            return _failed("internal", platform, f"the egress proxy did not start: {error}")
        outcome = _fetch(platform, url, output_dir, replace(context, proxy=way.url))
        refusal = way.refusal(outcome)
    return outcome if refusal is None else _failed("blocked_address", platform, refusal)


def _default_context() -> FetchContext:
    # Here, because a worker, which has a context, must not load what reads the environment.
    from downloader.settings import default_settings

    return FetchContext(settings=default_settings().for_downloads())


def _failed(code: ErrorCode, platform: Platform, detail: str) -> Outcome:
    return Outcome(False, None, sentence(code, platform.label), error_code=code, detail=detail)


def _fetch(platform: Platform, url: str, output_dir: str, context: FetchContext) -> Outcome:
    try:
        media = _download(platform, canonical_url(platform, url), Path(output_dir), context)
    except Exception as error:
        failure = _failure(error, platform, folders=_folders(output_dir, context.work_dir))
        if failure.code in _PERHAPS_STORAGE:
            failure = _storage_failure(platform, Path(output_dir), context.work_dir) or failure
        log.log(
            logging.ERROR if failure.code == "internal" else logging.WARNING,
            "download failed",
            extra={"platform": platform.name, "url": url, "error_code": failure.code, "detail": failure.detail},
            exc_info=error if failure.code == "internal" else None,
        )
        told = str(failure)
        if failure.code in _HELPED_BY_COOKIES and (fault := cookie_fault(context.settings, platform)):
            told += f" {fault}"
        return Outcome(
            False,
            None,
            told,
            error_code=failure.code,
            detail=failure.detail,
            retry_after_seconds=failure.retry_after_seconds,
            walled=failure.walled,
        )
    log.info("download finished", extra={"platform": platform.name, "url": url, "size_bytes": media.size_bytes})
    return Outcome(True, media.files[0], None, media=media)


def warm_up(platforms: Sequence[Platform]) -> None:
    """Import what downloads need, compile the patterns, and rehearse a download, so that none has to do it first."""
    media_decoder.library()
    for platform in platforms:
        for extractor in extractors_of(platform):
            extractor.suitable("https://example.invalid/")
            extractor()  # until then there is only its name and its patterns
        _warm_up_extraction(platform)


def _warm_up_extraction(platform: Platform) -> None:
    """Have yt-dlp look through a post that is made up, without a request and without a file: 50 ms the first time."""
    import yt_dlp

    video = {"format_id": "0", "ext": "mp4", "vcodec": "h264", "acodec": "aac", "url": "https://example.invalid/0.mp4"}
    post = {"id": "0", "title": "", "extractor": platform.name, "formats": [video, {**video, "format_id": "1"}]}
    try:
        with yt_dlp.YoutubeDL(warm_up_options(platform), auto_init=False) as ydl:
            make_lean(ydl)
            tie_to_proxy(ydl, "http://127.0.0.1:9")
            ydl.prepare_filename(ydl.process_ie_result(post, download=False))
    except Exception as error:  # another version may want more of a post: then the first download takes longer
        log.debug("no rehearsal", exc_info=error)


def remove_leftovers(output_dir: Path, *, now: float | None = None) -> None:
    """Remove what downloads below *output_dir* left behind when their process was killed.

    Only what nobody wrote to for a day: another process may be at work there.
    """
    now = time.time() if now is None else now
    leftovers = [*output_dir.glob(f"{INCOMING_PREFIX}*")]
    if not (output_dir / PARTIAL_DIR).is_symlink():  # such a one is none of ours, and leads elsewhere
        leftovers += (output_dir / PARTIAL_DIR).glob("*")
    for leftover in leftovers:
        try:
            newest = max(path.lstat().st_mtime for path in (leftover, *leftover.rglob("*")))
        except FileNotFoundError:  # somebody is at work there
            continue
        if now - newest > LEFTOVER_SECONDS:
            log.info("removing a leftover", extra={"path": str(leftover)})
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _download(platform: Platform, url: str, output_dir: Path, context: FetchContext) -> Media:
    meter = ProgressMeter(context.report)
    if context.work_dir is None:
        partial_dir = output_dir.absolute() / PARTIAL_DIR
        partial_dir.parent.mkdir(parents=True, exist_ok=True)
        prepare_work_dir(partial_dir, output_dir)
        work_dir = partial_dir / uuid.uuid4().hex
        work_dir.mkdir(mode=0o700)
        try:
            return _attempt(platform, url, output_dir, work_dir, context, meter)
        finally:
            shutil.rmtree(work_dir, ignore_errors=True)
    return _resume(platform, url, output_dir, context.work_dir, context, meter)


def _resume(
    platform: Platform, url: str, output_dir: Path, work_dir: Path, context: FetchContext, meter: ProgressMeter
) -> Media:
    """Go on where an earlier attempt in *work_dir* ended; where there was none, begin."""
    for folder in (output_dir, work_dir.parent):
        folder.mkdir(parents=not context.in_storage, exist_ok=True)
    prepare_work_dir(work_dir, output_dir)
    if media := recover(work_dir, output_dir, _alive(context.stop, meter)):
        return media
    _take_apart(work_dir)
    resumed = any(work_dir.iterdir())
    try:
        with _noticing_loss(work_dir, platform):
            return _attempt(platform, url, output_dir, work_dir, context, meter)
    except DownloadFailed as failure:
        if failure.code == "too_large":
            clear_work_dir(work_dir)  # going on from it would only end at the same wall
        if not resumed or failure.code != "not_a_video":
            raise
        # Perhaps the platform changed the file between the attempts, and we have the halves of two.
        log.info("downloading anew what did not fit together", extra={"platform": platform.name, "url": url})
        clear_work_dir(work_dir)
        with _noticing_loss(work_dir, platform):
            return _attempt(platform, url, output_dir, work_dir, context, meter)


@contextmanager
def _noticing_loss(work_dir: Path, platform: Platform) -> Iterator[None]:
    """Have what fails because someone deletes *work_dir*, or what is in it, fail as just that.

    yt-dlp makes its folder again, and says of the files whatever their loss leads to.
    """
    mark = work_dir / MARK_NAME
    mark.touch()
    try:
        yield
    except Exception as error:
        if not mark.exists() and classify(error).code in _PERHAPS_STORAGE:
            detail = f"unfinished files were deleted: {error}"
            raise DownloadFailed("storage_unavailable", platform_label=platform.label, detail=detail) from error
        raise
    finally:
        with suppress(OSError):
            mark.unlink()


def _take_apart(work_dir: Path) -> None:
    """Remove what yt-dlp made of streams that come in segments, but not the segments.

    It appends them to one file and notes in another how many it has; a kill in between would make a film with a scene
    twice. All of them are still there, so putting them together again costs no request.
    """
    for segment in work_dir.glob("*.part-Frag*"):
        whole = segment.name.partition(".part-Frag")[0]
        for suffix in (".part", ".ytdl"):
            (work_dir / (whole + suffix)).unlink(missing_ok=True)


def _attempt(
    platform: Platform, url: str, output_dir: Path, work_dir: Path, context: FetchContext, meter: ProgressMeter
) -> Media:
    import yt_dlp

    assert context.proxy is not None
    limits = MediaLimits.of(context.settings)
    options = {
        **ytdlp_options(platform, context.settings, work_dir, proxy=context.proxy),
        "keep_fragments": context.work_dir is not None,  # see _resume
        "progress_hooks": [
            _stop_hook(context.stop),
            ArrivalCount(limits),
            _refuse_no_media,
            meter.downloading,
        ],
        "postprocessor_hooks": [_stop_hook(context.stop), meter.processing],
    }
    options["retry_sleep_functions"] = _interruptible_backoff(options.get("retry_sleep_functions") or {}, context.stop)
    with yt_dlp.YoutubeDL(options, auto_init=False) as ydl:
        ydl._outtmpl_expandpath = str  # a folder that is called $HOME is no variable
        tie_to_proxy(ydl, context.proxy)
        make_lean(ydl)
        requests = Requests(
            ydl.urlopen, allow_private=context.settings.allow_private_addresses, stop=context.stop, meter=meter
        )
        ydl.urlopen = requests
        ydl.add_post_processor(_preflight(limits, meter), when="before_dl")
        try:
            post = follow(requests, platform, url)
            add_extractors(ydl, platform, post)
            info = ydl.extract_info(post, download=True)
        except Exception as error:
            folders = _folders(output_dir, context.work_dir)
            raise _failure(error, platform, requests.last_failure, folders=folders) from error
        finally:
            requests.close()
        downloads = _downloads(ydl, info)
    if not downloads:
        raise DownloadFailed(_why_nothing(info), platform_label=platform.label)
    meter.enter("checking")
    if context.stop.is_set():
        raise DownloadFailed("interrupted")  # before it has a file in its place
    ffmpeg = toolchain.ffmpeg()
    return finalize(
        platform.name,
        downloads,
        output_dir,
        ffmpeg=None if ffmpeg is None else ffmpeg.path,
        work_dir=context.work_dir,
        limits=limits,
        alive=_alive(context.stop, meter),
    )


def _folders(output_dir: str | Path, work_dir: Path | None) -> tuple[Path, ...]:
    """Return where a download writes; without a *work_dir* that is below *output_dir*."""
    return tuple(Path(folder).absolute() for folder in (output_dir, work_dir) if folder is not None)


def _storage_failure(platform: Platform, output_dir: Path, work_dir: Path | None) -> DownloadFailed | None:
    """Return what is wrong with the folders of a download that failed; None where nothing is."""
    try:
        try_move(work_dir or output_dir, output_dir)
    except OSError as error:
        error.__suppress_context__ = True  # what failed before did not cause this
        return _failure(error, platform, folders=_folders(output_dir, work_dir))
    return None


def _failure(
    error: Exception,
    platform: Platform,
    last_request: Exception | None = None,
    *,
    folders: Collection[Path] = (),
) -> DownloadFailed:
    """Return *error* as one of ours.

    Where yt-dlp blames the platform's page although its *last_request* was refused or went unanswered, that is the
    reason: YouTube's extractor, for one, asks on after a 429 and then finds nothing to read.
    """
    found = classify(error, folders=folders)
    if isinstance(error, NotAPost):
        return NotAPost(str(error), detail=found.detail)
    if found.code == "platform_changed" and last_request is not None:
        cause = classify(last_request)
        found = cause if is_retryable(cause.code) else found
    # yt-dlp is given links to posts only, so what it calls a bad link is one that the post leads to.
    elsewhere = found.code == "invalid_url" and not isinstance(error, DownloadFailed)
    return DownloadFailed(
        "no_video" if elsewhere else found.code,
        platform_label=platform.label,
        detail=found.detail,
        retry_after_seconds=found.retry_after_seconds,
        walled=found.walled,
    )


def _stop_hook(stop: threading.Event) -> Any:
    def hook(progress: Mapping[str, Any]) -> None:
        if stop.is_set():
            raise DownloadFailed("interrupted")

    return hook


def _alive(stop: threading.Event, meter: ProgressMeter) -> Callable[[], None]:
    """Return what a step that takes long calls now and then: it says so, and ends where it must."""

    def note() -> None:
        if stop.is_set():
            raise DownloadFailed("interrupted")
        meter.sign_of_life()

    return note


def _interruptible_backoff(pauses: Mapping[str, Any], stop: threading.Event) -> dict[str, Any]:
    """Return *pauses*, which say how long to wait before a repetition, as ones that are over when *stop* is set."""

    def wait(pause: Any, n: int) -> float:
        if stop.wait(pause(n=n) if callable(pause) else float(pause)):
            raise DownloadFailed("interrupted")
        return 0.0

    return {name: partial(wait, pause) for name, pause in pauses.items()}


def _refuse_no_media(progress: Mapping[str, Any]) -> None:
    """Look at every part before ffmpeg is given it."""
    name = progress.get("filename")
    if progress.get("status") != "finished" or not isinstance(name, str):
        return
    path = Path(name)
    # A video can be called that too; but only a video has formats.
    is_text = path.suffix.lstrip(".") in _TEXT_PARTS and "format_id" not in (progress.get("info_dict") or {})
    if is_text or not path.is_file():
        return
    try:
        check_part(path)
    except NotPlayable as error:
        path.unlink()  # another attempt would take it for a finished part
        raise DownloadFailed("not_a_video", detail=str(error)) from error


def _preflight(limits: MediaLimits, meter: ProgressMeter) -> Any:
    """Return a post-processor for yt-dlp that looks at what is to be downloaded, before it is.

    It refuses what is beyond *limits*, and what other programs would fetch, and tells *meter* what is to come.
    """
    from yt_dlp.postprocessor.common import PostProcessor

    class Preflight(PostProcessor):  # type: ignore[misc]  # yt-dlp comes without types
        def run(self, info: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
            _refuse_other_protocols(info)
            limits.check_plan(info)
            meter.plan(info)
            return [], info

    return Preflight()


def _refuse_other_protocols(info: Mapping[str, Any]) -> None:
    for part in info.get("requested_formats") or (info,):
        if (protocol := part.get("protocol")) not in _OWN_PROTOCOLS:
            raise DownloadFailed("blocked_address", detail=f"a download by {protocol} was refused: it needs a program")


def _why_nothing(info: Any) -> ErrorCode:
    several = isinstance(info, Mapping) and info.get("_type") in ("playlist", "multi_video")
    return "no_video" if several else "file_missing"


def _downloads(ydl: Any, info: Any) -> list[Downloaded]:
    """Return the files of *info*, a video or a post with several of them."""
    if not isinstance(info, Mapping):
        return []
    if info.get("_type") in ("playlist", "multi_video"):
        return [found for entry in info.get("entries") or () for found in _downloads(ydl, entry)]
    requested = info.get("requested_downloads")
    paths = [part.get("filepath") for part in requested] if isinstance(requested, list) else []
    # Without a list of what was downloaded there is still the name that yt-dlp would give the file.
    return [Downloaded.from_info(Path(path), info) for path in paths or [ydl.prepare_filename(info)] if path]

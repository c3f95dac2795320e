"""The chain of causes behind an error, of which nothing is assumed: these are other people's exceptions.

Types are known by name, so that neither yt-dlp, which takes a third of a second to import, nor its libraries, of which
some are optional, need be loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from downloader.ytdlp.messages import plain

# A message is read up to this length: its beginning, where yt-dlp speaks, and its end, where causes are.
_MAX_HEAD_CHARS = 900
_MAX_TAIL_CHARS = 300
# Longer chains come from loops in other people's code.
_MAX_CAUSES = 32


class Cause:
    """One error of the chain."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        #: "library.Name" of its type and of that type's ancestors
        self.kinds = {f"{str(base.__module__).partition('.')[0]}.{base.__name__}" for base in type(error).__mro__}
        self.text = _text_of(error)  #: what it says, of limited length
        self.words = plain(self.text)  #: the same by `messages.plain`
        if self.is_a("yt_dlp.PostProcessingError"):
            # As YoutubeDL reports it: the statements recognize ffmpeg's words by that.
            self.words = f"postprocessing: {self.words}"

    def is_a(self, *kinds: str) -> bool:
        """Whether the error is of one of *kinds*."""
        return not self.kinds.isdisjoint(kinds)

    @property
    def errno(self) -> int | None:
        """The system's error number."""
        number = attribute(self.error, "errno") if self.is_a("builtins.OSError") else None
        return number if isinstance(number, int) else None

    @property
    def status(self) -> int | None:
        """The HTTP status."""
        if not self.is_a("yt_dlp.HTTPError", "urllib.HTTPError"):
            return None
        codes = (attribute(self.error, name) for name in ("status", "code"))
        return next((code for code in codes if isinstance(code, int)), None)

    @property
    def url(self) -> str:
        """The URL of the response; empty if there is none."""
        url = getattr(attribute(self.error, "response"), "url", None)
        return url if isinstance(url, str) else ""

    @property
    def is_timeout(self) -> bool:
        """Whether the error's type is a timeout."""
        # urllib3 derives a refused connection from its timeouts, for historical reasons.
        if self.is_a("urllib3.NewConnectionError"):
            return False
        return any(kind.endswith(("Timeout", "TimeoutError")) for kind in self.kinds)

    @property
    def leads_through_an_extractor(self) -> bool:
        """Whether the error was raised below a function of one of yt-dlp's extractors."""
        frame = attribute(self.error, "__traceback__")
        while isinstance(frame, TracebackType):
            if str(frame.tb_frame.f_globals.get("__name__")).startswith("yt_dlp.extractor"):
                return True
            frame = frame.tb_next
        return False

    def header(self, name: str) -> str | None:
        """Return a header of the response."""
        try:
            value = self.error.response.headers.get(name)  # type: ignore[attr-defined]
            return None if value is None else str(value)
        except Exception:
            return None  # no response, or one without headers


def causes_of(error: BaseException) -> list[Cause]:
    """Return *error* and everything that led to it, outermost first."""
    causes: list[Cause] = []
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(causes) < _MAX_CAUSES:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        causes.append(Cause(current))
        waiting.extend(reversed(list(_direct_causes(current))))
    return causes


def attribute(error: BaseException, name: str) -> object:
    """Return an attribute of *error*, None if it has none or fails to tell: a property may raise anything."""
    try:
        return getattr(error, name, None)
    except Exception:
        return None


def _direct_causes(error: BaseException) -> Iterator[BaseException]:
    """Return the errors that *error* names as its causes, nearest first."""
    candidates = [attribute(error, "cause"), attribute(error, "__cause__")]
    if not attribute(error, "__suppress_context__"):
        candidates.append(attribute(error, "__context__"))
    # yt-dlp keeps the first cause here. What lies between is in the context, so this comes after it.
    exc_info = attribute(error, "exc_info")
    if isinstance(exc_info, tuple):
        candidates.extend(exc_info)
    candidates.append(attribute(error, "reason"))
    for name in ("exceptions", "unexpected_errors", "args"):
        several = attribute(error, name)
        if isinstance(several, (list, tuple)):
            candidates.extend(several)
    return (candidate for candidate in candidates if isinstance(candidate, BaseException))


def _text_of(error: BaseException) -> str:
    # ExtractorError's own words, without the prefix and the boilerplate of its str().
    original = attribute(error, "orig_msg")
    try:
        text = original if isinstance(original, str) else str(error)
    except Exception:
        return ""
    if len(text) > _MAX_HEAD_CHARS + _MAX_TAIL_CHARS:
        text = f"{text[:_MAX_HEAD_CHARS]} \u2026 {text[-_MAX_TAIL_CHARS:]}"
    # File names may hold lone surrogates, which no database accepts.
    return text.encode("utf-8", "replace").decode("utf-8")

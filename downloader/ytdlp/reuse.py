"""Reuses a YoutubeDL for one download after another: to make one takes a tenth of a small video's processor time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Options that differ from one download to the next; hooks aside, which are added.
_OF_ONE_DOWNLOAD = ("outtmpl", "retry_sleep_functions", "match_filter", "logger")
_HOOKS = ("progress_hooks", "postprocessor_hooks")

#: Then a new one is made, lest anything that grows unseen grows without end.
_MAX_USES = 100


class ReusableYoutubeDL:
    """A YoutubeDL, and its state when it was new. One that a failed download used is not to be used again."""

    def __init__(self, ydl: Any, options: Mapping[str, Any]) -> None:
        """Take *ydl*, which was made with *options* without the hooks."""
        self.ydl = ydl
        self._options = _lasting(options)
        self._new = [(each, _copy(vars(each))) for each in (ydl, *_post_processors(ydl))]
        self._uses = 0

    def suits(self, options: Mapping[str, Any]) -> bool:
        """Tell whether a download with *options* may use it."""
        # Cookies are read into it once, when it is made.
        return self._uses < _MAX_USES and "cookiefile" not in options and self._options == _lasting(options)

    def start(self, options: Mapping[str, Any]) -> Any:
        """Return the YoutubeDL as if it had just been made with *options*."""
        ydl = self.ydl
        if self._uses:
            for each, state in self._new:
                vars(each).clear()
                vars(each).update(_copy(state))
            ydl.cookiejar.clear()
            ydl.params.update({name: options[name] for name in _OF_ONE_DOWNLOAD if name in options})
            ydl._parse_outtmpl()
        self._uses += 1
        for hook in options.get("progress_hooks") or ():
            ydl.add_progress_hook(hook)
        for hook in options.get("postprocessor_hooks") or ():
            ydl.add_postprocessor_hook(hook)
        return ydl


def without_hooks(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* without those that `ReusableYoutubeDL.start` adds."""
    return {name: value for name, value in options.items() if name not in _HOOKS}


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in without_hooks(options).items() if name not in _OF_ONE_DOWNLOAD}


def _post_processors(ydl: Any) -> list[Any]:
    return [each for chain in ydl._pps.values() for each in chain]


def _copy(value: Any) -> Any:
    """Return a copy of plain containers, with the same objects in them."""
    if type(value) is dict:
        return {name: _copy(each) for name, each in value.items()}
    if type(value) is list:
        return [_copy(each) for each in value]
    return set(value) if type(value) is set else value

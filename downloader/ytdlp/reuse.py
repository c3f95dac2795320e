"""Reuses a YoutubeDL for one download after another: to make one takes a tenth of a small video's processor time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

_HOOKS = ("progress_hooks", "postprocessor_hooks")

#: Options that differ from one download to the next.
_OF_ONE_DOWNLOAD = ("outtmpl", "retry_sleep_functions", "match_filter", "logger", *_HOOKS)

#: Then a new one is made, lest anything that grows unseen grows without end.
_MAX_USES = 100


class ReusableYoutubeDL:
    """A YoutubeDL, and its state when it was new. One that a failed download has used is to be closed."""

    def __init__(self, made: Any, options: Mapping[str, Any]) -> None:
        """Take a YoutubeDL that was just *made* with *options*."""
        self._stack = ExitStack()
        self.ydl = self._stack.enter_context(made)
        self._lasting = _lasting(options)
        self._new: list[tuple[Any, dict[str, Any]]] = []
        self._uses = 0

    def suits(self, options: Mapping[str, Any]) -> bool:
        """Tell whether a download with *options* may use it."""
        # Cookies are read into it once, when it is made.
        return self._uses < _MAX_USES and "cookiefile" not in options and self._lasting == _lasting(options)

    def start(self, options: Mapping[str, Any]) -> Any:
        """Return the YoutubeDL, as it would be if it had just been made with *options*."""
        if self._uses:
            self._renew(options)
        else:
            hooks = [hook for name in _HOOKS for hook in options.get(name) or ()]
            chains = getattr(self.ydl, "_pps", {}).values()  # a test's stand-in has none
            objects = [self.ydl, *(each for chain in chains for each in chain)]
            self._new = [(each, _without(hooks, _copy(vars(each)))) for each in objects]
        self._uses += 1
        return self.ydl

    def _renew(self, options: Mapping[str, Any]) -> None:
        for each, state in self._new:
            vars(each).clear()
            vars(each).update(_copy(state))
        ydl = self.ydl
        ydl.cookiejar.clear()
        ydl.params.update({name: options[name] for name in _OF_ONE_DOWNLOAD})
        ydl._parse_outtmpl()
        for hook in options["progress_hooks"]:
            ydl.add_progress_hook(hook)
        for hook in options["postprocessor_hooks"]:
            ydl.add_postprocessor_hook(hook)

    def close(self) -> None:
        """Close the YoutubeDL."""
        self._stack.close()


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _OF_ONE_DOWNLOAD}


def _without(hooks: list[Any], state: dict[str, Any]) -> dict[str, Any]:
    """Return *state* of a YoutubeDL or a post-processor without the *hooks* of its first download."""
    for name in ("_progress_hooks", "_postprocessor_hooks"):
        if name in state:
            state[name] = [hook for hook in state[name] if hook not in hooks]
    return state


def _copy(value: Any) -> Any:
    """Return a copy of plain containers, with the same objects in them."""
    if type(value) is dict:
        return {name: _copy(each) for name, each in value.items()}
    if type(value) is list:
        return [_copy(each) for each in value]
    return set(value) if type(value) is set else value

"""Runs a target on many inputs; an input that it fails at is made as small as it can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice

from fuzz.inputs import Inputs

#: Looks at one input: returns whether it was let through; raises for a fault, Finding or whatever crashed.
Check = Callable[[str], bool]

_MAX_SHRINKS = 500


class Finding(Exception):
    """What was read is not what others read; str() says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that reads strangers' text."""

    name: str
    open: Callable[[], AbstractContextManager[Check]]
    pieces: Sequence[str]
    corpus: Sequence[str]  #: the first of these must be let through
    share: int  #: of a hundred inputs, how many go here by default


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run went in which nothing was found."""

    target: str
    inputs: int
    let_through: int  #: of these
    cpu_seconds: float
    slowest_milliseconds: float  #: likewise of processor time


class Found(Exception):
    """A target failed at an input."""

    def __init__(self, target: str, text: str, smallest: str, fault: Exception) -> None:
        super().__init__(
            f"{target} failed at {smallest!r}: {type(fault).__name__}: {fault}\n(first seen with {text!r})"
        )
        self.smallest = smallest


def run(target: Target, inputs: int, seed: int) -> Report:
    """Run *target* on so many *inputs*.

    Raises:
        Found: it failed at one of them.
    """
    stream = Inputs(f"{target.name} {seed}", pieces=target.pieces, corpus=target.corpus)
    let_through, slowest, begin = 0, 0.0, time.process_time()
    with target.open() as check:
        for text in islice(stream, inputs):
            before = time.process_time()
            try:
                passed = check(text)
            except Exception as fault:
                smallest, fault = _smallest(check, text, fault)
                raise Found(target.name, text, smallest, fault) from fault
            slowest = max(slowest, time.process_time() - before)
            if passed:
                let_through += 1
                stream.remember(text)
    return Report(
        target=target.name,
        inputs=inputs,
        let_through=let_through,
        cpu_seconds=round(time.process_time() - begin, 1),
        slowest_milliseconds=round(slowest * 1000, 1),
    )


def _smallest(check: Check, text: str, fault: Exception) -> tuple[str, Exception]:
    """Return the smallest input found that fails as *text* does, and its fault: parts are left out while that goes."""
    tries, size = 0, max(len(text) // 2, 1)
    while size and tries < _MAX_SHRINKS:
        start = 0
        while start < len(text) and tries < _MAX_SHRINKS:
            tries += 1
            shorter = text[:start] + text[start + size :]
            found = _fault(check, shorter)
            if type(found) is type(fault):
                assert found is not None
                text, fault = shorter, found
            else:
                start += size
        size //= 2
    return text, fault


def _fault(check: Check, text: str) -> Exception | None:
    try:
        check(text)
    except Exception as fault:
        return fault
    return None

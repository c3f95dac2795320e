"""A short run of every fuzz target, and every input that one ever failed at. `python -m fuzz` runs for longer."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import islice

import pytest

from fuzz.inputs import Inputs
from fuzz.runner import Finding, Found, Target, run
from fuzz.targets import TARGETS

pytestmark = pytest.mark.thorough

SEED = 20_261_122

INPUTS = {"detector": 10_000, "host": 5_000, "http_head": 10_000, "cookies": 2_500, "range": 250}

_COOKIE = ".tiktok.com\tTRUE\t/\tTRUE\t{}\tname\tvalue"

ONCE_FAILED = [
    ("detector", "youtu.be/" + "x" * 2039),  # as long as a link may be, and longer with its scheme
    ("host", "\x00.2"),  # crashed: inet_aton takes no NUL
    ("host", "7\n.l"),  # a name to urllib, which drops the line end; 0.0.0.7 to the C library, which ends there
    ("http_head", "HTTP/1.1 200 \re"),  # a line end, to some, in the first line of an answer
    ("cookies", _COOKIE.format("1999999999")),  # yt-dlp loads no file without its first line
    ("cookies", ""),
    ("cookies", "#HttpOnly_#HttpOnly_x"),  # a comment to yt-dlp, a broken cookie to Python
    ("cookies", _COOKIE.format("9" * 400)),  # more seconds than a float can hold
    ("range", "bytes=-5000"),  # more of the end than the file is long: all of it
]


@pytest.mark.parametrize(("name", "text"), ONCE_FAILED)
def test_what_once_failed_is_mended(name: str, text: str) -> None:
    with TARGETS[name].open() as check:
        check(text)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name: str) -> None:
    report = run(TARGETS[name], INPUTS[name], SEED)
    # Else the run would look at refusals alone.
    assert report.let_through > report.inputs / 100


@pytest.mark.parametrize("name", TARGETS)
def test_what_should_be_let_through_is(name: str) -> None:
    with TARGETS[name].open() as check:
        assert check(TARGETS[name].corpus[0])


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, again, other = (
        list(islice(Inputs(seed, pieces=("a", "b"), corpus=("ab",)), 100)) for seed in ("1", "1", "2")
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("fault", [Finding("a b"), ValueError("a crash")])
def test_what_is_found_is_made_small(fault: Exception) -> None:
    def check(text: str) -> bool:
        if "b" in text and "\x00" in text:
            raise fault
        return True

    target = Target(name="made up", open=lambda: nullcontext(check), pieces=("a", "b"), corpus=("aaaa",), share=1)
    with pytest.raises(Found) as found:
        run(target, 100_000, SEED)
    assert sorted(found.value.smallest) == ["\x00", "b"]
    assert repr(found.value.smallest) in str(found.value)

"""A message for people is plain text: what strangers wrote is neither markup nor a mention nor a link."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from downloader.notify.summary import MAX_PROBLEMS, summarize


def body(*problems: dict[str, Any], title: str | None = None, **counts: int) -> str:
    all_counts = {"succeeded": 0, "failed": len(problems), "cancelled": 0, **counts}
    return json.dumps({"batch": {"title": title, "counts": all_counts}, "problems": problems})


def problem(url: str = "https://x.com/ada/status/1", error: str | None = "It is private.") -> dict[str, Any]:
    return {"url": url, "error": error}


def test_it_says_what_was_had_and_what_was_not() -> None:
    title, text = summarize(body(problem(), problem(error=None), title="A film", succeeded=7, cancelled=1))
    assert title == "Batch finished: 2 of 10 failed"
    assert text.splitlines() == [
        "A film",
        "7 succeeded, 2 failed, 1 cancelled.",
        "- It is private. https://x.com/ada/status/1",
        "- It failed. https://x.com/ada/status/1",
    ]
    assert summarize(body(succeeded=7)) == ("Batch finished: 7 done", "7 succeeded, 0 failed, 0 cancelled.")


def test_it_is_short() -> None:
    _, text = summarize(body(*[problem("https://x.com/" + "a" * 1000, "E" * 300)] * 20, title="T" * 300))
    assert text.splitlines()[-1] == f"… and {20 - MAX_PROBLEMS} more."
    assert len(text) < 3000


@pytest.mark.parametrize(
    "written",
    [
        "<b>Ada</b> & <!channel>",
        "[free](https://evil.example)",
        "@everyone *x* _y_ ~z~ `c` |d| #e {f} \\g",
        "Ada's garden, part 1 (2026) - \u00fc",
    ],
)
def test_titles_are_no_markup_and_look_alike(written: str) -> None:
    shown = summarize(body(title=written))[1].splitlines()[0]
    assert unicodedata.normalize("NFKC", shown) == written
    assert not set(shown) & set("<>[]{}@*_~`|#&\\")
    assert "://" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://www.tiktok.com/@ada/video/7?a=b&c", "https://www.tiktok.com/%40ada/video/7?a=b&c"),
        ("https://x.com/[a](<b>)*`|\\", "https://x.com/%5Ba%5D%28%3Cb%3E%29%2A%60%7C%5C"),
        ("javascript://b", "javascript:\uff0f\uff0fb"),
    ],
)
def test_links_are_no_markup(url: str, shown: str) -> None:
    assert summarize(body(problem(url)))[1].splitlines()[-1] == f"- It is private. {shown}"

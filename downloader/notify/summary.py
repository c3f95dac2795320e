"""A message as people read it: plain text, with nothing in it that a service could take for markup."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

#: Services show few characters, some of them no more than 2,000.
MAX_PROBLEMS = 5
MAX_TITLE = 150
MAX_URL = 200

#: What is markup, a mention or a link to some service becomes its full-width form, which looks alike and means nothing.
_HARMLESS = {ord(char): ord(char) + 0xFEE0 for char in "*_~`|<>[]{}\\#@&"}

#: Characters of a URL that stay as they are, beside letters, digits and -._~; the others are percent-encoded.
_SAFE = "/:?=&%+,;"


def summarize(body: str) -> tuple[str, str]:
    """Return title and text of a message with this *body*: see docs/notifications.md."""
    message = json.loads(body)
    batch, problems = message["batch"], message["problems"][:MAX_PROBLEMS]
    counts = batch["counts"]
    number, failed = sum(counts.values()), counts["failed"]
    title = f"Batch finished: {failed} of {number} failed" if failed else f"Batch finished: {counts['succeeded']} done"
    lines = [harmless(batch["title"])[:MAX_TITLE]] if batch["title"] else []
    lines.append(f"{counts['succeeded']} succeeded, {failed} failed, {counts['cancelled']} cancelled.")
    lines += [_problem(each) for each in problems]
    if (more := failed - len(problems)) > 0:
        lines.append(f"… and {more} more.")
    return title, "\n".join(lines)


def _problem(problem: dict[str, Any]) -> str:
    url = problem["url"][:MAX_URL]
    link = quote(url, safe=_SAFE) if url.startswith(("http://", "https://")) else harmless(url)
    return f"- {harmless(problem['error'] or 'It failed.')} {link}"


def harmless(text: str) -> str:
    """Return *text* from a stranger without markup, mentions and links."""
    return text.translate(_HARMLESS).replace("://", ":\uff0f\uff0f")

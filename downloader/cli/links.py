"""Reads links: from arguments, files and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from downloader.cli.api import UsageError


def read_links(arguments: Iterable[str]) -> list[str]:
    """Return the links in *arguments*, each a link, the name of a file with links, or `-` for standard input.

    Raises:
        UsageError: there are none, or a file cannot be read.
    """
    links = [link for argument in arguments for link in _read(argument)]
    if not links:
        raise UsageError("There are no links.")
    return links


def _read(argument: str) -> Iterator[str]:
    if "://" in argument:
        return iter([argument])
    try:
        content = sys.stdin.buffer.read() if argument == "-" else Path(argument).read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no file {argument!r}. Links begin with https://.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"The file {argument!r} cannot be read ({getattr(error, 'strerror', error)}).") from None
    return _links_in(content.decode("utf-8-sig", errors="replace"))


def _links_in(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for word in line.split():
            if word.startswith("#"):  # a comment, up to the end of the line; within a link it is part of it
                break
            yield word

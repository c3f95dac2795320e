"""What the commands of this package have in common on the command line."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine, process_tree
from benchmarks.contender import Failed


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """Return a parser for the module *name*, described by the first line of *about*."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=(about or "").partition("\n")[0])
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    return made


@contextlib.contextmanager
def measuring(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the dict for what is found, with what it was found on; write it where *options* say when the block ends.

    Raises:
        SystemExit: with one sentence, where this is not Linux or a contender failed.
    """
    process_tree.require_linux()
    found: dict[str, Any] = {"machine": machine.facts()}
    try:
        yield found
    except Failed as failed:
        raise SystemExit(str(failed)) from None
    _write(options.json, found)


def _write(file: Path | None, found: Mapping[str, Any]) -> None:
    if file:
        file.write_text(json.dumps(found, indent=2) + "\n")

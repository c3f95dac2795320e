"""Runs all checks and prints what they found."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator

from downloader.checks.findings import Finding
from downloader.checks.machine import check_database, check_notifications, check_port, check_storage, check_tools
from downloader.checks.network import check_broker, check_clock, check_cookies, check_proxy
from downloader.download_settings import OPEN_TO_ALL
from downloader.egress.environment import read_environment
from downloader.errors import StartRefused
from downloader.settings import Settings, parse_settings

_CHECKS: tuple[Callable[[Settings], Iterable[Finding]], ...] = (
    check_port,
    check_storage,
    check_database,
    check_broker,
    check_proxy,
    check_clock,
    check_cookies,
    check_notifications,
)


def check(**options: str | None) -> int:
    """Check the settings of the environment, with *options* in their place, and what they need; return the status."""
    grades = []
    for finding in _findings({name: value for name, value in options.items() if value}):
        sys.stdout.write(f"{finding.grade:8}{finding.what}: {finding.sentence}\n")
        sys.stdout.flush()
        grades.append(finding.grade)
    faults, warnings = grades.count("FAULT"), grades.count("WARNING")
    sys.stdout.write(f"{_count(faults, 'fault')}, {_count(warnings, 'warning')}.\n")
    return 1 if faults else 0


def _findings(options: dict[str, str]) -> Iterator[Finding]:
    try:
        environment = read_environment(os.environ, Settings.model_fields)
        settings = parse_settings({**environment.values, **options})
    except StartRefused as refusal:
        yield Finding("FAULT", "settings", str(refusal))
    else:
        notes = environment.notes.items()
        yield from (Finding("WARNING", "settings", f"{variable}: {sentence}") for variable, sentence in notes)
        if not notes:
            yield Finding("OK", "settings", f"{_count(len(environment.values) + len(options), 'variable')} set.")
        if settings.is_open_to_all:
            yield Finding("WARNING", "access", OPEN_TO_ALL)
        for each in _CHECKS:
            yield from _guarded(each, settings)
    yield from check_tools()


def _guarded(each: Callable[[Settings], Iterable[Finding]], settings: Settings) -> Iterator[Finding]:
    """Yield what *each* finds; a fault where it fails."""
    what = each.__name__.removeprefix("check_")
    try:
        yield from each(settings)
    except StartRefused as refusal:
        yield Finding("FAULT", what, str(refusal))
    except OSError as error:
        yield Finding("FAULT", what, f"{error.filename or 'It'} cannot be used ({error.strerror or error}).")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

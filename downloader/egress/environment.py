"""The environment's `DOWNLOADER_…` variables, less what env files and clusters leave among them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from downloader.download_settings import PREFIX
from downloader.errors import StartRefused

#: Docker's --env-file takes quotation marks for a part of the value, and people copy curly ones from web pages.
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}

#: What Kubernetes sets for a Service called `downloader` or `downloader-…`, and old Docker for a link of that name.
_LINK_NAME = re.compile(r"(\w+_)?(service_host|service_port(_\w+)?|port_\d+_(tcp|udp|sctp)(_\w+)?|env_\w+)")
_LINK_ADDRESS = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the environment says of the settings."""

    values: Mapping[str, str]  #: by setting; never empty
    notes: Mapping[str, str]  #: sentences on what to look at, by variable; without values, which may be secret


def read_environment(environ: Mapping[str, str], settings: Collection[str]) -> Environment:
    """Return what *environ* says of *settings*, which are lower case.

    Raises:
        StartRefused: a value begins with a quotation mark that does not enclose it.
    """
    values: dict[str, str] = {}
    notes: dict[str, str] = {}
    for variable in sorted(environ):  # DOWNLOADER_PORT before downloader_port
        if not variable.upper().startswith(PREFIX):
            continue
        name, text = variable[len(PREFIX) :].lower(), environ[variable].strip()
        if name not in settings:
            if not _is_link(name, text):
                notes[variable] = _unknown(name, settings)
            continue
        value = _unquoted(variable, text)
        if name.endswith("port") and _LINK_ADDRESS.match(value):
            notes[variable] = "Kubernetes or Docker set this address of a service: it is left aside."
            continue
        if value != text:
            notes[variable] = "The quotation marks around the value are left out."
        if not value and name == "api_key":
            value = environ[variable]  # who meant to set a key and set blanks must not be open to all
        if value:
            values.setdefault(name, value)
    return Environment(values=values, notes=notes)


def _is_link(name: str, text: str) -> bool:
    if _LINK_NAME.fullmatch(name):
        return True
    if name.endswith("port"):
        return _LINK_ADDRESS.match(text) is not None
    return name.endswith("name") and text.startswith("/")


def _unknown(name: str, settings: Collection[str]) -> str:
    near = difflib.get_close_matches(name, settings, n=1)
    return "There is no such setting" + (f": did you mean {PREFIX}{near[0].upper()}?" if near else ".")


def _unquoted(variable: str, text: str) -> str:
    if text[:1] not in _QUOTES:
        return text
    closing, inner = _QUOTES[text[0]], text[1:-1]
    # A list may have them around each of its parts; JSON has its own within.
    if len(text) < 2 or text[-1] != closing or (text[0] in inner and not inner.lstrip().startswith("{")):
        raise StartRefused(f"{variable} is set wrongly: write it without quotation marks. Correct it and start again.")
    return inner.strip()

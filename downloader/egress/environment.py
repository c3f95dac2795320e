"""The environment: our `DOWNLOADER_…` variables, without what env files and clusters add; and what others get of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from downloader.download_settings import CLIENT_KEY, CLIENT_SERVER, PREFIX
from downloader.errors import StartRefused

#: Docker's --env-file makes quotation marks part of the value, and people copy curly ones from web pages.
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}

#: Set by Kubernetes for a Service named `downloader` or `downloader-…`, and by old Docker for such a link.
_LINK_NAME = re.compile(r"(\w+_)?(service_host|service_port(_\w+)?|port_\d+_(tcp|udp|sctp)(_\w+)?|env_\w+)")
_LINK_ADDRESS = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The settings found in the environment."""

    values: Mapping[str, str]  #: by setting; no empty ones
    notes: Mapping[str, str]  #: warnings by variable, without values, which may be secret


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of *environ* a program that we start may see: no setting, which may be secret, and no proxy.

    Libraries use proxy variables on their own, past the egress proxy.
    """
    return {
        name: value
        for name, value in environ.items()
        if not (name.lower().endswith("_proxy") or name.upper().startswith(PREFIX))
    }


def read_environment(environ: Mapping[str, str], settings: Collection[str]) -> Environment:
    """Return the *settings*, in lower case, that *environ* has. Raises StartRefused for a stray quotation mark."""
    values: dict[str, str] = {}
    notes: dict[str, str] = {}
    for variable in sorted(environ):  # DOWNLOADER_PORT before downloader_port
        if not variable.upper().startswith(PREFIX) or variable.upper() in (CLIENT_SERVER, CLIENT_KEY):
            continue
        name, text = variable[len(PREFIX) :].lower(), environ[variable].strip()
        if name not in settings:
            if not _is_link(name, text):
                notes[variable] = _unknown(name, settings)
            continue
        value = _unquoted(variable, text)
        if name.endswith("port") and _LINK_ADDRESS.match(value):
            notes[variable] = "Kubernetes or Docker set this address of a service: it is ignored."
            continue
        if value != text:
            notes[variable] = "The quotation marks around the value are ignored."
        if not value and name == "api_key":
            value = environ[variable]  # blanks instead of a key must not open the server to everyone
        if value:
            values.setdefault(name, value)
    return Environment(values=values, notes=notes)


def _is_link(name: str, text: str) -> bool:
    is_address = name.endswith("port") and _LINK_ADDRESS.match(text)
    return bool(_LINK_NAME.fullmatch(name) or is_address or (name.endswith("name") and text.startswith("/")))


def _unknown(name: str, settings: Collection[str]) -> str:
    near = difflib.get_close_matches(name, settings, n=1)
    return "There is no such setting" + (f": did you mean {PREFIX}{near[0].upper()}?" if near else ".")


def _unquoted(variable: str, text: str) -> str:
    if text[:1] not in _QUOTES:
        return text
    closing, inner = _QUOTES[text[0]], text[1:-1]
    # Each item of a list may be quoted; JSON contains quotation marks.
    if len(text) < 2 or text[-1] != closing or (text[0] in inner and not inner.lstrip().startswith("{")):
        raise StartRefused(f"{variable} is set wrongly: write it without quotation marks. Correct it and start again.")
    return inner.strip()

"""The page's files and texts, and one digest over all of them. Knows no HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Not from the system's tables, which differ: a module served as text/plain does not run.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml; charset=utf-8",
}

#: The one file served from another address: a service worker controls only what is below its own.
SERVICE_WORKER = "service_worker.js"

#: Scripts that are no modules, and the module that the page starts with.
_STARTING = frozenset({"theme.js", "start_check.js", "dashboard.js"})

Phrase = str | Mapping[str, str]  #: a text, or its forms by number ("one", "other")

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as sent to the browser."""

    content: bytes
    media_type: str
    gzipped: bytes | None = None  #: None if it would be no smaller

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Asset:
        """Return *content* with its compressed form, which is deterministic."""
        gzipped = gzip.compress(content, mtime=0)
        return cls(content, media_type, gzipped if len(gzipped) < 0.9 * len(content) else None)


@dataclass(frozen=True, slots=True)
class Phrases:
    """The page's texts, by key."""

    phrases: Mapping[str, Phrase]

    def text(self, key: str, /, **values: object) -> str:
        """Return the text of *key* with *values* filled in; `count` chooses the plural form.

        Raises:
            KeyError: there is no such text, or a value it needs is missing.
        """
        phrase = self.phrases[key]
        if not isinstance(phrase, str):
            phrase = phrase["one" if values["count"] == 1 else "other"]
        return _PLACEHOLDER.sub(lambda name: str(values[name[1]]), phrase)

    def module(self) -> bytes:
        """Return the texts as an ES module, for the scripts."""
        # ASCII-only JSON is always valid JavaScript.
        return f"export const STRINGS = {json.dumps(self.phrases, indent=1)};\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class Shell:
    """One version of the page, held in memory, so that a digest always means the same files while the server runs."""

    digest: str
    assets: Mapping[str, Asset]  #: by name, as modules import them
    service_worker: Asset
    phrases: Phrases

    @property
    def modules(self) -> list[str]:
        """The names of all modules: the page lists them, since a browser finds imports only one after another."""
        return sorted(name for name in self.assets if name.endswith(".js") and name not in _STARTING)


def load_shell(folder: Path, *facts: object) -> Shell:
    """Return the shell in *folder*; its digest depends on every file there and on *facts*."""
    digest = hashlib.sha256(repr(facts).encode())
    for part in ("static", "strings", "templates", "."):
        for name, content in _read(folder / part):
            digest.update(f"{part}/{name} {len(content)}\n".encode())
            digest.update(content)
    phrases = Phrases(json.loads((folder / "strings/en.json").read_bytes()))
    assets = {
        name: Asset.of(content, MEDIA_TYPES[Path(name).suffix])
        for name, content in _read(folder / "static")
        if Path(name).suffix in MEDIA_TYPES
    }
    assets["strings.js"] = Asset.of(phrases.module(), MEDIA_TYPES[".js"])
    return Shell(digest.hexdigest()[:16], assets, assets.pop(SERVICE_WORKER), phrases)


def _read(folder: Path) -> list[tuple[str, bytes]]:
    """Return (name, content) of the files in *folder*, sorted, without hidden ones."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return [(path.name, path.read_bytes()) for path in paths]

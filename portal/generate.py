"""Writes the page's copy of the platforms; `make platforms` runs it.

`static/platforms.js` has what the link reader needs, `templates/platform_icons.svg` the icons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from downloader.platform_detector import MAX_DEPTH, MAX_URL_LENGTH
from downloader.platforms import PLATFORMS, LinkForm, Platform
from downloader.presets import MAX_ENTRIES

FOLDER = Path(__file__).parent

_NOTE = "Written by `make platforms` from downloader/platforms.py: change that."

_JSDOC = {
    "kind": '"post" | "short" | "wrapper" | "collection" | "other" | "mistyped"',
    "path": "string",
    **dict.fromkeys(("host", "id", "link", "destination"), "string | undefined"),
    "query": "string[] | undefined",
    "several": "boolean | undefined",
}


def platforms_module() -> str:
    """Return the text of `static/platforms.js`."""
    return "".join(_module())


def platform_icons() -> str:
    """Return the text of `templates/platform_icons.svg`, which is included in the page's sprite."""
    symbols = (
        f'<symbol id="i-{platform.name}" viewBox="0 0 24 24">{platform.icon}</symbol>\n'
        for platform in PLATFORMS.values()
    )
    return f"{{# {_NOTE} -#}}\n" + "".join(symbols)


def _module() -> Iterator[str]:
    yield f"// {_NOTE}\n// Patterns match the whole of a host, a path or an id, ignoring case.\n\n"
    yield f"/** @typedef {{{' | '.join(json.dumps(name) for name in PLATFORMS)}}} Platform */\n"
    yield "/**\n * @typedef {object} LinkForm see `LinkForm` in downloader/platforms.py\n"
    for field in fields(LinkForm):
        yield f" * @property {{{_JSDOC[field.name]}}} {field.name}\n"
    yield " */\n\n"
    yield f"export const MAX_DEPTH = {MAX_DEPTH};\nexport const MAX_URL_LENGTH = {MAX_URL_LENGTH};\n"
    yield f"export const MAX_ENTRIES = {MAX_ENTRIES};\n\n"
    yield "/** @type {Record<Platform, {label: string, hosts: string[], postId: string, mirrors: string"
    yield ", linkForms: LinkForm[]}>} */\nexport const PLATFORMS = {\n"
    for platform in PLATFORMS.values():
        yield from _declaration(platform)
    yield "};\n"


def _declaration(platform: Platform) -> Iterator[str]:
    yield f"  {platform.name}: {{\n"
    yield f"    label: {json.dumps(platform.label)},\n"
    yield f"    hosts: {json.dumps(platform.hosts)},\n"
    yield f"    postId: {json.dumps(platform.post_id)},\n"
    yield f"    mirrors: {json.dumps(platform.mirrors)},\n"
    yield "    linkForms: [\n"
    for form in platform.link_forms:
        plain = {name: value for name, value in asdict(form).items() if value}
        yield f"      {json.dumps(plain).replace('(?P<', '(?<')},\n"
    yield "    ],\n  },\n"


if __name__ == "__main__":
    (FOLDER / "static/platforms.js").write_text(platforms_module(), encoding="utf-8")
    (FOLDER / "templates/platform_icons.svg").write_text(platform_icons(), encoding="utf-8")

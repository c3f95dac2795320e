"""A platform that the product does not have: one declaration, as a contributor would write it."""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

from downloader import platforms
from downloader.platforms import LinkForm, Platform, PlatformType

NAME = cast("PlatformType", "vimeo")

VIMEO = Platform(
    name=NAME,
    label="Vimeo",
    icon='<path d="M4 8l5 9 9-12" class="stroke"/>',
    hosts=("vimeo.com", "www.vimeo.com"),
    post_id=r"[0-9]{6,12}",
    link_forms=(
        LinkForm(kind="post", path=r"/(?:video/)?(?P<id>[0-9]+)", link="https://vimeo.com/{id}"),
        LinkForm(kind="collection", path=r"/[^/]+", destination="profile"),
    ),
    mirrors=r"player\.vimeo\.com",
    extractors=("Vimeo",),
    cookie_domains=("vimeo.com",),
    login_host="vimeo.com",
    session_cookies=(frozenset({"vimeo"}),),
)


def register() -> None:
    """Add it to this process's platforms, as its lines in `platforms.py` would; call it before anything is imported."""
    cast("dict[PlatformType, Platform]", platforms.PLATFORMS)[NAME] = VIMEO
    extended: Any = Literal[(*get_args(PlatformType), NAME)]
    platforms.PlatformType = extended

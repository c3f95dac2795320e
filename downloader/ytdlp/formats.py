"""Which of a post's formats a preset takes, in yt-dlp's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downloader.platforms import Platform
from downloader.presets import Preset

#: H.264, or a codec that the platform doesn't name: then it is H.264.
_H264 = "[vcodec~=?'^(avc|h264)']"

#: Steps that would turn a sound into an mp4.
_FOR_VIDEOS = frozenset({"FFmpegVideoRemuxer", "FFmpegVideoConvertor"})


def format_options(preset: Preset, platform: Platform, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what *preset* changes in *options*, those for videos of *platform*; nothing for the best video."""
    if preset.kind == "audio":
        steps = options.get("postprocessors") or ()
        return {
            "format": _sound(preset, platform),
            # Sound within videos is the same in all of them, and the smallest one comes soonest.
            "format_sort": ["lang", "+res"],
            "postprocessors": [step for step in steps if step.get("key") not in _FOR_VIDEOS],
        }
    # For yt-dlp, `res` is the shorter side. `quality` is another word for it, and would come first.
    order = [field for field in options.get("format_sort") or () if field != "quality"]
    if preset.smallest:
        fields = ["+res" if field == "res" else field for field in order if field != "fps"]
        return {"format": _video(platform, _H264, ""), "format_sort": [*fields, "+size", "+br"]}
    if (most := preset.max_height) is not None:
        # Filters know height, width and proportions, but not the shorter side.
        sides = (f"[height<={most}][aspect_ratio>=1]", f"[width<={most}][aspect_ratio<1]")
        fields = [field for field in order if field not in ("lang", "res")]
        return {
            "format": _video(platform, *(_H264 + side for side in sides), *sides, ""),
            "format_sort": ["lang", f"res:{most}", *fields],
        }
    return {}


def _video(platform: Platform, *filters: str) -> str:
    """Return the formats to try, best first: those that pass the first of *filters*, and so on."""
    shapes = ("bv*{}+ba", "b{}") if platform.has_own_sound else ("b{}",)
    return "/".join(shape.format(each) for each in filters for shape in shapes)


def _sound(preset: Preset, platform: Platform) -> str:
    apart = "ba" if preset.name == "mp3" else "ba[ext=m4a]/ba"
    return f"{apart}/b" if platform.has_own_sound else f"b/{apart}"

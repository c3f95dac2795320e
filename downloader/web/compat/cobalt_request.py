"""What a client of cobalt asks for, in the words of our queue.

What cannot be obeyed is refused with a sentence, if it matters for the platform of the link; defaults pass.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from downloader.errors import RequestRefused
from downloader.platforms import PlatformType
from downloader.presets import Preset, Wanted
from downloader.settings import Settings
from downloader.web.compat.preset_choice import first_preset
from downloader.web.requests import RequestModel, UrlText

Style = Literal["basic", "classic", "pretty", "nerdy"]
Language = Annotated[str, StringConstraints(strict=True, pattern="^[0-9a-zA-Z-]{2,8}$")]


class SaveRequest(RequestModel, strict=True):
    """The body of `POST /`, as cobalt has it."""

    url: UrlText
    download_mode: Literal["auto", "audio", "mute"] = Field("auto", alias="downloadMode")
    video_quality: Literal["max", "4320", "2160", "1440", "1080", "720", "480", "360", "240", "144"] | None = Field(
        None, alias="videoQuality"
    )
    audio_format: Literal["best", "mp3", "ogg", "wav", "opus"] = Field("mp3", alias="audioFormat")
    audio_bitrate: Literal["320", "256", "128", "96", "64", "8"] = Field("128", alias="audioBitrate")
    filename_style: Style = Field("basic", alias="filenameStyle")
    youtube_video_codec: Literal["h264", "av1", "vp9"] = Field("h264", alias="youtubeVideoCodec")
    youtube_video_container: Literal["auto", "mp4", "webm", "mkv"] = Field("auto", alias="youtubeVideoContainer")
    youtube_dub_lang: Language | None = Field(None, alias="youtubeDubLang")
    subtitle_lang: Language | None = Field(None, alias="subtitleLang")
    tiktok_full_audio: bool = Field(False, alias="tiktokFullAudio")
    # Of no consequence here: our files are whole, without added metadata, and come from this server.
    local_processing: Literal["disabled", "preferred", "forced"] | bool = Field("disabled", alias="localProcessing")
    convert_gif: bool = Field(True, alias="convertGif")
    disable_metadata: bool = Field(False, alias="disableMetadata")
    always_proxy: bool = Field(False, alias="alwaysProxy")
    allow_h265: bool = Field(False, alias="allowH265")
    youtube_hls: bool = Field(False, alias="youtubeHLS")
    youtube_better_audio: bool = Field(False, alias="youtubeBetterAudio")

    def wanted(self, platform: PlatformType, settings: Settings) -> Wanted:
        """Return what to get of the link, which is of *platform*.

        Raises:
            RequestRefused: it cannot be had here.
        """
        if self.download_mode == "mute":
            raise RequestRefused("Videos come with their sound here: choose auto or audio instead of mute.")
        if self.subtitle_lang not in (None, "none"):
            raise RequestRefused("Subtitles are no part of a video here: leave subtitleLang out.")
        preset = self._sound(platform, settings) if self.download_mode == "audio" else self._video(platform, settings)
        return Wanted(preset=preset, photos=settings.photos)

    def _video(self, platform: PlatformType, settings: Settings) -> Preset:
        if platform == "youtube":
            self._check_youtube()
        quality, default = self.video_quality, settings.presets[settings.default_preset]
        if quality is None and default.kind == "video":
            return default
        if quality in (None, "max"):
            return first_preset(settings, "video", asked="the best video")
        # H.264 ends at 1080p, so that the best of it is what was asked for.
        names = (f"{quality}p", "video") if int(quality or 0) > 1080 else (f"{quality}p",)
        return first_preset(settings, *names, asked=f"{quality}p")

    def _check_youtube(self) -> None:
        if self.youtube_video_codec != "h264":
            raise RequestRefused("Videos are H.264 here, which plays everywhere: choose h264 as youtubeVideoCodec.")
        if self.youtube_video_container not in ("auto", "mp4"):
            raise RequestRefused("Videos are mp4 here: choose auto or mp4 as youtubeVideoContainer.")
        if self.youtube_dub_lang not in (None, "none", "original"):
            raise RequestRefused("Videos come with their original sound here: leave youtubeDubLang out.")

    def _sound(self, platform: PlatformType, settings: Settings) -> Preset:
        if platform == "tiktok" and self.tiktok_full_audio:
            raise RequestRefused("The sound is that of the video here: leave tiktokFullAudio off.")
        if self.audio_format == "best":
            return first_preset(settings, "audio", asked="sound as it is")
        asked: str = self.audio_format
        if "audio_bitrate" in self.model_fields_set and self.audio_bitrate != "128" and asked != "wav":
            asked = f"{asked}-{self.audio_bitrate}"
        return first_preset(settings, asked, asked=f"sound as {asked}")

"""Response models about the server: its queue, platforms, statistics, tools and settings."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from downloader.platforms import PlatformType
from downloader.queue.statistics import ErrorCount
from downloader.web.responses import ResponseModel, StateCounts


class QueueRecord(ResponseModel):
    """Whether new downloads start, and the number of jobs."""

    paused: bool = Field(description="by a user")
    disk_low: bool = Field(description="no download starts, because the disk is nearly full")
    storage_full: bool = Field(description="no download starts, because DOWNLOADER_MAX_STORAGE_BYTES is reached")
    storage_error: str | None = Field(
        description="a sentence: no download starts, because the storage folder or the database cannot be used"
    )
    machines_error: str | None = Field(
        description="a sentence: no download starts, because no machine of the fleet takes any; null without a fleet"
    )
    free_bytes: int = Field(description="on the disk of the media files, or of unfinished ones if that has less")
    counts: StateCounts


class MachineRecord(ResponseModel):
    """A machine that runs downloads for this server."""

    name: str = Field(description="unique in the fleet")
    egress: str = Field(description="its way out to the platforms; limits hold for each of them")
    places: int = Field(description="downloads that it runs at once")
    busy: int = Field(description="downloads that it runs")
    is_alive: bool = Field(description="whether it was heard from lately")
    is_draining: bool = Field(description="whether it takes no more downloads, as it is stopping")
    version: str
    started_at: datetime
    heard_at: datetime = Field(description="when it last said what it does")
    fault: str | None = Field(description="a sentence: what is wrong with it")


class Machines(ResponseModel):
    """The machines of the fleet, those that fell silent lately included; none without a fleet."""

    machines: list[MachineRecord]


class PlatformRecord(ResponseModel):
    """A platform's limits and its results in the last hour."""

    platform: PlatformType
    label: str
    cap: int = Field(description="concurrent downloads that it is allowed at present")
    running: int
    queued: int
    waiting: int
    cooling_until: datetime | None = Field(description="end of its cooldown; null if it is not cooling down")
    succeeded_last_hour: int = Field(description="attempts")
    failed_last_hour: int = Field(description="attempts")
    success_rate_last_hour: float | None = Field(description="from 0 to 1; null without attempts")
    mean_seconds_last_hour: float | None = Field(description="of the attempts that succeeded")


class Platforms(ResponseModel):
    """All platforms."""

    platforms: list[PlatformRecord]


class StatisticsBucket(ResponseModel):
    """The attempts that ended within a bucket."""

    at: datetime = Field(description="start of the bucket")
    succeeded: int
    failed: int
    bytes: int
    median_seconds: float | None = Field(description="of the attempts that succeeded; null if none did")


class PlatformStatistics(ResponseModel):
    """A platform's results, counted in attempts by the time they ended."""

    platform: PlatformType
    label: str
    succeeded: int
    failed: int
    success_rate: float | None = Field(description="from 0 to 1; null if nothing ended")
    bytes: int = Field(description="of the attempts that succeeded")
    bytes_per_second: float | None = Field(description="of those together, while they ran; null if none did")
    median_seconds: float | None = Field(description="of the attempts that succeeded, to a tenth; null if none did")
    p90_seconds: float | None = Field(description="90th percentile; null if none succeeded")
    errors: list[ErrorCount] = Field(description="most frequent first")
    buckets: list[StatisticsBucket] = Field(description="the whole span in order, including empty buckets")


class StatisticsReport(ResponseModel):
    """The results of all platforms over a time span."""

    since: datetime
    until: datetime
    bucket_seconds: int = Field(description="length of a bucket; the last one may be shorter")
    platforms: list[PlatformStatistics]


class ToolRecord(ResponseModel):
    """An external program."""

    name: str
    version: str | None = Field(description="null if it is unknown without running the program")


class YtdlpRecord(ResponseModel):
    """The running version of yt-dlp."""

    version: str | None
    installed: str | None = Field(description="differs from `version` if it was updated since the start")
    released: date | None
    age_days: int | None
    old: bool = Field(description="whether an update is due; platforms change often")
    restart_needed: bool = Field(description="whether the installed version differs from the running one")
    advice: str | None = Field(description="a sentence: what to do; null if nothing")


class Tools(ResponseModel):
    """The tools that downloads use; null if missing."""

    ytdlp: YtdlpRecord
    ffmpeg: ToolRecord | None
    javascript: ToolRecord | None = Field(description="required for YouTube")


class SettingRecord(ResponseModel):
    """A setting, without anything that is secret."""

    name: str = Field(description="the environment variable")
    group: Literal["downloads", "limits", "storage", "server", "access", "notifications"]
    value: bool | int | float | str | list[str] | None = Field(
        description="null if it is not set; of keys and receivers their number, of a webhook true, of other URLs no"
        " credentials, of yt-dlp's options the names"
    )
    source: Literal["environment", "default"] = Field(
        description="`environment`: its variable is set, or its option on the command line"
    )
    description: str = Field(description="what it means")


class StorageRecord(ResponseModel):
    """The storage folder."""

    folder: str
    used_bytes: int | None = Field(
        description="of finished and unfinished files, measured twice a minute at most; null if it cannot be read"
    )
    free_bytes: int = Field(description="on the disk of the media files, or of unfinished ones if that has less")
    max_bytes: int | None = Field(description="DOWNLOADER_MAX_STORAGE_BYTES; null if it is not set")


class SettingsReport(ResponseModel):
    """The settings, as the server was started with, and its storage."""

    settings: list[SettingRecord]
    storage: StorageRecord

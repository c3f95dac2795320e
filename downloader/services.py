"""The parts of the running service, wired together; knows no HTTP."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from downloader import batch_downloader
from downloader.batch_downloader import Orchestra
from downloader.errors import StartRefused
from downloader.service_loop import ServiceLoop
from downloader.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the routes use."""

    settings: Settings
    orchestra: Orchestra
    loop: ServiceLoop = field(default_factory=ServiceLoop)

    @classmethod
    def from_settings(cls, settings: Settings) -> Services:
        """Return the services as *settings* say; nothing runs yet.

        Raises:
            StartRefused: the storage folder cannot be written.
        """
        try:
            settings.raw_dir.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=settings.raw_dir):
                pass
        except OSError as error:
            raise StartRefused(
                f"Cannot write to {settings.raw_dir} ({error.strerror}): set DOWNLOADER_STORAGE_DIR to a folder that"
                " this user may write."
            ) from error
        return cls(settings=settings, orchestra=Orchestra.from_settings(settings))

    async def download(self, urls: Sequence[str]) -> list[dict[str, Any]]:
        """Download *urls* on the service's loop; return their records in order."""
        return await self.loop.run(
            batch_downloader.download_batch(urls, str(self.settings.raw_dir), orchestra=self.orchestra)
        )

    def start(self) -> None:
        """Do, in the background, what need not hold up the server: load the engine, clear away old leftovers."""
        threading.Thread(target=self._prepare, name="prepare", daemon=True).start()

    def _prepare(self) -> None:
        # Without this the first download would wait half a second for yt-dlp to load.
        batch_downloader.warm_up_engine()
        batch_downloader.remove_leftovers(self.settings.raw_dir)

    def interrupt(self) -> None:
        """End all downloads; whoever waits for them is answered at once."""
        self.loop.call(self.orchestra.interrupt)

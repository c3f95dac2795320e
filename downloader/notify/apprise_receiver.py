"""Apprise, with its hundred services, as a receiver: one process for each URL, while there is something to send."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from downloader.download_settings import PREFIX
from downloader.egress.environment import child_environment
from downloader.egress.proxy import Grant
from downloader.errors import StartRefused
from downloader.jobs import Message
from downloader.notify.receivers import NotDelivered
from downloader.notify.summary import summarize

#: To load Apprise, and to send one message.
LOAD_SECONDS = 60.0
SEND_SECONDS = 30.0

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from downloader.notify.apprise_main import main; main()"


class ProcessLost(Exception):
    """The process ended, or had to be ended; str() says which."""


def check_apprise(urls: Sequence[str]) -> None:
    """Raise StartRefused if Apprise is missing, or knows one of the URLs not; the message never repeats it."""
    if importlib.util.find_spec("apprise") is None:
        raise StartRefused(
            f"{PREFIX}NOTIFY is set, but Apprise is not installed: pip install 'batch-video-downloader[notify]', or"
            " pip install apprise. Or unset it, and start again."
        )
    process = AppriseProcess(urls)
    try:
        hosts = process.load()
    except ProcessLost as error:
        raise StartRefused(f"{PREFIX}NOTIFY is set, but Apprise cannot be used: {error}.") from error
    finally:
        process.end()
    for number, found in enumerate(hosts, 1):
        if found is None:
            raise StartRefused(
                f"{PREFIX}NOTIFY is set wrongly: Apprise does not know its URL number {number}, or lacks a library for"
                " it. Correct it and start again."
            )


class AppriseReceiver:
    """One URL; see `Receiver`."""

    def __init__(
        self,
        name: str,
        url: str,
        open_grant: Callable[[Iterable[str]], Grant],
        *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        """Send to *url*; *open_grant* returns a grant for the hosts that it is given."""
        self.name = name
        self._url = url
        self._open_grant = open_grant
        self._send_seconds = send_seconds
        self._process: AppriseProcess | None = None
        self._grant: Grant | None = None

    def send(self, message: Message) -> None:
        """See `Receiver`."""
        title, text = summarize(message.body)
        try:
            process = self._process or self._start()
            sent = process.ask({"title": title, "text": text}, self._send_seconds)["sent"]
        except (ProcessLost, OSError, StartRefused) as error:
            self.rest()
            raise NotDelivered(str(error) if isinstance(error, ProcessLost) else type(error).__name__) from error
        if not sent:
            refused = "" if self._grant is None else ", ".join(self._grant.refusals)
            raise NotDelivered("Apprise could not send it" + (f": refused: {refused}" if refused else ""))

    def rest(self) -> None:
        """See `Receiver`."""
        process, self._process = self._process, None
        if process is not None:
            process.end()
        if self._grant is not None:
            self._grant.revoke()
            self._grant = None

    def close(self) -> None:
        """See `Receiver`."""
        if (process := self._process) is not None:
            process.kill()

    def _start(self) -> AppriseProcess:
        process = self._process = AppriseProcess([self._url])
        [hosts] = process.load()
        if hosts is None:
            raise ProcessLost("Apprise does not know its URL")
        self._grant = self._open_grant(hosts)
        process.tell({"proxy": self._grant.url, "allow_private": self._grant.rules.allow_private})
        return process


class AppriseProcess:
    """A process that runs `apprise_main`. It ends with this one, however that does: then its input ends."""

    def __init__(self, urls: Sequence[str]) -> None:
        """Start it, for *urls*. They are no arguments, which others can read."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where Apprise and its libraries log URLs
            env=child_environment(os.environ),
            start_new_session=True,
        )
        self._urls = list(urls)

    def load(self) -> list[list[str] | None]:
        """Return the hosts that each URL names; None: Apprise does not know it. Raises ProcessLost."""
        hosts: list[list[str] | None] = self.ask({"urls": self._urls}, LOAD_SECONDS)["hosts"]
        return hosts

    def tell(self, command: dict[str, Any]) -> None:
        """Send *command*, which has no reply. Raises ProcessLost."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ProcessLost("its process ended") from error

    def ask(self, command: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Return the reply to *command*. Raises ProcessLost."""
        assert self._process.stdout
        self.tell(command)
        deadline = threading.Timer(timeout_seconds, self._process.kill)
        deadline.daemon = True
        deadline.start()
        try:
            reply: dict[str, Any] = json.loads(self._process.stdout.readline())
            return reply
        except (OSError, ValueError) as error:
            late = f" after {timeout_seconds:g} s" if deadline.finished.is_set() else ""
            raise ProcessLost(f"its process ended{late}") from error
        finally:
            deadline.cancel()

    def kill(self) -> None:
        """Have it end; from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kill and reap it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with suppress(OSError):
                pipe.close()

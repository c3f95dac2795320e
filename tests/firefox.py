"""A real Firefox for tests, driven by Marionette, which is part of it.

Playwright can't: it asks a Debian Firefox for commands that this doesn't know (`emulation.setMediaFeaturesOverride`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)

#: How long anything may take: no machine is so slow.
PATIENCE_SECONDS = 45

CONTROL, ENTER, ESCAPE = "\ue009", "\ue007", "\ue00c"

#: Calls back with what `look` returns, once that is something.
WAIT = """
const [selector, text, done] = arguments;
const says = (each) => `${each.getAttribute("aria-label")} ${each.textContent}`.includes(text);
const isShown = (each) => each.getClientRects().length > 0;
const look = () => [...document.querySelectorAll(selector)].find((each) => isShown(each) && says(each));
const poll = () => (look() ? done(look()) : setTimeout(poll, 20));
poll();
"""

#: Nothing is asked of anyone but the page; nothing asks whether it may.
PREFERENCES: dict[str, Any] = {
    "marionette.port": 0,
    "browser.download.folderList": 2,
    "browser.shell.checkDefaultBrowser": False,
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
    "media.autoplay.default": 0,
}


class FirefoxError(Exception):
    """Firefox refused a command, or what was waited for did not come."""


class Firefox:
    """One window; elements are found by CSS and by words in their text or label, once they are shown."""

    def __init__(self, connection: socket.socket, downloads: Path) -> None:
        self.downloads = downloads
        self._stream = connection.makefile("rwb")
        self._number = 0
        self._read()  # who is there
        self.ask("WebDriver:NewSession")
        self.ask("WebDriver:SetTimeouts", script=PATIENCE_SECONDS * 1000)

    def ask(self, command: str, **parameters: Any) -> Any:
        """Return the result of a command of WebDriver."""
        self._number += 1
        message = json.dumps([0, self._number, command, parameters]).encode()
        self._stream.write(b"%d:%b" % (len(message), message))
        self._stream.flush()
        _, _, error, result = self._read()
        if error:
            raise FirefoxError(f"{command} {parameters}: {error['message']}")
        return result.get("value") if isinstance(result, dict) else result

    def _read(self) -> Any:
        length = b""
        while (byte := self._stream.read(1)) != b":":
            if not byte:
                raise FirefoxError("it is gone")
            length += byte
        return json.loads(self._stream.read(int(length)))

    def open(self, url: str) -> None:
        self.ask("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.ask("WebDriver:ExecuteScript", script=script, args=arguments)

    def see(self, selector: str, text: str = "") -> str:
        """Wait until such an element is shown; return its id."""
        element = self.ask("WebDriver:ExecuteAsyncScript", script=WAIT, args=[selector, text])
        return str(next(iter(element.values())))

    def click(self, selector: str, text: str = "") -> None:
        """Click as a person does: it fails where something lies above."""
        self.ask("WebDriver:ElementClick", id=self.see(selector, text))

    def press(self, *keys: str) -> None:
        """Press *keys* together, wherever the focus is."""
        actions = [{"type": "keyDown", "value": key} for key in keys]
        actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.ask("WebDriver:PerformActions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def pause(self) -> None:
        """Let the page paint a frame."""
        self.ask("WebDriver:ExecuteAsyncScript", script="requestAnimationFrame(arguments[0])", args=[])

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds, of which the page tells nothing."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise FirefoxError("what was waited for did not come")
            self.pause()

    def write(self, selector: str, text: str) -> None:
        self.ask("WebDriver:ElementSendKeys", id=self.see(selector), text=text)


@contextlib.contextmanager
def firefox(folder: Path, *arguments: str, **preferences: Any) -> Iterator[Firefox]:
    """Start Firefox with a new profile in *folder*, and with more *arguments*; what it downloads is there too."""
    assert FIREFOX
    profile, downloads = folder / "profile", folder / "downloads"
    for each in (profile, downloads):
        each.mkdir()
    preferences = PREFERENCES | {"browser.download.dir": str(downloads)} | preferences
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items())
    (profile / "user.js").write_text("".join(lines))
    process = subprocess.Popen(
        [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with socket.create_connection(
            ("127.0.0.1", _port(profile, process)), timeout=2 * PATIENCE_SECONDS
        ) as connection:
            yield Firefox(connection, downloads)
    finally:
        process.terminate()
        process.wait(30)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port that Firefox chose: it only writes it into a file."""
    file = profile / "MarionetteActivePort"
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(file.read_text())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    raise FirefoxError("it did not start")

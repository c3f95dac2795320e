"""Tries programs of others against a real server, without and with a key: `python -m tests.try_clients PYTHON`.

PYTHON is an interpreter that has cobalt's clients: `pip install kobalt==0.1.3 pybalt==2025.7.1 aiofiles aiohttp click
python-dotenv prompt_toolkit pyyaml tqdm`. With `--rpsl FOLDER`, the unpacked metube-browser-extension of Rpsl is loaded
in Chromium; with `--nanocortex FOLDER`, the metube-firefox-addon of nanocortex in Firefox and, by itself, in node.
Their code is not part of this project. The internet is the platform simulator.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.browser import ARGUMENTS
from tests.firefox import firefox
from tests.real_server import Server
from tests.simulator.client import Simulator

KEY = "a-key-that-no-one-guesses"
EXTENSIONS = "chrome-extension://*,moz-extension://*"

KOBALT = """
import os
from Kobalt import CobaltAPI
api = CobaltAPI(os.environ["SERVER"] + "/")
if key := os.environ.get("KEY"):
    api.headers["Authorization"] = f"Api-Key {key}"  # its own argument for this fails in this version
print(api.services(), api.tunnel(os.environ["LINK"]))
name = api.download(os.environ["LINK"])
print(name, os.path.getsize(name))
"""

PYBALT = """
import asyncio, os
from pybalt.core.config import Config
from pybalt.core.network import HttpClient
from pybalt.core.wrapper import InstanceManager
server, key = os.environ["SERVER"], os.environ.get("KEY", "")
config = Config()
config.add_user_instance(server, key)
config.set("fallback_instance", server, "instances")  # else a public one is asked too
config.set("fallback_instance_api_key", key, "instances")
async def main():
    manager = InstanceManager(config=config, client=HttpClient(config=config))
    async for url, path, error in manager.download_generator(
        url=os.environ["LINK"], folder_path=".", only_path=False, max_retries=1
    ):
        print(url, path, path and path.stat().st_size, error)
        assert path and path.stat().st_size > 1024
asyncio.run(main())
"""

#: A stand-in for what Firefox gives the add-on; its settings are in the environment.
BROWSER = """
const { readFileSync } = require("node:fs");
const settings = JSON.parse(process.env.SETTINGS);
const none = { addListener() {} };
const heard = [];
globalThis.browser = {
  browserAction: { onClicked: none, setPopup() {} },
  commands: { onCommand: none },
  menus: { create() {}, update() {}, onClicked: { addListener(listener) { heard.push(listener); } } },
  permissions: { contains: async () => true },
  runtime: { onMessage: none, sendMessage: async (message) => console.log(JSON.stringify(message)) },
  storage: { onChanged: none, sync: { get: async (name) => (name in settings ? { [name]: settings[name] } : {}) } },
  tabs: { query: async () => [{ url: process.env.LINK }] },
};
const files = ["common/formats.js", "common/utils.js", "background.js"];
(0, eval)(files.map((file) => readFileSync(`${process.env.ADDON}/${file}`, "utf8")).join("\\n"));
const clicked = { menuItemId: "send-to-metube", linkUrl: process.env.LINK };
(async () => { for (const listener of heard) await listener(clicked); })();
"""


def say(*facts: object) -> None:
    """Tell what was seen."""
    sys.stdout.write(" ".join(map(str, facts)) + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("--rpsl", type=Path)
    parser.add_argument("--nanocortex", type=Path)
    options = parser.parse_args()
    with Simulator() as simulator, tempfile.TemporaryDirectory() as folder:
        for key in (None, KEY):
            settings = {"DOWNLOADER_API_KEY": key} if key else {"DOWNLOADER_CORS_ORIGINS": EXTENSIONS}
            server = Server(simulator, Path(folder) / ("keyed" if key else "open"), 0, **settings)
            try:
                try_all(server, simulator, key, options)
            finally:
                server.close()


def try_all(server: Server, simulator: Simulator, key: str | None, options: argparse.Namespace) -> None:
    say(f"== {'with a key' if key else 'without a key'}")
    variables = {"SERVER": server.url, **({"KEY": key} if key else {})}
    for serial, script in enumerate((KOBALT, PYBALT)):
        run([options.python, "-c", script], LINK=simulator.url("youtube", "ok", serial), **variables)
    if options.nanocortex:
        headers = [{"name": "Authorization", "value": f"Bearer {key}"}] if key else []
        wishes: dict[str, Any] = {"url": f"{server.url}/", "oneClickMode": True, "sendCustomHeaders": True}
        for wish in ({}, {"defaultAutoStart": False, "defaultFolder": "%DOMAIN%"}, {"defaultCodec": "av1"}):
            sent = {**wishes, "customHeaders": headers, **wish}
            link = simulator.url("tiktok", "ok", len(wish))
            run(["node", "-e", BROWSER], LINK=link, SETTINGS=json.dumps(sent), ADDON=str(options.nanocortex / "src"))
        send_from_firefox(server, options.nanocortex / "src", simulator.url("twitter", "ok", 8), headers)
    if options.rpsl:
        click_in_chromium(server, options.rpsl, simulator.url("youtube", "ok", 9))
    if key is None:
        show_history(server)


def run(command: list[str], **variables: str) -> None:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, env={**environment, "HOME": folder, **variables}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
    say(f"{Path(command[0]).name}: {done.returncode}", done.stdout[-900:], done.stderr[-900:])


def click_in_chromium(server: Server, extension: Path, link: str) -> None:
    """Set the extension's options, then choose "Send to MeTube" in the menu of *link*."""
    from playwright.sync_api import sync_playwright

    # A whole Chromium: the headless shell has no extensions.
    load = [f"--disable-extensions-except={extension}", f"--load-extension={extension}"]
    load.append("--disable-features=DisableLoadExtensionCommandLineSwitch")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path="/usr/bin/chromium", headless=False, args=["--headless=new", *ARGUMENTS, *load]
        )
        try:
            worker = browser.service_workers[0] if browser.service_workers else browser.wait_for_event("serviceworker")
            page = browser.new_page()
            page.goto(worker.url.replace("background.js", "options.html"))
            page.fill("#metube", server.url)
            page.check("#send-current-url")
            page.check("#context-menu-send-current-url")
            page.check("#folder")
            page.click("text=Save settings")
            page.wait_for_selector("#saved:not(.hidden)")
            answers: list[Any] = []
            browser.on("response", lambda answer: answers.append(answer))
            worker.evaluate("link => chrome.contextMenus.onClicked.dispatch({ linkUrl: link }, { index: 0 })", link)
            patience = time.monotonic() + 20
            while not any(each.request.method == "POST" for each in answers) and time.monotonic() < patience:
                page.wait_for_timeout(100)
            say("chromium:", worker.url, [(each.request.method, each.url, each.status) for each in answers])
        finally:
            browser.close()


def send_from_firefox(server: Server, addon: Path, link: str, headers: list[dict[str, str]]) -> None:
    """Press the button of the add-on's popup, which is opened as a page, as Marionette reaches no toolbar."""
    identity = json.loads((addon / "manifest.json").read_text())["browser_specific_settings"]["gecko"]["id"]
    origin = f"moz-extension://{uuid.uuid4()}"
    wishes = {"url": f"{server.url}/", "sendCustomHeaders": bool(headers), "customHeaders": headers}
    uuids = {"extensions.webextensions.uuids": json.dumps({identity: origin.removeprefix("moz-extension://")})}
    with (
        tempfile.TemporaryDirectory() as folder,
        firefox(Path(folder), "--remote-allow-system-access", **uuids) as browser,
    ):
        browser.ask("Addon:Install", path=str(addon), temporary=True)
        browser.open(f"{origin}/options/options.html")
        browser.run("return browser.storage.sync.set(arguments[0])", wishes)
        browser.open(f"{origin}/popup/popup.html?url={quote(link, safe='')}")
        browser.click("#sendToMeTube")
        browser.see("#success-content, #error-content")
        say("firefox:", origin, browser.run("return document.querySelector('body > div:not(.hidden)').innerText"))


def show_history(server: Server) -> None:
    for name, items in server.ask("GET", "/history")[1].items():
        for item in items:
            say(name, {field: item.get(field) for field in ("url", "status", "folder", "filename", "error")})


if __name__ == "__main__":
    main()

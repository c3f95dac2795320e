"""The commands in the README and the docs, sent to a real server, are answered in the shape that the page shows."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shlex
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downloader.web.download import MAX_WAITING_REQUESTS
from tests.real_server import REPOSITORY, Server

PAGES = ["README.md", "docs/api.md", "docs/install.md", "docs/operate.md", "docs/recipes.md", "docs/use.md"]
KEY = "a-key-of-many-characters"
COOKIES = f".tiktok.com\tTRUE\t/\tTRUE\t{int(time.time()) + 86400}\tsessionid\tsecret\n"

ARCHIVE = "youtube dQw4w9WgXcQ\nvimeo 7\n"


def page(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def examples(name: str, *, of_a_key: bool = False) -> list[tuple[str, str]]:
    """Return (command, output) of each `curl` on a page, with "" where it shows none; or of those that are of a key."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page(name), re.DOTALL):
        for command, output in re.findall(r"^\$ (curl (?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            if of_a_key == ("Bearer" in command + output):
                found.append((command.replace("\\\n", " "), output))
    return found


def parse(command: str) -> Namespace:
    parser = ArgumentParser(exit_on_error=False)
    for option in ("-H", "-d", "-X", "-T", "-o", "-D", "--json", "--data-binary"):
        parser.add_argument(option, action="append", default=[])
    for flag in ("-f", "-J", "-N", "-O", "-s"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("address")
    return parser.parse_args(shlex.split(command, comments=True)[1:])


class Session:
    """Sends a page's commands in order, with the ids that this server returned in place of those shown."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ids: dict[str, str] = {}

    def check(self, command: str, output: str) -> None:
        for shown, real in self._ids.items():
            command = command.replace(shown, real)
        response, body = self._send(parse(command))
        if output.startswith("HTTP/1.1"):
            status, *headers = output.strip().splitlines()
            assert int(status.split()[1]) == response.status
            assert all(response.headers[header.split(":")[0]] for header in headers if header != "…")
        elif output.startswith("retry:"):
            assert re.sub(r"\d+", "N", output).startswith(re.sub(r"\d+", "N", body))
        else:
            assert (response.status < 400) == ('{"error"' not in output), body
            self._compare(output, body)

    def _send(self, arguments: Namespace) -> tuple[http.client.HTTPResponse, str]:
        body = "".join(arguments.d + arguments.json) or (COOKIES if arguments.T else None)
        if arguments.data_binary:
            body = ARCHIVE
        method = arguments.X[0] if arguments.X else "PUT" if arguments.T else "POST" if body else "GET"
        headers = dict(header.split(": ", 1) for header in arguments.H)
        if arguments.json:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=50)
        connection.request(method, "/" + arguments.address.partition("/")[2], body, headers)
        response = connection.getresponse()
        if response.headers["Content-Type"].startswith("text/event-stream"):
            text = "".join(response.readline().decode() for _ in range(6))
        else:
            text = response.read().decode(errors="replace")
        connection.close()
        if method == "POST" and "Authorization" not in headers:  # no command follows that one
            self._wait()
        return response, text

    def _wait(self) -> None:
        """Follow the events until every job has ended: the page's next command shows that."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=50)
        with contextlib.closing(connection):
            connection.request("GET", "/api/v1/events")
            stream = connection.getresponse()
            while self._busy():
                stream.readline()

    def _busy(self) -> bool:
        counts = self._server.ask("GET", "/api/v1/queue")[1]["counts"]
        return any(counts[state] for state in ("queued", "running", "waiting"))

    def _compare(self, output: str, body: str) -> None:
        for kind in ("id", "job_id", "batch_id"):
            known = re.compile(rf'"{kind}":"([a-z0-9]{{16}})"')
            for shown, real in zip(known.findall(output), known.findall(body), strict=False):
                self._ids.setdefault(shown, real)
        if "…" in output or output.startswith(
            '{"url": '
        ):  # cut short: what is left has the same names in the same order
            answered = iter(names(body))
            assert all(name in answered for name in names(output)), body
        elif output:
            shown, answer = json.loads(output.replace("\n", " "), strict=False), json.loads(body)
            assert shape(answer) == shape(shown)
            if list(shown) == ["error"]:
                assert answer == shown


def shape(value: Any) -> Any:
    """Return the names in *value*, in their order, and those of what is in it."""
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def names(text: str) -> list[str]:
    return re.findall(r'[{,\s…]"(\w+)":', text)


def check(session: Session, name: str, found: list[tuple[str, str]]) -> None:
    for command, output in found:
        try:
            session.check(command, output)
        except (AssertionError, ValueError) as error:
            raise AssertionError(f"{name}: {command}{error}") from error


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page_are_answered_as_it_shows(shared_server: Server, name: str) -> None:
    warm_up = "https://www.tiktok.com/@ada/video/7000000000000000009"
    shared_server.ask("POST", "/download", {"url": warm_up})
    check(Session(shared_server), name, examples(name))


def test_the_commands_that_show_a_key_are_answered_as_the_page_shows(start_server: Callable[..., Server]) -> None:
    server = start_server(DOWNLOADER_API_KEY=KEY)
    for name, count in ("docs/operate.md", 2), ("docs/recipes.md", 1):
        found = examples(name, of_a_key=True)
        assert len(found) == count
        found = [(command.replace("$DOWNLOADER_API_KEY", KEY), output) for command, output in found]
        check(Session(server), name, found)


@pytest.mark.parametrize(("name", "count"), [("README.md", 5), ("docs/api.md", 30), ("docs/use.md", 7)])
def test_the_examples_are_found(name: str, count: int) -> None:
    assert len(examples(name)) >= count


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("docs/*.md")), ids=lambda path: path.name)
def test_every_page_with_examples_is_tried(path: Path) -> None:
    assert f"docs/{path.name}" in PAGES or "```console\n$ curl" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["docs/use.md", "docs/api.md"])
def test_the_number_of_waiting_requests_is_documented(name: str) -> None:
    assert re.search(rf"\b{MAX_WAITING_REQUESTS}\s+requests\b", page(name))


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md")), ids=str)
def test_commands_can_be_pasted_into_any_shell_and_save_no_error_as_a_file(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("$ curl"):
            assert "?" not in re.sub(r"'[^']*'|\"[^\"]*\"|\s#.*", "", line), line  # zsh looks for files by it
            options = re.findall(r"\s-(\w+)", line)
            assert not any("O" in option and "f" not in option for option in options), line

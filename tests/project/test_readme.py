"""The README's commands do what it says: sent to a real server, they are answered in the shape that it shows."""

from __future__ import annotations

import http.client
import json
import re
import shlex
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from downloader.web.download import MAX_WAITING_REQUESTS
from tests.real_server import REPOSITORY, Server

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def examples() -> list[tuple[str, str]]:
    """Return (command, output) of each `curl` that the README shows with what came of it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for command, output in re.findall(r"^\$ (curl (?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            if output and "Bearer" not in command and "key" not in output:
                found.append((command.replace("\\\n", " "), output))
    return found


def sent(server: Server, command: str) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    for option in ("-H", "-d", "-X"):
        parser.add_argument(option, action="append", default=[])
    parser.add_argument("address")
    arguments = parser.parse_args(shlex.split(command)[1:])
    method = arguments.X[0] if arguments.X else "POST" if arguments.d else "GET"
    headers = dict(header.split(": ", 1) for header in arguments.H)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=50)
    path = "/" + arguments.address.partition("/")[2]
    connection.request(method, path, arguments.d[0] if arguments.d else None, headers)
    answer = connection.getresponse()
    body = json.load(answer)
    connection.close()
    return body


def shape(value: Any) -> Any:
    """Return the names of *value*, in their order, and those of what is in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def names(text: str) -> list[str]:
    return re.findall(r'[{,\s]"(\w+)":', text)


@pytest.mark.parametrize(("command", "output"), examples(), ids=[command[:60] for command, _ in examples()])
def test_an_example_is_answered_as_the_readme_shows(shared_server: Server, command: str, output: str) -> None:
    answer = sent(shared_server, command)
    if "…" in output:  # cut short: what is left of it stands in the answer in the same order
        told = iter(names(json.dumps(answer)))
        assert all(name in told for name in names(output)), output
        return
    shown = json.loads(output.replace("\n", " "), strict=False)
    assert json.dumps(shape(answer)) == json.dumps(shape(shown))
    if list(shown) == ["error"]:
        assert answer == shown


def test_the_examples_are_found() -> None:
    assert len(examples()) >= 6


@pytest.mark.parametrize("name", ["README.md", "docs/api.md"])
def test_the_number_of_waiting_requests_is_documented(name: str) -> None:
    text = Path(REPOSITORY, name).read_text(encoding="utf-8")
    assert re.search(rf"\b{MAX_WAITING_REQUESTS} requests\b", text)


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md")), ids=str)
def test_commands_can_be_pasted_into_any_shell_and_save_no_error_as_a_file(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("$ curl"):
            assert "?" not in re.sub(r"'[^']*'|\"[^\"]*\"|\s#.*", "", line), line  # zsh looks for files by it
            options = re.findall(r"\s-(\w+)", line)
            assert not any("O" in option and "f" not in option for option in options), line

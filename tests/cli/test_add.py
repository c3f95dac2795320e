"""`add`: from links in arguments, files and standard input to files that play, or a sentence for each that failed."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from downloader.cli.receipts import KEPT_SECONDS, Receipt
from downloader.download_settings import CLIENT_KEY, CLIENT_SERVER
from tests.cli.conftest import Ended, Run
from tests.cli.stranger import Answer, stranger
from tests.real_server import REPOSITORY, ForkedServer, Server, interruptible
from tests.simulator.client import Simulator
from tests.waiting import until

KEY = "a-key-of-many-characters"
UNSUPPORTED = [f"https://netflix.com/{number}" for number in range(5)]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals differ")


@pytest.fixture(scope="module")
def keyed_server(running_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that asks for a key, and takes two links at once."""
    storage = tmp_path_factory.mktemp("keyed") / "storage"
    server = ForkedServer(running_simulator, storage, DOWNLOADER_API_KEY=KEY, DOWNLOADER_MAX_BATCH_URLS="2")
    yield server
    server.close()


def batches(server: Server) -> list[str]:
    return [batch["id"] for batch in server.ask("GET", "/api/v1/batches?limit=200")[1]["batches"]]


def test_what_was_added_is_there_after_waiting(run: Run, shared_server: Server, simulator: Simulator) -> None:
    link = simulator.url("tiktok", "ok", 1)
    ended = run("add", link, "--wait", "--preset", "720p", "--folder", "Garden", at=shared_server.url)
    assert ended.status == 0, ended.err
    [batch_id] = ended.out.split()
    [job] = shared_server.ask("GET", f"/api/v1/batches/{batch_id}")[1]["jobs"]
    assert (job["state"], job["preset"]) == ("succeeded", "720p")
    assert Path(job["file_path"]).parent.name == "Garden"


def test_each_failure_is_told_and_the_status_says_so(run: Run, shared_server: Server, simulator: Simulator) -> None:
    links = [simulator.url("tiktok", "ok", 2), simulator.url("youtube", "removed", 2)]
    ended = run("add", *links, "--wait", at=shared_server.url)
    assert ended.status == 1
    assert f"{links[1]}: This YouTube post no longer exists" in ended.err
    assert links[0] not in ended.err
    assert " of 2 done" in ended.err


def test_links_come_from_files_and_standard_input(
    run: Run, shared_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "links.txt"
    file.write_bytes(
        b"\xef\xbb\xbf# my links\r\n\r\nhttps://netflix.com/1#chapter  # the best\r\n  https://netflix.com/2\n"
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"https://netflix.com/3 https://netflix.com/4")))
    ended = run("add", str(file), "-", "https://netflix.com/5", at=shared_server.url)
    assert ended.status == 1
    jobs = shared_server.ask("GET", f"/api/v1/batches/{ended.out.strip()}")[1]["jobs"]
    assert [job["url"] for job in jobs] == [
        "https://netflix.com/1#chapter", *(f"https://netflix.com/{number}" for number in (2, 3, 4, 5))
    ]  # fmt: skip
    assert ended.err.count("Unsupported platform") == 5


def test_more_links_than_the_server_takes_become_several_batches(
    run: Run, keyed_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CLIENT_KEY, KEY)
    ended = run("add", *UNSUPPORTED, at=keyed_server.url)
    assert len(set(ended.out.split())) == 3
    assert ended.status == 1
    assert all(f"{link}: Unsupported platform" in ended.err for link in UNSUPPORTED)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ((), "A key is needed for {url}: set DOWNLOADER_CLIENT_KEY"),
        (("--key", "wrong-key"), "This is not a key of {url}"),
    ],
)
def test_without_the_right_key_it_says_what_to_do(
    run: Run, keyed_server: Server, key: tuple[str, ...], sentence: str
) -> None:
    ended = run("add", "https://netflix.com/1", *key, at=keyed_server.url)
    assert ended.status == 3
    assert ended.err.startswith(sentence.format(url=keyed_server.url))
    assert "wrong-key" not in ended.out + ended.err


# Stopped, and continued


def start(server: Server, *arguments: str, **pipes: int) -> subprocess.Popen[str]:
    command = interruptible(*arguments, "--server", server.url)
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **{"stdout": subprocess.PIPE, **pipes})  # type: ignore[call-overload, no-any-return]


def test_after_ctrl_c_the_same_command_continues_and_adds_nothing_twice(
    run: Run, shared_server: Server, simulator: Simulator, state_folder: Path
) -> None:
    command = ("add", simulator.url("tiktok", "ok", 3), "--wait")
    shared_server.ask("POST", "/api/v1/queue/pause")
    try:
        process = start(shared_server, *command, stderr=subprocess.PIPE)
        assert process.stdout
        batch_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "The downloads continue on the server. The same command continues from here." in err
    finally:
        shared_server.ask("POST", "/api/v1/queue/resume")
    before = batches(shared_server)
    ended = run(*command, at=shared_server.url)
    assert (ended.status, ended.out) == (0, f"{batch_id}\n")
    assert batches(shared_server) == before
    # Once all has ended, it is a new command.
    assert run(*command, at=shared_server.url).out.strip() not in before


def test_a_server_that_restarts_is_waited_for(
    start_server: Callable[..., Server], run: Run, simulator: Simulator
) -> None:
    server = start_server()
    server.ask("POST", "/api/v1/queue/pause")
    found: list[Ended] = []
    waiting = threading.Thread(
        target=lambda: found.append(run("add", simulator.url("tiktok", "ok", 4), "--wait", at=server.url))
    )
    waiting.start()
    until(lambda: bool(batches(server)))
    server.stop()
    start_server(port=server.port).ask("POST", "/api/v1/queue/resume")
    waiting.join(40)
    assert found[0].status == 0, found


def test_a_receipt_is_found_again_until_it_is_discarded_or_old(tmp_path: Path) -> None:
    first = Receipt(["a"], tmp_path)
    assert first.kept
    assert Receipt(["a"], tmp_path).key == first.key != Receipt(["b"], tmp_path).key
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        os.utime(file, (1, file.stat().st_mtime - KEPT_SECONDS - 1))
    second = Receipt(["a"], tmp_path)
    assert second.key != first.key
    second.discard()
    assert list(tmp_path.iterdir()) == []


def test_two_commands_that_begin_at_once_have_one_receipt(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = {receipt.key for receipt in threads.map(lambda _: Receipt(["a"], tmp_path), range(40))}
    assert len(keys) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_command_that_could_not_say_what_failed_continues_when_it_is_repeated(run: Run) -> None:
    """Its links were added, so that a new key would add them twice."""
    batch, gone = Answer(body=b'{"batch": {"id": "b1"}}'), Answer(status=502)
    with stranger({"/api/v1/batches": [batch], "*": [gone]}) as other:
        ended = [run("add", "https://youtu.be/1", at=other.url) for _ in range(2)]
    assert [(each.status, "The same command continues from here." in each.err) for each in ended] == [(3, True)] * 2
    keys = [headers["Idempotency-Key"] for path, headers in other.requests if path == "/api/v1/batches"]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_without_a_place_for_its_receipt_it_adds_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    receipt = Receipt(["a"], tmp_path / "file" / "state")
    assert not receipt.kept
    assert receipt.key
    receipt.discard()


# What is seen


def test_a_terminal_shows_a_bar(shared_server: Server, simulator: Simulator) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = start(shared_server, "add", simulator.url("tiktok", "ok", 5), "--wait", stderr=theirs)
    process.communicate(timeout=30)
    shown = os.read(ours, 100_000).decode()
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0
    assert "Downloading" in shown
    assert "%" in shown


# What can go wrong


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no-such-file.txt",), "There is no file 'no-such-file.txt'. Links begin with https://."),
        ((os.devnull,), "There are no links."),
        (("tests",), "The file 'tests' cannot be read (Is a directory)."),
        (("https://youtu.be/1", "--server", "ftp://host"), "The server's address must be a URL such as"),
        (("https://youtu.be/1", "--server", "http://me:secret@host"), "The server's address must be without a user"),
        (("https://youtu.be/1", "--key", "a\nb"), "The key has characters that no key has."),
    ],
)
def test_a_wrong_command_is_status_2(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    ended = run("add", *arguments)
    assert ended.status == 2
    assert ended.err.startswith(sentence)
    assert "secret" not in ended.err


def test_what_the_server_finds_wrong_with_it_is_status_2(run: Run, shared_server: Server) -> None:
    ended = run("add", "https://youtu.be/1", "--preset", "loud", at=shared_server.url)
    assert ended.status == 2
    assert ended.err.startswith("There is no such preset.")


ERROR = b'{"error": "Too many requests."}'
ANSWERS = [
    (Answer(status=429, body=ERROR, headers={"Retry-After": "7"}), "Too many requests. Try again in 7 seconds."),
    (Answer(status=503, body=b'{"error": "Starting\\u001b[2J."}'), "Starting\\x1b[2J."),
    (Answer(body=b"<html>"), "What answers at {url} is not a batch video downloader"),
    (Answer(body=b"[1]"), "What answers at {url} is not a batch video downloader"),
    (Answer(status=404, body=b"nothing here"), "What answers at {url} is not a batch video downloader"),
    (Answer(body=b'{"batch": 7}'), "The server answered in a way that this version does not know"),
    (Answer(status=502, body=b"<html>"), "The server behind {url} does not answer."),
    (Answer(status=308, headers={"Location": "https://else.example/x"}), "{url} leads to https://else.example: name"),
]


@pytest.mark.parametrize(("answer", "sentence"), ANSWERS)
def test_a_strange_answer_is_one_sentence(run: Run, answer: Answer, sentence: str) -> None:
    with stranger({"*": [answer]}) as other:
        ended = run("add", "https://youtu.be/1", "--key", KEY, at=other.url)
    assert ended.status == 3
    assert ended.err.startswith(sentence.format(url=other.url))
    assert KEY not in ended.err
    assert len(other.requests) == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "127.0.0.1:1/videos/", "http://no-such-host.invalid"])
def test_a_server_that_is_not_there_is_one_sentence(run: Run, address: str) -> None:
    ended = run("add", "https://youtu.be/1", "--server", address)
    assert ended.status == 3
    assert ended.err.startswith("No server answers at http://")


def test_a_server_may_have_a_path(run: Run) -> None:
    with stranger({"*": [Answer(status=503, body=b'{"error": "Stopping."}')]}) as other:
        run("list", "--server", f"{other.url}/videos/")
    assert [path for path, _ in other.requests] == ["/videos/api/v1/jobs?limit=50"]


def test_no_proxy_stands_between_this_machine_and_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with stranger({"*": [Answer(body=b'{"jobs": [], "next_cursor": null}')]}) as other:
        assert run("list", at=other.url) == Ended(0, "", "")


def test_the_server_can_be_named_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger({"*": [Answer(body=b'{"jobs": [], "next_cursor": null}')]}) as other:
        monkeypatch.setenv(CLIENT_SERVER, other.url)
        monkeypatch.setenv(CLIENT_KEY, KEY)
        run("list")
    assert other.requests[0][1]["Authorization"] == f"Bearer {KEY}"

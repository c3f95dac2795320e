"""Apprise: the real library, in its own process, behind the guard."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from downloader.egress.proxy import Grant
from downloader.errors import StartRefused
from downloader.jobs import Message
from downloader.notify import apprise_main, apprise_receiver
from downloader.notify.apprise_main import Guard
from downloader.notify.apprise_receiver import AppriseReceiver, check_apprise
from downloader.notify.receivers import NotDelivered
from tests.notify.conftest import OpenGrant
from tests.receiver import Receiver

pytestmark = pytest.mark.integration

pytest.importorskip("apprise")


@contextmanager
def sending_to(url: str, open_grant: Callable[..., Grant], send_seconds: float = 20) -> Iterator[AppriseReceiver]:
    apprise = AppriseReceiver("apprise-1", url, open_grant, send_seconds=send_seconds)
    try:
        yield apprise
    finally:
        apprise.rest()


def test_messages_are_sent_by_one_process_while_there_are_some(
    receiver: Receiver, open_grant: OpenGrant, message: Message
) -> None:
    with sending_to(f"json://ada:pass-word@{receiver.authority}/hook", open_grant) as apprise:
        apprise.send(message)
        first = apprise._process
        apprise.send(message)
        assert apprise._process is first
    assert first is not None
    assert first._process.poll() is not None
    for _ in range(2):
        request = receiver.next()
        assert (request.path, request.json["title"]) == ("/hook", "Batch finished: 1 of 1 failed")
        assert request.json["message"].splitlines()[0] == "0 succeeded, 1 failed, 0 cancelled."
        assert "Via" in request.headers or request.headers["Host"] == receiver.authority


@pytest.mark.parametrize("answer", [500, (302, {"Location": "/elsewhere"}), b"garbage"])
def test_what_apprise_cannot_send_is_a_failure(
    receiver: Receiver, open_grant: OpenGrant, message: Message, answer: Any, logged: Callable[[], str]
) -> None:
    receiver.answers.append(answer)
    with sending_to(f"json://ada:pass-word@{receiver.authority}/pass-word", open_grant) as apprise:
        with pytest.raises(NotDelivered, match=r"^Apprise could not send it$"):
            apprise.send(message)
        receiver.next()
        assert receiver.requests.empty()
        apprise.send(message)
    assert "pass-word" not in logged()


def test_a_process_that_hangs_is_ended_and_the_next_message_gets_a_new_one(
    receiver: Receiver, open_grant: OpenGrant, message: Message
) -> None:
    receiver.answers.append(None)
    with sending_to(f"json://{receiver.authority}/?rto=60&cto=60", open_grant) as apprise:
        apprise._start()
        apprise._send_seconds = 0.3
        with pytest.raises(NotDelivered, match=r"its process ended after 0\.3 s"):
            apprise.send(message)
        apprise._send_seconds = 20
        apprise.send(message)


def test_a_name_that_is_not_the_operators_leads_to_no_private_address(
    receiver: Receiver, open_grant: OpenGrant, message: Message, logged: Callable[[], str]
) -> None:
    """As with a service that is sent elsewhere, or a library that takes another way."""
    with (
        sending_to(f"json://{receiver.authority}/", lambda _: open_grant(["example.org"])) as apprise,
        pytest.raises(NotDelivered, match=f"refused: {receiver.authority}"),
    ):
        apprise.send(message)
    assert receiver.requests.empty()


def test_what_it_does_not_know_is_refused_at_the_start_without_the_url() -> None:
    check_apprise(["json://localhost", "mailto://ada:pass-word@mail.lan"])
    with pytest.raises(StartRefused) as refusal:
        check_apprise(["json://localhost", "nosuchservice://pass-word"])
    assert str(refusal.value) == (
        "DOWNLOADER_NOTIFY is set wrongly: Apprise does not know its URL number 2, or lacks a library for it. Correct"
        " it and start again."
    )


def test_a_start_without_apprise_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_receiver.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(StartRefused, match="pip install apprise"):
        check_apprise(["json://localhost"])


GUARDED = """
import socket, subprocess, sys, threading
from downloader.notify.apprise_main import Guard
sys.addaudithook(Guard("http://127.0.0.1:1", ["localhost", "127.0.0.2", "example.org"]))
try:
    exec(sys.argv[1])
except PermissionError as error:
    sys.exit(str(error))
except OSError:
    pass
"""


@pytest.mark.parametrize(
    ("code", "refused"),
    [
        ("subprocess.run(['true'])", True),
        ("__import__('os').system('true')", True),
        ("__import__('os').posix_spawn('/bin/true', ['true'], {})", True),
        ("__import__('syslog').syslog('x')", True),
        ("socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')", True),
        ("socket.create_connection(('169.254.169.254', 80), 0.01)", True),
        ("socket.create_connection(('10.0.0.1', 25), 0.01)", True),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.168.0.1', 514))", True),
        ("socket.create_connection(('localhost', 9))", False),
        ("socket.create_connection(('127.0.0.1', 9))", True),  # named by its name alone
        ("socket.create_connection(('127.0.0.2', 9))", False),
        ("socket.create_connection(('127.0.0.3', 9))", True),
    ],
)
def test_a_service_runs_nothing_and_reaches_nothing_private(code: str, refused: bool) -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED, code], capture_output=True, text=True, check=False)
    assert (done.returncode, "is not allowed" in done.stderr) == ((1, True) if refused else (0, False)), done.stderr


def test_a_name_is_looked_up_only_if_the_service_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of some services' URLs is a token."""
    asked: list[str] = []

    def addresses(host: str) -> set[str]:
        asked.append(host)
        return {"10.0.0.7"}

    monkeypatch.setattr(apprise_main, "_addresses", addresses)
    guard = Guard("http://127.0.0.1:9", ["TokenA", "mail.lan", "example.org"])
    for name in (None, "example.org", "other.lan", b"mail.lan", "Mail.lan."):
        guard("socket.getaddrinfo", (name, 25, 0, 0, 0))
    assert asked == ["mail.lan"]
    guard("socket.connect", (None, ("10.0.0.7", 25)))


def test_a_public_address_is_allowed_and_a_name_that_is_not_resolved_is_not() -> None:
    guard = Guard("http://u:p@127.0.0.1:9", [])
    guard("socket.connect", (None, ("127.0.0.1", 9)))
    guard("socket.connect", (None, ("93.184.216.34", 25)))
    guard("socket.sendto", (socket.socket, None))
    for address in (("mail.example.org", 25), ("127.0.0.1", 10), "/run/x", ("fd00::1", 25, 0, 0)):
        with pytest.raises(PermissionError):
            guard("socket.connect", (None, address))
    Guard("http://127.0.0.1:9", [], allow_private=True)("socket.connect", (None, ("10.0.0.1", 25)))

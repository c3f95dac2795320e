"""The webhook: what it sends, what counts as delivered, and where it never leads."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import trustme

from downloader.jobs import Message
from downloader.notify.receivers import NotDelivered
from downloader.notify.webhook import Webhook
from tests.notify.conftest import OpenGrant
from tests.receiver import Receiver

SECRET = "a-secret-of-many-letters"


def test_a_message_is_signed_over_its_very_bytes(receiver: Receiver, open_grant: OpenGrant, message: Message) -> None:
    url = f"http://ada:pass%2Dword@{receiver.authority}/hook?token=t%20t#part"
    webhook = Webhook(url, SECRET, open_grant)
    for _ in range(2):
        webhook.send(message)
    first, second = receiver.next(), receiver.next()
    assert (first.body, first.path) == (message.body.encode(), "/hook?token=t%20t")
    assert first.json["id"] == message.id
    signature = hmac.new(SECRET.encode(), first.body, hashlib.sha256).hexdigest()
    assert first.headers["X-Signature-256"] == second.headers["X-Signature-256"] == f"sha256={signature}"
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Authorization"] == "Basic YWRhOnBhc3Mtd29yZA=="


def test_without_a_secret_there_is_no_signature(receiver: Receiver, open_grant: OpenGrant, message: Message) -> None:
    Webhook(f"http://{receiver.authority}", None, open_grant).send(message)
    request = receiver.next()
    assert (request.path, request.headers["X-Signature-256"], request.headers["Authorization"]) == ("/", None, None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (500, "it answered 500"),
        (404, "it answered 404"),
        (b"\x00\x01garbage\r\n\r\n", "no answer: unreachable"),
        (b"", "no answer: unreachable"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "no answer: unreachable"),
        (None, "no answer within 0.3 s"),
    ],
)
def test_what_is_no_success_is_a_failure(
    receiver: Receiver,
    open_grant: OpenGrant,
    message: Message,
    answer: Any,
    reason: str,
    logged: Callable[[], str],
) -> None:
    receiver.answers.append(answer)
    url = f"http://ada:pass-word@{receiver.authority}/pass-word?pass-word"
    with pytest.raises(NotDelivered) as failure:
        Webhook(url, "pass-word-of-many-letters", open_grant, send_seconds=0.3 if answer is None else 10).send(message)
    assert str(failure.value) == reason
    assert failure.value.retry_after_seconds is None
    assert "pass-word" not in logged()


def test_a_redirect_is_not_followed(receiver: Receiver, open_grant: OpenGrant, message: Message) -> None:
    receiver.answers.append((307, {"Location": f"http://{receiver.authority}/elsewhere"}))
    with pytest.raises(NotDelivered, match="it answered 307, a redirect, which is not followed"):
        Webhook(f"http://{receiver.authority}/", None, open_grant).send(message)
    assert (receiver.next().path, receiver.requests.empty()) == ("/", True)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("120", 120, 120),
        ("in an hour", 3500, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("999999999", 86_400, 86_400),
    ],
)
def test_a_receiver_may_ask_to_wait(
    receiver: Receiver, open_grant: OpenGrant, message: Message, value: str, low: float, high: float
) -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(hours=1)) if value == "in an hour" else value
    receiver.answers.append((429, {"Retry-After": value}))
    with pytest.raises(NotDelivered, match="it answered 429") as failure:
        Webhook(f"http://{receiver.authority}/", None, open_grant).send(message)
    assert failure.value.retry_after_seconds is not None
    assert low <= failure.value.retry_after_seconds <= high


def test_what_hangs_ends_when_the_webhook_is_closed(
    receiver: Receiver, open_grant: OpenGrant, message: Message
) -> None:
    receiver.answers.append(None)
    webhook = Webhook(f"http://{receiver.authority}/", None, open_grant)
    requests = receiver.requests.put

    def put(request: Any, *args: Any) -> None:
        requests(request, *args)
        webhook.close()

    receiver.requests.put = put  # type: ignore[method-assign,assignment]
    with pytest.raises(NotDelivered):
        webhook.send(message)


def test_a_receiver_whose_certificate_is_not_valid_gets_nothing(
    receiver: Receiver, open_grant: OpenGrant, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    receiver.speak_tls(context)
    webhook = Webhook(f"https://{receiver.authority}/hook", None, open_grant)
    with pytest.raises(NotDelivered, match="no answer: SSLCertVerificationError"):
        webhook.send(message)
    assert receiver.requests.empty()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr("downloader.notify.webhook.tls_context", lambda: trusting)
    webhook.send(message)
    assert receiver.next().path == "/hook"


def test_no_one_listens(open_grant: OpenGrant, message: Message) -> None:
    receiver = Receiver()
    receiver.close()
    with pytest.raises(NotDelivered, match="no answer: unreachable"):
        Webhook(f"http://{receiver.authority}/", None, open_grant).send(message)

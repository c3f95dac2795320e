"""The webhook: one POST for each message, through the guard, signed."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from downloader.egress.connections import Connections, Reply
from downloader.egress.fetch import plain_url
from downloader.egress.http import FAILED_HEADER, REFUSED_HEADER, basic
from downloader.egress.proxy import Grant
from downloader.egress.upstream import tls_context
from downloader.errors import StartRefused
from downloader.jobs import LONGEST_ASKED_SECONDS, Message
from downloader.notify.receivers import NotDelivered

#: For the whole delivery; a receiver that needs longer has to answer first, and work then.
SEND_SECONDS = 15.0


class Webhook:
    """A URL of the operator's that takes JSON; see `Receiver`."""

    name = "webhook"

    def __init__(
        self,
        url: str,
        secret: str | None,
        open_grant: Callable[[Iterable[str]], Grant],
        *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        """Send to *url*; *open_grant* returns a grant for the hosts that it is given."""
        parts = urlsplit(url)
        self._url = plain_url(url)
        self._host = urlsplit(self._url).hostname or ""
        self._secret = None if secret is None else secret.encode()
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": "batch-video-downloader",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        if parts.username or parts.password:
            credential = basic(unquote(parts.username or ""), unquote(parts.password or ""))
            self._headers["Authorization"] = credential
        self._open_grant = open_grant
        self._send_seconds = send_seconds
        self._grant: Grant | None = None

    def send(self, message: Message) -> None:
        """See `Receiver`. Redirects are not followed, and anything but 2xx is a failure."""
        try:
            grant = self._grant = self._open_grant([self._host])
        except (OSError, StartRefused) as error:
            raise NotDelivered("the egress proxy did not start") from error
        # A receiver that sends a byte now and then would never let a socket time out: the guard hangs up.
        deadline = threading.Timer(self._send_seconds, grant.revoke)
        deadline.daemon = True
        deadline.start()
        try:
            with closing(Connections(grant.url)) as connections:
                self._post(connections, message)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if not grant.valid or isinstance(error, TimeoutError):
                raise NotDelivered(f"no answer within {self._send_seconds:g} s") from error
            # Not its text, which may quote the URL.
            raise NotDelivered(f"no answer: {', '.join(grant.refusals) or type(error).__name__}") from error
        finally:
            deadline.cancel()
            grant.revoke()

    def rest(self) -> None:
        """See `Receiver`."""

    def close(self) -> None:
        """See `Receiver`."""
        if self._grant is not None:
            self._grant.revoke()

    def _post(self, connections: Connections, message: Message) -> None:
        body = message.body.encode()
        headers = self._headers
        if self._secret is not None:
            signature = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers = {**headers, "X-Signature-256": f"sha256={signature}"}
        reply = connections.request(
            "POST", self._url, headers, body=body, timeout_seconds=self._send_seconds, context=tls_context()
        )
        with closing(reply):
            if 200 <= reply.status <= 299:
                return
            raise NotDelivered(_reason(reply), retry_after_seconds=_retry_after_seconds(reply))


def _reason(reply: Reply) -> str:
    if reply.headers.get(REFUSED_HEADER):
        return "the guard refuses its address"
    if failure := reply.headers.get(FAILED_HEADER):
        return f"no answer: {failure}"
    redirects = ", a redirect, which is not followed" if 300 <= reply.status <= 399 else ""
    return f"it answered {reply.status}{redirects}"


def _retry_after_seconds(reply: Reply) -> float | None:
    """Return how long a response asks to wait; None if it does not say, or not in a way that can be read."""
    value = (reply.headers.get("Retry-After") or "").strip()
    if re.fullmatch("[0-9]{1,9}", value):
        return min(float(value), LONGEST_ASKED_SECONDS)
    try:
        until = parsedate_to_datetime(value)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_ASKED_SECONDS)
    except (ValueError, TypeError, OverflowError):
        return None

"""Runs Apprise, in a process of its own: its services make their own connections, and this one has nothing to lose.

Commands come as lines of JSON on standard input, replies go to standard output. Web services use the guard by the
proxies in the environment. Others connect by themselves, to public addresses, and to the host that the operator named;
no program is run, and no socket of this machine used.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from downloader.egress.policy import address_refusal, host_refusal, literal, normalize_host

if TYPE_CHECKING:
    from apprise import NotifyBase

#: Audit events of what no service may do.
_FORBIDDEN = ("subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.startfile", "syslog.")


def main() -> None:
    """Load services, say which hosts they name, then send messages until standard input ends."""
    # Whatever a library prints must not be taken for a reply.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    lines = iter(sys.stdin.readline, "")
    services = [_load(url) for url in json.loads(next(lines))["urls"]]
    _reply(replies, {"hosts": [None if service is None else _hosts(service) for service in services]})
    for line in lines:
        command = json.loads(line)
        if proxy := command.get("proxy"):
            os.environ.update(dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), proxy))
            hosts = [host for each in services if each is not None for host in _hosts(each)]
            sys.addaudithook(Guard(proxy, hosts, allow_private=command["allow_private"]))
        else:
            sent = all(each is not None and _send(each, command["title"], command["text"]) for each in services)
            _reply(replies, {"sent": sent})


def _reply(replies: Any, reply: dict[str, Any]) -> None:
    print(json.dumps(reply), file=replies, flush=True)


def _load(url: str) -> NotifyBase | None:
    from apprise import Apprise, AppriseAsset

    # In memory: nothing is kept on disk. Plugins of the user are not loaded, as no folder of them is named.
    asset = AppriseAsset(app_id="batch-video-downloader", app_desc="Batch video downloader", storage_mode="memory")
    asset.http_redirects = False
    service: NotifyBase | None = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    return service


def _hosts(service: NotifyBase) -> list[str]:
    found = (getattr(service, name, None) for name in ("host", "smtp_host"))
    return [host for host in found if host and isinstance(host, str)]


def _send(service: NotifyBase, title: str, text: str) -> bool:
    try:
        return bool(service.notify(title=title, body=text, body_format="text"))
    except Exception:
        return False


class Guard:
    """An audit hook: raises at what is not allowed."""

    def __init__(self, proxy: str, named: Iterable[str], *, allow_private: bool = False) -> None:
        """Allow the egress proxy at the URL *proxy*, and those of the hosts *named* that are of the local network."""
        parts = urlsplit(proxy)
        self._proxy = (parts.hostname, parts.port)
        self._allow_private = allow_private
        hosts = set(map(normalize_host, named))
        self._named = {host for host in hosts if literal(host) is not None}
        self._local = {host for host in hosts - self._named if host_refusal(host) is not None}

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"{event} is not allowed")
        if event == "socket.getaddrinfo":
            self._note(arguments[0])
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not self._allows(arguments[1]):
            raise PermissionError("this address is not allowed")

    def _note(self, name: Any) -> None:
        # Only what is looked up anyway: the hosts of some services are tokens, which name servers must not see.
        host = normalize_host(name if isinstance(name, str) else str(name or b"", "ascii", "replace"))
        if host in self._local:
            self._local.remove(host)
            self._named |= _addresses(host)

    def _allows(self, address: Any) -> bool:
        if address is None:  # of a connected socket
            return True
        if not isinstance(address, tuple):  # the path of a socket of this machine
            return False
        if address[:2] == self._proxy:
            return True
        host = str(address[0])
        found = literal(host)
        if found is None:  # a name: resolved once more, it could lead elsewhere
            return False
        return self._allow_private or host in self._named or address_refusal(found) is None


def _addresses(host: str) -> set[str]:
    with suppress(OSError, UnicodeError):
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    return set()

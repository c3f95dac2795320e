"""Has others told when a batch has ended, as the settings say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from downloader.egress.guard import open_named
from downloader.notify.apprise_receiver import AppriseReceiver, check_apprise
from downloader.notify.deliverer import Deliverer
from downloader.notify.receivers import Receiver
from downloader.notify.webhook import Webhook
from downloader.settings import Settings
from downloader.store.repository import Store

log = logging.getLogger(__name__)


def check_receivers(settings: Settings) -> None:
    """Check at startup what only Apprise itself can tell. Raises StartRefused."""
    if settings.notify:
        check_apprise(settings.notify)


def start_notifications(settings: Settings, store: Store, clock: Callable[[], datetime]) -> Deliverer | None:
    """Start to tell of batches that end in *store*; return what does, None: no one is to be told."""
    open_grant = partial(open_named, settings.for_downloads())
    receivers: list[Receiver] = [
        # By number: what waits for one is not to be told by its URL, which is secret.
        AppriseReceiver(f"apprise-{number}", url, open_grant)
        for number, url in enumerate(settings.notify or (), 1)
    ]
    if settings.webhook_url is not None:
        receivers.append(Webhook(settings.webhook_url, settings.webhook_secret, open_grant))
    if not receivers:
        return None
    names = [receiver.name for receiver in receivers]
    outbox = store.open_outbox(names, only_problems=settings.notify_on == "problems")
    if dropped := outbox.drop_others():
        log.warning("notifications of receivers that are not set any more were dropped", extra={"messages": dropped})
    deliverer = Deliverer(receivers, outbox, clock)
    outbox.on_added = deliverer.wake
    deliverer.start()
    return deliverer

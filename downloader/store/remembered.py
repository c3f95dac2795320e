"""What the queue remembers beside its jobs: the state of each platform by way out, and whether it is paused."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, update

from downloader.jobs import CooldownState
from downloader.store import queries
from downloader.store.changes import Change
from downloader.store.rows import utc
from downloader.store.schema import cooldowns, numbers


def save_cooldown(change: Change, state: CooldownState) -> None:
    """See `Store.save_cooldown`."""
    until = None if state.cooling_until is None else utc(state.cooling_until)
    change.lock_numbers()
    before = {(each.platform, each.egress): each for each in queries.cooldown_states(change.connection)}
    key = (state.platform, state.egress)
    if before.get(key) == state:
        return
    values: dict[str, Any] = {"cap": state.cap, "cooling_until": until, "strikes": state.strikes}
    if key not in before:
        change.connection.execute(insert(cooldowns), values | {"platform": state.platform, "egress": state.egress})
    else:
        same = (cooldowns.c.platform == state.platform) & (cooldowns.c.egress == state.egress)
        change.connection.execute(update(cooldowns).where(same).values(values))
    shown = {"cooling_until": None if until is None else until.isoformat(), "platform": state.platform}
    if state.egress:
        shown["egress"] = state.egress
    change.tell("platform_changed", data=values | shown)


def set_paused(change: Change, paused: bool) -> None:
    """See `Store.set_paused`."""
    change.lock_numbers()
    if queries.paused(change.connection) != paused:
        change.connection.execute(update(numbers).where(numbers.c.name == "paused").values(value=int(paused)))
        change.tell("queue_changed", data={"paused": paused})

"""The machines of a fleet, as the server hears of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from downloader.engines.fleet.wire import Sign
from downloader.jobs import Machine

#: Silent for so long, a machine gets nothing more.
SILENT_SECONDS = 5.0

#: Silent for so long, it is forgotten.
FORGET_SECONDS = 3600.0


@dataclass(slots=True)
class _Heard:
    sign: Sign
    at: float  #: by the monotonic clock
    heard_at: datetime
    is_gone: bool = False


class Machines:
    """Who said what, and when. Time counts only while the broker is there: without it no one is heard."""

    def __init__(self, version: str, fingerprint: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Compare what machines say with *version* and *fingerprint*, the server's own."""
        self._version = version
        self._fingerprint = fingerprint
        self._clock = clock
        self._heard: dict[str, _Heard] = {}  #: by node
        self.connected_at: float | None = None  #: None: the broker is away

    def hear(self, sign: Sign) -> None:
        """Note a sign of life; forget who was silent for long, or was started again."""
        self._heard[sign.node] = _Heard(sign, self._clock(), datetime.now(UTC))
        for node, other in tuple(self._heard.items()):
            restarted = (
                other.sign.name == sign.name and node != sign.node and self.silent_seconds(node) > SILENT_SECONDS
            )
            if restarted or self.silent_seconds(node) > FORGET_SECONDS:
                del self._heard[node]

    def gone(self, node: str) -> None:
        """Note that *node* is gone, without waiting for its silence, unless it is heard again."""
        if (heard := self._heard.get(node)) is not None:
            heard.is_gone = True

    def silent_seconds(self, node: str) -> float:
        """Return for how long nothing was heard of *node*, though it could have been."""
        if self.connected_at is None:
            return 0.0
        heard = self._heard.get(node)
        if heard is not None and heard.is_gone:
            return FORGET_SECONDS
        return self._clock() - max(self.connected_at, 0.0 if heard is None else heard.at)

    def was_heard_since(self, node: str, moment: float) -> bool:
        """Tell whether *node* was heard after *moment*."""
        heard = self._heard.get(node)
        return heard is not None and heard.at > moment

    def runs(self, node: str, job: str, attempt: int) -> bool:
        """Tell whether *node* runs an attempt, as it last said."""
        heard = self._heard.get(node)
        return heard is not None and any((each.job, each.attempt) == (job, attempt) for each in heard.sign.running)

    def signs(self) -> list[Sign]:
        """Return the last sign of each machine that is heard."""
        return [heard.sign for node, heard in self._heard.items() if self.silent_seconds(node) <= SILENT_SECONDS]

    def capacity(self) -> Mapping[str, int]:
        """Return how many attempts each way out can take at once; none while the broker is away."""
        places: Counter[str] = Counter()
        for sign in self.signs() if self.connected_at is not None else ():
            if sign.is_consuming and not sign.is_draining and sign.fault is None:
                places[sign.egress] += sign.places
        return dict(places)

    def is_full(self, egress: str) -> bool:
        """Tell whether there are machines that take *egress*, and none of them could run another attempt."""
        busy = sum(len(sign.running) for sign in self.signs() if sign.egress == egress)
        return busy >= self.capacity().get(egress, 0) > 0

    def view(self) -> Sequence[Machine]:
        """Return all of them, by name."""
        found = [self._machine(heard) for heard in self._heard.values()]
        alive = Counter(machine.id for machine in found if machine.is_alive)
        twice = "Another machine has the same name: set DOWNLOADER_MACHINE on one of them."
        found = [replace(each, fault=twice) if alive[each.id] > 1 and each.is_alive else each for each in found]
        return sorted(found, key=lambda machine: (machine.id, machine.started_at))

    def _machine(self, heard: _Heard) -> Machine:
        sign = heard.sign
        return Machine(
            id=sign.name,
            egress=sign.egress,
            places=sign.places,
            busy=len(sign.running),
            version=sign.version,
            started_at=sign.started_at,
            heard_at=heard.heard_at,
            is_draining=sign.is_draining,
            is_alive=self.connected_at is not None and self.silent_seconds(sign.node) <= SILENT_SECONDS,
            fault=sign.fault or self._difference(sign),
        )

    def _difference(self, sign: Sign) -> str | None:
        if sign.version != self._version:
            return f"It runs version {sign.version}, the server {self._version}: install the same."
        if sign.fingerprint != self._fingerprint:
            return "Its download settings differ from the server's: set the same DOWNLOADER_… variables."
        return None

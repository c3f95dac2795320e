"""Runs attempts in warm worker processes, a few in each: a hung one is killed, and the others in it go on elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from downloader.download_settings import DownloadSettings
from downloader.egress.guard import EgressSession, open_egress
from downloader.engines.attempt import Stalled, StallWatch, failed
from downloader.engines.base import EngineHealth
from downloader.engines.pool import CrewLimits, Hand, WorkerCrew
from downloader.engines.worker import Done
from downloader.engines.worker_process import WorkerLost
from downloader.errors import StartRefused
from downloader.jobs import Progress, Work
from downloader.models import Outcome

log = logging.getLogger(__name__)

#: How long an attempt that must end may take to end by itself, before its process is killed, which ends others too.
GRACE_SECONDS = 1.0

#: How long to wait for a worker that was killed; it takes milliseconds.
_END_SECONDS = 1.0

#: How long the start waits for the first worker, which has yt-dlp to load.
_START_SECONDS = 30.0


class _Displaced(Exception):
    """An attempt was ended with its process, through no fault of its own."""


class _Together(WorkerLost):
    """A process died with several attempts in it: it may have been any one of them."""


@dataclass(eq=False, frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A running attempt."""

    work: Work
    hand: Hand
    on_progress: Callable[[Progress], None]
    watch: StallWatch
    end: asyncio.Future[Outcome]

    def fail(self, error: Exception) -> None:
        if not self.end.done():
            self.end.set_exception(error)
            self.end.exception()  # seen: nobody may be waiting for it any more


class ProcessEngine:
    """An `Engine`. Everything here happens on the loop that `start` ran on."""

    def __init__(self, settings: DownloadSettings, limits: CrewLimits) -> None:
        """Run attempts as *settings* say, as many at once as *limits* allow; those beyond wait their turn."""
        self._settings = settings
        self._crew = WorkerCrew(settings, limits, on_message=self._heard, on_lost=self._lost)
        self._attempts: dict[str, _Attempt] = {}  #: by job
        self._kills = 0
        self._closed = False

    async def start(self) -> None:
        """Start a first worker and wait until it is ready."""
        try:
            self._crew.give_back(await asyncio.wait_for(self._crew.hire(), _START_SECONDS))
        except (WorkerLost, TimeoutError) as error:
            log.error("no worker could be started", extra={"detail": str(error)})

    async def run(self, work: Work, on_progress: Callable[[Progress], None]) -> Outcome:
        """Run one attempt; see `Engine.run`. A cancelled one is over, with all its processes, when this returns."""
        alone = False
        while True:
            try:
                return await self._run_once(work, on_progress, alone=alone)
            except _Displaced:
                log.info("a download goes on in another worker", extra={"job_id": work.job_id})
            except _Together as lost:
                # It goes on from what there is. Should it be the one to blame, it will be alone with it.
                log.warning("a worker died: going on in one alone", extra={"job_id": work.job_id, "detail": str(lost)})
                alone = True

    async def _run_once(self, work: Work, on_progress: Callable[[Progress], None], *, alone: bool) -> Outcome:
        try:
            hand = await self._crew.hire(alone=alone)
        except WorkerLost as lost:
            return failed(work.platform, "interrupted", str(lost))
        try:
            if hand.lost:  # between its being given and this
                if hand.gone is not None:  # for another's sake, or at the end, of which the crew will tell
                    raise _Displaced
                return failed(work.platform, "interrupted", "the worker was lost before it could begin")
            with ExitStack() as stack:
                try:
                    egress = stack.enter_context(open_egress(self._settings))
                except (OSError, StartRefused) as error:
                    return failed(work.platform, "internal", f"the egress proxy did not start: {error}")
                outcome = await self._attempt(hand, replace(work, proxy=egress.url), on_progress, egress)
                refusal = egress.refusal(outcome)
            return outcome if refusal is None else failed(work.platform, "blocked_address", refusal)
        finally:
            self._crew.give_back(hand)

    async def _attempt(
        self, hand: Hand, work: Work, on_progress: Callable[[Progress], None], egress: EgressSession
    ) -> Outcome:
        """Run one attempt in *hand*, which has a place for it."""
        end: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        watch = StallWatch(work, self._settings)
        attempt = _Attempt(work=work, hand=hand, on_progress=on_progress, watch=watch, end=end)
        self._attempts[work.job_id] = attempt
        hand.worker.send(work)
        try:
            try:
                return await watch.wait_for(end)
            except Stalled as stalled:
                log.warning("a download hangs: ending it", extra={"job_id": work.job_id, "detail": str(stalled)})
                await self._end(attempt, egress)
                return failed(work.platform, "timeout", str(stalled))
        except _Together:
            raise
        except WorkerLost as lost:
            if not self._closed:
                log.warning("a worker died", extra={"job_id": work.job_id, "detail": str(lost)})
            return failed(work.platform, "interrupted", str(lost))
        except asyncio.CancelledError:
            await self._end(attempt, egress)
            # A success of this very moment has left its files: who asked for the end decides what becomes of them.
            if end.done() and end.exception() is None and (outcome := end.result())[0]:
                return outcome
            raise
        finally:
            if self._attempts.get(work.job_id) is attempt:
                del self._attempts[work.job_id]

    async def _end(self, attempt: _Attempt, egress: EgressSession) -> None:
        """End *attempt*, and with it no other if that can be; return when nothing is left of it."""
        if attempt.end.done():
            return
        hand = attempt.hand
        if hand.taken > 1:
            # What waits for the network wakes when that is cut, and then finds that it is to stop.
            hand.worker.stop(attempt.work.job_id)
            egress.revoke()
            await asyncio.wait({attempt.end}, timeout=GRACE_SECONDS)
            if attempt.end.done():
                return
        self._kills += 1
        gone = self._crew.send_away(hand)
        for other in self._attempts_of(hand):
            other.fail(WorkerLost("ended") if other is attempt else _Displaced())
        self._crew.keep_enough()
        await asyncio.wait({gone}, timeout=_END_SECONDS)

    def health(self) -> EngineHealth:
        """Return how it is; a worker that is being started does not count yet."""
        return EngineHealth(
            workers=len(self._crew.ready),
            busy=len(self._attempts),
            restarts=self._kills + self._crew.deaths,
            asleep=self._crew.asleep,
        )

    async def close(self) -> None:
        """Kill every worker; what runs ends as interrupted."""
        self._closed = True
        await self._crew.close(_END_SECONDS)

    # What the crew says

    def _heard(self, hand: Hand, message: Progress | Done) -> None:
        attempt = self._attempts.get(message.job_id)
        if attempt is None or attempt.hand is not hand:
            return
        if isinstance(message, Progress):
            attempt.watch.note(message)
            attempt.on_progress(message)
            return
        self._crew.has_done(hand, message.memory_bytes)
        if not attempt.end.done():
            attempt.end.set_result(message.outcome)

    def _lost(self, hand: Hand, how: str) -> None:
        attempts = self._attempts_of(hand)
        together = len(attempts) > 1 and not self._closed
        for attempt in attempts:
            attempt.fail(_Together(how) if together else WorkerLost(how))

    def _attempts_of(self, hand: Hand) -> list[_Attempt]:
        return [attempt for attempt in self._attempts.values() if attempt.hand is hand]

"""Has attempts run by other machines, which it reaches by RabbitMQ."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from downloader.download_settings import DownloadSettings
from downloader.engines.base import AttemptLost, Engine, EngineHealth
from downloader.engines.fleet.link import Link
from downloader.engines.fleet.machines import SILENT_SECONDS, Machines
from downloader.engines.fleet.wire import (
    Command,
    CommandKind,
    End,
    Order,
    Refused,
    Report,
    Running,
    Sign,
    absolute_file,
    fingerprint,
    make_app,
)
from downloader.errors import sentence
from downloader.jobs import Machine, Progress, Work
from downloader.models import Outcome

log = logging.getLogger(__name__)

#: How long the start waits for the broker, and then for machines to say what they run.
CONNECT_SECONDS, ADOPT_SECONDS = 10.0, 2.0

#: How long attempts that an earlier server sent are left alone until this one asks for them.
ADOPTION_SECONDS = 30.0

#: How long a machine has to show that it still runs what was given to another meanwhile.
PROOF_SECONDS = 1.2

#: After the broker was away, machines come back one after the other.
RETURN_SECONDS = 5.0

#: How long a machine has to end an attempt.
CANCEL_SECONDS = 3.0

#: Silent for so long, a machine has lost its attempts.
LOST_SECONDS = 2 * SILENT_SECONDS

#: After so long, an attempt that no machine runs is lost.
IDLE_SECONDS = 10.0

_TICK_SECONDS, _LOOK_SECONDS = 0.5, 0.1
_CLOSE_SECONDS = 2.0


@dataclass(eq=False, slots=True, kw_only=True)
class _Sent:
    """An attempt that was handed out."""

    work: Work
    on_progress: Callable[[Progress], None]
    on_resolved: Callable[[str], None] | None
    end: asyncio.Future[Outcome | End]  #: or AttemptLost
    node: str | None = None  #: that runs it
    idle_seconds: float = 0.0  #: for so long no machine has run it, though one could

    def finish(self, end: Outcome | End) -> None:
        if not self.end.done():
            self.end.set_result(end)

    def lose(self, detail: str) -> None:
        if not self.end.done():
            self.end.set_exception(AttemptLost(detail))
            self.end.exception()  # marks it as retrieved: no one may be waiting for it any more

    async def outcome(self) -> Outcome:
        end = self.end.result()
        if isinstance(end, End):  # a look at the files may take long
            return await asyncio.to_thread(_outcome, end, self.work)
        return end


class CeleryEngine(Engine):
    """An `Engine` whose attempts run on the machines of a fleet."""

    def __init__(self, settings: DownloadSettings, broker_url: str, *, version: str) -> None:
        """Hand attempts to machines with *settings*, by the broker at *broker_url*."""
        self._machines = Machines(version, fingerprint(settings))
        self._link = Link(make_app(broker_url), self._hear_soon, self._link_changed_soon)
        self._sent: dict[str, _Sent] = {}  #: by job
        #: What an earlier server sent, by job: the number of the attempt, the machine, and its end if that came.
        self._adopted: dict[str, tuple[int, str, Report | None]] = {}
        self._is_adopting = False
        self._adoption_ends_at = 0.0
        self._capacity: Mapping[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connected = asyncio.Event()
        self._back_at = 0.0  #: when the broker came back
        self._ticking: asyncio.Task[None] | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._closed = False

    # Life

    async def adopt(self) -> Mapping[str, int]:
        """See `Engine.adopt`; takes some seconds."""
        self._is_adopting = True
        self._open()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), CONNECT_SECONDS)
            await asyncio.sleep(ADOPT_SECONDS)
        self._is_adopting, self._adoption_ends_at = False, time.monotonic() + ADOPTION_SECONDS
        return {job: attempt for job, (attempt, _, _) in self._adopted.items()}

    async def start(self) -> None:
        """Connect to the broker, without waiting for it."""
        self._open()

    def _open(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._ticking = asyncio.create_task(self._tick(), name="fleet")
            self._link.start()

    async def close(self) -> None:
        """Leave running attempts to their machines; the next server adopts them."""
        self._closed = True
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.to_thread(self._link.close, _CLOSE_SECONDS)

    # Attempts

    async def run(
        self, work: Work, on_progress: Callable[[Progress], None], on_resolved: Callable[[str], None] | None = None
    ) -> Outcome:
        """Run one attempt; see `Engine.run`. As long as the broker is away, it waits."""
        end = asyncio.get_running_loop().create_future()
        sent = _Sent(work=work, on_progress=on_progress, on_resolved=on_resolved, end=end)
        self._sent[work.job_id] = sent
        attempt, node, ended = self._adopted.pop(work.job_id, (0, "", None))
        if attempt == work.attempt:
            sent.node = node
            if ended is not None:
                self._end(sent, ended)
            else:
                self._tell(sent, "follow")
        else:
            self._link.hand_out(Order.of(work), work.egress, lambda: self._sent.get(work.job_id) is sent)
        try:
            await asyncio.wait({sent.end})
            return await sent.outcome()
        except asyncio.CancelledError:
            if self._closed or (outcome := await self._cancel(sent)) is None:
                raise
            return outcome
        finally:
            if self._sent.get(work.job_id) is sent:
                del self._sent[work.job_id]

    async def _cancel(self, sent: _Sent) -> Outcome | None:
        """Have *sent* ended; return its outcome if it succeeded all the same."""
        if sent.node is not None and not sent.end.done():
            self._tell(sent, "cancel")
            await asyncio.wait({sent.end}, timeout=CANCEL_SECONDS)
        if not sent.end.done() or sent.end.exception() is not None:
            return None
        outcome = await sent.outcome()
        return outcome if outcome[0] else None

    def permit(self, job_id: str) -> None:
        """See `Engine.permit`."""
        if (sent := self._sent.get(job_id)) is not None:
            sent.work = replace(sent.work, may_download=True)  # if it is granted only later
            self._tell(sent, "permit")

    def proceed(self, job_id: str) -> None:
        """See `Engine.proceed`."""
        if (sent := self._sent.get(job_id)) is not None:
            self._tell(sent, "proceed")

    def _tell(self, sent: _Sent, kind: CommandKind) -> None:
        if sent.node is not None:
            work = sent.work
            command = Command(kind=kind, job=work.job_id, attempt=work.attempt, may_download=work.may_download)
            self._link.command(sent.node, command)

    def _drop(self, node: str, job: str, attempt: int) -> None:
        self._link.command(node, Command(kind="drop", job=job, attempt=attempt))

    # What is known of the fleet

    def health(self) -> EngineHealth:
        """Return the current state: each place is a worker."""
        busy = sum(sent.node is not None for sent in self._sent.values())
        return EngineHealth(workers=sum(self._machines.capacity().values()), busy=busy, restarts=0)

    def capacity(self) -> Mapping[str, int]:
        """See `Engine.capacity`."""
        return self._machines.capacity()

    def machines(self) -> Sequence[Machine]:
        """See `Engine.machines`."""
        return self._machines.view()

    async def _tick(self) -> None:
        """End what is lost; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                self._check_all()
            except Exception:
                log.exception("the fleet could not be checked")

    def _check_all(self) -> None:
        self._note_capacity()
        for sent in tuple(self._sent.values()) if self._machines.connected_at is not None else ():
            self._check(sent)
        if not self._is_adopting and time.monotonic() > self._adoption_ends_at:
            self._adopted.clear()

    def _check(self, sent: _Sent) -> None:
        """End *sent* if its machine is gone, or if no machine runs it although one could: a message was lost."""
        machines, work = self._machines, sent.work
        if sent.node is None:
            is_well = machines.is_full(work.egress)
        elif machines.silent_seconds(sent.node) > LOST_SECONDS:
            self._lose(sent, "its machine is gone")
            return
        else:
            is_well = machines.runs(sent.node, work.job_id, work.attempt)
        sent.idle_seconds = 0.0 if is_well else sent.idle_seconds + _TICK_SECONDS
        if sent.idle_seconds > IDLE_SECONDS:
            self._lose(sent, "no machine runs it")

    def _lose(self, sent: _Sent, detail: str) -> None:
        sent.lose(detail)
        self._sent.pop(sent.work.job_id, None)  # from now on, reports of it are outdated

    def _note_capacity(self) -> None:
        capacity = self._machines.capacity()
        if capacity != self._capacity:
            self._capacity = capacity
            self.on_capacity()

    # What machines say

    def _link_changed_soon(self, is_there: bool) -> None:
        self._call(self._link_changed, is_there)

    def _hear_soon(self, said: Report | Sign) -> None:
        self._call(self._hear, said)

    def _call(self, function: Callable[..., None], argument: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, argument)

    def _link_changed(self, is_there: bool) -> None:
        self._machines.connected_at = time.monotonic() if is_there else None
        if is_there and self._connected.is_set():
            self._back_at = time.monotonic()
        if is_there:
            self._connected.set()
        self._note_capacity()

    def _hear(self, said: Report | Sign) -> None:
        if isinstance(said, Sign):
            self._machines.hear(said)
            for running in said.running:
                self._hear_of(running, said.node)
            self._note_capacity()
            return
        sent = self._current(said.job, said.attempt)
        if said.kind == "ask":
            self._answer(said, sent)
        elif sent is not None and said.node == (sent.node or said.node):
            self._take(said, sent)
        elif said.kind == "end" and (self._is_adopting or self._is_reserved(said.job, said.attempt)):
            self._adopted[said.job] = (said.attempt, said.node, said)
        elif said.kind != "end":
            self._drop(said.node, said.job, said.attempt)

    def _current(self, job: str, attempt: int) -> _Sent | None:
        sent = self._sent.get(job)
        return sent if sent is not None and sent.work.attempt == attempt else None

    def _is_reserved(self, job: str, attempt: int) -> bool:
        """Tell whether the queue was told of an attempt that an earlier server sent, and may yet ask for it."""
        is_known = self._adopted.get(job, (0, "", None))[0] == attempt
        return is_known and job not in self._sent and time.monotonic() < self._adoption_ends_at

    def _hear_of(self, running: Running, node: str) -> None:
        """Note that *node* runs an attempt; have it dropped if it should not."""
        sent = self._current(running.job, running.attempt)
        if sent is not None and sent.node == node:
            if running.progress is not None:
                sent.on_progress(replace(running.progress, job_id=running.job, details=None, page=None))
        elif self._is_adopting and not running.is_listing:  # of a list, pages may be lost: it is read again
            self._adopted.setdefault(running.job, (running.attempt, node, None))
        elif not self._is_reserved(running.job, running.attempt):
            self._drop(node, running.job, running.attempt)

    def _answer(self, ask: Report, sent: _Sent | None) -> None:
        """Grant an attempt to the machine that asks, once; each is run by one machine at most."""
        if sent is None:
            self._drop(ask.node, ask.job, ask.attempt)
        elif sent.node in (None, ask.node):
            if sent.node is None:
                sent.node = ask.node
                sent.on_progress(Progress(job_id=ask.job, phase="extracting"))
            self._tell(sent, "grant")
        else:
            task = asyncio.create_task(self._settle(ask, sent, sent.node), name=f"settle {ask.job}")
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def _settle(self, ask: Report, sent: _Sent, node: str) -> None:
        """Find out whether *node* still runs what the broker gave to another machine: it lost the first one."""
        asked_at = time.monotonic()
        until = max(asked_at + PROOF_SECONDS, self._back_at + RETURN_SECONDS)
        while time.monotonic() < until and not self._machines.was_heard_since(node, asked_at):
            await asyncio.sleep(_LOOK_SECONDS)
        if not self._machines.was_heard_since(node, asked_at):
            self._machines.gone(node)
            self._check_all()
        elif not self._machines.runs(node, ask.job, ask.attempt):
            self._lose(sent, "its machine does not run it any more")
        self._drop(ask.node, ask.job, ask.attempt)

    def _take(self, report: Report, sent: _Sent) -> None:
        """Hand on what the machine that runs *sent* reports."""
        if not report.names_only(sent.work.platform):
            log.warning("a message of the fleet was refused", extra={"detail": "a link of another host"})
        elif report.kind in ("end", "refused"):
            self._end(sent, report)
        elif report.kind == "resolved" and report.link is not None:
            if sent.on_resolved is None:
                self._tell(sent, "proceed")
            else:
                sent.on_resolved(report.link)
        elif report.progress is not None:
            sent.on_progress(replace(report.progress, job_id=report.job))

    def _end(self, sent: _Sent, report: Report) -> None:
        if report.kind == "refused":
            detail = f"the machine refused it: {(report.detail or '')[:500]}"
            sent.finish(Outcome.failed("internal", sent.work.platform, detail))
        elif report.end is None:
            sent.lose("its machine ended it")
        else:
            sent.finish(report.end)


def _outcome(end: End, work: Work) -> Outcome:
    """Return what *end* means; its files are below the output folder, and there."""
    if not end.success:
        code, asked_seconds = end.error_code or "internal", end.retry_after_seconds
        return Outcome(
            False,
            None,
            end.error or sentence(code),
            error_code=code,
            detail=end.detail,
            retry_after_seconds=None if asked_seconds is None else max(asked_seconds, 0.0),
            walled=end.walled,
        )
    if end.media is None:
        return Outcome(True, detail=end.detail)  # a collection that was listed
    try:
        files = tuple(absolute_file(name, work.output_dir) for name in end.media.files)
    except Refused as error:
        return Outcome.failed("internal", work.platform, str(error))
    if not files or not all(map(os.path.isfile, files)):
        detail = "the machine's files are not here: does it use the same storage folder?"
        return Outcome.failed("file_missing", work.platform, detail)
    return Outcome(True, files[0], None, media=replace(end.media, files=files), detail=end.detail)

"""Whatever is asked of a store, in any order: it agrees with a simple model, and no job leaves the table of moves."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from downloader.errors import RETRYABLE, ErrorCode, NotFound
from downloader.jobs import FINAL_STATES, TRANSITIONS, Job, JobFilter, JobState, NewJob
from downloader.models import Media, Outcome
from downloader.store.repository import Store
from tests import postgres

pytestmark = pytest.mark.thorough

START = datetime(2026, 3, 1, tzinfo=UTC)
PLATFORMS: tuple[Literal["tiktok", "youtube"], ...] = ("tiktok", "youtube")

SUCCESS = Outcome(True, "/raw/a.mp4", None, media=Media(files=("/raw/a.mp4",), title="A film", size_bytes=7))
FAILURE = Outcome(False, None, "It broke.", error_code="network")
LASTING_FAILURE = Outcome(False, None, "It is private.", error_code="private")
PAUSE = timedelta(seconds=20)

#: (state, result) in which an attempt can end.
ENDS: list[tuple[JobState, Literal["succeeded", "failed", "interrupted", "cancelled"]]] = [
    ("succeeded", "succeeded"),
    ("failed", "failed"),
    ("waiting", "failed"),
    ("waiting", "interrupted"),
    ("queued", "interrupted"),
    ("cancelled", "cancelled"),
]


def second_try(job: Job, now: datetime) -> datetime | None:
    return now + PAUSE if job.error_code in RETRYABLE else None


@dataclass
class ExpectedBatch:
    """What the model knows of a batch."""

    total: int
    retry_failed_once: bool
    second_round_at: datetime | None = None
    second_round_jobs: int = 0


@dataclass
class Expected:
    """What the model knows of a job."""

    batch_id: str
    platform: str
    owned: bool
    state: JobState
    counted_attempts: int = 0
    attempt_number: int = 0
    until: datetime | None = None
    error_code: ErrorCode | None = None
    final_attempt: bool = False


class StoreMachine(RuleBasedStateMachine):
    """A store and its model, side by side."""

    def __init__(self, database_url: str, resources: ExitStack) -> None:
        super().__init__()
        self.resources = resources
        self.store = Store.open(database_url)
        self.store.on_batch_end(second_try)
        self.now = START
        self.jobs: dict[str, Expected] = {}  # oldest first
        self.batches: dict[str, ExpectedBatch] = {}
        self.seen: dict[str, JobState] = {}  # by events alone
        self.rounds: set[str] = set()  # batches that had one, by events alone
        self.last_event_id = 0
        self.numbers = itertools.count()

    def teardown(self) -> None:
        try:
            self.run_to_the_end()
        finally:
            self.store.close()
            self.resources.close()

    def run_to_the_end(self) -> None:
        """Wherever it was left: what is left to do ends, with a second round wherever one is due, and only there."""
        for _ in range(3):  # the first round, the second, and one more in which nothing is left to do
            for platform in PLATFORMS:
                self.work_off(platform, [False, True, None])
            self.no_job_is_lost_and_each_is_as_expected()
            self.counts_add_up()
            self.events_tell_of_every_move_and_of_legal_ones_alone()
            self.time_passes(60)
        assert self.store.due() == {}
        assert all(job.state in FINAL_STATES for job in self.jobs.values())

    def pick(self, choices: list[int]) -> list[str]:
        """Return some of the jobs that there are, and one that there is not."""
        ids = list(self.jobs)
        return ["nothing", *(ids[choice % len(ids)] for choice in choices if ids)]

    def ended(self, job_ids: Iterable[str]) -> None:
        """Have the second rounds begin that *job_ids*, final since just now, give rise to."""
        for batch_id in {self.jobs[job_id].batch_id for job_id in job_ids}:
            batch, jobs = self.batches[batch_id], self.of_batch(batch_id)
            again = [job for job in jobs if job.state == "failed" and job.error_code == "network"]
            wanted = batch.retry_failed_once and batch.second_round_at is None
            if again and wanted and all(job.state in FINAL_STATES for job in jobs):
                batch.second_round_at, batch.second_round_jobs = self.now, len(again)
                for job in again:
                    job.state, job.until, job.final_attempt = "waiting", self.now + PAUSE, True

    def of_batch(self, batch_id: str) -> list[Expected]:
        return [job for job in self.jobs.values() if job.batch_id == batch_id]

    # -- what can be asked

    @initialize(number=st.integers(1, 3))
    def something_to_do(self, number: int) -> None:
        """Hypothesis leaves out some rules in each example: without this most would go on about an empty store."""
        self.submit([(each, "tiktok", "good", "video") for each in range(number)], retry_failed_once=True)

    @rule(
        sent=st.lists(
            st.tuples(
                st.integers(0, 3),
                st.sampled_from(PLATFORMS),
                st.sampled_from(["good", "invalid", "unowned"]),
                st.sampled_from(["video", "480p"]),
            ),
            min_size=1,
            max_size=5,
        ),
        retry_failed_once=st.booleans(),
    )
    def submit(self, sent: list[tuple[int, Literal["tiktok", "youtube"], str, str]], retry_failed_once: bool) -> None:
        salt = next(self.numbers)
        codes: dict[str, ErrorCode | None] = {"good": None, "invalid": "invalid_url", "unowned": "unsupported_platform"}
        new = [
            NewJob(
                url=f"{platform}/{number}/{kind}/{salt}",
                link=None if kind == "unowned" else f"{platform}/{number}/{kind}",
                platform="unknown" if kind == "unowned" else platform,
                error_code=codes[kind],
                preset=preset,
            )
            for number, platform, kind, preset in sent
        ]
        submission = self.store.submit(new, now=self.now, retry_failed_once=retry_failed_once)
        assert [job.url.rsplit("/", 1)[0] for job in submission.jobs] == [one.url.rsplit("/", 1)[0] for one in new]
        assert len({job.id for job in submission.jobs}) == len(set(sent))
        assert [job.preset for job in submission.jobs] == [one.preset for one in new]
        self.batches[submission.batch.id] = ExpectedBatch(len(sent), retry_failed_once)
        for job, one in zip(submission.jobs, new, strict=True):
            state: JobState = "queued" if one.error_code is None else "failed"
            owned = one.link is not None
            self.jobs[job.id] = Expected(submission.batch.id, one.platform, owned, state, error_code=one.error_code)
            self.seen[job.id] = state

    @rule(platform=st.sampled_from(PLATFORMS), limit=st.integers(0, 4))
    def claim(self, platform: Literal["tiktok", "youtube"], limit: int) -> None:
        ready = [
            job_id
            for job_id, job in self.jobs.items()
            if job.platform == platform and (job.state == "queued" or (job.until is not None and job.until <= self.now))
        ]
        claimed = self.store.claim(platform, limit, now=self.now)
        assert [job.id for job in claimed] == ready[:limit]
        for job in claimed:
            expected = self.jobs[job.id]
            expected.state, expected.until, expected.error_code = "running", None, None
            expected.counted_attempts += 1
            expected.attempt_number += 1

    @rule(choice=st.integers(0, 99), end=st.sampled_from(ENDS), lasting=st.booleans(), stale=st.booleans())
    def finish(self, choice: int, end: tuple[JobState, Any], lasting: bool, stale: bool) -> None:
        self.end(self.pick([choice])[-1], end, lasting, stale)

    @rule(platform=st.sampled_from(PLATFORMS), failures=st.lists(st.sampled_from([None, False, True]), min_size=1))
    def work_off(self, platform: Literal["tiktok", "youtube"], failures: list[bool | None]) -> None:
        """Run all that is ready; of *failures*, each in turn, None is a success and True one that lasts."""
        self.claim(platform, 100)
        running = [job_id for job_id, job in self.jobs.items() if job.platform == platform and job.state == "running"]
        for job_id, lasting in zip(running, itertools.cycle(failures), strict=False):
            self.end(job_id, ("succeeded", "succeeded") if lasting is None else ("failed", "failed"), lasting is True)

    def end(self, job_id: str, end: tuple[JobState, Any], lasting: bool, stale: bool = False) -> None:
        state, result = end
        expected = self.jobs.get(job_id)
        until = self.now + timedelta(seconds=30) if state == "waiting" else None
        failure = LASTING_FAILURE if lasting else FAILURE
        outcome = {"succeeded": SUCCESS, "failed": failure}.get(result)
        ended = self.store.finish(
            job_id,
            state=state,
            result=result,
            outcome=outcome,
            now=self.now,
            next_attempt_at=until,
            attempt=expected.attempt_number - 1 if expected and stale else None,
        )
        if expected is None or expected.state != "running" or stale:
            assert ended is None
            return
        assert ended == self.store.job(job_id)
        expected.state, expected.until = state, until
        expected.error_code = None if outcome is None else outcome.error_code
        expected.counted_attempts -= result == "interrupted"
        if state in FINAL_STATES:
            self.ended([job_id])

    @rule(choices=st.lists(st.integers(0, 99), max_size=4))
    def cancel(self, choices: list[int]) -> None:
        ids = self.pick(choices)
        cancelled = {job.id for job in self.store.cancel(ids, now=self.now)}
        assert cancelled == {job_id for job_id in ids[1:] if self.jobs[job_id].state not in FINAL_STATES}
        for job_id in cancelled:
            self.cancelled(self.jobs[job_id])
        self.ended(cancelled)

    @rule(choice=st.integers(0, 99))
    def cancel_batch(self, choice: int) -> None:
        if not self.batches:
            with pytest.raises(NotFound):
                self.store.cancel_batch("nothing", now=self.now)
            return
        batch_id = list(self.batches)[choice % len(self.batches)]
        unfinished = {
            job_id for job_id, job in self.jobs.items() if job.batch_id == batch_id and job.state not in FINAL_STATES
        }
        assert {job.id for job in self.store.cancel_batch(batch_id, now=self.now)} == unfinished
        self.batches[batch_id].retry_failed_once = False
        for job_id in unfinished:
            self.cancelled(self.jobs[job_id])

    def cancelled(self, job: Expected) -> None:
        job.state, job.until, job.error_code = "cancelled", None, "cancelled"

    @rule(choices=st.lists(st.integers(0, 99), max_size=4))
    def retry(self, choices: list[int]) -> None:
        ids = self.pick(choices)
        retried = {job.id for job in self.store.retry(ids, now=self.now)}
        assert retried == {
            job_id
            for job_id in ids[1:]
            if self.jobs[job_id].owned and self.jobs[job_id].state in {"failed", "cancelled"}
        }
        for job_id in retried:
            job = self.jobs[job_id]
            job.state, job.counted_attempts, job.error_code, job.final_attempt = "queued", 0, None, False

    @rule(choices=st.lists(st.integers(0, 99), max_size=4))
    def delete(self, choices: list[int]) -> None:
        ids = self.pick(choices)
        deleted = {job.id for job in self.store.delete(ids, now=self.now)}
        assert deleted == {job_id for job_id in ids[1:] if self.jobs[job_id].state in FINAL_STATES}
        for job_id in deleted:
            del self.jobs[job_id]
        left = {job.batch_id for job in self.jobs.values()}
        self.batches = {batch_id: batch for batch_id, batch in self.batches.items() if batch_id in left}

    @rule()
    def recover(self) -> None:
        running = [job for job in self.jobs.values() if job.state == "running"]
        assert self.store.recover(now=self.now) == len(running)
        for job in running:
            job.state = "queued"
            job.counted_attempts -= 1

    @rule(platform=st.sampled_from(PLATFORMS))
    def release_waiting(self, platform: Literal["tiktok", "youtube"]) -> None:
        waiting = [job for job in self.jobs.values() if job.platform == platform and job.state == "waiting"]
        assert self.store.release_waiting(platform, now=self.now) == len(waiting)
        for job in waiting:
            job.state, job.until = "queued", None

    @rule(seconds=st.sampled_from([1, 29, 60]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # -- what must hold

    @invariant()
    def no_job_is_lost_and_each_is_as_expected(self) -> None:
        jobs, more = self.store.jobs(JobFilter(limit=1000))
        assert more is None
        assert [job.id for job in jobs] == list(reversed(self.jobs))
        for job in jobs:
            expected = self.jobs[job.id]
            assert (job.state, job.counted_attempts) == (expected.state, expected.counted_attempts)
            assert job.attempt_number == expected.attempt_number
            assert (job.next_attempt_at, job.final_attempt) == (expected.until, expected.final_attempt)
            assert job.error_code == expected.error_code
            assert (job.next_attempt_at is not None) == (job.state == "waiting")
            assert (job.finished_at is not None) == (job.state in FINAL_STATES)

    @invariant()
    def attempts_are_numbered_and_one_runs_exactly_while_the_job_does(self) -> None:
        for job_id, expected in self.jobs.items():
            attempts = self.store.attempts(job_id)
            assert [one.number for one in attempts] == list(range(1, expected.attempt_number + 1))
            running = [one for one in attempts if one.result == "running"]
            assert len(running) == (expected.state == "running")
            assert all((one.ended_at is None) == (one.result == "running") for one in attempts)

    @invariant()
    def counts_add_up(self) -> None:
        found = {
            (platform, state): number
            for platform, states in self.store.counts().items()
            for state, number in states.items()
        }
        assert found == Counter((job.platform, job.state) for job in self.jobs.values())
        batches, _ = self.store.batches(limit=1000)
        assert {
            batch.id: ExpectedBatch(
                batch.total, batch.retry_failed_once, batch.second_round_at, batch.second_round_jobs
            )
            for batch in batches
        } == self.batches
        for batch in batches:
            assert batch.counts == Counter(job.state for job in self.jobs.values() if job.batch_id == batch.id)

    @invariant()
    def due_is_what_there_is_to_do(self) -> None:
        expected: dict[str, datetime | None] = {}
        for platform in PLATFORMS:
            jobs = [job for job in self.jobs.values() if job.platform == platform]
            waiting = [job.until for job in jobs if job.until is not None]
            if any(job.state == "queued" for job in jobs):
                expected[platform] = None
            elif waiting:
                expected[platform] = min(waiting)
        assert self.store.due() == expected

    @invariant()
    def events_tell_of_every_move_and_of_legal_ones_alone(self) -> None:
        for event in self.store.events_since(self.last_event_id, limit=10_000):
            assert event.id == self.last_event_id + 1
            self.last_event_id = event.id
            if event.kind == "job_changed":
                assert event.job_id is not None
                assert event.data["state"] in TRANSITIONS[self.seen[event.job_id]]
                if (self.seen[event.job_id], event.data["state"]) == ("failed", "waiting"):
                    self.batch_has_not_ended(event.batch_id)
                self.seen[event.job_id] = event.data["state"]
            elif event.kind == "batch_changed":
                self.batch_has_not_ended(event.batch_id)
                assert event.batch_id is not None
                assert event.batch_id not in self.rounds
                self.rounds.add(event.batch_id)
            elif event.kind == "job_deleted":
                assert event.job_id is not None
                assert self.seen.pop(event.job_id) in FINAL_STATES
        assert self.seen == {job_id: job.state for job_id, job in self.jobs.items()}

    def batch_has_not_ended(self, batch_id: str | None) -> None:
        """Who follows events must never take a batch for done that is about to have its second round."""
        states = {self.seen[job_id] for job_id, job in self.jobs.items() if job.batch_id == batch_id}
        assert states - FINAL_STATES


def examples(number: int, steps: int) -> settings:
    return settings(
        max_examples=number,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def test_no_sequence_of_calls_leads_astray_in_sqlite(tmp_path: Path) -> None:
    template = tmp_path / "template.sqlite3"
    Store.open(f"sqlite:///{template}").close()
    numbers = itertools.count()

    def machine() -> StoreMachine:
        resources = ExitStack()
        path = Path(shutil.copy(template, tmp_path / f"{next(numbers)}.sqlite3"))
        resources.callback(path.unlink)
        return StoreMachine(f"sqlite:///{path}", resources)

    run_state_machine_as_test(cast(Any, machine), settings=examples(20, 25))


def test_no_sequence_of_calls_leads_astray_in_postgresql() -> None:
    def machine() -> StoreMachine:
        resources = ExitStack()
        return StoreMachine(resources.enter_context(postgres.fresh_database()), resources)

    postgres.server()  # skips here, where that means the test
    run_state_machine_as_test(cast(Any, machine), settings=examples(5, 20))


@pytest.mark.parametrize("state", TRANSITIONS)
def test_the_table_of_moves_speaks_of_states_that_there_are(state: JobState) -> None:
    assert TRANSITIONS[state] <= TRANSITIONS.keys()
    assert state not in TRANSITIONS[state]

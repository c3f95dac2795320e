"""Whatever is asked of a store, in any order: it agrees with a simple model, and no job leaves the table of moves."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from downloader.jobs import FINAL_STATES, TRANSITIONS, JobState, NewJob
from downloader.models import Media, Outcome
from downloader.store import Store
from tests import postgres

START = datetime(2026, 3, 1, tzinfo=UTC)
PLATFORMS: tuple[Literal["tiktok", "youtube"], ...] = ("tiktok", "youtube")

SUCCESS = Outcome(True, "/raw/a.mp4", None, media=Media(files=("/raw/a.mp4",), title="A film", size_bytes=7))
FAILURE = Outcome(False, None, "It broke.", error_code="network")

#: (state, result) in which an attempt can end.
ENDS: list[tuple[JobState, Literal["succeeded", "failed", "interrupted", "cancelled"]]] = [
    ("succeeded", "succeeded"),
    ("failed", "failed"),
    ("waiting", "failed"),
    ("waiting", "interrupted"),
    ("queued", "interrupted"),
    ("cancelled", "cancelled"),
]


@dataclass
class Expected:
    """What the model knows of a job."""

    batch_id: str
    platform: str
    owned: bool
    state: JobState
    attempts: int = 0
    tries: int = 0
    until: datetime | None = None


class StoreMachine(RuleBasedStateMachine):
    """A store and its model, side by side."""

    def __init__(self, database_url: str, resources: ExitStack) -> None:
        super().__init__()
        self.resources = resources
        self.store = Store.open(database_url)
        self.now = START
        self.jobs: dict[str, Expected] = {}  # oldest first
        self.totals: dict[str, int] = {}  # of batches
        self.seen: dict[str, JobState] = {}  # by events alone
        self.last_event_id = 0
        self.numbers = itertools.count()

    def teardown(self) -> None:
        self.store.close()
        self.resources.close()

    def pick(self, choices: list[int]) -> list[str]:
        """Return some of the jobs that there are, and one that there is not."""
        ids = list(self.jobs)
        return ["nothing", *(ids[choice % len(ids)] for choice in choices if ids)]

    # -- what can be asked

    @rule(
        sent=st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(PLATFORMS), st.sampled_from(["good", "invalid", "unowned"])),
            min_size=1,
            max_size=5,
        )
    )
    def submit(self, sent: list[tuple[int, Literal["tiktok", "youtube"], str]]) -> None:
        salt = next(self.numbers)
        new = [
            NewJob(
                url=f"{platform}/{number}/{kind}/{salt}",
                link=None if kind == "unowned" else f"{platform}/{number}/{kind}",
                platform="unknown" if kind == "unowned" else platform,
                error_code={"good": None, "invalid": "invalid_url", "unowned": "unsupported_platform"}[kind],
            )
            for number, platform, kind in sent
        ]
        submission = self.store.submit(new, now=self.now)
        assert [job.url.rsplit("/", 1)[0] for job in submission.jobs] == [one.url.rsplit("/", 1)[0] for one in new]
        assert len({job.id for job in submission.jobs}) == len(set(sent))
        self.totals[submission.batch.id] = len(sent)
        for job, one in zip(submission.jobs, new, strict=True):
            state: JobState = "queued" if one.error_code is None else "failed"
            self.jobs[job.id] = Expected(submission.batch.id, one.platform, one.link is not None, state)
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
            expected.state, expected.until = "running", None
            expected.attempts += 1
            expected.tries += 1

    @rule(choice=st.integers(0, 99), end=st.sampled_from(ENDS), stale=st.booleans())
    def finish(self, choice: int, end: tuple[JobState, Any], stale: bool) -> None:
        job_id = self.pick([choice])[-1]
        state, result = end
        expected = self.jobs.get(job_id)
        until = self.now + timedelta(seconds=30) if state == "waiting" else None
        ended = self.store.finish(
            job_id,
            state=state,
            result=result,
            outcome={"succeeded": SUCCESS, "failed": FAILURE}.get(result),
            now=self.now,
            next_attempt_at=until,
            attempt=expected.tries - 1 if expected and stale else None,
        )
        if expected is None or expected.state != "running" or stale:
            assert ended is None
            return
        assert ended == self.store.job(job_id)
        expected.state, expected.until = state, until
        expected.attempts -= result == "interrupted"

    @rule(choices=st.lists(st.integers(0, 99), max_size=4))
    def cancel(self, choices: list[int]) -> None:
        ids = self.pick(choices)
        before = {job.id: job.state for job in self.store.cancel(ids, now=self.now)}
        assert before == {
            job_id: self.jobs[job_id].state for job_id in set(ids[1:]) if self.jobs[job_id].state not in FINAL_STATES
        }
        for job_id in before:
            self.jobs[job_id].state, self.jobs[job_id].until = "cancelled", None

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
            self.jobs[job_id].state, self.jobs[job_id].attempts = "queued", 0

    @rule(choices=st.lists(st.integers(0, 99), max_size=4))
    def delete(self, choices: list[int]) -> None:
        ids = self.pick(choices)
        deleted = {job.id for job in self.store.delete(ids, now=self.now)}
        assert deleted == {job_id for job_id in ids[1:] if self.jobs[job_id].state in FINAL_STATES}
        for job_id in deleted:
            del self.jobs[job_id]
        left = {job.batch_id for job in self.jobs.values()}
        self.totals = {batch_id: total for batch_id, total in self.totals.items() if batch_id in left}

    @rule()
    def recover(self) -> None:
        running = [job for job in self.jobs.values() if job.state == "running"]
        assert self.store.recover(now=self.now) == len(running)
        for job in running:
            job.state = "queued"
            job.attempts -= 1

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
        jobs, more = self.store.jobs(limit=1000)
        assert more is None
        assert [job.id for job in jobs] == list(reversed(self.jobs))
        for job in jobs:
            expected = self.jobs[job.id]
            assert (job.state, job.attempts, job.tries) == (expected.state, expected.attempts, expected.tries)
            assert job.next_attempt_at == expected.until
            assert (job.next_attempt_at is not None) == (job.state == "waiting")
            assert (job.finished_at is not None) == (job.state in FINAL_STATES)

    @invariant()
    def attempts_are_numbered_and_one_runs_exactly_while_the_job_does(self) -> None:
        for job_id, expected in self.jobs.items():
            attempts = self.store.attempts(job_id)
            assert [one.number for one in attempts] == list(range(1, expected.tries + 1))
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
        assert {batch.id: batch.total for batch in batches} == self.totals
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
                self.seen[event.job_id] = event.data["state"]
            elif event.kind == "job_deleted":
                assert event.job_id is not None
                assert self.seen.pop(event.job_id) in FINAL_STATES
        assert self.seen == {job_id: job.state for job_id, job in self.jobs.items()}


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

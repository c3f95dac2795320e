"""Posts that are there already: found, reused, and an archive of them; in both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from downloader.jobs import AttemptEnd, Job, NewJob
from downloader.store.repository import Store
from tests.store_world import (
    LATER,
    NETWORK,
    NOW,
    database_url,
    downloaded,
    migrated_sqlite,
    nobody,
    open_store,
    post,
    store,
)

__all__ = ["database_url", "migrated_sqlite", "open_store", "store"]  # fixtures

KEY = "tiktok:1:video:"


def keyed(number: int, spelling: str = "") -> NewJob:
    new = post(number)
    return replace(new, url=new.url + spelling, link=f"{new.link}{spelling}", post_key=f"tiktok:{number}:video:")


def submitted(store: Store, *new: NewJob) -> list[Job]:
    return list(store.submit(new, now=NOW).jobs)


def ended(store: Store, job: Job, *files: str) -> Job:
    found = store.finish(job.id, state="succeeded", result="succeeded", outcome=downloaded(*files), now=NOW)
    assert found is not None
    return found


def had(store: Store, number: int = 1, *, files: tuple[str, ...] = ("/raw/a.mp4",)) -> Job:
    """Store a job that downloaded a post."""
    [job] = submitted(store, keyed(number))
    store.claim("tiktok", 1, now=NOW)
    return ended(store, job, *files)


def test_spellings_of_a_post_are_one_job_of_a_batch(store: Store) -> None:
    sent = [keyed(1), keyed(1, "?a"), keyed(2), nobody("x"), keyed(1, "?b"), post(3), post(3)]
    submission = store.submit(sent, now=NOW)
    first, second, third, *_ = ids = [job.id for job in submission.jobs]
    assert ids == [first, first, third, ids[3], first, ids[5], ids[5]]
    assert second == first
    assert (submission.batch.total, sum(submission.batch.counts.values())) == (7, 4)
    assert [url for url, _ in store.batch_jobs(submission.batch.id)] == [new.url for new in sent]


def test_what_is_reused_has_ended_at_submission_and_had_no_attempt(store: Store) -> None:
    source = had(store, files=("/raw/a.mp4", "/raw/b.mp4"))
    event = store.last_event_id()
    submission = store.submit([replace(keyed(1), reused=True, source=source)], now=LATER, retry_failed_once=True)
    [job] = submission.jobs
    assert (job.state, job.reused, job.files, job.finished_at) == ("succeeded", True, source.files, LATER)
    assert (job.title, job.size_bytes, job.media_id) == (source.title, source.size_bytes, source.media_id)
    assert (job.counted_attempts, job.attempt_number, job.elapsed_seconds, job.started_at) == (0, 0, 0, None)
    assert store.job(job.id) == job
    assert store.attempts(job.id) == []
    assert submission.batch.counts == {"succeeded": 1}
    assert [each.kind for each in store.events_since(event)] == ["batch_created"]
    assert store.recent(since=LATER) == {}
    assert store.file_users("/raw/a.mp4", [source.id]) == 1
    store.delete([source.id], now=LATER)
    assert store.job(job.id).files == source.files


def test_what_is_reused_are_photos_too_and_lacks_the_same_ones(store: Store) -> None:
    claimed = [*submitted(store, keyed(1)), *submitted(store, keyed(1))]
    store.claim("tiktok", 1, now=NOW)
    outcome = downloaded("/raw/a.jpg")
    assert outcome.media is not None
    outcome.media, outcome.detail = replace(outcome.media, kind="photos"), "picture 2 is missing"
    source = store.finish(claimed[0].id, state="succeeded", result="succeeded", outcome=outcome, now=NOW)
    store.claim("tiktok", 1, now=LATER)
    [behind] = store.reuse({claimed[1].id: source}, now=LATER)
    [new] = submitted(store, replace(keyed(1), reused=True, source=source))
    assert [(job.kind, job.detail, job.reused) for job in (behind, new)] == [
        ("photos", "picture 2 is missing", True)
    ] * 2


def test_what_was_to_be_reused_is_queued_if_its_source_is_gone(store: Store) -> None:
    source = had(store)
    store.delete([source.id], now=NOW)
    [job] = submitted(store, replace(keyed(1), reused=True, source=source))
    assert (job.state, job.reused, job.files) == ("queued", False, ())


def test_the_best_source_is_the_newest_download_with_files(store: Store) -> None:
    assert store.had([KEY]) == {}
    old = had(store, files=("/raw/old.mp4",))
    [new] = submitted(store, replace(keyed(1), again=True))
    store.claim("tiktok", 1, now=NOW)
    new = ended(store, new, "/raw/new.mp4")
    for _ in range(5):
        submitted(store, replace(keyed(1), reused=True, source=new))
    submitted(store, replace(keyed(1), reused=True))  # without a file: an archive names it
    [found] = store.had([KEY, "tiktok:2:video:"]).values()
    assert [source.id for source in found.sources][:2] == [new.id, old.id]
    assert all(source.files for source in found.sources)
    assert (len(found.sources), found.archived) == (3, False)


def test_many_keys_are_asked_for_at_once(store: Store) -> None:
    sources = [had(store, number) for number in range(3)]
    keys = [f"tiktok:{number}:video:" for number in range(1200)]
    assert {key: [job.id for job in found.sources] for key, found in store.had(keys).items()} == {
        f"tiktok:{number}:video:": [source.id] for number, source in enumerate(sources)
    }


# -- in flight


def test_a_post_that_is_being_fetched_is_not_claimed_a_second_time(store: Store) -> None:
    [first], [second], [other] = (submitted(store, new) for new in (keyed(1), keyed(1, "?a"), keyed(2)))
    claimed = store.claim("tiktok", 3, now=NOW)
    assert [job.id for job in claimed] == [first.id, other.id]
    assert store.claim("tiktok", 3, now=NOW) == []
    assert store.job(second.id).state == "queued"
    ended(store, first, "/raw/a.mp4")
    found = store.exchange((), {"tiktok": ["", "", ""]}, now=NOW)[1]
    assert [job.id for job in found.jobs] == [second.id]
    assert found.had == {second.id}


@pytest.mark.parametrize("state", ["queued", "waiting"])
def test_others_behind_those_that_are_held_are_claimed(store: Store, state: str) -> None:
    [leader] = submitted(store, keyed(1))
    store.claim("tiktok", 1, now=NOW)
    followers = [submitted(store, keyed(1, f"?{number}"))[0] for number in range(5)]
    if state == "waiting":
        store.cancel([leader.id], now=NOW)
        for _ in followers:
            [one] = store.claim("tiktok", 1, now=NOW)
            at = NOW + timedelta(seconds=1)
            store.finish(one.id, state="waiting", result="failed", outcome=NETWORK, now=NOW, next_attempt_at=at)
        submitted(store, keyed(1, "?z"))
        store.claim("tiktok", 1, now=NOW)
    [other] = submitted(store, keyed(2))
    assert [job.id for job in store.claim("tiktok", 2, now=LATER)] == [other.id]


def test_a_post_that_is_queued_often_takes_no_one_elses_place(store: Store) -> None:
    [first, *_] = [submitted(store, keyed(1, f"?{number}"))[0] for number in range(4)]
    others = [submitted(store, keyed(number))[0] for number in range(2, 6)]
    claimed = store.exchange((), {"tiktok": ["", "", ""]}, now=NOW)[1]
    assert [job.id for job in claimed.jobs] == [first.id, others[0].id, others[1].id]
    assert claimed.more == {"tiktok"}
    claimed = store.exchange((), {"tiktok": ["", "", ""]}, now=NOW)[1]
    assert [job.id for job in claimed.jobs] == [others[2].id, others[3].id]
    assert claimed.more == set()


def test_what_waits_is_claimed_with_the_end_of_what_it_waits_for(store: Store) -> None:
    """In one transaction, whatever that end is; the ended one itself is not claimed before it is told of."""
    [leader], [follower] = submitted(store, keyed(1)), submitted(store, keyed(1, "?a"))
    [running] = store.claim("tiktok", 2, now=NOW)
    end = AttemptEnd(job_id=running.id, state="queued", result="interrupted", outcome=None, at=NOW)
    [back], claimed = store.exchange([end], {"tiktok": ["", ""]}, now=NOW)
    assert back is not None
    assert (back.id, back.state) == (leader.id, "queued")
    assert [job.id for job in claimed.jobs] == [follower.id]
    assert claimed.more == set()
    assert claimed.had == set()
    assert [attempt.result for attempt in store.attempts(leader.id)] == ["interrupted"]


def test_again_waits_for_no_one_and_is_waited_for(store: Store) -> None:
    [first], [again] = submitted(store, keyed(1)), submitted(store, replace(keyed(1, "?a"), again=True))
    claimed = store.exchange((), {"tiktok": ["", "", ""]}, now=NOW)[1]
    assert [job.id for job in claimed.jobs] == [first.id, again.id]
    assert claimed.had == set()
    ended(store, first, "/raw/a.mp4")
    [follower] = submitted(store, keyed(1))
    assert store.claim("tiktok", 1, now=NOW) == []
    ended(store, again, "/raw/a.mp4")
    assert [job.id for job in store.claim("tiktok", 1, now=NOW)] == [follower.id]
    [another] = submitted(store, replace(keyed(1), again=True))
    claimed = store.exchange((), {"tiktok": [""]}, now=NOW)[1]
    assert [job.id for job in claimed.jobs] == [another.id]
    assert claimed.had == set()


def test_a_claimed_job_ends_without_an_attempt_and_what_is_queued_behind_it_too(store: Store) -> None:
    source = had(store)
    [first], [second], [again], [other] = (
        submitted(store, new) for new in (keyed(1, "?a"), keyed(1, "?b"), replace(keyed(1), again=True), keyed(2))
    )
    [claimed] = store.claim("tiktok", 1, now=NOW)
    assert claimed.id == first.id
    found = store.reuse({first.id: source}, now=LATER)
    assert {job.id for job in found} == {first.id, second.id}
    for job in (store.job(first.id), store.job(second.id)):
        assert (job.state, job.reused, job.files, job.finished_at) == ("succeeded", True, source.files, LATER)
        assert (job.counted_attempts, job.attempt_number, job.started_at) == (0, 0, None)
        assert store.attempts(job.id) == []
    assert [store.job(job.id).state for job in (again, other)] == ["queued", "queued"]
    [pair] = [counts for platform, counts in store.recent(since=NOW).items() if platform == "tiktok"]
    assert pair[:2] == (1, 0)


def test_the_claim_of_a_job_that_failed_before_leaves_its_attempts(store: Store) -> None:
    [job] = submitted(store, keyed(1))
    store.claim("tiktok", 1, now=NOW)
    store.finish(job.id, state="failed", result="failed", outcome=NETWORK, now=NOW)
    source = had(store)
    store.retry([job.id], now=NOW)
    claimed = store.exchange((), {"tiktok": [""]}, now=NOW)[1]
    assert claimed.had == {job.id}
    [reused] = store.reuse({job.id: source}, now=NOW)
    assert (reused.state, reused.error, reused.error_code, reused.attempt_number) == ("succeeded", None, None, 1)
    assert [attempt.result for attempt in store.attempts(job.id)] == ["failed"]


def test_what_was_cancelled_or_lost_its_source_is_not_ended(store: Store) -> None:
    source = had(store)
    [first], [second] = submitted(store, keyed(1)), submitted(store, keyed(1))
    store.claim("tiktok", 1, now=NOW)
    store.cancel([first.id], now=NOW)
    assert [job.id for job in store.reuse({first.id: source}, now=NOW)] == [second.id]
    [third] = submitted(store, keyed(1))
    store.claim("tiktok", 1, now=NOW)
    store.delete([source.id], now=NOW)
    assert store.reuse({third.id: source}, now=NOW) == []
    assert store.job(third.id).state == "running"
    store.delete([first.id], now=NOW)
    assert store.reuse({first.id: source}, now=NOW) == []


def test_the_second_round_of_a_batch_starts_with_the_last_job_that_was_reused(store: Store) -> None:
    store.on_batch_end(lambda job, now: now)
    source = had(store)
    fails, reused = store.submit([post(7), keyed(1)], now=NOW, retry_failed_once=True).jobs
    store.claim("tiktok", 2, now=NOW)
    store.finish(fails.id, state="failed", result="failed", outcome=NETWORK, now=NOW)
    assert store.job(fails.id).state == "failed"
    assert [job.id for job in store.reuse({reused.id: source}, now=NOW)] == [reused.id]
    assert store.job(fails.id).state == "waiting"
    assert store.batch(fails.batch_id).second_round_jobs == 1


# -- short links


def test_a_short_link_is_stored_as_what_it_leads_to(store: Store) -> None:
    [job] = submitted(store, post(9))
    store.claim("tiktok", 1, now=NOW)
    link = "https://www.tiktok.com/@_/video/1"
    assert store.resolve(job.id, link, KEY, attempt=1, now=NOW)
    found = store.job(job.id)
    assert (found.link, found.post_key, found.url, found.state) == (link, KEY, job.url, "running")
    assert not store.resolve(job.id, link, KEY, attempt=2, now=NOW)  # of an attempt that is not its
    store.cancel([job.id], now=NOW)
    assert not store.resolve(job.id, link, KEY, attempt=1, now=NOW)
    assert not store.resolve("nothing", link, KEY, attempt=1, now=NOW)


@pytest.mark.parametrize("there", ["running", "succeeded", "archived"])
def test_a_short_link_to_a_post_that_is_there_is_not_fetched(store: Store, there: str) -> None:
    [first], [short], [again] = (submitted(store, new) for new in (keyed(1), post(9), replace(post(8), again=True)))
    if there == "archived":
        store.cancel([first.id], now=NOW)
        assert store.add_to_archive("tiktok", ["1"], now=NOW) == 1
    store.claim("tiktok", 3, now=NOW)
    if there == "succeeded":
        ended(store, first, "/raw/a.mp4")
    assert store.resolve(again.id, "https://l", KEY, attempt=1, now=NOW)
    if there != "running":
        store.cancel([again.id], now=NOW)
    assert not store.resolve(short.id, "https://l", KEY, attempt=1, now=NOW)
    store.finish(short.id, state="queued", result="interrupted", outcome=None, now=NOW)
    claimed = store.exchange((), {"tiktok": ["", "", ""]}, now=NOW)[1]
    expected = set() if there == "running" else {short.id}
    assert {job.id for job in claimed.jobs} == claimed.had == expected
    assert store.job(short.id).link == "https://l"


def test_of_two_that_resolve_and_are_claimed_at_once_one_runs(open_store: Callable[[], Store]) -> None:
    store = open_store()
    for number in range(20):
        key = f"tiktok:{number}:video:"
        [short] = submitted(store, replace(post(number), platform="twitter"))
        store.claim("twitter", 1, now=NOW)
        [plain] = submitted(store, replace(post(number), post_key=key))
        with ThreadPoolExecutor(2) as threads:
            resolved = threads.submit(store.resolve, short.id, "https://l", key, attempt=1, now=NOW)
            claimed = threads.submit(store.claim, "tiktok", 1, now=NOW)
        assert [resolved.result(), bool(claimed.result())].count(True) == 1
        store.cancel([short.id, plain.id], now=NOW)


# -- the archive


def test_posts_of_the_archive_count_as_had_until_it_is_forgotten(store: Store) -> None:
    assert store.add_to_archive("tiktok", ["1", "2", "1"], now=NOW) == 2
    assert store.add_to_archive("tiktok", ["2", "3"], now=NOW) == 1
    assert store.add_to_archive("youtube", ["1"], now=NOW) == 1
    keys = [KEY, "tiktok:1:mp3:en", "tiktok:9:video:", "instagram:1:video:"]
    assert {key: (found.sources, found.archived) for key, found in store.had(keys).items()} == {
        KEY: ((), True),
        "tiktok:1:mp3:en": ((), True),
    }
    [job] = submitted(store, replace(keyed(1), reused=True))
    assert (job.state, job.reused, job.files) == ("succeeded", True, ())
    [queued] = submitted(store, keyed(2))
    claimed = store.exchange((), {"tiktok": [""]}, now=NOW)[1]
    assert claimed.had == {queued.id}
    [found] = store.reuse({queued.id: None}, now=NOW)
    assert (found.state, found.reused, found.files) == ("succeeded", True, ())
    assert store.clear_archive(now=NOW) == 4
    assert store.clear_archive(now=NOW) == 0
    assert store.had(keys) == {}


def test_two_that_add_the_same_posts_at_once_both_succeed(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    posts = [str(number) for number in range(800)]
    with ThreadPoolExecutor(2) as threads:
        added = threads.map(lambda store: store.add_to_archive("tiktok", posts, now=NOW), stores)
    assert sorted(added) == [0, 800]

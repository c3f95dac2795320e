"""Attempts on other machines: with a real broker, real machines and real yt-dlp against the simulator."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from kombu import Connection, Exchange

from downloader.engines.base import AttemptLost
from downloader.engines.fleet import engine as fleet_engine
from downloader.engines.fleet.wire import REPORTS, SIGNS, TASK, Report, attempts_queue
from downloader.platform_detector import read_link
from downloader.presets import Expand
from tests.engines.fleet.conftest import Fleet, Following, until_machines, until_places
from tests.rabbitmq import RabbitMQ
from tests.simulator.lists import list_url
from tests.waiting import until

pytestmark = pytest.mark.timeout(150)


async def test_what_an_attempt_is_told_and_tells_crosses_the_broker(fleet: Fleet) -> None:
    engine = fleet.engine()
    await engine.start()
    fleet.machine("a")
    await until_places(engine, 4)
    [machine] = engine.machines()
    assert (machine.id, machine.fault) == ("a", None)

    # Outcomes, with files where the server has the storage folder
    ok, removed = Following(engine, fleet.work()), Following(engine, fleet.work("removed", platform="twitter"))
    outcome = await ok.outcome()
    assert outcome[0]
    assert outcome.media is not None
    assert Path(outcome.media.files[0]).parent == fleet.storage / "raw"
    assert Path(outcome.media.files[0]).stat().st_size == outcome.media.size_bytes
    assert any(progress.details and progress.details.title for progress in ok.told)
    assert (await removed.outcome()).error_code == "removed"

    # A permit
    held = Following(engine, fleet.work(serial=2, may_download=False))
    await held.until(lambda: any(progress.phase == "downloading" for progress in held.told))
    assert not any(progress.downloaded_bytes for progress in held.told)
    engine.permit(held.work.job_id)
    assert (await held.outcome())[0]

    # A short link
    short = Following(engine, fleet.work(serial=3, link=fleet.simulator.url("tiktok", "ok", 3, form="short")))
    await short.until(lambda: short.links)
    assert read_link(short.links[0]).kind == "post"
    node = engine._sent[short.work.job_id].node
    assert node is not None
    forged = "https://evil.example/@ada/video/1"
    engine._hear(Report(kind="resolved", node=node, job=short.work.job_id, attempt=1, link=forged))
    assert forged not in short.links
    engine.proceed(short.work.job_id)
    assert (await short.outcome())[0]

    # The pages of a collection
    url = list_url("youtube", "plain", 150)
    listing = Following(engine, fleet.work(serial=4, platform="youtube", link=url, expand=Expand(limit=150)))
    assert (await listing.outcome())[0]
    pages = [progress.page for progress in listing.told if progress.page is not None]
    assert len([entry for page in pages for entry in page.entries]) == 150

    # A cancel of what hangs
    hanging = Following(engine, fleet.work("hang"))
    await asyncio.to_thread(fleet.simulator.wait_until_hanging)
    hanging.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(hanging.task, 15)  # it hangs for 30; 1.2 as a rule
    await until_machines(engine, lambda machines: machines["a"].busy == 0)

    # What the machine does not do
    odd = Following(engine, replace(fleet.work(serial=5), preset="nosuch"))
    refused = await odd.outcome()
    assert (refused.error_code, "nosuch" in (refused.detail or "")) == ("internal", True)


async def test_a_second_server_stays_away(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    engine, other = fleet.engine(), fleet.engine()
    assert await engine.adopt() == {}  # once it is connected
    await other.start()
    told = "another server uses this broker"
    await asyncio.to_thread(until, lambda: told in [vars(record).get("detail") for record in caplog.records])


def send_rubbish(broker: RabbitMQ) -> tuple[int, int]:
    """Send what no one of a fleet does, each with something that a library stumbles over; return how much, to whom."""
    empty: object = [[], {}, {}]
    odd: list[object] = [[1], {"a": 1}]
    bodies: list[object] = [1, None, [1]]
    attempts: list[tuple[object, dict[str, object]]] = [(body, {"task": TASK, "id": "1"}) for body in bodies]
    attempts += [(empty, {"task": TASK, "id": each}) for each in odd]
    attempts += [(empty, {"task": each, "id": "1"}) for each in odd]
    attempts += [(empty, {"task": TASK}), (empty, {"task": "os.system"}), ({"task": TASK}, {})]
    reports: list[dict[str, object]] = [{"compression": odd} for odd in ("application/x-gzip", "nosuch", [1])]
    with Connection(broker.url) as connection:
        producer = connection.Producer(serializer="json")
        for body, headers in attempts:
            producer.publish(body, routing_key=attempts_queue("").name, headers=headers, declare=[attempts_queue("")])
        for headers in reports:
            producer.publish({}, exchange=REPORTS.exchange, routing_key=REPORTS.routing_key, headers=headers)
            producer.publish({}, exchange=SIGNS, headers=headers)
        producer.publish(b"!!1", routing_key=attempts_queue("").name, content_type="application/x-yaml")
        producer.publish({"method": "shutdown"}, exchange=Exchange("celery.pidbox", "fanout"))
    return len(attempts), 2 * len(reports)


async def test_rubbish_in_the_broker_stops_no_one(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    engine = fleet.engine()
    await engine.start()
    machine = fleet.machine("a")
    await until_places(engine, 4)
    to_machine, to_server = await asyncio.to_thread(send_rubbish, fleet.broker)
    assert (await Following(engine, fleet.work()).outcome())[0]
    assert machine.process.poll() is None
    assert sum("a message was refused" in line for line in machine.log) == to_machine
    refused = "a message of the fleet was refused"
    await asyncio.to_thread(until, lambda: [each.message for each in caplog.records].count(refused) == to_server)


async def test_what_a_machine_loses_is_told_and_runs_elsewhere(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = fleet_engine.LOST_SECONDS
    monkeypatch.setattr(fleet_engine, "LOST_SECONDS", 60)  # that it is silent would be noticed too late
    engine = fleet.engine()
    await engine.start()
    first = fleet.machine("a")
    await until_places(engine, 4)
    fleet.simulator.configure(media_bytes_per_second=20_000)

    # Killed: the broker gives its messages to another, which asks
    lost = [Following(engine, fleet.work(serial=serial)) for serial in (1, 2)]
    for each in lost:
        await each.until_receiving()
    second = fleet.machine("b")
    await until_places(engine, 8)
    first.signal(signal.SIGKILL)
    for each in lost:
        with pytest.raises(AttemptLost):
            await each.outcome()  # after 1.3 seconds as a rule
    monkeypatch.setattr(fleet_engine, "LOST_SECONDS", usual)
    again = [Following(engine, replace(each.work, attempt=2)) for each in lost]
    for each in again:
        await each.until_receiving()

    # Frozen: it says nothing more, and its connection stays open for a while
    third = fleet.machine("c")
    await until_machines(engine, lambda machines: "c" in machines and machines["c"].busy == 0)
    second.signal(signal.SIGSTOP)
    for each in again:
        with pytest.raises(AttemptLost):
            await each.outcome()
    fleet.simulator.configure(media_bytes_per_second=0)
    for each in again:
        outcome, attempt = None, 3
        while outcome is None:
            try:
                outcome = await Following(engine, replace(each.work, attempt=attempt)).outcome()
            except AttemptLost:  # given to the frozen one, in which the broker still believes
                attempt += 1
        assert outcome[0]

    # Back again: it gives up what others did meanwhile, and takes new work
    second.signal(signal.SIGCONT)
    await until_machines(engine, lambda machines: "b" in machines and machines["b"].busy == 0)
    third.signal(signal.SIGTERM)
    assert await asyncio.to_thread(third.process.wait, 20) == 0
    assert (await Following(engine, fleet.work(serial=3)).outcome(60))[0]
    assert len(list((fleet.storage / "raw").iterdir())) == 3


async def test_attempts_outlive_the_broker_and_the_server(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_engine, "ADOPT_SECONDS", 6)  # on a busy machine, signs of life come late
    engine = fleet.engine()
    await engine.start()
    machines = fleet.machine("a"), fleet.machine("b")
    await until_places(engine, 8)
    fleet.simulator.configure(media_bytes_per_second=4_000)

    # The broker goes, and comes back
    running = [Following(engine, fleet.work(serial=serial)) for serial in range(4)]
    for each in running:
        await each.until_receiving()
    await asyncio.to_thread(fleet.broker.kill)
    await until_places(engine, 0)
    waiting = Following(engine, fleet.work(serial=4))
    await asyncio.to_thread(fleet.broker.start)
    await until_places(engine, 8)
    await waiting.until_receiving()
    told = [line for machine in machines for line in machine.log]
    assert sum("the broker does not answer" in line for line in told) == len(machines)  # not each try
    assert not any("Cannot connect" in line for line in told)

    # The server goes, and another one takes over
    held = Following(engine, fleet.work(serial=5, may_download=False))
    short = Following(engine, fleet.work(serial=6, link=fleet.simulator.url("tiktok", "ok", 6, form="short")))
    await held.until(lambda: any(progress.phase == "downloading" for progress in held.told))
    await short.until(lambda: short.links)
    await engine.close()
    later = fleet.engine()
    fleet.simulator.configure(media_bytes_per_second=0)
    works = [each.work for each in (*running, waiting, held, short)]
    assert await later.adopt() == {work.job_id: 1 for work in works}
    await later.start()
    followed = {work.job_id: Following(later, work) for work in works}
    resolved = followed[short.work.job_id]
    await resolved.until(lambda: resolved.links)
    later.permit(held.work.job_id)
    later.proceed(short.work.job_id)
    for each in followed.values():
        assert (await each.outcome())[0]
    assert {count.page_requests for count in fleet.simulator.stats().posts.values()} == {1}

    # A machine is stopped, and gives back what it runs
    fleet.simulator.configure(media_bytes_per_second=4_000)
    given_back = Following(later, fleet.work(serial=7))
    await given_back.until_receiving()
    for machine in machines:
        machine.signal(signal.SIGTERM)
    with pytest.raises(AttemptLost):
        await given_back.outcome()
    assert [await asyncio.to_thread(machine.process.wait, 20) for machine in machines] == [0, 0]

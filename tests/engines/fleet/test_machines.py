"""Who of the fleet is there, and how much it can take."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from downloader.engines.fleet.machines import FORGET_SECONDS, SILENT_SECONDS, Machines
from downloader.engines.fleet.wire import Running, Sign

SIGN = Sign(
    node="a@1",
    name="a",
    egress="",
    places=4,
    version="1",
    fingerprint="same",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def machines(time: Time) -> Machines:
    machines = Machines("1", "same", clock=time)
    machines.connected_at = time()
    return machines


def test_each_way_out_has_the_places_of_its_machines(machines: Machines) -> None:
    for sign in (SIGN, replace(SIGN, node="b@1", name="b", places=2), replace(SIGN, node="c@1", name="c", egress="x")):
        machines.hear(sign)
    assert machines.capacity() == {"": 6, "x": 4}
    assert not machines.is_full("")
    running = tuple(Running(job=str(number), attempt=1) for number in range(4))
    machines.hear(replace(SIGN, running=running))
    machines.hear(replace(SIGN, node="b@1", name="b", places=2, running=running[:2]))
    assert (machines.is_full(""), machines.is_full("x"), machines.is_full("y")) == (True, False, False)
    assert machines.runs("a@1", "0", 1)
    assert not machines.runs("a@1", "0", 2)
    machines.gone("a@1")
    assert machines.capacity() == {"": 2, "x": 4}
    machines.hear(SIGN)
    assert machines.capacity() == {"": 6, "x": 4}


@pytest.mark.parametrize("change", [{"is_draining": True}, {"is_consuming": False}, {"fault": "The disk is away."}])
def test_a_machine_that_takes_nothing_has_no_places(machines: Machines, change: dict[str, object]) -> None:
    machines.hear(replace(SIGN, **change))  # type: ignore[arg-type]
    assert machines.capacity() == {}
    [machine] = machines.view()
    assert (machine.is_alive, machine.places) == (True, 4)


def test_silence_counts_while_the_broker_is_there(machines: Machines, time: Time) -> None:
    machines.hear(SIGN)
    time.now += SILENT_SECONDS + 1
    assert machines.capacity() == {}
    [machine] = machines.view()
    assert not machine.is_alive
    machines.connected_at = None
    assert machines.silent_seconds("a@1") == 0
    machines.connected_at = time()  # it may have been silent only because no one could be heard
    assert machines.silent_seconds("a@1") == 0
    machines.hear(replace(SIGN, node="b@1", name="b"))
    time.now += FORGET_SECONDS + 1
    machines.hear(replace(SIGN, node="b@1", name="b"))
    assert [machine.id for machine in machines.view()] == ["b"]


def test_nothing_can_be_taken_while_the_broker_is_away(machines: Machines) -> None:
    machines.hear(SIGN)
    machines.connected_at = None
    assert machines.capacity() == {}
    [machine] = machines.view()
    assert not machine.is_alive


def test_a_machine_that_is_started_again_takes_its_own_place(machines: Machines, time: Time) -> None:
    machines.hear(SIGN)
    machines.hear(replace(SIGN, node="a@2"))
    assert {"Another machine has the same name" in (machine.fault or "") for machine in machines.view()} == {True}
    time.now += SILENT_SECONDS + 1
    machines.hear(replace(SIGN, node="a@2"))
    [machine] = machines.view()
    assert (machine.id, machine.fault) == ("a", None)


@pytest.mark.parametrize(
    ("change", "word"), [({"version": "2"}, "version 2"), ({"fingerprint": "other"}, "settings differ")]
)
def test_what_differs_from_the_server_is_told(machines: Machines, change: dict[str, str], word: str) -> None:
    machines.hear(replace(SIGN, **change))  # type: ignore[arg-type]
    [machine] = machines.view()
    assert word in (machine.fault or "")
    assert machines.capacity() == {"": 4}

"""Deliveries: at least once, at growing intervals, for a day; and what waits for a receiver waits for it alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest

from downloader.jobs import Message
from downloader.notify.deliverer import Deliverer, Delivery
from downloader.notify.receivers import NotDelivered
from downloader.notify.webhook import Webhook
from downloader.store.outbox import Outbox
from tests.fakes import FakeClock
from tests.notify.conftest import OpenGrant
from tests.receiver import Receiver


class Hand:
    """A receiver that fails as long as it is told to."""

    name = "webhook"

    def __init__(self) -> None:
        self.failure: NotDelivered | None = None
        self.sent: list[str] = []
        self.tries = 0
        self.rests = 0

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        self.sent.append(message.id)

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None: ...


def run(delivery: Delivery, clock: FakeClock, seconds: float) -> float | None:
    """Have *delivery* do all that is due within *seconds*, which pass; return until when it waits then."""
    end = clock.elapsed_seconds + seconds
    while (pause := delivery.step()) is not None and clock.elapsed_seconds + pause < end:
        clock.forward(pause)
    clock.forward(end - clock.elapsed_seconds)
    return pause


def test_a_receiver_that_is_down_for_an_hour_gets_each_message_once(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock, open_grant: OpenGrant, logged: Callable[[], str]
) -> None:
    receiver = Receiver()
    down = Webhook(f"http://127.0.0.1:{receiver.port}/pass-word", "pass-word-of-many-letters", open_grant)
    receiver.close()
    batches = {end_batch()}
    delivery = Delivery(down, outbox, clock, Random(1))
    run(delivery, clock, 1800)
    batches.add(end_batch())
    run(delivery, clock, 1800)
    messages = outbox.next("webhook")
    assert messages is not None
    assert 3 <= messages.attempts <= 12
    receiver = Receiver()
    try:
        up = Webhook(f"http://127.0.0.1:{receiver.port}/pass-word", "pass-word-of-many-letters", open_grant)
        assert run(Delivery(up, outbox, clock, Random(1)), clock, 3600) is None
        assert {receiver.next().json["batch"]["id"] for _ in range(2)} == batches
        assert receiver.requests.empty()
    finally:
        receiver.close()
    assert "pass-word" not in logged()


def test_one_that_fails_again_and_again_is_tried_at_growing_intervals_for_a_day(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock, logged: Callable[[], str]
) -> None:
    end_batch()
    hand = Hand()
    hand.failure = NotDelivered("it answered 500")
    delivery = Delivery(hand, outbox, clock, Random(1))
    pauses, start = [], clock.elapsed_seconds
    while (pause := delivery.step()) is not None:
        if pause:
            pauses.append(pause)
        clock.forward(pause)
    assert 86_400 <= clock.elapsed_seconds - start <= 86_400 + 3600
    assert pauses == sorted(pauses)
    assert 3 <= pauses[0] <= 5
    assert (pauses[-1], hand.tries) == (3600, len(pauses) + 1)
    for event in ("a notification was given up", "a notification was not delivered"):
        assert logged().count(f'"msg": "{event}"') == 1


def test_what_a_receiver_asks_for_holds_for_later_messages_too(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    hand, delivery = (hand := Hand()), Delivery(hand, outbox, clock, Random(1))
    end_batch()
    hand.failure = NotDelivered("it answered 429", retry_after_seconds=7200)
    run(delivery, clock, 3600)
    end_batch()
    hand.failure = None
    assert delivery.step() == 3600
    run(delivery, clock, 3599)
    assert hand.tries == 1
    run(delivery, clock, 10)
    assert (hand.tries, len(set(hand.sent))) == (3, 2)
    # After a restart too, as it is stored.
    end_batch()
    hand.failure = NotDelivered("it answered 429", retry_after_seconds=7200)
    delivery.step()
    assert Delivery(hand, outbox, clock, Random(1)).step() == 7200


def test_a_message_that_alone_fails_holds_up_no_other(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    bad = end_batch()
    hand = Hand()
    delivery = Delivery(hand, outbox, clock, Random(1))
    send = hand.send

    def picky(message: Message) -> None:
        hand.failure = NotDelivered("it answered 400") if json.loads(message.body)["batch"]["id"] == bad else None
        send(message)

    hand.send = picky  # type: ignore[method-assign]
    run(delivery, clock, 7200)
    for number in range(5):
        end_batch()
        run(delivery, clock, 61)
        assert len(hand.sent) == number + 1


def test_many_messages_do_not_storm_a_receiver_that_is_down(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    for _ in range(60):
        end_batch()
    hand = Hand()
    hand.failure = NotDelivered("no answer")
    delivery = Delivery(hand, outbox, clock, Random(1))
    run(delivery, clock, 3600)
    assert hand.tries < 80
    hand.failure = None
    run(delivery, clock, 61)
    assert len(set(hand.sent)) == 60


@pytest.mark.thorough
def test_what_waits_for_a_receiver_that_stays_away_is_bounded(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    """Each has its day, however many there are."""
    for _ in range(100):
        end_batch()
    hand = Hand()
    hand.failure = NotDelivered("no answer")
    delivery = Delivery(hand, outbox, clock, Random(1))
    run(delivery, clock, 85_000)
    end_batch()
    run(delivery, clock, 2_500)
    hand.failure = None
    run(delivery, clock, 3_600)
    assert len(hand.sent) == 1


def test_a_receiver_that_is_back_after_days_gets_what_waited(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    """The server was off, so that nothing could be tried."""
    for _ in range(10):
        end_batch()
    clock.forward(3 * 86_400)
    hand = Hand()
    hand.failure = NotDelivered("no answer")
    delivery = Delivery(hand, outbox, clock, Random(1))
    delivery.step()
    hand.failure = None
    run(delivery, clock, 60)
    assert len(hand.sent) == 9


def test_a_clock_that_is_set_back_delays_nothing_for_days(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    end_batch()
    hand = Hand()
    clock.set(-30 * 86_400)
    assert Delivery(hand, outbox, clock, Random(1)).step() == 0
    assert len(hand.sent) == 1


def test_what_fails_because_it_is_closed_is_no_failure(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock
) -> None:
    end_batch()
    hand = Hand()
    hand.failure = NotDelivered("no answer")
    delivery = Delivery(hand, outbox, clock, Random(1))
    delivery.closing = True
    delivery.step()
    message = outbox.next("webhook")
    assert message is not None
    assert message.attempts == 0


def test_one_receiver_that_hangs_holds_up_no_other_and_no_stop(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock, open_grant: OpenGrant
) -> None:
    receivers = [Receiver(), Receiver()]
    hanging, well = receivers
    hanging.answers.append(None)
    webhooks = [Webhook(f"http://{each.authority}/", None, open_grant) for each in receivers]
    webhooks[1].name = "apprise-1"
    deliverer = Deliverer(webhooks, outbox, clock)
    outbox.on_added = deliverer.wake
    deliverer.start()
    try:
        first = end_batch()
        hanging.next()
        assert well.next().json["batch"]["id"] == first
        second = end_batch()
        assert well.next().json["batch"]["id"] == second
    finally:
        deliverer.close()
        for thread in deliverer._threads:
            assert not thread.is_alive()
        for each in receivers:
            each.close()
    left = outbox.next("webhook")
    assert left is not None
    assert (left.attempts, outbox.next("apprise-1")) == (0, None)


def test_an_error_of_the_database_is_logged_and_outlived(
    outbox: Outbox, end_batch: Callable[[], str], clock: FakeClock, monkeypatch: pytest.MonkeyPatch, receiver: Receiver,
    open_grant: OpenGrant, logged: Callable[[], str]
) -> None:  # fmt: skip
    monkeypatch.setattr("downloader.notify.deliverer.ERROR_PAUSE_SECONDS", 0.01)
    find, errors = outbox.next, [OSError("the database is away")]

    def failing(name: str) -> Message | None:
        if errors:
            raise errors.pop()
        return find(name)

    monkeypatch.setattr(outbox, "next", failing)
    deliverer = Deliverer([Webhook(f"http://{receiver.authority}/", None, open_grant)], outbox, clock)
    end_batch()
    deliverer.start()
    receiver.next()
    deliverer.close()
    assert "notifications cannot be delivered" in logged()

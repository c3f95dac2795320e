"""The command `worker`: a Celery worker, and the machine that it hands attempts to."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery, bootsteps
from celery.exceptions import Reject
from celery.worker import WorkController
from celery.worker import state as celery_state
from celery.worker.consumer.consumer import CONNECTION_ERROR, Consumer
from celery.worker.control import Panel

from downloader.engines.fleet.codec import decode, encode
from downloader.engines.fleet.machine import FleetMachine, MachineSettings
from downloader.engines.fleet.outbox import Outbox
from downloader.engines.fleet.wire import COMMAND, REPORTS, SIGN_SECONDS, SIGNS, TASK, Command, Report, make_app

log = logging.getLogger(__name__)

#: How long running attempts may continue after SIGTERM, and then the reports of their ends.
GRACE_SECONDS, REPORT_SECONDS = 3.0, 3.0


def run_worker(settings: MachineSettings, broker_url: str) -> int:
    """Run attempts until SIGTERM or Ctrl-C; a second one ends at once. Return the exit status."""
    app = make_app(broker_url, settings.egress)
    outbox = Outbox(app, on_tick=lambda producer: _send_sign(producer, machine))
    machine = FleetMachine(settings, lambda report: outbox.send(lambda it: _send(it, report)), outbox.tick_now)
    _take_attempts(app, machine)
    for name in ("celery.worker.strategy", "celery.app.trace"):  # a line for each attempt
        logging.getLogger(name).setLevel(logging.WARNING)
    # A line for each try to connect, while the outbox says once that the broker does not answer.
    logging.getLogger("celery.worker.consumer.consumer").addFilter(lambda record: record.msg != CONNECTION_ERROR)
    # That a message can't be acknowledged whose connection is gone, with a traceback.
    logging.getLogger("celery.worker.request").disabled = True
    worker = WorkController(
        app=app,
        hostname=machine.node,
        pool_cls="threads",
        concurrency=settings.places,
        consumer_cls=_PlainConsumer,
        without_mingle=True,
    )
    _stop_on_signals(machine, worker)
    machine.start()
    outbox.start()
    log.info("machine started", extra={"machine": machine.node, "egress": settings.egress, "places": settings.places})
    worker.start()
    outbox.close(REPORT_SECONDS)
    return int(worker.exitcode or 0)


class _PlainConsumer(Consumer):  # type: ignore[misc]
    """Takes attempts and commands, and does nothing else that Celery can: no events, no queues for delayed tasks."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        """What it consists of, beside what that requires."""

        default_steps = ("celery.worker.consumer.control:Control", "celery.worker.consumer.consumer:Evloop")

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """Return what takes a message: one that no server sent must not stop this machine, and then all the others."""
        take = super().create_task_handler(*args, **options)

        def take_or_refuse(message: Any) -> None:
            try:
                take(message)
            except self.connection_errors:
                raise
            except Exception as error:
                log.error("a message was refused", extra={"detail": repr(error)[:300]})
                if not message.acknowledged:
                    message.reject_log_error(log, self.connection_errors)

        return take_or_refuse


def _send(producer: Any, report: Report) -> None:
    producer.publish(
        encode(report), exchange=REPORTS.exchange, routing_key=REPORTS.routing_key, declare=[REPORTS], delivery_mode=2
    )


def _send_sign(producer: Any, machine: FleetMachine) -> None:
    if (sign := machine.sign(SIGN_SECONDS)) is not None:
        producer.publish(encode(sign), exchange=SIGNS, declare=[SIGNS], delivery_mode=1)


def _take_attempts(app: Celery, machine: FleetMachine) -> None:
    """Have *app* hand its one task, and its one control command, to *machine*; it obeys no other."""

    def attempt(message: object) -> None:
        if not machine.perform(message):
            raise Reject("the machine is stopping", requeue=True)

    def obey(_: Any, **arguments: object) -> None:
        machine.obey(decode(Command, arguments))

    app.task(attempt, name=TASK, acks_late=True, ignore_result=True)
    app.finalize()
    for name in [name for name in app.tasks if name != TASK]:
        app.tasks.unregister(name)
    Panel.data.clear()
    Panel.data[COMMAND] = obey

    class Consuming(bootsteps.StartStopStep):  # type: ignore[misc]
        """Tells the machine whether it is connected to its queue."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, _: Any) -> None:
            machine.is_consuming = True

        def stop(self, _: Any) -> None:
            machine.is_consuming = False

    app.steps["consumer"].add(Consuming)


def _stop_on_signals(machine: FleetMachine, worker: Any) -> None:
    def take_nothing() -> None:
        if worker.consumer.task_consumer is not None:
            worker.consumer.task_consumer.cancel()

    def drain() -> None:
        worker.consumer.hub.call_soon(take_nothing)
        machine.drain(GRACE_SECONDS)
        celery_state.should_stop = 0
        worker.consumer.hub.call_soon(lambda: None)  # wakes it

    def stop(*_: object) -> None:
        if machine.is_draining:
            os._exit(1)
        log.info("stopping")
        machine.is_draining = True
        threading.Thread(target=drain, name="drain", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

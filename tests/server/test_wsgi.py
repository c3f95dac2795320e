"""The server under load: slow, idle and greedy clients do not keep it from answering others."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.wsgi import ClosingIterator

from downloader.server import wsgi as wsgi_server
from downloader.server.wsgi import SPARE_THREADS, Threads, WsgiServer, listen
from tests.real_server import Server
from tests.server.connections import connected, response_on


def test_slow_clients_do_not_block_others(server: Server) -> None:
    """More of them than there are threads; each has sent a part of its head, or of its body."""
    parts = [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"POST /download HTTP/1.1\r\nHost: localhost\r\n"
             b"Content-Length: 1000\r\n\r\n{"]  # fmt: skip
    with contextlib.ExitStack() as slow:
        for number in range(500):
            sock = connected(server)
            slow.callback(sock.close)
            sock.sendall(parts[number % 2])
        assert server.ask("GET", "/healthz", timeout_seconds=30)[0] == 200
        assert server.ask("POST", "/detect-platform", {"url": "https://youtu.be/1"}, timeout_seconds=30)[0] == 200


def test_more_than_a_thousand_idle_connections_do_not_block_others(server: Server) -> None:
    with contextlib.ExitStack() as idle:
        for _ in range(1200):
            sock = connected(server)
            idle.callback(sock.close)
        assert server.ask("GET", "/healthz", timeout_seconds=30)[0] == 200


class Task:
    """Holds the thread that serves it until it is released."""

    def __init__(self) -> None:
        self.started, self.released, self.served, self.cancelled = (threading.Event() for _ in range(4))

    def service(self) -> None:
        self.started.set()
        assert self.released.wait(30)
        self.served.set()

    def cancel(self) -> None:
        self.cancelled.set()


def test_threads_are_started_as_tasks_need_them_and_used_again() -> None:
    threads, tasks = Threads(100), [Task() for _ in range(40)]
    assert len(threads.threads) == SPARE_THREADS
    for task in tasks:
        threads.add_task(task)
    assert all(task.started.wait(30) for task in tasks)
    assert 40 <= len(threads.threads) <= 40 + SPARE_THREADS
    for task in tasks:
        task.released.set()
    assert threads.shutdown(timeout=20)
    assert all(task.served.is_set() for task in tasks)


def test_tasks_beyond_the_limit_of_threads_wait_for_one() -> None:
    threads, tasks, late = Threads(10), [Task() for _ in range(10)], Task()
    for task in (*tasks, late):
        threads.add_task(task)
    assert all(task.started.wait(30) for task in tasks)
    assert len(threads.threads) == 10
    assert not late.started.is_set()
    late.released.set()
    tasks[3].released.set()
    assert late.served.wait(30)
    for task in tasks:
        task.released.set()
    assert threads.shutdown(timeout=20)


def test_no_thread_is_started_after_the_shutdown() -> None:
    threads, running, late = Threads(100), Task(), Task()
    threads.add_task(running)
    assert running.started.wait(30)
    assert threads.shutdown(timeout=0)
    running.released.set()
    threads.add_task(late)
    with threads.lock:
        assert threads.thread_exit_cv.wait_for(lambda: not threads.threads, 20)
    assert running.served.is_set()
    assert not late.started.is_set()


def test_no_task_is_forgotten_when_several_threads_add_some() -> None:
    threads = Threads(60)

    def add(_: int) -> list[Task]:
        tasks = [Task() for _ in range(200)]
        for task in tasks:
            task.released.set()
            threads.add_task(task)
        return tasks

    with ThreadPoolExecutor(8) as pool:
        assert all(task.served.wait(30) for tasks in pool.map(add, range(8)) for task in tasks)
    assert threads.shutdown(timeout=20)


def test_a_client_that_pipelines_and_reads_nothing_holds_no_thread() -> None:
    """A pipelined request is not answered while the first response is unsent."""
    made = threading.Event()
    giant = b"a" * 32 * 1024**2  # more than systems buffer

    def app(environ: dict[str, Any], start: Any) -> Any:
        start("200 OK", [("Content-Length", str(len(giant)))])
        return ClosingIterator([giant], made.set)

    web = WsgiServer(app, listen("127.0.0.1", 0), max_request_bytes=1024)
    web.start()
    try:
        with socket.create_connection(("127.0.0.1", web.port), timeout=20) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
            assert made.wait(30)
            answers = b"".join(iter(lambda: sock.recv(1024**2), b""))
    finally:
        web.close(5)
    assert answers.startswith(b"HTTP/1.1 200 OK")
    assert answers.partition(b"\r\n\r\n")[2] == giant


def test_a_client_that_takes_all_connections_loses_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that say too little go, the oldest first; not those that are being answered."""
    monkeypatch.setattr(wsgi_server, "MAX_CONNECTIONS", 40)
    asked, go_on = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            asked.set()
            go_on.wait(30)
        start("200 OK", [("Content-Length", "2")])
        return [b"{}"]

    web = WsgiServer(app, listen("127.0.0.1", 0), max_request_bytes=1024)
    web.start()

    def opened(sent: bytes) -> socket.socket:
        sock = opened_ones.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=10))
        sock.sendall(sent)
        return sock

    with contextlib.ExitStack() as opened_ones:
        opened_ones.callback(web.close, 5)
        slow = opened(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asked.wait(30)
        for _ in range(100):
            opened(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert response_on(opened(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == (200, {})
        go_on.set()
        assert response_on(slow) == (200, {})


@pytest.mark.timeout(120)
def test_thousands_of_tiny_requests_are_answered(server: Server) -> None:
    def send(_: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=50)
        statuses = []
        with contextlib.closing(connection):
            for number in range(300):
                connection.request("GET", "/healthz" if number % 10 else "/rubbish")
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
        return statuses

    with ThreadPoolExecutor(10) as pool:
        sent = pool.map(send, range(10))
        assert server.ask("GET", "/healthz", timeout_seconds=30)[0] == 200
        statuses = [status for some in sent for status in some]
    assert len(statuses) == 3000
    assert statuses.count(200) == 2700
    assert statuses.count(404) == 300

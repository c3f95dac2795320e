"""A RabbitMQ of the tests' own, from the system's package; it takes four seconds of CPU to start."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until

#: Debian's wrapper around it would run it as another user, in a folder that all servers share.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_SECONDS = 60

# When the tests end, in any way, the pipe closes. Then all of the group goes, this shell too.
_UNTIL_STDIN_CLOSES = 'epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & "$0" -noinput & read -r _; kill -9 0'

_CONFIGURATION = """\
log.file.level = warning
log.console = false
disk_free_limit.absolute = 1MB
"""


class RabbitMQ:
    """A running broker."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rabbitmq-"))
        (self._folder / "rabbitmq.conf").write_text(_CONFIGURATION)
        (self._folder / "plugins").write_text("[].\n")
        self._port, names, nodes = _free_ports(3)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(nodes),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ALLOW_INPUT": "1",  # it replaces the script that starts it, instead of running beside it
            # One thread of each kind, and none that waits busily.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +SDcpu 1:1 +SDio 1 +A 4 +sbwt none +sbwtdcpu none"
            " +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"
        self.start()

    def start(self) -> None:
        with (self._folder / "output").open("w") as output:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _UNTIL_STDIN_CLOSES, PROGRAM],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            until(self._answers, START_SECONDS)
        except AssertionError:
            self.kill()
            pytest.fail(f"RabbitMQ did not start: {(self._folder / 'output').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it at once, and with it every connection, until `start`. What was confirmed is kept."""
        self._process.communicate()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        from kombu import Connection  # here, as few tests need it

        with contextlib.suppress(OSError), Connection(self.url, connect_timeout=2) as connection:
            connection.connect()
            return True
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as sockets:
        found = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in found]


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """Return the one broker of this run; skip the test where RabbitMQ is not installed."""
    if not PROGRAM.exists():
        pytest.skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
    broker = RabbitMQ()
    yield broker
    broker.close()

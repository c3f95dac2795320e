"""A real nginx in front of a server, which serves it below a prefix."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.real_server import reserve_port
from tests.waiting import until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx on this machine")

PREFIX = "/videos"

#: Of a server behind it.
SETTINGS = {"DOWNLOADER_TRUSTED_PROXIES": "1"}

_CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
  access_log off;
  {temporary}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 8m;
    location {prefix}/ {{
      proxy_pass http://127.0.0.1:{server_port}{stripped};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Prefix {prefix};
    }}
    location / {{
      access_log {folder}/elsewhere;
      return 404;
    }}
  }}
}}
"""

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """Serves what listens on *server_port* below `PREFIX`, with or without that in the path that it hands on."""

    def __init__(self, folder: Path, server_port: int, *, strip: bool = False) -> None:
        assert NGINX
        self._reserved, self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}{PREFIX}"
        self._elsewhere = folder / "elsewhere"
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder, port=self.port, prefix=PREFIX, server_port=server_port, stripped="/" if strip else "",
                temporary=" ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY),
            )
        )  # fmt: skip
        self._process = subprocess.Popen([NGINX, "-p", str(folder), "-e", f"{folder}/errors", "-c", str(config)])
        until(self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0

    def elsewhere(self) -> list[str]:
        """Return the requests for anything that is not below the prefix."""
        return self._elsewhere.read_text().splitlines() if self._elsewhere.exists() else []

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
        self._reserved.close()

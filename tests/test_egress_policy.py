"""Addresses that must never be fetched, as far as a URL tells."""

from __future__ import annotations

import pytest

from downloader.egress_policy import is_private


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:8080/x",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[::1]/",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://nas.local/",
        "http://db.internal/",
        "http://router/",
        "http://user:pass@127.0.0.1/",
        "http:///x",
        "http://[bad/",
        "file:///etc/passwd",
        "http://\u2460\u2461\u2466.0.0.1/",  # circled digits
        "http://\uff11\uff12\uff17.0.0.1/",  # full-width digits
        "http://[64:ff9b::7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://127.0.0.1\\@youtube.com/",
        "http://youtube.com\\@127.0.0.1/",
    ],
)
def test_private_addresses_are_known(url: str) -> None:
    assert is_private(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=1",
        "https://rr1---sn-abc.googlevideo.com/videoplayback",
        "http://8.8.8.8/",
        "http://[2606:4700:4700::1111]/",
        "https://cafe.example/",
        "https://127.0.0.1.nip.example/",
    ],
)
def test_public_addresses_pass(url: str) -> None:
    assert not is_private(url)

"""Signed links: valid over restarts, for what was signed only."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from downloader.access.links import SECRET_FILE, SIGNATURE_CHARACTERS, LinkSigner
from downloader.errors import StartRefused


def test_a_signature_survives_a_restart_and_holds_for_what_was_signed(tmp_path: Path) -> None:
    signature = LinkSigner(tmp_path).sign("id.0", "1700000000000")
    assert len(signature) == SIGNATURE_CHARACTERS
    again = LinkSigner(tmp_path)
    assert again.is_signed(signature, "id.0", "1700000000000")
    for parts in (("id.1", "1700000000000"), ("id.0", "1700000000001"), ("id.01700000000000",), ("id.0", "")):
        assert not again.is_signed(signature, *parts)
    for other in ("", "é", signature[:-1], f"{signature}A", signature.swapcase()):
        assert not again.is_signed(other, "id.0", "1700000000000")


def test_another_servers_signature_is_none_here(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert not LinkSigner(tmp_path / "b").is_signed(LinkSigner(tmp_path / "a").sign("id"), "id")


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_the_secret_is_for_this_user_alone(tmp_path: Path) -> None:
    LinkSigner(tmp_path)
    assert stat.S_IMODE((tmp_path / SECRET_FILE).stat().st_mode) == 0o600


def test_no_secret_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / SECRET_FILE).mkdir()
    with pytest.raises(StartRefused, match=SECRET_FILE):
        LinkSigner(tmp_path)

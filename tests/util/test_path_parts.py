"""Names that Windows reserves."""

from __future__ import annotations

import pytest

from downloader.util.path_parts import is_reserved


@pytest.mark.parametrize("part", ["CON", "con", "nul.txt", "Aux .x.y", "COM1", "lpt9.mp4", "COM\u00b9", "CONIN$"])
def test_names_of_devices_are_reserved(part: str) -> None:
    assert is_reserved(part)


@pytest.mark.parametrize("part", ["CON_", "console", "a.CON", "COM", "COM10", "NUL_.txt", ""])
def test_other_names_are_not(part: str) -> None:
    assert not is_reserved(part)

"""How many clicks and keys the common tasks take, in a real browser with a real server."""

from __future__ import annotations

import pytest

from benchmarks import clicks
from tests.browser import DESKTOP, needs_browser
from tests.portal.test_dashboard import NewPage
from tests.real_server import Server
from tests.simulator.client import Simulator

pytestmark = [needs_browser, pytest.mark.timeout(300)]


def test_no_task_takes_more_than_its_goal(new_page: NewPage, server: Server, simulator: Simulator) -> None:
    page = new_page(viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    done = clicks.count(clicks.Desk(page, server, simulator))
    assert clicks.missed(done) == []
    assert min(clicks.taken(acts) for acts in done.values()) == 1  # none goes uncounted
    assert "typed" in done["find an old one"]


def test_a_task_that_takes_too_much_is_named() -> None:
    acts = ["Ctrl+v", "typed", "typed", "Enter"]
    assert clicks.taken(acts) == 2
    assert clicks.missed({"download one link": acts, "download 200 links": acts}) == ["download one link"]

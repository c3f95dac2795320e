"""The outbox, in a real browser: every link is sent, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import expect, needs_browser
from tests.real_server import Server

pytestmark = [needs_browser, pytest.mark.timeout(300)]

OPEN = """const {deliver, openOutbox} = await import(`${ADDRESS}outbox.js`); const outbox = await openOutbox();"""


@pytest.fixture
def run(page: Any, server: Server) -> Callable[..., Any]:
    """Return what runs JavaScript that has `outbox` and `deliver`, on a page without scripts of its own."""
    digest = server.ask("GET", "/portal/shell.json")[1]["digest"]
    page.goto(f"{server.url}/portal/shell.json")

    def evaluate(script: str, *, on: Any = page) -> Any:
        return on.evaluate(f"async () => {{ {OPEN.replace('${ADDRESS}', f'/portal/static/{digest}/')} {script} }}")

    evaluate.page = page  # type: ignore[attr-defined]
    return evaluate


def test_what_is_kept_survives_the_page_in_order(run: Any) -> None:
    keys = run("const keys = []; for (const n of 'abcdef') keys.push((await outbox.add([n])).key); return keys")
    run.page.reload()
    entries = run("return outbox.entries()")
    assert [entry["urls"] for entry in entries] == [[each] for each in "abcdef"]
    assert [entry["key"] for entry in entries] == keys
    assert all(entry["refused"] is None and len(entry["key"]) == 32 for entry in entries)
    assert run("return outbox.persistent")


#: What the server answers to two entries, what is said of each afterwards (None: it is kept), and the delivery.
ANSWERS: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("({status: 202, body: {batch: {}}})", [], {"sent": 2, "refused": 0, "stopped": None}),
    ("({status: 200, body: {batch: {}}})", [], {"sent": 2, "refused": 0, "stopped": None}),
    ("({status: 200, body: null})", [None, None], {"sent": 0, "refused": 0, "stopped": 200}),
    ("({status: 400, body: {error: 'No.'}})", ["No.", "No."], {"sent": 0, "refused": 2, "stopped": None}),
    ("({status: 404, body: null})", [None, None], {"sent": 0, "refused": 0, "stopped": 404}),
    *(
        (f"({{status: {status}, body: {{error: 'Later.'}}}})", [None, None],
         {"sent": 0, "refused": 0, "stopped": status})
        for status in (401, 403, 408, 425, 429, 500, 503)
    ),
    ("Promise.reject(new TypeError('gone'))", [None, None], {"sent": 0, "refused": 0, "stopped": "unreachable"}),
]  # fmt: skip


def test_nothing_is_dropped_that_was_not_accepted(run: Any) -> None:
    for answer, left, delivery in ANSWERS:
        done = run(
            f"""await outbox.add(["a"]); await outbox.add(["b"]);
                const done = await deliver(outbox, async () => {answer});
                const entries = await outbox.entries();
                for (const {{key}} of entries) await outbox.remove(key);
                return [done, entries.map((entry) => entry.refused)];"""
        )
        assert done == [delivery, left], answer


@pytest.mark.parametrize("locks", ["", "Object.defineProperty(navigator, 'locks', {value: undefined});"])
def test_deliveries_at_once_send_each_entry_once(run: Any, locks: str) -> None:
    script = """const sent = []; const send = async (entry) => {
        await new Promise((resolve) => setTimeout(resolve));
        sent.push(entry.urls[0]); return {status: 202, body: {batch: 1}}; };
        for (const n of "abc") await outbox.add([n]);
        await Promise.all([deliver(outbox, send), deliver(outbox, send), deliver(outbox, send)]);
        return sent;"""
    assert run(locks + script) == ["a", "b", "c"]


def test_what_is_taken_back_is_neither_sent_nor_comes_back(run: Any) -> None:
    script = """const [a, b] = [await outbox.add(["a"]), await outbox.add(["b"])]; const sent = [];
        await deliver(outbox, async (entry) => { sent.push(entry.urls[0]); await outbox.remove(a.key);
          await outbox.remove(b.key); return {status: 400, body: {error: "No."}}; });
        return [sent, await outbox.entries()];"""
    assert run(script) == [["a"], []]


def test_another_tab_hears_of_a_change(run: Any, server: Server) -> None:
    other = run.page.context.new_page()
    other.goto(f"{server.url}/portal/shell.json")
    run("window.heard = new Promise((resolve) => outbox.onChange(resolve));")
    run("await outbox.add(['a'])", on=other)
    run.page.evaluate("window.heard")
    assert run("return (await outbox.entries()).length") == 1


def test_a_database_that_the_browser_closed_is_opened_again(run: Any) -> None:
    script = """await outbox.add(["a"]); outbox._entries._database.close(); await outbox.add(["b"]);
        return (await outbox.entries()).map((entry) => entry.urls[0]);"""
    assert run(script) == ["a", "b"]


def test_two_tabs_send_once(page: Any, server: Server) -> None:
    page.goto(f"{server.url}/dashboard")
    keep = """async () => {
        const digest = document.documentElement.dataset.digest;
        const {openOutbox} = await import(`/portal/static/${digest}/outbox.js`);
        const outbox = await openOutbox();
        for (let number = 0; number < 20; number += 1) await outbox.add([`https://youtu.be/00000000${10 + number}a`]);
        return outbox.persistent;
      }"""
    assert page.evaluate(keep)
    other = page.context.new_page()
    other.goto(f"{server.url}/dashboard")
    page.reload()
    page.evaluate(
        """async () => {
             const {openOutbox} = await import(`/portal/static/${document.documentElement.dataset.digest}/outbox.js`);
             const outbox = await openOutbox();
             const empty = async () => (await outbox.entries()).length === 0;
             await new Promise(async (resolve) => {
               outbox.onChange(async () => (await empty()) && resolve());
               if (await empty()) resolve();
             });
           }"""
    )
    expect(other.locator("#outbox")).to_be_hidden()
    assert len(server.ask("GET", "/api/v1/batches?limit=100")[1]["batches"]) == 20

"""The page's modules that need no document, run by Node; they agree with the server on what is a link."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from downloader.errors import HOPELESS
from downloader.platform_detector import parse_link, read_link
from downloader.platforms import DESTINATIONS
from tests.test_platform_detector import CASES, NOT_OURS, OURS

REPOSITORY = Path(__file__).parents[2]
NODE = shutil.which("node")

#: How long Node may take: no machine is so slow.
PATIENCE_SECONDS = 250

pytestmark = [pytest.mark.skipif(NODE is None, reason="no Node on this machine"), pytest.mark.timeout(300)]

READ_ALL = """
import { readFileSync } from "node:fs";
import { FUNCTION as run } from "./portal/static/MODULE";
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map((text) => run(text))));
"""


def run_in_node(function: str, texts: list[str], *, module: str = "links.js", folder: Path = REPOSITORY) -> list[Any]:
    assert NODE
    program = READ_ALL.replace("FUNCTION", function).replace("MODULE", module)
    command = [NODE, "--input-type=module", "-e", program]
    done = subprocess.run(
        command,
        cwd=folder,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def of_server(text: str) -> dict[str, str] | None:
    link = parse_link(text)
    return None if link is None else {"url": link.url, "platform": link.platform}


def as_sent(link: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in link.items() if name not in ("beside", "isShort")}


def as_server_reads(url: str) -> dict[str, Any]:
    target = asdict(read_link(url))
    del target["name"]  # which the page has no use for
    return target | {"more_ids": list(target["more_ids"])}


def test_the_modules_pass_their_own_tests() -> None:
    assert NODE
    files = sorted(str(path) for path in (REPOSITORY / "tests" / "js").glob("*.test.mjs"))
    assert files
    done = subprocess.run(
        [NODE, "--test", *files], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_page_and_server_agree_on_what_is_a_link() -> None:
    texts = [text for text, _ in OURS] + [each if isinstance(each, str) else each[0] for each in NOT_OURS]
    assert run_in_node("parseLink", texts) == [of_server(text) for text in texts]


def test_page_and_server_agree_on_thousands_of_damaged_links() -> None:
    chance = random.Random(4)
    pieces = [
        *"/?#@:.\\ \t\n%[]<>\"'", "https://", "http://", "youtu.be", "x.com", "www.", ":443", ":80", "é", "\u200b",
        "\ud800", "\u212a", "\ufeff", "\u3000", "\ufb00", "\u3002", "evil.example", "127.0.0.1",
        "#!/", "#/", "/watch#v=", "#!v=",
    ]  # fmt: skip
    texts = []
    for _ in range(5000):
        text = list(chance.choice(OURS)[0])
        for _ in range(chance.randint(1, 4)):
            where = chance.randrange(len(text) + 1)
            text[where : where + chance.randint(0, 2)] = chance.choice(pieces)
        texts.append("".join(text))
    answers = run_in_node("parseLink", texts)
    different = [(text, theirs) for text, theirs in zip(texts, answers, strict=True) if theirs != of_server(text)]
    assert different == []


def test_page_and_server_agree_on_what_a_link_leads_to() -> None:
    urls = [case["url"] for case in CASES]
    read = run_in_node("readLink", urls, module="post_links.js")
    different = [(url, theirs) for url, theirs in zip(urls, read, strict=True) if theirs != as_server_reads(url)]
    assert different == []


def test_page_and_server_agree_on_what_thousands_of_damaged_links_lead_to() -> None:
    chance = random.Random(11)
    pieces = [
        *"/?#@:.&=;,%+-_ \n\u2028é🔥", "%2F", "%3F", "%E4", "%f0%9f", "&amp;", "//", "https://", "list=PL1", "v=",
        "next=/", "/status/", "/video/", "/share/", "\u212a", "\u017f", "\u0130", "\ud800", "dQw4w9WgXcQ", "7123",
        "!", "{id}", "$1",
    ]  # fmt: skip
    urls = []
    for _ in range(8000):
        url = list(chance.choice(CASES)["url"])
        for _ in range(chance.randint(1, 4)):
            where = chance.randrange(len(url) + 1)
            url[where : where + chance.randint(0, 3)] = chance.choice(pieces)
        urls.append("".join(url))
    read = run_in_node("readLink", urls, module="post_links.js")
    different = [(url, theirs) for url, theirs in zip(urls, read, strict=True) if theirs != as_server_reads(url)]
    assert different == []


def test_the_server_accepts_what_the_page_finds() -> None:
    texts = [f"Look ({text}), and\n{text}." for text, _ in OURS]
    for found in run_in_node("readLinks", texts):
        for link in found["links"]:
            assert of_server(link["url"]) == as_sent(link)


def test_the_page_finds_the_post_that_is_meant() -> None:
    posts = [case for case in CASES if case["kind"] in {"post", "short"}]
    for tail in ("", "🔥 and more", "_", ", "):
        for case, found in zip(posts, run_in_node("readLinks", [case["url"] + tail for case in posts]), strict=True):
            if case["kind"] == "post":
                ids = [read_link(link["url"]).post_id for link in found["links"]]
                assert ids == [case["post_id"], *case.get("more_ids", [])], (case["url"], tail)
            elif tail != "_":  # which may be part of a short link
                assert [read_link(link["url"]).canonical_url for link in found["links"]] == [case["canonical_url"]]
            assert found["problems"] == found["asides"] == []


def test_in_any_jumble_the_page_finds_only_what_the_server_accepts() -> None:
    chance = random.Random(12)
    pieces = [
        *"/?#@:.\\ \t\n%[]<>\"'&=_*|~,;-()`", "https://", "http:/", "hxxps://", "//", "youtu.be/", "x.com/", "www.",
        "é", "\u200b", "🔥", "すごい", "\ud800", "\u212a", "\u0131", "%2F", "%3A", "%253F", "&amp;", "&#47;", "\\u002f",
        "evil.example", "@evil.example/", "google.com/url?q=", "l.instagram.com/?u=", "dQw4w9WgXcQ",
        "7123456789012345678", "Video ID,Time\n", '{"url": "', "video_ids=",
    ]  # fmt: skip
    urls = [case["url"] for case in CASES] + [url for url, _ in OURS]
    texts = [
        "".join(chance.choice(chance.choice([urls, pieces, pieces])) for _ in range(chance.randint(1, 8)))
        for _ in range(8000)
    ]
    taken = 0
    for text, found in zip(texts, run_in_node("readLinks", texts), strict=True):
        unknown = any(aside["destination"] == "unknown" for aside in found["asides"])
        for link in found["links"]:
            taken += 1
            assert of_server(link["url"]) == as_sent(link), text
            assert unknown or read_link(link["url"]).canonical_url, text
    assert taken > 4000


def test_the_page_reports_what_is_not_a_post() -> None:
    others = [case for case in CASES if case["kind"] in {"collection", "other"} and case["destination"] != "unknown"]
    for case, found in zip(others, run_in_node("readLinks", [case["url"] for case in others]), strict=True):
        assert [found["links"], found["problems"]] == [[], []], case["url"]
        told = [each["destination"] for each in found["asides"] + found["collections"]]
        assert told == [case["destination"]], case["url"]
        listed = case.get("canonical_url")
        assert [collection["url"] for collection in found["collections"]] == [listed] * bool(listed), case["url"]


def test_page_and_server_agree_on_which_errors_no_retry_helps() -> None:
    facts = (REPOSITORY / "portal/static/job_facts.js").read_text(encoding="utf-8")
    [listed] = re.findall(r"HOPELESS = new Set\(\[(.*?)\]\)", facts, re.DOTALL)
    assert set(re.findall(r'"(\w+)"', listed)) == HOPELESS


def test_every_destination_of_a_link_has_its_text() -> None:
    strings = json.loads((REPOSITORY / "portal/strings/en.json").read_text(encoding="utf-8"))
    reasons = {"unsupported", "too_long", "mistyped", "no_link", "other"}
    assert {f"problem_{name}" for name in reasons | DESTINATIONS.keys() | {"unknown"}} - strings.keys() == set()


def test_every_text_that_the_page_asks_for_is_there() -> None:
    strings = json.loads((REPOSITORY / "portal/strings/en.json").read_text(encoding="utf-8"))
    asked: set[str] = set()
    for path in [*(REPOSITORY / "portal/static").glob("*.js"), *(REPOSITORY / "portal/templates").glob("*.html")]:
        asked |= set(re.findall(r"""\btext\(\s*["'](\w+)["']""", path.read_text(encoding="utf-8")))
    assert asked - strings.keys() == set()


# What the oldest supported browsers can read.

OLDEST = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { parse } = createRequire(import.meta.url)("internal/deps/acorn/acorn/dist/acorn");
for (const path of JSON.parse(readFileSync(0, "utf8"))) {
  const sourceType = /theme|start_check|service_worker/.test(path) ? "script" : "module";
  const ecmaVersion = /start_check/.test(path) ? 5 : 2021;
  try {
    parse(readFileSync(path, "utf8"), { ecmaVersion, sourceType });
  } catch (error) {
    console.log(`${path}: ${error.message}`);
  }
}
"""

#: What the page might use, but Safari 15.4, Chrome 99 or Firefox 98 lacks.
TOO_NEW = re.compile(
    r"""\(\?<[=!]|\.to(?:Sorted|Reversed|Spliced)\(|\.findLast|\.with\(|groupBy\(|fromAsync|withResolvers|Promise\.try|
    URL\.(?:canParse|parse)\(|AbortSignal\.(?:any|timeout)|requestSubmit|showPicker|WellFormed\(|\.(?:union|intersection|difference|isSubsetOf)\(|
    requestIdleCallback|RegExp\.escape|Segmenter|DurationFormat|checkVisibility|showPopover|structuredClone|CloseWatcher|
    scheduler\.|\bimport\.meta\.resolve|Iterator\.|\.drop\(|\.take\(|Temporal\.""",
    re.VERBOSE,
)


def scripts() -> list[Path]:
    return sorted((REPOSITORY / "portal" / "static").glob("*.js"))


def newer_syntax(paths: list[Path]) -> list[str]:
    """Return what is newer than ECMAScript 2021 in *paths*, by the parser that is part of Node."""
    assert NODE
    done = subprocess.run(
        [NODE, "--expose-internals", "--input-type=module", "-e", OLDEST],
        input=json.dumps([str(path) for path in paths]), capture_output=True, text=True,
        timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_no_module_is_newer_than_the_oldest_browsers(tmp_path: Path) -> None:
    assert newer_syntax(scripts()) == []
    newer = {"block.js": "class A { static { } }", "field.js": "class A { a = 1 }", "start_check.js": "let a"}
    for name, content in newer.items():
        (tmp_path / name).write_text(content)
    assert len(newer_syntax(sorted(tmp_path.iterdir()))) == len(newer)


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_no_module_uses_what_the_oldest_browsers_lack(path: Path) -> None:
    assert TOO_NEW.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("text", ["/(?<!a)b/", "String.raw`(?<=a)`", "list.toSorted()", "Object.groupBy(a, b)"])
def test_what_the_oldest_browsers_lack_is_noticed(text: str) -> None:
    assert TOO_NEW.search(text)
    assert not TOO_NEW.search("/(?<name>a)(?=b)/")


def test_every_colour_has_a_stand_in_for_browsers_that_mix_none() -> None:
    files = sorted((REPOSITORY / "portal" / "static").glob("*.css"))
    css = re.sub(r"/\*.*?\*/", "", "".join(path.read_text(encoding="utf-8") for path in files), flags=re.DOTALL)
    newer = r"(?:light-dark|color-mix)\("
    defined = re.findall(rf"^  (--[\w-]+): {newer}", css, re.MULTILINE)
    assert len(defined) > 10
    # Elsewhere they would leave nothing: a declaration with a variable in it is taken, and then found to be invalid.
    assert len(re.findall(newer, re.sub(r"^  --.*$|@supports.*", "", css, flags=re.MULTILINE))) == 0
    stand_ins = css.partition("@supports not (color: light-dark(")[2].partition("\n}")[0]
    assert re.findall(r"^    (--[\w-]+): ", stand_ins, re.MULTILINE) == defined

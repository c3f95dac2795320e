"""The docs are true: links lead somewhere, names exist, and the words are those of the glossary."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from downloader.download_settings import CLIENT_KEY, CLIENT_SERVER
from downloader.errors import ERROR_CODES
from downloader.settings import Settings
from tests.real_server import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob(".github/**/*.md")])
PAGES.append(REPOSITORY / "tests" / "simulator" / "README.md")
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))

#: Words we don't use, and what we say instead. Docs have none of them; `CODE` says where else they are looked for.
WORDS = {
    r"nobody": "no one",
    r"who(so)?ever": "anyone, the client, the caller",
    r"anew": "again, new",
    r"begun": "started",
    r"(?-i:(?<!there )is none)": "is not a ...",
    r"(tried|retried|resumes?|continues?) (once more )?by (it|them)sel(f|ves)": "automatically",
    r"goes? on": "continues, resumes",
    r"looks? on": "follows",
    r"crews?|WorkerCrew|worker_crew": "pool",
    r"hire[sd]?|gives? back|give_back|sends? away|send_away|tired": "acquire, release, terminate, draining",
    r"_?bur(y|ies|ied|ial)|_BURIAL_SECONDS|stillborn": "reap",
    r"silence\.py|SilenceRules|quiet_seconds|steps? back|stepped[ _]back": "preempt",
    r"Orchestra": "DownloadSession",
    r"gates?|Gate": "limiter, guard",
    r"Admission|admissions?|dismiss(es|ed)?": "egress session, grant, revoke",
    r"LOOK_SECONDS|REST_LOOK_SECONDS": "CHECK_INTERVAL_SECONDS",
    r"PlatformRest|end_rest|platforms? rests?|is resting": "cooldown",
    r"last_try|job\.tries": "attempts, final_attempt",
    r"(?<!/v1/)figures": "statistics, results",
    r"_stubbornly|_told|_untold|entry\.why": "_store_with_retry, end_reason",
    r"promised_names|enter_work|empty_work": "pending_names, prepare_work_dir, clear_work_dir",
    r"_?rehears(e|es|ed|al)": "warm up",
    r"_wakeful|_stopper|_planner": "_interruptible_backoff, _stop_hook, _preflight",
    r"CookieShelf|cookie_shelf|good_cookies": "CookieStore, parse_lenient",
}
every_word = pytest.mark.parametrize("word", WORDS)

#: The product and its page. Python's own names may contain a word: `admissions` is looked for as a whole word only.
CODE = ("downloader", "downloader_main.py", "portal")


def heading_anchors(path: Path) -> set[str]:
    """Return the anchors that a page's headings have on GitHub."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", file):
            continue
        leads_to = (path.parent / file).resolve() if file else path
        assert leads_to.exists(), target
        assert not anchor or anchor in heading_anchors(leads_to), target


@every_page
def test_every_file_exists_that_is_named(path: Path) -> None:
    top = "|".join(folder.name for folder in REPOSITORY.iterdir() if folder.is_dir())
    for name in re.findall(rf"`((?:{top})/[\w./-]*|[\w-]+\.(?:py|toml|md))`", path.read_text(encoding="utf-8")):
        places = [REPOSITORY, REPOSITORY / "docs", REPOSITORY / "downloader", path.parent]
        assert any((place / name).exists() for place in places), name


def test_the_code_refers_to_pages_that_exist() -> None:
    for file in [*REPOSITORY.glob("*.py"), *REPOSITORY.glob("downloader/**/*.py"), *REPOSITORY.glob("portal/**/*.js")]:
        for name in re.findall(r"\bdocs/[\w/-]+\.md", file.read_text(encoding="utf-8")):
            assert (REPOSITORY / name).is_file(), f"{file}: {name}"


@every_page
def test_every_python_name_exists(path: Path) -> None:
    packages = "downloader|portal|benchmarks|fuzz|tests"
    for name in re.findall(rf"(?:`|from |-m )((?:{packages})(?:\.\w+)+)", path.read_text(encoding="utf-8")):
        assert name.endswith((".py", ".db")) or is_defined(name), name


def is_defined(name: str) -> bool:
    """Whether *name* is a module, or something that a module defines."""
    module, _, attribute = name.rpartition(".")
    file = REPOSITORY / name.replace(".", "/")
    if file.is_dir() or file.with_suffix(".py").is_file():
        return True
    return bool(module) and is_defined(module) and hasattr(importlib.import_module(module), attribute)


def test_the_architecture_shows_every_package_and_names_modules_that_exist() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {file.parent.name for file in REPOSITORY.glob("downloader/*/__init__.py")}
    assert {package for package in packages if f"── {package}/" not in text} == set()
    for package, module in re.findall(rf"(?:→ |; )({'|'.join(packages)})/(\w+)", text):
        assert (REPOSITORY / "downloader" / package / f"{module}.py").is_file(), f"{package}/{module}"


@every_page
def test_every_variable_exists(path: Path) -> None:
    settings = {f"DOWNLOADER_{field.upper()}" for field in Settings.model_fields} | {CLIENT_SERVER, CLIENT_KEY}
    assert set(re.findall(r"DOWNLOADER_[A-Z_]+", path.read_text(encoding="utf-8"))) <= settings


def test_the_glossary_is_sorted_and_has_each_word_once() -> None:
    text = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\*\*([\w ]+)\*\*:", text, re.MULTILINE)
    assert words == sorted(set(words))


def test_every_error_code_has_a_cure() -> None:
    text = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == set(ERROR_CODES)


@every_word
def test_the_docs_have_no_old_word(word: str) -> None:
    assert places(word, [path for path in PAGES if "simulator" not in path.parts]) == []


@every_word
def test_the_code_has_no_old_word(word: str) -> None:
    listed = subprocess.run(["git", "ls-files", *CODE], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    files = [REPOSITORY / name for name in listed.stdout.splitlines()]
    found = places(word, [file for file in files if file.suffix in {".py", ".js", ".html", ".json", ".css"}])
    # The column that the first databases have.
    assert [place for place in found if "downloader/store/" not in place or '"last_try"' not in place] == []


def places(word: str, files: list[Path]) -> list[str]:
    """Return `file:line: text` for each line that has *word*."""
    pattern = re.compile(rf"(?<!\w)(?:{word})(?!\w)", re.IGNORECASE)
    return [
        f"{file.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]}"
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]

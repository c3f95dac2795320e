"""The layout's limits: how many modules a folder holds, what they are called, how long they and their functions are."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

DOWNLOADER = Path(__file__).parents[2] / "downloader"
PORTAL = DOWNLOADER.with_name("portal")
# A migration is history: it is never changed again.
PATHS = [path for top in (DOWNLOADER, PORTAL) for path in sorted(top.rglob("*.py")) if path.parent.name != "versions"]
MAX_TOP_MODULES = 16
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60


SETUPTOOLS = tomllib.loads((DOWNLOADER.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def name(path: Path) -> str:
    return str(path.relative_to(DOWNLOADER.parent))


def test_few_modules_stand_at_the_top() -> None:
    assert len(list(DOWNLOADER.glob("*.py"))) <= MAX_TOP_MODULES


@pytest.mark.parametrize("path", [path for path in PATHS if path.name == "__init__.py"], ids=name)
def test_a_package_is_only_described_by_its_init(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    statements = len(tree.body)
    assert statements == 1 or path.parent == DOWNLOADER  # which holds the app factory


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent not in (DOWNLOADER, PORTAL)], ids=name)
def test_a_module_does_not_repeat_the_name_of_its_package(path: Path) -> None:
    package = path.parent.name
    assert {package, package.removesuffix("s")}.isdisjoint(path.stem.split("_"))


@pytest.mark.parametrize("path", PATHS, ids=name)
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    module_lines = text.count("\n")
    assert module_lines <= MAX_MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function_lines = (node.end_lineno or 0) - node.lineno + 1
            assert function_lines <= MAX_FUNCTION_LINES, node.name


def test_the_wheel_holds_all_packages_and_data_files() -> None:
    files = [path for top in (DOWNLOADER, PORTAL) for path in top.rglob("*") if path.is_file()]
    packages = {path.parent for path in files if path.name == "__init__.py"}
    data = {path for path in files if path.suffix not in (".py", ".pyc")}
    root = DOWNLOADER.parent
    assert {".".join(path.relative_to(root).parts) for path in packages} == set(SETUPTOOLS["packages"])
    patterns = [(name, each) for name, globs in SETUPTOOLS["package-data"].items() for each in globs]
    assert data == {path for name, each in patterns for path in root.joinpath(*name.split(".")).glob(each)}

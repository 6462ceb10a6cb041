"""The docstring of each package introduces it: one line for each of its files and packages, short enough to be read."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from vqa_core import ROOT

LONGEST = 25  # lines
PACKAGES = [path.parent for top in ("vqa_core", "ui", "train", "eval") for path in (ROOT / top).rglob("__init__.py")]


def introduction(package: Path) -> str:
    return ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""


def named(text: str) -> Counter[str]:
    """What lines begin with: `name.py` or `name/`."""
    return Counter(re.findall(r"^(\w+(?:\.py|/))(?=\s|$)", text, re.MULTILINE))


def contents(package: Path) -> set[str]:
    """The files and packages of a package; docs/design.md introduces those of vqa_core itself."""
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    packages = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    return files if package == ROOT / "vqa_core" else files | packages


@pytest.mark.parametrize("package", sorted(PACKAGES), ids=lambda path: ".".join(path.relative_to(ROOT).parts))
def test_a_package_introduces_each_of_its_files_and_packages(package: Path) -> None:
    text = introduction(package)
    names, there = named(text), contents(package)
    assert not there - names.keys(), f"{package}/__init__.py: no line begins with {sorted(there - names.keys())}"
    gone = {name for name in names if name not in there and not (package / name).is_dir()}
    assert not gone, f"{package}/__init__.py: {sorted(gone)} are not there"
    assert max(names.values(), default=1) == 1, f"{package}/__init__.py: {names.most_common(1)[0][0]} has two lines"
    assert len(text.splitlines()) <= LONGEST, f"{package}/__init__.py: {len(text.splitlines())} lines, not {LONGEST}"


def test_names_are_read_from_the_beginnings_of_lines() -> None:
    text = "Rows.\n\nrows.py    one\nindex/     two\nrows.py\n  deeper.py  three\nin data.py, no\nmay/be no\n"
    assert named(text) == {"rows.py": 2, "index/": 1}


def test_no_test_file_imports_another() -> None:
    """What several share lies in tests/support or in a conftest."""
    files = (ROOT / "tests").rglob("*.py")
    importing = re.compile(r"^\s*from tests\.(?:\w+\.)*test_\w+ import", re.MULTILINE)
    assert not [str(path) for path in files if importing.search(path.read_text(encoding="utf-8"))]

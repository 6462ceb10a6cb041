"""docs/reliability.md: every promise names a test that is there, every figure was written by a command."""

import re
from pathlib import Path

import pytest

from tests.soak.__main__ import PROOFS, parse
from vqa_core import ROOT

PAGE = ROOT / "docs/reliability.md"
TEXT = PAGE.read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
SECTIONS = tuple(PROOFS)


@pytest.mark.parametrize(("file", "name"), sorted(set(TESTS)), ids=lambda text: Path(text).stem)
def test_each_test_that_the_page_names_is_there(file: str, name: str) -> None:
    source = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:async )?def {name}\(", source, re.MULTILINE)


def test_each_promise_names_its_test_or_command() -> None:
    promises = 0
    for table in re.findall(r"^\| promise \| tested by \|\n\|---\|---\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE):
        for row in table.splitlines():
            promise, tested = (cell.strip() for cell in row.strip("|").rsplit("|", 1))
            assert promise.endswith("."), promise
            assert re.fullmatch(r"(`(tests/[\w/]+\.py::\w+|make [a-z]+)`(, )?)+", tested), tested
            promises += 1
    assert promises > 20
    assert len(TESTS) >= promises


@pytest.mark.parametrize("section", SECTIONS)
def test_figures_stand_below_the_command_that_wrote_them(section: str) -> None:
    (figures,) = re.findall(rf"^<!-- {section} -->\n(.*?)^<!-- end of {section} -->$", TEXT, re.MULTILINE | re.DOTALL)
    command = figures.split("```")[1].strip()
    assert command.startswith(f"python -m tests.soak {section} ")
    assert parse(command.split()[3:]).write == Path("docs/reliability.md")
    assert "WRONG" not in figures
    assert re.search(r"^Measured on: .*date \d{4}-\d{2}-\d{2}", figures, re.MULTILINE)


def test_no_figures_stand_anywhere_else() -> None:
    rest = TEXT
    for section in SECTIONS:
        rest = re.sub(rf"<!-- {section} -->.*<!-- end of {section} -->", "", rest, flags=re.DOTALL)
    tables = re.findall(r"^\|(.*)\|$", rest, re.MULTILINE)
    assert not [row for row in tables if re.search(r"\|\s*[\d.,]+\s*(\||$)", row)]
    assert not re.findall(r"^```\npython", rest, re.MULTILINE)

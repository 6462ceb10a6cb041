"""The Makefile with a Python that only notes what it is asked: what is set up, when, and what is run then."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vqa_core import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()

# Notes its arguments, answers `-c` like the real one, and makes a `.venv` that holds nothing but itself.
FAKE_PYTHON = f"""#!/bin/sh
case "$1" in -c) exec {sys.executable} "$@" ;; esac
echo "$@" >> calls
case "$2" in venv) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;; esac
"""


# Not as a part of the `make test` that may have started this.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "tests/parity", tmp_path / "tests/parity")
    fake = tmp_path / "fake-python"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return tmp_path


PEER_LISTS = ["tests/parity/requirements.txt", "tests/parity/requirements-no-deps.txt"]


def make(clone: Path, *arguments: str) -> list[str]:
    """The Python calls that `make` makes."""
    calls = clone / "calls"
    calls.write_text("")
    done = subprocess.run(
        ["make", f"PYTHON={clone / 'fake-python'}", *arguments],
        cwd=clone,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return calls.read_text().splitlines()


def installs(calls: list[str]) -> list[str]:
    return [call.partition(" install ")[2] for call in calls if " install " in call]


def test_the_demo_sets_up_once_and_then_runs_the_four_commands(clone: Path) -> None:
    first = make(clone, "demo", "PAGE=0")
    second = make(clone, "demo", "PAGE=0")
    assert first[0] == "-m venv .venv"
    assert [call.split()[1] for call in second] == ["train.prepare", "eval.predict", "eval.score", "eval.submit"]
    assert first[-4:] == second
    assert len(installs(first)) == 3


def test_the_demo_ends_by_opening_the_page_on_its_run(clone: Path) -> None:
    *commands, page = make(clone, "demo", "PORT=7999")
    assert commands[-1].startswith("-m eval.submit")
    assert page == "app.py --port 7999 --open ?tab=errors&run=demo&split=test"
    assert make(clone, "app") == ["app.py --port 7860 --open ?"]


def test_torch_is_installed_first_by_the_pinned_name_alone(clone: Path) -> None:
    torch, rest, wheels = installs(make(clone, "setup"))
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", torch)
    assert torch in (ROOT / "requirements.txt").read_text()
    assert rest == "-r requirements.txt"
    assert wheels.startswith("--no-deps ")


def test_the_wheels_are_those_the_code_reads(clone: Path) -> None:
    wheels = installs(make(clone, "setup"))[2].split()[1:]
    code = (ROOT / "vqa_core/model/embedded.py").read_text() + (ROOT / "vqa_core/data/easy_vqa.py").read_text()
    for wheel in wheels:
        name, _, version = wheel.partition("==")
        assert name in code
        assert version in code


def test_a_changed_list_is_installed_again_and_an_unchanged_one_is_not(clone: Path) -> None:
    make(clone, "test")
    assert installs(make(clone, "test")) == []
    with (clone / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert installs(make(clone, "test"))[1:2] == ["-r requirements.txt"]
    with (clone / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    assert installs(make(clone, "test")) == ["-r .venv/dev.txt"]
    assert installs(make(clone, "test")) == []


def test_the_developers_tools_are_those_of_pyproject(clone: Path) -> None:
    make(clone, "check")
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    assert (clone / ".venv/dev.txt").read_text().split("\n")[:-1] == dev


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="LLaVA's pins have wheels for Python 3.11")
def test_llava_gets_an_environment_of_its_own_once_and_again_when_its_list_changes(clone: Path) -> None:
    first = make(clone, "parity")
    assert "-m venv .venv-peer" in first
    torch, pinned, without_dependencies = installs(first)[-3:]
    assert torch in (ROOT / "requirements.txt").read_text()
    assert (pinned, without_dependencies) == (f"-r {PEER_LISTS[0]}", f"--no-deps -r {PEER_LISTS[1]}")
    assert make(clone, "parity") == first[-1:] == ["-m pytest tests/parity"]
    with (clone / PEER_LISTS[1]).open("a") as file:
        file.write("# changed\n")
    assert installs(make(clone, "parity")) == [torch, pinned, without_dependencies]
    assert installs(make(clone, "test")) == []


def test_a_python_that_is_too_old_is_named_before_anything_is_made(clone: Path) -> None:
    old = clone / "old-python"
    old.write_text('#!/bin/sh\ncase "$1" in -c) exit 1 ;; *) echo Python 3.10.2 ;; esac\n')
    old.chmod(0o755)
    ask = ["make", f"PYTHON={old}", "demo"]
    done = subprocess.run(ask, cwd=clone, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        "is not Python 3.11, 3.12, 3.13 or 3.14: Python 3.10.2. Name one that is: make PYTHON=python3.11 demo"
        in done.stderr
    )
    assert not (clone / ".venv").exists()


def test_the_versions_of_python_are_those_of_pyproject() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = re.search(r"not \((\d, \d+)\) <= sys\.version_info < \((\d, \d+)\)", MAKEFILE).groups()  # type: ignore[union-attr]
    assert wanted == f">={low.replace(', ', '.')},<{high.replace(', ', '.')}"


def test_make_alone_says_in_a_line_what_each_target_does() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE).group(1).split()  # type: ignore[union-attr]
    done = subprocess.run(["make"], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    printed = done.stdout.splitlines()
    assert [line.split()[:2] for line in printed] == [["make", target] for target in targets]
    assert all(len(line) <= 120 for line in printed)

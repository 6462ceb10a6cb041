"""The forge's workflow: every system and Python that is promised, and only commands that are there."""

import importlib
import importlib.util
import re
import shlex
import tomllib
from importlib.metadata import distribution
from itertools import pairwise
from typing import Any

import pytest
import yaml

from vqa_core import ROOT

TEXT = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
SILENT = {"onnx"}
"""Packages of compiled code that name no Python at all."""
JOB = WORKFLOW["jobs"]["commands"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def commands() -> list[list[str]]:
    """The words of every command line."""
    lines = [line for step in JOB["steps"] for line in step.get("run", "").splitlines()]
    return [shlex.split(line) for line in lines if line.strip()]


def test_it_runs_on_every_system_and_every_python_that_is_accepted() -> None:
    matrix = JOB["strategy"]["matrix"]
    assert [name.partition("-")[0] for name in matrix["os"]] == ["ubuntu", "macos", "windows"]
    first, end = (int(minor) for minor in re.findall(r"3\.(\d+)", PYPROJECT["requires-python"]))
    assert matrix["python"] == [f"3.{minor}" for minor in range(first, end)]
    assert JOB["runs-on"] == "${{ matrix.os }}"
    assert not JOB["strategy"]["fail-fast"]
    assert WORKFLOW.get("on") or WORKFLOW.get(True), "YAML takes `on` for true"


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words)[:60])
def test_every_command_is_there(words: list[str]) -> None:
    assert words[:2] == ["python", "-m"], "nothing that only one shell or system has"
    assert importlib.util.find_spec(words[2]), words[2]
    for flag, path in pairwise(words):
        if flag in ("-r", "--config", "--model", "--ignore"):
            assert (ROOT / path).exists(), path


def test_versions_are_those_of_the_makefile_and_the_extras() -> None:
    (embedded,) = re.findall(r"^EMBEDDED := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    pins = {word for words in commands() if words[2:4] == ["pip", "install"] for word in words if "==" in word}
    assert pins == set(embedded.split()) | {pin for pin in PYPROJECT["optional-dependencies"]["dev"] if pin in pins}
    assert set(embedded.split()) < pins


def test_every_flag_is_one_that_the_command_has(capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands():
        if words[2].startswith(("train.", "eval.")):
            with pytest.raises(SystemExit):
                importlib.import_module(words[2]).main(["--help"])
            text = capsys.readouterr().out
            assert all(re.search(rf"{word}\b", text) for word in words if word.startswith("--")), words


def test_packages_say_that_they_support_the_newest_python() -> None:
    """As far as it can be known without a network: pure ones, those with a stable ABI, and those that say so."""
    newest = JOB["strategy"]["matrix"]["python"][-1]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for name in (re.split(r"[=><]", line)[0] for line in lines if line and not line.startswith("#")):
        package = distribution(name)
        tags = re.findall(r"^Tag: (.*)$", package.read_text("WHEEL") or "", re.MULTILINE)
        if any("-none-" in tag or "-abi3-" in tag for tag in tags) or name in SILENT:
            continue
        said = package.metadata.get_all("Classifier") or []
        assert f"Programming Language :: Python :: {newest}" in said, f"{name} {package.version}"

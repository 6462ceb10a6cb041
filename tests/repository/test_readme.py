"""README tells today's truth: its commands run, its links lead somewhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import packages
from tests.support import readme
from vqa_core import ROOT
from vqa_core.data.easy_vqa import package_data
from vqa_core.files import read_json, write_json

LONGEST = 200  # lines


def test_readme_is_short_enough_to_be_read() -> None:
    assert len(readme.TEXT.splitlines()) <= LONGEST


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda page: page.stem)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)|src(?:set)?=\"([^\"]+)\"", text)
    for link in (first or second for first, second in links):
        if link.startswith("http"):
            continue
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
        assert not heading or heading in {title.lower().replace(" ", "-") for title in titles}, link


def test_the_packages_are_those_that_are_there() -> None:
    (block,) = readme.blocks(readme.section("The packages"), "text")
    named = [line.split()[0] for line in block.splitlines()]
    assert all((ROOT / name).exists() for name in named)
    inner = [
        f"{name.replace('.', '/')}/" for name in packages.order() if name.startswith(("vqa_core", "train", "eval"))
    ]
    assert [name for name in named if name in inner] == inner, "in the order of docs/design.md"


def pythons() -> list[list[str]]:
    """Every `python -m` command of README and docs/models.md, as the words after `-m`."""
    text = readme.TEXT + (ROOT / "docs/models.md").read_text(encoding="utf-8")
    return [words[2:] for words in readme.commands_of(text) if words[:2] == ["python", "-m"]]


def test_every_flag_of_every_command_is_one_that_the_command_has() -> None:
    known: dict[str, set[str]] = {}
    assert len(pythons()) > 20
    for module, *arguments in pythons():
        if module not in known:
            done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
            known[module] = set(re.findall(r"--[a-z][a-z-]*", done.stdout))
        assert {word for word in arguments if word.startswith("--")} <= known[module], (module, arguments)
        assert all((ROOT / word).exists() for word in arguments if word.startswith("configs/")), arguments


def test_every_make_target_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        text = "\n".join(re.findall(r"`[^`\n]+`|^```sh\n.*?^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))
        assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets


TOUR_IMAGES = {"train": 12, "test": 20}
"""Of easy-VQA's 4,000 and 1,000: tests/data/test_easy_vqa.py counts them all."""


def smaller_easy_vqa(folder: Path) -> int:
    """An `easy_vqa` package below `folder` with the first images of the real one; returns its test questions."""
    (folder / "easy_vqa").mkdir(parents=True)
    (folder / "easy_vqa/__init__.py").touch()
    for split, images in TOUR_IMAGES.items():
        source, target = package_data() / split, folder / "easy_vqa/data" / split
        (target / "images").mkdir(parents=True)
        for image in range(images):
            shutil.copyfile(source / f"images/{image}.png", target / f"images/{image}.png")
        questions = [row for row in read_json(source / "questions.json") if row[2] < images]
        write_json(target / "questions.json", questions)
    return len(questions)


@pytest.mark.slow(seconds=90)
def test_the_five_commands_run_as_they_stand_and_end_with_a_submission(tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    questions = smaller_easy_vqa(tmp_path / "packages")
    tour = [words for words in readme.commands("Five commands") if words[0] == "python"]
    assert [words[2] for words in tour] == [
        "train.prepare",
        "train.finetune",
        "eval.predict",
        "eval.score",
        "eval.submit",
    ]
    for words in tour:
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{tmp_path / 'packages'}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    run = tmp_path / "runs/tour"
    lines = (run / "submission.csv").read_text().splitlines()
    assert lines[0] == "ID,answer"
    assert len(lines) == 1 + questions
    assert json.loads((run / "score.json").read_text())["test"]["overall"]["exact"]["value"] > 0.25

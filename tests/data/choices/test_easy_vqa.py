"""easy-VQA with choices: the right one among plausible ones, biased letters in training and nowhere else."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from vqa_core.data.choices.easy_vqa import COLOURS, NO_SHAPES, SHAPES, write_easy_vqa_choices
from vqa_core.data.easy_vqa import package_data
from vqa_core.files import read_json

LETTERS = "ABCD"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "easy-vqa-choices"
    write_easy_vqa_choices(folder)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def solved(folder: Path) -> list[dict[str, str]]:
    answers = {row["ID"]: row["answer"] for row in rows_of(folder / "solution.csv")}
    return [row | {"answer": answers[row["ID"]]} for row in rows_of(folder / "test.csv")]


def test_the_right_choice_is_easy_vqas_answer_and_the_others_are_of_its_kind(folder: Path) -> None:
    package = {
        f"{split.upper()}_{number:05d}": answer
        for split in ("train", "test")
        for number, (_, answer, _) in enumerate(read_json(package_data() / split / "questions.json"))
    }
    rows = [*rows_of(folder / "train.csv"), *rows_of(folder / "val.csv"), *solved(folder)]
    assert len(rows) == len(package) == 48248
    kinds = {"yes": {"yes", "no", ""}, "no": {"yes", "no", ""}}
    kinds |= {colour: {*COLOURS} for colour in COLOURS} | {shape: {*SHAPES, *NO_SHAPES} for shape in SHAPES}
    for row in rows:
        answer, choices = package[row["ID"]], [row[letter] for letter in LETTERS]
        assert row[row["answer"]] == answer
        assert set(choices) <= kinds[answer]
        assert len({*filter(None, choices)}) == (2 if answer in ("yes", "no") else 4)


def test_a_is_right_too_often_in_training_and_nowhere_else(folder: Path) -> None:
    for number in (2, 4):
        for rows, share in (
            (rows_of(folder / "train.csv"), 0.7),
            (rows_of(folder / "val.csv"), 1 / number),
            (solved(folder), 1 / number),
        ):
            of_number = [row["answer"] for row in rows if sum(bool(row[letter]) for letter in LETTERS) == number]
            assert Counter(of_number)["A"] / len(of_number) == pytest.approx(share, abs=0.05)


def test_validation_pictures_are_in_no_training_question(folder: Path) -> None:
    images = [{row["image_id"] for row in rows_of(folder / f"{split}.csv")} for split in ("train", "val", "test")]
    assert [len(each) for each in images] == [3800, 200, 1000]
    assert not images[0] & images[1]
    for split, names in zip(("train", "val", "test"), images, strict=True):
        assert {path.stem for path in (folder / "image" / split).iterdir()} == names


def test_a_second_call_changes_nothing_and_the_sample_has_letters(folder: Path) -> None:
    before = (folder / "train.csv").stat().st_mtime_ns, folder.stat().st_mtime_ns
    write_easy_vqa_choices(folder)
    assert before == ((folder / "train.csv").stat().st_mtime_ns, folder.stat().st_mtime_ns)
    assert {row["answer"] for row in rows_of(folder / "sample_submission.csv")} == {"A"}

"""Multiple choice through the formats of other people: in, out and in again, with choices, form and answer."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from vqa_core.config import DataSettings
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.conversations import written_question
from vqa_core.data.formats.exporting import EXPORTS, export_run
from vqa_core.data.formats.importing import Sources, import_data
from vqa_core.data.prepare import prepare
from vqa_core.runs.choices import FORMS, write_choice
from vqa_core.runs.examples import Example
from vqa_core.runs.run_dir import RunDir

CHOICES = [("red", "light\nblue"), ("1", "2", "3, or 4"), ("사과", "배", "", "귤", '"감"')]


def facts(rows: list[Example]) -> list[tuple[Any, ...]]:
    return sorted((row.question_id, row.question, row.answer, row.choices, row.answer_form) for row in rows)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        (tmp_path / "data/image" / split).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"data/image/{split}/{number}.png")
    return tmp_path / "data"


def write(folder: Path, form: str) -> None:
    """Three questions with choices, answered in a form, one open one; the same without answers in test.csv."""
    right = [write_choice(at, choices, form) for at, choices in enumerate(CHOICES, start=-1) if at >= 0]
    answers = [write_choice(1, CHOICES[0], form), *right, "a cat"]
    rows = [*zip("0123", "abcd", answers, [*map(list, CHOICES), []], strict=True)]
    for split in ("train", "test"):
        lines = ["ID,image_id,question,choices" + (",answer" if split == "train" else "")]
        for number, question, answer, choices in rows:
            fields = [number, number, question, json.dumps(choices, ensure_ascii=False) if choices else ""]
            fields += [answer] if split == "train" else []
            lines.append(",".join('"' + field.replace('"', '""') + '"' for field in fields))
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", EXPORTS)
def test_choices_are_what_they_were(kind: str, form: str, pictures: Path, tmp_path: Path) -> None:
    write(pictures, form)
    settings = DataSettings(val_fraction=0, verify_images="none", answer_form=form)
    run = RunDir(tmp_path / "run")
    before = prepare(run, str(pictures), settings)
    assert [row.choices for row in before.train] == [*CHOICES, ()]
    export, files = export_run(run, kind)
    train = [str(export / name) for name in files if name.startswith("train")]
    test = [str(export / name) for name in files if name.startswith("test")]
    read = read_competition(import_data(Sources(train, test, images=run.data_root()), tmp_path / "imported"))
    assert facts(read.train) == facts(before.train)
    assert facts(read.test) == facts(before.test)


def test_an_export_of_open_questions_has_no_column_for_choices(pictures: Path, tmp_path: Path) -> None:
    (pictures / "train.csv").write_text("ID,image_id,question,answer\n0,0,q,a\n", encoding="utf-8")
    run = RunDir(tmp_path / "run")
    prepare(run, str(pictures), DataSettings(val_fraction=0, verify_images="none"))
    (name,) = export_run(run, "parquet")[1]
    exported = datasets.Dataset.from_parquet(str(run.root / "export/parquet" / name), cache_dir=str(tmp_path / "cache"))
    assert exported.column_names == ["question_id", "image_id", "image", "question", "answer", "answers"]
    (name,) = export_run(run, "llava")[1]
    assert "choices" not in (run.root / "export/llava" / name).read_text(encoding="utf-8")


def test_a_question_is_written_as_llava_asks_it() -> None:
    asked = written_question(Example("q", "i", "i.png", "which?", "2", ("red", "", "blue"), "1"))
    assert asked == "which?\nA. red\nC. blue\nAnswer with the option's letter from the given choices directly."


def test_llavas_own_conversations_get_their_choices(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    asked = "<image>\nwhich?\nA. red\nB. blue\nAnswer with the option's letter from the given choices directly."
    turns = [asked, "B", "what is it?\nAnswer the question using a single word or phrase.", "A"]
    record = {
        "id": "7",
        "image": "i.png",
        "conversations": [{"from": ("human", "gpt")[at % 2], "value": text} for at, text in enumerate(turns)],
    }
    (tmp_path / "mix.json").write_text(json.dumps([record]), encoding="utf-8")
    read = read_competition(import_data(Sources([str(tmp_path / "mix.json")]), tmp_path / "out"))
    first, second = read.train
    assert (first.question, first.choices, first.answer, first.answer_form) == ("which?", ("red", "blue"), "B", "A")
    assert (second.choices, second.answer) == ((), "A")


@pytest.mark.parametrize(
    ("columns", "choices", "answer", "form"),
    [
        ({"choices": [["red", "blue"]], "correct_choice_idx": [0]}, ("red", "blue"), "0", "0"),  # A-OKVQA
        ({"choices": [["red", "blue"]], "answer": [0], "hint": ["Look."]}, ("red", "blue"), "0", "0"),  # ScienceQA
        ({"options": ["['red', 'blue']"], "answer": ["B"]}, ("red", "blue"), "B", "A"),  # MMMU
        ({"A": ["red"], "B": ["blue"], "C": [None], "answer": ["B"], "hint": ["nan"]}, ("red", "blue"), "B", "A"),
        ({"choice_a": ["red"], "choice_b": ["blue"], "answer": ["B"]}, ("red", "blue"), "B", "A"),  # SEED-Bench
        ({"options": [["red", "blue"]], "answer": ["blue"]}, ("red", "blue"), "blue", "text"),
    ],
)
def test_datasets_with_choices(
    columns: dict[str, list[Any]], choices: tuple[str, ...], answer: str, form: str, pictures: Path, tmp_path: Path
) -> None:
    rows = {"question": ["which?"], "image": [str(pictures / "image/train/0.png")]} | columns
    made = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "set")
    (row,) = read_competition(import_data(Sources([str(tmp_path / "set")]), tmp_path / "out")).train
    assert (row.choices, row.answer, row.answer_form) == (choices, answer, form)
    assert row.question == ("Look.\nwhich?" if columns.get("hint") == ["Look."] else "which?")

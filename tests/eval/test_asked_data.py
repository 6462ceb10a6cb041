"""`eval.predict --data`: questions from elsewhere, read by the run's own columns, as often as they are asked."""

import shutil
from pathlib import Path

import datasets
import pytest
from PIL import Image

from eval import predict
from tests.support.tiny import tiny_parts
from tests.support.trained import FLAGS, write_model
from train import prepare
from vqa_core.data.formats.conversations import write_questions
from vqa_core.files import InputError
from vqa_core.runs.examples import Example, read_examples
from vqa_core.runs.predictions import read_predictions
from vqa_core.runs.run_dir import RunDir

COLUMNS = [
    *("--question-id-column", "key", "--image-id-column", "photo_of", "--question-column", "text"),
    *("--answer-column", "label", "--image-column", "photo"),
]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and two datasets of odd column names, `train` with answers and `asked` without."""
    folder = tmp_path_factory.mktemp("asked")
    tiny_parts(folder / "parts")
    write_model(folder / "model", folder / "parts")
    for number in range(3):
        Image.new("RGB", (8, 8), (90 * number, 0, 0)).save(folder / f"{number}.png")
    photos = [str(folder / f"{number}.png") for number in range(3)]
    rows = {"key": ["01", "02", "03"], "photo_of": ["a", "b", "c"], "photo": photos, "text": ["How many?"] * 3}
    for name, more in (("train", {"label": ["none", "NA", "001"]}), ("asked", {})):
        made = datasets.Dataset.from_dict(rows | more).cast_column("photo", datasets.Image())
        datasets.DatasetDict({name: made}).save_to_disk(folder / name)
    return folder


@pytest.fixture
def run(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    """A run prepared from the first of the datasets, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    run = RunDir(tmp_path / "run")
    prepare.main(["--data", str(template / "train"), "--run", str(run.root), "--val-fraction", "0", *COLUMNS])
    shutil.copytree(template / "model", run.model)
    return run


def asked(run: RunDir, *arguments: object) -> list[str]:
    """Ids of what is answered."""
    predict.main(["--run", str(run.root), *FLAGS, "--restart", *map(str, arguments)])
    return list(read_predictions(run.predictions("test")))


def test_a_dataset_of_odd_columns_is_prepared_by_its_flags(run: RunDir) -> None:
    rows = read_examples(run.train)
    found = [(row.question_id, row.image_id, row.question, row.answer) for row in rows]
    assert found == [
        ("01", "a", "How many?", "none"),
        ("02", "b", "How many?", "NA"),
        ("03", "c", "How many?", "001"),
    ]
    assert all((run.data_root() / row.image).is_file() for row in rows)


def test_a_dataset_is_asked_by_the_columns_of_the_run_and_needs_no_answers(run: RunDir, template: Path) -> None:
    assert asked(run, "--data", template / "asked") == ["01", "02", "03"]
    assert asked(run, "--data", template / "train") == ["01", "02", "03"]  # beside the folder that is trained on


def test_other_columns_and_another_folder_are_named_by_the_flags_that_the_errors_name(
    run: RunDir, template: Path, tmp_path: Path
) -> None:
    named = datasets.load_from_disk(template / "asked").rename_column("text", "words")
    named.save_to_disk(tmp_path / "other/asked")
    with pytest.raises(InputError, match=r"no column 'text'.*--question-column"):
        asked(run, "--data", tmp_path / "other/asked")
    assert asked(run, "--data", tmp_path / "other/asked", "--question-column", "words") == ["01", "02", "03"]
    assert asked(run, "--data", template / "asked") == ["01", "02", "03"]  # a folder of its own beside the other's
    with pytest.raises(InputError, match=r"was made from other sources.*--data-dir"):
        asked(run, "--data", template / "asked", "--data-dir", Path("data/asked-asked.imported"))
    assert asked(run, "--data", template / "asked", "--data-dir", tmp_path / "mine") == ["01", "02", "03"]


def test_questions_that_were_edited_are_asked_again_as_they_are_now(
    run: RunDir, template: Path, tmp_path: Path
) -> None:
    for names in (["x"], ["x", "y"]):
        write_questions(tmp_path / "test.jsonl", [Example(name, "0", "0.png", "How many?") for name in names])
        assert asked(run, "--data", tmp_path / "test.jsonl", "--images", template) == names

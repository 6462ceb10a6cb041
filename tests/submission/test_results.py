"""Results in other people's formats, joined by id."""

import json
from pathlib import Path

import pytest

from eval import submit
from tests.support.exported import llava_answers, vqa_results
from vqa_core.data.formats.vqav2 import as_numbers, write_results
from vqa_core.files import InputError
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir

ANSWERS = ["none", "NA", "001", "", "사과, 배", '"quoted"', "two\nlines"]


def run_with(root: Path, ids: list[str], answered: list[str]) -> RunDir:
    run = RunDir(root)
    run.write_section("dataset", {"root": str(root)})
    write_examples(run.test, [Example(question_id, "i", "i.png", "Q?") for question_id in ids])
    with PredictionLog.open(run.predictions("test"), meta={}) as log:
        given = dict(zip(answered, ANSWERS))
        log.append([Prediction(name, text, text, 0.5, "ok" if text else "empty") for name, text in given.items()])
    return run


@pytest.mark.parametrize("kind", ["llava", "vqav2"])
def test_answers_leave_in_the_order_of_the_questions_and_come_back_to_the_letter(kind: str, tmp_path: Path) -> None:
    ids = [f"T{number}" for number in range(len(ANSWERS))]
    run = run_with(tmp_path / "run", ids[::-1], ids)
    submit.main(["--run", str(run.root), "--format", kind])
    read = {"llava": llava_answers, "vqav2": vqa_results}[kind]
    back = read(run.root / {"llava": "answers.jsonl", "vqav2": "results.json"}[kind])
    assert list(back.items()) == list(zip(ids, ANSWERS))[::-1]
    assert list(run.root.glob("*.card.json"))


def test_questions_of_another_folder_are_answered_by_their_own_ids(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", ["1", "2", "3"], ["9"])
    (tmp_path / "test.csv").write_text("ID,image_id,question\n9,i,Q?\n")
    submit.main(["--run", str(run.root), "--format", "vqav2", "--data", str(tmp_path)])
    assert vqa_results(run.root / "results.json") == {"9": "none"}


def test_a_result_for_a_question_that_was_not_asked_or_none_for_one_that_was_is_refused(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", ["1", "2"], ["1"])
    with pytest.raises(InputError, match="have no prediction: '2'"):
        submit.main(["--run", str(run.root), "--format", "vqav2"])
    run = run_with(tmp_path / "other", ["1"], ["1", "2"])
    with pytest.raises(InputError, match=r"an id that is not in .*: '2'"):
        submit.main(["--run", str(run.root), "--format", "llava"])
    assert not [path for name in ("answers.jsonl", "results.json") for path in tmp_path.glob(f"*/{name}")]


@pytest.mark.parametrize(
    ("ids", "written"),
    [(["0", "12"], [0, 12]), (["1", "001"], ["1", "001"]), (["1", "٣"], ["1", "٣"]), (["-1"], ["-1"])],
)
def test_ids_are_numbers_only_where_every_one_is(ids: list[str], written: list[object], tmp_path: Path) -> None:
    assert list(map(as_numbers(ids), ids)) == written
    path = tmp_path / "results.json"
    write_results(path, dict.fromkeys(ids, "a"))
    assert [item["question_id"] for item in json.loads(path.read_text())] == written
    assert list(vqa_results(path)) == ids

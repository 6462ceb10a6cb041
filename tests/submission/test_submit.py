"""`eval.submit` on samples of any shape: the file, its card, and what is kept."""

from pathlib import Path

import pytest

from eval import submit
from tests.support.tables import TEST, TRAIN, write_folder
from vqa_core.files import InputError, read_json
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.history import difference, list_submissions


def answered(root: Path, sample: str, *answers: str, **columns: str) -> RunDir:
    """A run that has answered TEST with `answers`; its data folder has that sample."""
    folder = write_folder(root / "data", train=TRAIN, test=TEST, sample_submission=sample)
    run = RunDir(root / "run")
    run.write_section("data", columns)
    run.write_section("dataset", {"root": str(folder)})
    write_examples(run.test, [Example(f"T{n}", "c", "image/test/c.png", "Q?") for n in range(len(answers))])
    predict(run, *answers)
    return run


def predict(run: RunDir, *answers: str) -> None:
    run.predictions("test").unlink(missing_ok=True)
    run.predictions("test").with_suffix(".meta.json").unlink(missing_ok=True)
    with PredictionLog.open(run.predictions("test"), meta={}) as log:
        log.append([Prediction(f"T{n}", text, text, 0.5, "ok" if text else "empty") for n, text in enumerate(answers)])


def submitted(run: RunDir, *flags: str) -> str:
    submit.main(["--run", str(run.root), *flags])
    return run.submission.read_text(encoding="utf-8")


def test_the_answer_goes_into_its_column_and_the_card_says_which(tmp_path: Path) -> None:
    run = answered(tmp_path, "answer;image_id;id\n;c;T1\n;c;T0\n", "red", "a; b")
    assert submitted(run) == 'answer;image_id;id\n"a; b";c;T1\nred;c;T0\n'
    card = read_json(run.root / "submission.card.json")["submission"]
    assert card["columns"] == {"id": "id", "answer": "answer", "separator": ";"}
    predict(run, "red", "blue")
    submitted(run)
    new, old = list_submissions(run)
    assert difference(run, old.id, new.id).changed == 1


def test_a_flag_names_the_column_of_the_sample_alone(tmp_path: Path) -> None:
    run = answered(tmp_path, "ID,label,prediction\nT0,,\nT1,,\n", "red", "blue")
    with pytest.raises(InputError, match=r"'label', 'prediction'\. Name the right one with --answer-column"):
        submitted(run)
    assert submitted(run, "--answer-column", "prediction") == "ID,label,prediction\nT0,,red\nT1,,blue\n"
    with pytest.raises(InputError, match=r"no column 'predictoin'.*Did you mean 'prediction'"):
        submitted(run, "--answer-column", "predictoin")


def test_the_runs_names_need_not_be_the_samples(tmp_path: Path) -> None:
    run = answered(tmp_path, "ID,answer\nT0,\nT1,\n", "red", "blue", question_id_column="번호", answer_column="정답")
    assert submitted(run) == "ID,answer\nT0,red\nT1,blue\n"


def test_a_sample_that_only_shows_what_a_submission_is_can_be_completed(tmp_path: Path) -> None:
    run = answered(tmp_path, "ID,answer,Usage\nT1,x,Public\n", "red", "blue")
    with pytest.raises(InputError, match=r"lists 1 of the 2 questions .* without 'T0'.*--all-questions"):
        submitted(run)
    assert submitted(run, "--all-questions") == "ID,answer,Usage\nT1,blue,Public\nT0,red,Public\n"


@pytest.mark.parametrize("sample", ["ID,image_id\nT0,c\nT1,c\n", "ID\nT0\nT1\n"])
def test_no_answer_is_written_into_another_column(sample: str, tmp_path: Path) -> None:
    run = answered(tmp_path, sample, "red", "blue")
    with pytest.raises(InputError, match="Add a column 'answer' to it"):
        submitted(run)
    assert not run.submission.exists()
    lines = [f"{line},{'answer' if not n else ''}" for n, line in enumerate(sample.splitlines())]
    (tmp_path / "data" / "sample_submission.csv").write_text("\n".join(lines))
    assert submitted(run).splitlines()[1].endswith(",red")

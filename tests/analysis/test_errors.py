import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.answered import Row, answered
from vqa_core.analysis.errors import Answers, answers_of, predicted_splits
from vqa_core.analysis.paired import pair
from vqa_core.analysis.slicing import OF_CHOICES, OTHER, UNKNOWN, answer_of, key_of
from vqa_core.files import InputError, write_json, write_json_lines
from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.intervals import mean_interval
from vqa_core.scoring.score import score_predictions

ROWS: list[Row] = [
    ("a", "what colour is it?", "red", "red", 0.99),
    ("a", "what colour is it?", "red", "Red", 0.9),
    ("a", "is it red?", "yes", "no", 0.6),
    ("b", "what colour is it?", "blue", "red", 0.55),
    ("b", "how many are there?", "2", "two", None),
    ("c", "is it red?", "yes", "yes", 0.2),
]


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return answers_of(answered(tmp_path / "run", ROWS), "val")


def test_the_score_is_the_one_that_eval_score_gives(answers: Answers) -> None:
    predictions = {item.question_id: item for item in answers.predictions}
    score = score_predictions(answers.examples, predictions, train=answers.run.examples("train"))
    assert answers.overall == score.overall.score
    assert score.baseline is not None
    assert answers.baseline == (score.baseline.score, score.gain)
    types = {item.key: item.score for item in answers.slices("question_type", answers.select())[0]}
    assert types == {name: row.score for name, row in score.slices["question_types"].items()}


def test_slices_are_counted_by_hand_and_those_with_most_errors_come_first(answers: Answers) -> None:
    every = answers.select()
    found, left = answers.slices("answer", every)
    assert [(item.key, item.n, item.wrong) for item in found] == [
        ("red", 2, 1),
        ("yes", 2, 1),
        ("blue", 1, 1),
        ("2", 1, 1),
    ]
    assert left == 0
    red = found[0]
    assert red.score == mean_interval([1.0, 0.0], ["a", "a"])
    assert red.confidence == pytest.approx((0.99 + 0.9) / 2)
    assert answers.slices("answer", every, most=1) == ([red], 3)
    rare = in_memory([("a", "a"), ("a", "a"), ("a", "a"), ("a", "x"), ("b", "x"), ("b", "x"), ("c", "c")])
    assert [item.key for item in rare.slices("answer", rare.select())[0]] == ["b", "a", "c"]
    assert [item.key for item in answers.slices("answer_type", every)[0]] == ["other", "yes/no", "number"]
    assert [(item.key, item.n) for item in answers.slices("question_length", every)[0]] == [("1-4", 6)]
    assert [(item.key, item.n) for item in answers.slices("questions_an_image", every)[0]] == [
        ("1", 1),
        ("2", 2),
        ("3-4", 3),
    ]


def test_confidence_slices_have_the_mean_of_what_was_said_beside_what_was_right(answers: Answers) -> None:
    found = answers.slices("confidence", answers.select())[0]
    assert [(item.key, item.n) for item in found] == [
        ("0-0.5", 1), ("0.5-0.6", 1), ("0.6-0.7", 1), ("0.9-0.95", 1), ("0.99-1", 1), (UNKNOWN, 1),
    ]  # fmt: skip
    assert [item.confidence for item in found] == [0.2, 0.55, 0.6, 0.9, 0.99, None]
    assert [item.score.value for item in found if item.score] == [1, 0, 0, 0, 1, 0]


def test_the_parts_of_every_slicing_are_what_selecting_them_finds(answers: Answers) -> None:
    for by in answers.slicings:
        parts = answers.slices(by, answers.select())[0]
        assert sum(item.n for item in parts) == len(answers)
        for item in parts:
            assert len(answers.select(by=by, part=item.key)) == item.n


def test_near_misses_are_kept_apart_from_real_errors(answers: Answers) -> None:
    assert list(answers.near) == ["", "case", "", "", "number", ""]
    assert answers.near_misses(answers.select()) == {"case": 1, "number": 1}
    assert list(answers.select(form="case")) == [1]
    shown = {show: list(np.flatnonzero(answers.shown(show))) for show in ("wrong", "right", "near", "all")}
    assert shown == {"wrong": [1, 2, 3, 4], "right": [0, 5], "near": [1, 4], "all": [0, 1, 2, 3, 4, 5]}


def test_filters_are_joined_and_what_is_not_there_finds_nothing(answers: Answers) -> None:
    assert list(answers.select(kind="what", ids=["q1", "q2", "nobody"])) == [1]
    assert list(answers.select(kind="what", by="answer", part="red")) == [0, 1]
    for nothing in ({"kind": "why"}, {"by": "answer", "part": "x"}, {"ids": []}, {"form": "x"}, {"wanted": "x"}):
        assert not len(answers.select(**nothing))  # type: ignore[arg-type]


def test_the_surest_come_first_or_last_and_those_without_confidence_at_the_end(answers: Answers) -> None:
    every = answers.select()
    assert list(answers.sort(every, "confident")) == [0, 1, 2, 3, 5, 4]
    assert list(answers.sort(every, "unsure")) == [5, 3, 2, 1, 0, 4]
    assert list(answers.sort(every, "order")) == list(range(6))


def test_the_confusion_matrix_is_the_one_counted_by_hand(answers: Answers) -> None:
    found = answers.confusion(answers.select(kind="what"))
    assert found.keys == ["red", "blue", "Red"]  # the commonest on either side first
    assert found.cells == [[1, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert found.others == 0


def test_rarer_answers_share_a_row_and_where_they_meet_only_errors_count() -> None:
    common = [(f"a{n}", f"a{n}") for n in range(12)] * 2
    answers = in_memory([*common, ("x", "x"), ("y", "x"), ("z", "a0"), ("a0", "y")])
    found = answers.confusion(answers.select())
    assert found.keys == [*(f"a{n}" for n in range(12)), OTHER]
    assert found.others == 3
    assert [found.cells[-1][-1], found.cells[-1][0], found.cells[0][-1]] == [1, 1, 1]
    assert list(answers.select(wanted=OTHER, given=OTHER)) == [25]
    assert list(answers.select(wanted=OTHER)) == [24, 25, 26]


texts = st.sampled_from(["yes", "no", "", "*", "\\", "other", *(f"a{n}" for n in range(14))])


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=60))
def test_every_cell_opens_as_many_samples_as_it_says(pairs: list[tuple[str, str]]) -> None:
    answers = in_memory(pairs)
    found = answers.confusion(answers.select())
    assert len(set(found.keys)) == len(found.keys) <= 13
    assert (OTHER in found.keys) == (found.others > 0)
    cells = [[len(answers.select(wanted=row, given=column)) for column in found.keys] for row in found.keys]
    assert cells == found.cells
    right = sum(wanted == given for wanted, given in pairs)
    wrong = sum(map(sum, cells)) - sum(cells[i][i] for i, key in enumerate(found.keys) if key != OTHER)
    assert wrong == len(pairs) - right


def in_memory(pairs: list[tuple[str, str]]) -> Answers:
    examples = [Example(str(n), "i", "", "what?", wanted) for n, (wanted, _) in enumerate(pairs)]
    predictions = [Prediction(str(n), given, given, 0.5) for n, (_, given) in enumerate(pairs)]
    return Answers(RunDir(Path("nowhere")), "val", len(pairs), examples, predictions, [wanted for wanted, _ in pairs])


@given(st.text())
def test_an_answer_s_key_is_never_empty_and_leads_back(answer: str) -> None:
    assert key_of(answer) not in ("", OTHER)
    assert answer_of(key_of(answer)) == answer


def test_test_answers_are_those_of_the_solution_and_without_one_nothing_is_right_or_wrong(tmp_path: Path) -> None:
    scored = answers_of(answered(tmp_path / "with" / "run", ROWS, "test"), "test")
    assert scored.overall is not None
    assert scored.overall.value == pytest.approx(2 / 6)
    unscored = answers_of(answered(tmp_path / "without" / "run", ROWS, "test", solution=False), "test")
    assert unscored.right is None
    assert unscored.overall is None
    assert unscored.baseline is None
    assert unscored.why == ""
    assert len(unscored.select(wanted="red")) == 6
    first = unscored.slices("answer", unscored.select())[0][0]
    assert (first.key, first.score) == ("red", None)


def test_of_half_a_solution_the_questions_that_have_an_answer_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    run = answered(tmp_path / "run", ROWS, "test")
    (tmp_path / "data" / "solution.csv").write_text("ID,answer\nq2,\nq0,red\nq1,\n")
    answers = answers_of(run, "test")
    assert answers.right is not None
    assert [example.question_id for example in answers.examples] == ["q0"]
    assert (answers.references, len(answers.predictions)) == (["red"], 1)
    assert (answers.asked, answers.unreferenced, answers.why) == (6, 5, "")


def test_a_solution_without_an_answer_is_no_solution_and_it_is_said_why(tmp_path: Path) -> None:
    run = answered(tmp_path / "run", ROWS, "test")
    (tmp_path / "data" / "solution.csv").write_text("ID,answer\nq77,red\n")
    answers = answers_of(run, "test")
    assert answers.right is None
    assert (len(answers), answers.unreferenced) == (6, 0)
    assert "6 of 6 questions have no right answer: 'q0', 'q1', 'q2' and 3 more" in answers.why
    (tmp_path / "data" / "solution.csv").write_text("ID,answer\nq0,\n")
    assert "has no answer" in answers_of(run, "test").why
    (tmp_path / "data" / "solution.csv").write_text("ID,image_id\nq0,red\n")
    assert "has no column for the answers; it has 'ID', 'image_id'" in answers_of(run, "test").why


def test_questions_not_answered_yet_are_left_out_and_counted(tmp_path: Path) -> None:
    answers = answers_of(answered(tmp_path / "run", [*ROWS, ("c", "is it?", "no", None, None)]), "val")
    assert (len(answers), answers.asked) == (6, 7)


def test_files_are_read_again_only_when_one_has_changed(answers: Answers) -> None:
    assert answers_of(answers.run, "val") is answers
    write_json_lines(
        answers.run.predictions("val"), [{"question_id": "q0", "answer": "x", "generated": "", "probability": None}]
    )
    assert [item.answer for item in answers_of(answers.run, "val").predictions] == ["x"]


def test_splits_with_predictions_are_known_and_others_refused(answers: Answers) -> None:
    assert predicted_splits(answers.run) == ["val"]
    with pytest.raises(InputError, match=r"there is no split '../val'; choose from val, test, train"):
        answers_of(answers.run, "../val")
    with pytest.raises(InputError, match=r"test.jsonl"):
        answers_of(answers.run, "test")


def test_without_training_questions_there_is_no_baseline(tmp_path: Path) -> None:
    run = answered(tmp_path / "run", ROWS)
    os.remove(run.train)
    assert answers_of(run, "val").baseline is None
    write_json_lines(run.train, [])
    assert answers_of(run, "val").baseline is None


def test_pairs_are_where_one_run_is_right_and_the_other_is_not(tmp_path: Path) -> None:
    theirs = ("blue", "red", "yes", "red", "2", "yes")
    a = answers_of(answered(tmp_path / "a", ROWS, train={"seed": 0}), "val")
    b = answers_of(
        answered(tmp_path / "b", [(*row[:3], given, 0.5) for row, given in zip(ROWS, theirs)], train={"seed": 1}), "val"
    )
    found = pair(a, b)
    places = {name: list(np.flatnonzero(mask)) for name, mask in found.masks.items()}
    assert places == {"only_a": [0], "only_b": [1, 2, 4], "both_wrong": [3], "both_right": [5], "differ": [0, 1, 2, 4]}
    paired = found.comparison.paired
    assert paired is not None
    assert (paired.only_a, paired.only_b, paired.neither, paired.both) == (1, 3, 1, 1)
    assert found.comparison.settings == {"train.seed": (0, 1)}


def test_pairs_are_joined_by_id_whatever_the_order(tmp_path: Path) -> None:
    a = answers_of(answered(tmp_path / "a", ROWS), "val")
    b = replace(a, examples=a.examples[::-1], predictions=a.predictions[::-1], references=a.references[::-1])  # type: ignore[index]
    assert not pair(a, b).masks["differ"].any()
    assert pair(a, b).others == [5, 4, 3, 2, 1, 0]


def test_runs_of_other_questions_and_runs_that_lack_answers_are_not_compared(tmp_path: Path) -> None:
    a = answers_of(answered(tmp_path / "a", ROWS), "val")
    fewer = answers_of(answered(tmp_path / "b", [*ROWS[:5], (*ROWS[5][:3], None, None)]), "val")
    with pytest.raises(InputError, match="no prediction for 1 of 6 questions: 'q5'"):
        pair(a, fewer)
    another = answers_of(answered(tmp_path / "c", [("z", *row[1:]) for row in ROWS]), "val")
    with pytest.raises(InputError, match=r"not the same: 6 ids mean different ones, such as 'q0'"):
        pair(a, another)


def test_questions_with_choices_have_slices_and_a_baseline_of_their_own(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    write_json(run.config, {"dataset": {"root": str(tmp_path)}})
    four = ("red", "blue", "teal", "pink")
    asked = [("q0", "A", ("yes", "no")), ("q1", "B", four), ("q2", "D", four)]
    rows = [Example(name, name, "", "which?", answer, choices, "A") for name, answer, choices in asked]
    open_row = Example("q3", "q3", "", "what?", "red")
    write_examples(
        run.train, [Example("t", "t", "", "which?", "A", ("blue", "red"), "A"), replace(open_row, answer="x")]
    )
    write_examples(run.val, [*rows, open_row])
    with PredictionLog.open(run.predictions("val")) as log:
        log.append([Prediction(row.question_id, "A", "A", 0.5) for row in [*rows, open_row]])
    answers = answers_of(run, "val")
    found = {by: [(part.key, part.wrong) for part in answers.slices(by, answers.select())[0]] for by in OF_CHOICES}
    assert found == {
        "choices": [("2", 0), ("4", 2), ("open", 1)],
        "letter": [("A", 0), ("B", 1), ("D", 1), ("open", 1)],
    }
    assert answers.baseline
    assert answers.baseline[0].value == 0.5  # blue was right in training, so B; else the commonest letter, A

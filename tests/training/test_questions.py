"""What is learnt from a multiple-choice question, in whatever order its options stand."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tiny import TINY_TRAIN, tiny_vlm, write_pictures
from tests.support.tiny_choices import tiny_choices
from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.inference.engine import Engine
from vqa_core.planning.batches import PlannedRow, plan_batches
from vqa_core.prompts.choice_style import ChoiceStyle
from vqa_core.runs.examples import Example
from vqa_core.runs.training_rows import open_rows, write_rows
from vqa_core.training.data import BranchEncoder, TrainingBatches, measure_rows
from vqa_core.training.questions import TrainingQuestion, questions_of
from vqa_core.training.validation import validator

LETTERS, TEXTS = (ChoiceStyle.of(ModelSettings(choice_scoring=scoring)) for scoring in ("letter", "text"))
EXAMPLES = tiny_choices(6)


def question(*choices: str, right: int) -> TrainingQuestion:
    return TrainingQuestion("1", "What colour?", "", choices, right)


def test_the_letter_or_the_text_of_the_right_option_is_learnt_wherever_it_stands() -> None:
    asked = question("red", "green", "blue", "none", right=2)
    orders = set()
    for seed in range(200):
        shuffled = asked.shuffled([seed])
        assert sorted(shuffled.choices) == sorted(asked.choices)
        assert shuffled.target(TEXTS) == "blue"
        assert shuffled.choices["ABCD".index(shuffled.target(LETTERS))] == "blue"
        orders.add(shuffled.choices)
    assert len(orders) == 24
    assert asked.shuffled([7, 1]) == asked.shuffled([7, 1])


def test_open_questions_learn_their_answer_and_are_never_shuffled() -> None:
    asked = TrainingQuestion("1", "What colour?", "B")
    assert asked.shuffled([1]) is asked
    assert asked.target(LETTERS) == "B"


def test_rows_keep_options_and_forms_and_the_right_option_is_found_in_each(tmp_path: Path) -> None:
    plain = Example("open", "i", "i.png", "What?", "red")
    write_rows([*EXAMPLES, plain], tmp_path / "rows")
    read = [each for row in open_rows(tmp_path / "rows") for each in questions_of(row)]
    assert [each.question_id for each in read] == [each.question_id for each in (*EXAMPLES, plain)]
    for example, found in zip(EXAMPLES, read, strict=False):
        assert found.choices == example.choices
        assert not found.is_unanswered
    assert read[-1] == TrainingQuestion("open", "What?", "red")


def test_rows_without_options_have_the_columns_they_always_had(tmp_path: Path) -> None:
    write_rows([Example("open", "i", "i.png", "What?", "red")], tmp_path / "rows")
    assert open_rows(tmp_path / "rows").column_names == ["image", "image_id", "question_ids", "questions", "answers"]


def test_answers_that_are_no_option_are_refused_by_id_and_one_of_two_equal_options_will_do() -> None:
    row: dict[str, object] = {
        "question_ids": ["a", "b", "c"],
        "questions": ["What?"] * 3,
        "answers": ["C", "red", "B"],
        "choices": [["red", "green"], ["green", "red", "red"], ["red", "", "blue"]],
        "answer_forms": ["A", "text", "A"],
    }
    assert [each.right for each in questions_of(row)] == [None, 1, None]
    encoder = BranchEncoder(tiny_vlm().prompt, 256)
    with pytest.raises(InputError, match=r"2 of 3 questions \('a', 'c'\).*none of their choices"):
        measure_rows([row], encoder)


def test_a_blank_option_keeps_its_place_and_its_letter() -> None:
    orders = {question("red", "", "blue", "green", right=3).shuffled([seed]) for seed in range(60)}
    assert len(orders) == 6
    for shuffled in orders:
        assert shuffled.choices[1] == ""
        assert shuffled.choices["ABCD".index(shuffled.target(LETTERS))] == "green"


def batches_of(folder: Path, seed: int | None) -> tuple[TrainingBatches, list[Example]]:
    vlm = tiny_vlm(image_side_px=16)
    examples = tiny_choices(3)
    write_pictures(folder, examples)
    if not (folder / "rows").exists():
        write_rows(examples, folder / "rows")
    rows, encoder = open_rows(folder / "rows"), BranchEncoder(vlm.prompt, 512)
    settings = TrainSettings(**TINY_TRAIN | {"epochs": 4.0, "batch_questions": 4})
    plan = plan_batches(measure_rows(rows, encoder).lengths, settings).batches
    return TrainingBatches(rows, plan, vlm, encoder, folder, seed), examples


def texts_of(batches: TrainingBatches, index: int) -> list[str]:
    """Each question of a batch as the model gets it, with its target behind it."""
    batch, tokenizer = batches[index], batches.vlm.prompt.tokenizer
    found = []
    for row, segments in enumerate(batch["segment_ids"]):
        for number in range(1, int(segments.max()) + 1):
            here = segments == number
            targets = batch["targets"][row, here]
            ids = [*batch["input_ids"][row, here].tolist()[: -int((targets >= 0).sum()) + 1 or None]]
            found.append(tokenizer.decode(ids) + tokenizer.decode(targets[targets >= 0].tolist()))
    return found


def test_each_time_a_question_is_drawn_its_options_stand_in_another_order_and_the_target_is_right(
    tmp_path: Path,
) -> None:
    batches, examples = batches_of(tmp_path, 5)
    right = {
        each.question_id: each.choices[found.right or 0]
        for each, found in zip(examples, (q for row in batches.rows for q in questions_of(row)), strict=True)
    }
    drawn: dict[str, set[str]] = {}
    for index, batch in enumerate(batches.plan):
        texts = iter(texts_of(batches, index))
        for row in batch:
            for number in row.questions:
                question_id, text = batches.rows[row.row]["question_ids"][number], next(texts)
                letter = text.split("<|im_start|>assistant\n")[1][0]
                assert f"\n{letter}. {right[question_id]}\n" in text
                drawn.setdefault(question_id, set()).add(text)
    assert len(drawn) == len(examples)
    assert sum(map(len, drawn.values())) > 3 * len(examples)  # of 4 epochs: two options have only two orders


def test_a_training_that_goes_on_sees_the_orders_of_one_that_was_never_stopped(tmp_path: Path) -> None:
    one, other = batches_of(tmp_path, 5)[0], batches_of(tmp_path, 5)[0]
    everything = [texts_of(one, index) for index in range(len(one))]
    last = len(other) - 1
    assert texts_of(other, last) == everything[last]
    assert texts_of(other, 1) == everything[1]
    assert [texts_of(batches_of(tmp_path, 6)[0], index) for index in range(len(one))] != everything


def test_without_shuffling_options_stand_as_in_the_source(tmp_path: Path) -> None:
    batches, examples = batches_of(tmp_path, None)
    first = batches.rows[0]
    asked = TrainingBatches(batches.rows, [[PlannedRow(0, (0,))]], batches.vlm, batches.encoder, tmp_path)
    (text,) = texts_of(asked, 0)
    shown = batches.vlm.prompt.text(first["questions"][0], examples[0].choices)
    assert text.startswith(shown.split("<image>")[1])


def test_validation_counts_the_right_option_however_it_is_written(tmp_path: Path) -> None:
    vlm, examples, settings = tiny_vlm(), tiny_choices(4, form="A"), TrainSettings(**TINY_TRAIN)
    write_pictures(tmp_path, examples)
    given = [each.answer for each in Engine(vlm, PredictSettings(), tmp_path).generate(examples)]
    for written, right in ((str, 1.0), (lambda answer: f" {answer.lower()} ", 1.0), (lambda _: "Z", 0.0)):
        taught = [replace(each, answer=written(answer)) for each, answer in zip(examples, given, strict=True)]
        assert validator(vlm, taught, tmp_path, settings)() == {"accuracy": right, "questions": len(examples)}

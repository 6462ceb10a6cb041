import re
from pathlib import Path

import pytest
import torch

from tests.support.tiny import tiny_examples, tiny_tokenizer, tiny_vlm, write_pictures
from vqa_core.files import InputError
from vqa_core.planning.batches import PlannedRow
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.runs.examples import Example, group_by_image
from vqa_core.training.data import BranchEncoder, TrainingBatches, measure_rows, supervised_tokens


def rows_of(examples: list[Example]) -> list[dict[str, object]]:
    return [
        {
            "image": group[0].image,
            "question_ids": [example.question_id for example in group],
            "questions": [example.question for example in group],
            "answers": [example.answer for example in group],
        }
        for group in group_by_image(examples)
    ]


@pytest.fixture(scope="module")
def prompt() -> PromptEncoder:
    return tiny_vlm().prompt


def test_a_branch_is_the_question_the_answer_and_the_end(prompt: PromptEncoder) -> None:
    branch, cut = BranchEncoder(prompt, 128).encode("How many?", "dark blue")
    assert branch.ids == prompt.branch_ids("How many?")[0]
    assert branch.answer == [*prompt.answer_ids("dark blue"), prompt.end_id]
    assert cut == 0


def test_the_text_budget_cuts_questions_and_never_answers_and_counts_both(prompt: PromptEncoder) -> None:
    long = "How many of them are red and not blue and not dark?"
    rows = rows_of([Example("a", "i", "i.png", long, "dark blue"), Example("b", "i", "i.png", "How many?", "3")])
    whole = BranchEncoder(prompt, 128)
    needed = len(prompt.prefix_ids) + 1 + sum(len(part) for part in _parts(whole, long, "dark blue"))
    exact = measure_rows(rows, BranchEncoder(prompt, needed))
    assert (exact.questions, exact.questions_cut, exact.tokens_cut) == (2, 0, 0)
    short = BranchEncoder(prompt, needed - 4)
    measured = measure_rows(rows, short)
    assert (measured.questions, measured.questions_cut, measured.tokens_cut) == (2, 1, 4)
    assert short.encode(long, "dark blue")[0].answer == whole.encode(long, "dark blue")[0].answer
    assert exact.lengths[0][0] - measured.lengths[0][0] == 4
    assert exact.lengths[0][1] == measured.lengths[0][1]


def test_boundary_vectors_count_as_the_two_tokens_that_llava_had_for_them(prompt: PromptEncoder) -> None:
    long = "How many of them are red and not blue and not dark?"
    needed = len(prompt.prefix_ids) + 1 + sum(len(part) for part in _parts(BranchEncoder(prompt, 128), long, "3"))
    assert BranchEncoder(prompt, needed + 2, boundaries=True).encode(long, "3")[1] == 0
    assert BranchEncoder(prompt, needed, boundaries=True).encode(long, "3")[1] == 2


@pytest.mark.parametrize("boundaries", [False, True])
def test_answers_that_leave_the_prompt_no_room_are_named_all_at_once_with_the_budget_that_holds_them(
    boundaries: bool, prompt: PromptEncoder
) -> None:
    answers = {"a": "3", "b": "dark blue and " * 20, "c": "dark " * 60, "d": "none"}
    rows = rows_of([Example(name, name, "i.png", "How many?", answer) for name, answer in answers.items()])
    with pytest.raises(InputError, match=r"2 of 4 questions \('b', 'c'\).*--text-token-budget 60 even") as raised:
        measure_rows(rows, BranchEncoder(prompt, 60, boundaries=boundaries))
    (needed,) = re.findall(r"Raise --text-token-budget to (\d+)", str(raised.value))
    longest = len(prompt.answer_ids(answers["b"])) + 1
    assert f"the longest takes {needed} tokens, {longest} of them its answer" in str(raised.value)
    assert measure_rows(rows, BranchEncoder(prompt, int(needed), boundaries=boundaries)).questions_cut == 0
    assert measure_rows(rows, BranchEncoder(prompt, int(needed) - 1, boundaries=boundaries)).questions_cut == 1


def test_a_style_without_a_question_takes_any_answer() -> None:
    rows = rows_of([Example("a", "i", "i.png", "How many?", "dark blue and " * 20)])
    assert measure_rows(rows, BranchEncoder(PromptEncoder(tiny_tokenizer(), "plain"), 40)).questions_cut == 0


@pytest.mark.parametrize(("style", "ended"), [("plain", 1), ("v0", 1), ("bare", 0)])
def test_answers_that_hold_the_end_of_an_answer_are_counted(style: str, ended: int) -> None:
    rows = rows_of([Example("a", "i", "i.png", "How many?", "3\n4"), Example("b", "j", "j.png", "How many?", "3")])
    assert measure_rows(rows, BranchEncoder(PromptEncoder(tiny_tokenizer(), style), 512)).answers_ended == ended


def test_an_answer_that_teaches_nothing_is_refused_by_its_id(prompt: PromptEncoder) -> None:
    rows = rows_of([Example("TRAIN_7", "i", "i.png", "How many?", "")])
    with pytest.raises(InputError, match=r"TRAIN_7.*no token"):
        measure_rows(rows, BranchEncoder(prompt, 128))


def test_lengths_are_those_of_the_packed_rows(tmp_path: Path) -> None:
    vlm, examples = tiny_vlm(), tiny_examples(5)
    write_pictures(tmp_path, examples)
    rows, encoder = rows_of(examples), BranchEncoder(vlm.prompt, 128)
    lengths = measure_rows(rows, encoder).lengths
    plan = [[PlannedRow(row, tuple(range(len(lengths[row]))))] for row in range(len(rows))]
    prefix = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    for row, batch in enumerate(TrainingBatches(rows, plan, vlm, encoder, tmp_path)):
        assert batch["input_ids"].shape == (1, prefix + sum(lengths[row]))


def test_a_batch_holds_the_planned_questions_and_their_pictures(tmp_path: Path) -> None:
    vlm, examples = tiny_vlm(), tiny_examples(4)
    write_pictures(tmp_path, examples)
    rows, encoder = rows_of(examples), BranchEncoder(vlm.prompt, 128)
    batches = TrainingBatches(rows, [[PlannedRow(3, (2, 0)), PlannedRow(1, (1,))]], vlm, encoder, tmp_path)
    (batch,) = [batches[index] for index in range(len(batches))]
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert not torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])
    assert batch["segment_ids"].max(1).values.tolist() == [2, 1]
    first, second = (encoder.encode(rows[3]["questions"][q], rows[3]["answers"][q])[0].answer for q in (2, 0))  # type: ignore[index]
    targets = batch["targets"][0]
    assert targets[targets >= 0].tolist() == first + second
    assert supervised_tokens(batch) == (batch["targets"] != -100).sum()


def _parts(encoder: BranchEncoder, question: str, answer: str) -> tuple[list[int], list[int]]:
    branch, _ = encoder.encode(question, answer)
    return branch.ids, branch.answer


def test_questions_are_cut_to_the_model_s_positions_as_to_the_budget(prompt: PromptEncoder) -> None:
    long, prefix, answer = "How many of them are red and not blue and not dark?", 24, "dark blue"
    row = len(prompt.branch_ids(long)[0]) + len(prompt.answer_ids(answer)) + prefix
    rows = rows_of([Example("a", "i", "i.png", long, answer), Example("b", "i", "i.png", "How many?", "3")])
    exact = measure_rows(rows, BranchEncoder(prompt, 512, positions=row, prefix=prefix))
    assert exact.questions_cut == 0
    short = BranchEncoder(prompt, 512, positions=row - 4, prefix=prefix)
    measured = measure_rows(rows, short)
    assert (measured.questions_cut, measured.tokens_cut) == (1, 4)
    branch, cut = short.encode(long, answer)
    assert (cut, prefix + len(branch.ids) + len(branch.answer) - 1) == (4, row - 4)


def test_answers_that_leave_no_position_are_named_before_the_start(prompt: PromptEncoder) -> None:
    rows = rows_of(
        [Example("a", "i", "i.png", "How many?", "dark " * 30), Example("b", "i", "i.png", "How many?", "3")]
    )
    with pytest.raises(InputError, match=r"1 of 2 questions \('a'\) are too long for the model.* it has 44 positions"):
        measure_rows(rows, BranchEncoder(prompt, 512, positions=44, prefix=20))


def test_the_lengths_of_answers_are_counted_where_nothing_is_chosen(prompt: PromptEncoder) -> None:
    rows = rows_of(
        [Example(str(at), "i", "i.png", f"How many {at}?", answer) for at, answer in enumerate(["3", "3", "dark"])]
    )
    lengths = measure_rows(rows, BranchEncoder(prompt, 512)).answers
    assert lengths.total == 3
    assert lengths.longest == len(prompt.answer_ids("dark")) + 1

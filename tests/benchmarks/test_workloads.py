"""Choosing questions, and reading a model's sizes."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, CLIPVisionConfig, LlamaConfig

from tests.support.tiny import tiny_competition, tiny_examples, tiny_vlm, write_pictures
from vqa_core.benchmarks.random_models import SHAPES
from vqa_core.benchmarks.workloads import Questions, encode_flops, linear_weights, workload_of
from vqa_core.files import InputError
from vqa_core.runs.examples import group_by_image


@pytest.fixture
def questions(tmp_path: Path) -> Questions:
    """28 images with one to seven questions each."""
    examples = tiny_examples(28)
    write_pictures(tmp_path, examples)
    return Questions(tmp_path, examples, ["yes", "no"])


@pytest.mark.parametrize(("images", "mean", "count"), [(10, 3.4, 34), (5, 3.4, 17), (4, 2.0, 8), (8, 1.5, 12)])
def test_the_mean_is_met_as_evenly_as_can_be(questions: Questions, images: int, mean: float, count: int) -> None:
    chosen = questions.choose(images, mean)
    sizes = [len(group) for group in group_by_image(chosen.examples)]
    assert (len(sizes), sum(sizes)) == (images, count)
    assert max(sizes) - min(sizes) <= 1


def test_the_same_picture_under_another_name_is_passed_over(questions: Questions) -> None:
    groups = [group for group in group_by_image(questions.examples) if len(group) >= 4]
    first, second = (questions.root / group[0].image for group in groups[:2])
    second.write_bytes(first.read_bytes())
    chosen = group_by_image(questions.choose(3, 3.4).examples)
    assert [group[0].image for group in chosen] == [groups[at][0].image for at in (0, 2, 3)]


def test_too_few_questions_are_an_error_that_says_what_to_lower(questions: Questions) -> None:
    with pytest.raises(InputError, match=r"4 images with 7 questions or more; --images 10 at --questions-per-image 7"):
        questions.choose(10, 7)


def test_a_competitions_training_questions_come_with_its_answers(tmp_path: Path) -> None:
    found = Questions.of_competition(str(tiny_competition(tmp_path)))
    assert found.images == 14
    assert found.answers == sorted({example.answer or "" for example in found.examples})


def test_work_is_counted_in_the_models_own_tokens() -> None:
    vlm, examples = tiny_vlm(), tiny_examples(2)
    work = workload_of(vlm, examples)
    prompt = vlm.prompt
    assert work.prefix == len(prompt.prefix_ids) + vlm.image_tokens
    assert work.branches == sum(len(prompt.branch_ids(example.question)[0]) for example in examples)
    assert work.fed == sum(len(prompt.answer_ids(example.answer or "")) for example in examples)
    given = {example.question_id: "yes" for example in examples}
    answered = workload_of(vlm, examples, given)
    assert answered.fed == len(examples) * len(prompt.answer_ids("yes"))
    assert (work.once, answered.once) == (0, len(prompt.prefix_ids))


def test_the_7b_shape_has_vicunas_and_clips_sizes() -> None:
    with torch.device("meta"):
        language = AutoModelForCausalLM.from_config(LlamaConfig(**SHAPES["7b"].language))
        tower = AutoModel.from_config(CLIPVisionConfig(**SHAPES["7b"].tower))
    assert linear_weights(language.model) == 6_476_005_376
    assert sum(parameter.numel() for parameter in language.parameters()) == 6_738_415_616  # Llama-7B's
    assert encode_flops(tower, side=224, feature_layer=-2) == pytest.approx(155e9, rel=0.01)

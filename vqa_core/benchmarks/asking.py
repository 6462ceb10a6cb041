"""Ask each engine of `Engine` the same questions; check its work against the formulas and compare the answers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vqa_core.benchmarks.floors import Workload
from vqa_core.benchmarks.random_models import SHAPES, random_vlm
from vqa_core.benchmarks.work_counter import WorkCount, count_work
from vqa_core.benchmarks.workloads import Questions, workload_of
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.data.images import open_image
from vqa_core.files import InputError
from vqa_core.inference.engine import Engine
from vqa_core.inference.generation import Work
from vqa_core.model.folder import load_llava_folder
from vqa_core.model.packing import Branch, pack
from vqa_core.model.vlm import Vlm, best_device, build_vlm, cast_weights
from vqa_core.runs.examples import Example

logger = logging.getLogger("vqa")

ARMS = ("shared", "naive", "hf_batch")


class WrongWork(RuntimeError):
    """An arm did other work than by the formulas, or its result differs from another arm's: its time means nothing."""


@dataclass(frozen=True, slots=True)
class ArmResult:
    """The result of one arm: answers by question id, the work counted in the model, and the engine's own count."""

    answers: dict[str, str]
    counted: WorkCount
    work: Work


def bench_model(name: str, questions: Questions, dtype: torch.dtype) -> Vlm:
    """The embedded parts with a random projector, a random model of a named shape, or a run's model folder."""
    if name == "embedded":
        vlm = build_vlm(ModelSettings(), dtype=dtype)
        cast_weights(vlm.model, dtype)
        return vlm
    if name in SHAPES:
        return random_vlm(name, questions.texts, device=best_device(), dtype=dtype)
    if not Path(name).is_dir():
        raise InputError(
            f"--model {name} is neither the folder of a trained model nor one of embedded, {', '.join(SHAPES)}."
        )
    return load_llava_folder(Path(name), dtype=dtype)


def describe_model(name: str, vlm: Vlm) -> str:
    """The model's size and the length of its prefix, as a sentence."""
    size = sum(parameter.numel() for parameter in vlm.model.parameters())
    prefix = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    return f"model: {name}, {size:,} parameters; a prefix is {prefix} tokens, {vlm.image_tokens} of them the picture"


def ask(vlm: Vlm, engine: str, questions: Questions, batch_questions: int) -> ArmResult:
    """Answer all questions with one engine, reading the pictures from their files."""
    options = PredictSettings(engine=engine, batch_questions=batch_questions)
    model = Engine(vlm, options, questions.root, allowed_answers=questions.answers)
    with count_work(vlm) as counted:
        predictions = list(model.generate(questions.examples))
    for prediction in predictions:
        if prediction.status != "ok":
            raise WrongWork(f"{engine}: question {prediction.question_id} failed: {prediction.detail}")
    return ArmResult({p.question_id: p.answer for p in predictions}, counted, model.work)


def check_work(vlm: Vlm, engine: str, examples: Sequence[Example], result: ArmResult) -> Workload:
    """Check an arm's work against the formulas and return the work by formula. Raises WrongWork if they differ."""
    expected = workload_of(vlm, examples, result.answers)
    shared = engine == "shared"
    counted, work = result.counted, result.work
    pairs = {
        "encodes": (counted.encodes, expected.encodes(shared)),
        "tokens": (work.lm_tokens, expected.tokens(shared)),
        "head rows": (work.head_rows, expected.head_rows),
        "counted encodes": (work.encodes, counted.encodes),
    }
    if engine != "hf_batch":  # transformers continues rows that have ended
        pairs["positions"] = (counted.positions, work.lm_tokens + work.padding_tokens)
        pairs["rows through the head"] = (counted.head_rows, expected.head_rows)
    for what, (actual, formula) in pairs.items():
        if actual != formula:
            raise WrongWork(f"{engine} did {actual} {what}; by the formula it is {formula}")
    return expected


def differences(answers: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Question id -> its different answers, if there are several."""
    given = {question_id: sorted({one[question_id] for one in answers}) for question_id in answers[0]}
    return {question_id: texts for question_id, texts in given.items() if len(texts) > 1}


def check_agreement(exact: Vlm, questions: Questions, batch_questions: int) -> None:
    """Raise WrongWork unless every arm gives the same answers, in fp32."""
    logger.info("Comparing the answers to %d questions in fp32 ...", len(questions.examples))
    results = {name: ask(exact, name, questions, batch_questions) for name in ARMS}
    for name in ARMS:
        check_work(exact, name, questions.examples, results[name])
    for question_id, answers in differences([one.answers for one in results.values()]).items():
        raise WrongWork(f"in fp32 the arms answer question {question_id} {' or '.join(map(repr, answers))}")


def check_near_ties(vlm: Vlm, exact: Vlm, questions: Questions, differing: Mapping[str, list[str]]) -> None:
    """Raise WrongWork unless the differing answers are so close in fp32 that rounding in `vlm`'s format explains it."""
    examples = {example.question_id: example for example in questions.examples}
    for question_id, answers in differing.items():
        token_ids = [[*vlm.prompt.answer_ids(answer), vlm.prompt.end_id] for answer in answers]
        common = next(at for at, ids in enumerate(zip(*token_ids)) if len(set(ids)) > 1)
        candidates = sorted({ids[common] for ids in token_ids})
        in_fp32, in_format = (
            next_logits(model, questions.root, examples[question_id], token_ids[0][:common])[candidates]
            for model in (exact, vlm)
        )
        margin, noise = float(in_fp32.max() - in_fp32.min()), float((in_fp32 - in_format).abs().max())
        if exact is vlm or margin > 2 * noise:
            raise WrongWork(
                f"question {question_id} is answered {' or '.join(map(repr, answers))}, and it is no near tie: the "
                f"logits are {margin:.3g} apart in fp32, and the format moves them by {noise:.3g}"
            )


@torch.inference_mode()
def next_logits(vlm: Vlm, root: Path, example: Example, answer_ids: list[int]) -> Tensor:
    """(V,) fp32 logits of the token after the first tokens of an answer, computed as one plain row."""
    branch = Branch(vlm.prompt.branch_ids(example.question)[0] + answer_ids, [])
    row = pack(vlm.prompt.prefix_ids, vlm.image_token_id, vlm.image_tokens, [branch])
    ids = torch.tensor([row.input_ids], device=vlm.device)  # (1, T)
    image_tokens = vlm.encode_images(vlm.pixels([open_image(root / example.image)]))  # (1, N, D)
    hidden = vlm.language_model(inputs_embeds=vlm.embed(ids, image_tokens), use_cache=False).last_hidden_state
    logits: Tensor = vlm.model.lm_head(hidden[0, -1])
    return logits.float().cpu()

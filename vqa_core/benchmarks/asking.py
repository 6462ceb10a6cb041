"""One workload put to each of the Engine's engines: their work held against the formulas, their answers compared."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vqa_core.benchmarks.floors import Workload
from vqa_core.benchmarks.random_models import SHAPES, random_vlm
from vqa_core.benchmarks.work_counter import Passed, counting
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
    """An arm did other work than the formulas say, or found something else than another arm: its time means nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one arm did: answers by question id, what passed through the model, and what the engine says it did."""

    answers: dict[str, str]
    passed: Passed
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
        raise InputError(f"--model {name} is no folder of a trained model, and none of embedded, {', '.join(SHAPES)}.")
    return load_llava_folder(Path(name), dtype=dtype)


def describe_model(name: str, vlm: Vlm) -> str:
    """Its size and the length of its prefix."""
    size = sum(parameter.numel() for parameter in vlm.model.parameters())
    prefix = len(vlm.prompt.prefix_ids) + vlm.image_tokens
    return f"model: {name}, {size:,} parameters; a prefix is {prefix} tokens, {vlm.image_tokens} of them the picture"


def ask(vlm: Vlm, engine: str, questions: Questions, batch_questions: int) -> Asked:
    """Put all questions to one engine, pictures read from their files."""
    settings = PredictSettings(engine=engine, batch_questions=batch_questions)
    running = Engine(vlm, settings, questions.root, allowed_answers=questions.answers)
    with counting(vlm) as passed:
        predictions = list(running.generate(questions.examples))
    for prediction in predictions:
        if prediction.status != "ok":
            raise WrongWork(f"{engine}: question {prediction.question_id} failed: {prediction.detail}")
    return Asked({p.question_id: p.answer for p in predictions}, passed, running.work)


def check_work(vlm: Vlm, engine: str, examples: Sequence[Example], asked: Asked) -> Workload:
    """Hold what an arm did against the formulas; return the work by formula. Raises WrongWork."""
    expected = workload_of(vlm, examples, asked.answers)
    shared = engine == "shared"
    passed, work = asked.passed, asked.work
    pairs = {
        "encodes": (passed.encodes, expected.encodes(shared)),
        "tokens": (work.lm_tokens, expected.tokens(shared)),
        "head rows": (work.head_rows, expected.head_rows),
        "counted encodes": (work.encodes, passed.encodes),
    }
    if engine != "hf_batch":  # transformers goes on with rows that have ended
        pairs["positions"] = (passed.positions, work.lm_tokens + work.padding_tokens)
        pairs["rows through the head"] = (passed.head_rows, expected.head_rows)
    for what, (done, due) in pairs.items():
        if done != due:
            raise WrongWork(f"{engine} did {done} {what}; by the formula it is {due}")
    return expected


def differences(answers: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Question id -> its different answers, where there are several."""
    given = {question_id: sorted({one[question_id] for one in answers}) for question_id in answers[0]}
    return {question_id: texts for question_id, texts in given.items() if len(texts) > 1}


def agree(exact: Vlm, questions: Questions, batch_questions: int) -> None:
    """Raise WrongWork unless every arm gives the same answers, in fp32."""
    logger.info("Comparing the answers to %d questions in fp32 ...", len(questions.examples))
    asked = {name: ask(exact, name, questions, batch_questions) for name in ARMS}
    for name in ARMS:
        check_work(exact, name, questions.examples, asked[name])
    for question_id, answers in differences([one.answers for one in asked.values()]).items():
        raise WrongWork(f"in fp32 the arms answer question {question_id} {' or '.join(map(repr, answers))}")


def near_ties(vlm: Vlm, exact: Vlm, questions: Questions, differing: Mapping[str, list[str]]) -> None:
    """Raise WrongWork unless each differing answer is as near a tie in fp32 as `vlm`'s format moves logits."""
    examples = {example.question_id: example for example in questions.examples}
    for question_id, answers in differing.items():
        spelled = [[*vlm.prompt.answer_ids(answer), vlm.prompt.end_id] for answer in answers]
        common = next(at for at, ids in enumerate(zip(*spelled)) if len(set(ids)) > 1)
        nexts = sorted({ids[common] for ids in spelled})
        before, after = (
            next_logits(model, questions.root, examples[question_id], spelled[0][:common])[nexts]
            for model in (exact, vlm)
        )
        margin, noise = float(before.max() - before.min()), float((before - after).abs().max())
        if exact is vlm or margin > 2 * noise:
            raise WrongWork(
                f"question {question_id} is answered {' or '.join(map(repr, answers))}, and it is no near tie: "
                f"{margin:.3g} apart in fp32, where the format moves logits by {noise:.3g}"
            )


@torch.inference_mode()
def next_logits(vlm: Vlm, root: Path, example: Example, answer_ids: list[int]) -> Tensor:
    """(V,) fp32 logits of what follows the first tokens of an answer; computed as one plain row."""
    branch = Branch(vlm.prompt.branch_ids(example.question)[0] + answer_ids, [])
    row = pack(vlm.prompt.prefix_ids, vlm.image_token_id, vlm.image_tokens, [branch])
    ids = torch.tensor([row.input_ids], device=vlm.device)  # (1, T)
    image_tokens = vlm.encode_images(vlm.pixels([open_image(root / example.image)]))  # (1, N, D)
    hidden = vlm.language_model(inputs_embeds=vlm.embed(ids, image_tokens), use_cache=False).last_hidden_state
    logits: Tensor = vlm.model.lm_head(hidden[0, -1])
    return logits.float().cpu()

"""Planning a training: every question measured, every batch laid out before the first step."""

import logging
from dataclasses import dataclass

from vqa_core.files import InputError
from vqa_core.model.stages import trained_tensors
from vqa_core.planning.batches import Plan, plan_batches
from vqa_core.processes import process_count
from vqa_core.prompts.answer_lengths import AnswerLengths
from vqa_core.runs.examples import Example, first_images
from vqa_core.training.data import BranchEncoder, RowLengths, TrainingBatches, measure_rows
from vqa_core.training.feed.left_out import LeftOut
from vqa_core.training.prepare import PreparedModel
from vqa_core.training.task import TrainingTask

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The batches of a training for all processes together, and the examples that each validation answers.

    `answers` are the lengths of the training answers. `left_out` counts what the steps could not train on;
    `within_limit` says whether a time limit has cut the plan.
    """

    batches: TrainingBatches
    plan: Plan
    batches_per_step: int
    validation: list[Example]
    answers: AnswerLengths
    left_out: LeftOut
    within_limit: bool = False

    @property
    def steps(self) -> int:
        """Optimiser steps; the last may have fewer batches."""
        return -(-len(self.batches) // self.batches_per_step)


def plan_training(task: TrainingTask, model: PreparedModel) -> TrainingPlan:
    """Measure the rows and plan their batches.

    Raises InputError for questions that can't be trained on, see `measure_rows`, and where no batch is left.
    """
    settings, vlm = task.settings, model.vlm
    encoder = BranchEncoder(
        vlm.prompt,
        settings.text_token_budget,
        boundaries=model.settings.image_boundaries,
        positions=vlm.positions.row if vlm.prompt.cuts else None,  # else a processor says how long a question is
        prefix=len(vlm.prompt.prefix_ids) + vlm.image_tokens if vlm.image_tokens else 0,
    )
    lengths = measure_rows(task.rows, encoder)
    _warn_about(lengths, encoder)
    processes = process_count()
    plan = plan_batches(lengths.lengths, settings, processes)
    if not plan.batches:
        raise InputError("There is nothing to train: --epochs and --max-steps leave no batch.")
    _describe(task, model, lengths, plan, processes)
    batches_per_step = settings.accumulate * processes
    return TrainingPlan(
        TrainingBatches(
            task.rows,
            plan.batches,
            vlm,
            encoder,
            task.data_root,
            settings.seed if settings.shuffle_choices else None,
            pixel_limit=task.pixel_limit,
        ),
        plan,
        batches_per_step,
        first_images(task.val, settings.eval_questions),
        lengths.answers,
        LeftOut(lengths.images, plan.batches, batches_per_step, settings.max_bad_images),
    )


def _warn_about(lengths: RowLengths, encoder: BranchEncoder) -> None:
    if lengths.questions_cut:
        limit = f"text token budget of {encoder.text_token_budget}"
        if encoder.positions is not None and encoder.positions - encoder.prefix < encoder.budget:
            limit = f"model, which has {encoder.positions} positions,"
        logger.warning(
            "The %s cut %d of %d questions (%d tokens); no answer or image was cut.",
            limit, lengths.questions_cut, lengths.questions, lengths.tokens_cut,
        )  # fmt: skip
    if lengths.answers.total:
        answers = lengths.answers
        logger.info(
            "Answers take %d tokens in the median, 99.9 %% of them at most %d and the longest %d, their end included. "
            "The model's own may take %d.", answers.median, answers.most, answers.longest, answers.limit,
        )  # fmt: skip
    if lengths.answers_ended:
        logger.warning(
            "%d of %d answers contain the token that ends an answer in this prompt, so the model can't give them in "
            "full; another --prompt-style ends answers with another token.", lengths.answers_ended, lengths.questions,
        )  # fmt: skip


def _describe(task: TrainingTask, model: PreparedModel, lengths: RowLengths, plan: Plan, processes: int) -> None:
    settings, vlm = task.settings, model.vlm
    logger.info(
        "Training: %s questions about %s images for %.2f epochs, in all %s questions in %s batches.",
        f"{lengths.questions:,}", f"{len(task.rows):,}", plan.epochs, f"{plan.questions:,}", f"{len(plan.batches):,}",
    )  # fmt: skip
    trained = sum(parameter.numel() for parameter in trained_tensors(vlm).values())
    total = sum(parameter.numel() for parameter in vlm.model.parameters())
    logger.info(
        "Stage %s trains %s of %s parameters, in %s on %s.",
        model.stage.name, f"{trained:,}", f"{total:,}", str(vlm.dtype).removeprefix("torch."), vlm.device,
    )  # fmt: skip
    per_image = f"{vlm.image_tokens} tokens" if vlm.image_tokens else "as many tokens as its size requires"
    logger.info(
        "A step takes %s of up to %d questions; an image takes %s.",
        _batches(settings.accumulate, processes), settings.batch_questions, per_image,
    )  # fmt: skip


def _batches(accumulate: int, processes: int) -> str:
    """`1 batch`, `4 batches`, `4 batches on each of 2 processes`."""
    batches = "1 batch" if accumulate == 1 else f"{accumulate} batches"
    return batches if processes == 1 else f"{batches} on each of {processes} processes"

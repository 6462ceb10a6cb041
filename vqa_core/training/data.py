"""TrainingBatches: training rows and a plan become batches of token ids and pixels, each when the Trainer needs it."""

import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vqa_core.data.images import PIXEL_LIMIT
from vqa_core.data.pictures.patience import open_patiently, waits
from vqa_core.files import InputError, named
from vqa_core.inference.fitting import fit_question
from vqa_core.inference.generation import Limits
from vqa_core.model.collator import collate
from vqa_core.model.packing import Branch, pack_onto
from vqa_core.model.protocol import AnyVlm
from vqa_core.planning.batches import PlannedRow
from vqa_core.prompts.answer_lengths import AnswerLengths
from vqa_core.prompts.prompt import Prompt
from vqa_core.runs.examples import Example
from vqa_core.training.feed.left_out import BadPicture, Unread
from vqa_core.training.questions import TrainingQuestion, questions_of

UNREAD = "unread"
"""The entry of a batch that says which of its pictures could not be read; no other batch has it."""


class TrainingRows(Protocol):
    """A table of training rows, one per image: a `datasets.Dataset`, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, object]: ...


class BranchEncoder:
    """(question, answer, choices) -> Branch within the text budget. What is equal is tokenised once.

    `positions` are those of the model, if it has so many only, `prefix` how many stand before a question. They are
    another budget; where the prefix depends on the picture, they are known with the picture only.
    """

    def __init__(
        self,
        prompt: Prompt,
        text_token_budget: int,
        *,
        boundaries: bool = False,
        positions: int | None = None,
        prefix: int = 0,
    ) -> None:
        # LLaVA 1.0 counted the prompt, the image as one token, its <im_start> and <im_end>, the answer and its end
        self.around = len(prompt.prefix_ids) + (3 if boundaries else 1)
        self.text_token_budget, self.budget = text_token_budget, text_token_budget - self.around
        self.prompt, self.positions, self.prefix = prompt, positions, prefix
        self.encode = lru_cache(maxsize=1 << 18)(self._encode)

    def __getstate__(self) -> dict[str, Any]:
        """Without the cache, which no process can hand to another."""
        return {name: value for name, value in vars(self).items() if name != "encode"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.encode = lru_cache(maxsize=1 << 18)(self._encode)

    def _encode(
        self, question: str, answer: str, choices: tuple[str, ...] = (), prefix: int | None = None
    ) -> tuple[Branch, int]:
        """The branch, and the number of tokens cut from the question. Choices and answer are never cut."""
        answer_ids = [*self.prompt.answer_ids(answer), self.prompt.end_id]
        room = min(self.budget - len(answer_ids), self._room_behind(len(answer_ids), prefix))
        ids, cut = self.prompt.branch_ids(question, choices, budget=room)
        return Branch(ids, answer_ids), cut

    def encode_question(self, question: TrainingQuestion, prefix: int | None = None) -> tuple[Branch, int]:
        """The branch of a question with what is learnt from it, and the number of tokens cut.

        `prefix` is how many tokens stand before it, where that depends on the picture.
        """
        if not question.choices:
            return self.encode(question.question, question.answer, (), prefix)
        return self.encode(question.question, question.target(self.prompt.choice_style), question.choices, prefix)

    def fits(self, branch: Branch) -> bool:
        """Whether a branch keeps within the budget. Only the question can be cut, and some styles do not show it."""
        return not branch.ids or len(branch.ids) + len(branch.answer) <= self.budget

    def has_positions(self, branch: Branch, prefix: int | None = None) -> bool:
        """Whether the model has positions for a branch."""
        return len(branch.ids) <= self._room_behind(len(branch.answer), prefix)

    def _room_behind(self, answer: int, prefix: int | None = None) -> int:
        """Tokens of a chunk that the model has positions for; the last token of its answer is never fed."""
        before = self.prefix if prefix is None else prefix
        return sys.maxsize if self.positions is None else self.positions - before - (answer - 1)


@dataclass(frozen=True, slots=True)
class RowLengths:
    """The tokens of every question of every row, and what the text budget cut. `images` are the rows' pictures."""

    lengths: list[list[int]]
    images: list[str]
    questions: int
    questions_cut: int
    tokens_cut: int
    answers: AnswerLengths
    """Those to open questions."""
    answers_ended: int
    """Answers that contain the token which ends an answer, such as a line break: never generated in full."""


def measure_rows(rows: TrainingRows, encoder: BranchEncoder) -> RowLengths:
    """Tokenise every question once.

    Raises InputError for answers that become no token, from which nothing can be learnt, for those that name none of
    the question's choices, and for answers that leave no room for the prompt within the text budget; it says how many
    there are.
    """
    lengths: list[list[int]] = []
    images: list[str] = []
    unanswered: list[str] = []
    unsupervised: list[str] = []
    too_long: list[str] = []
    beyond: list[str] = []
    needed = needed_by_answer = needed_positions = 0  # tokens of the longest
    questions = questions_cut = tokens_cut = answers_ended = 0
    answers: Counter[int] = Counter()
    for index in range(len(rows)):
        row = rows[index]
        of_row = []
        for question in questions_of(row):
            branch, cut = encoder.encode_question(question)
            if question.is_unanswered:
                unanswered.append(question.question_id)
            elif len(branch.answer) < 2:
                unsupervised.append(question.question_id)
            if not encoder.fits(branch):
                too_long.append(question.question_id)
                whole = encoder.around + len(branch.ids) + cut + len(branch.answer)
                needed, needed_by_answer = max((needed, needed_by_answer), (whole, len(branch.answer)))
            if not encoder.has_positions(branch):
                beyond.append(question.question_id)
                needed_positions = max(needed_positions, encoder.prefix + len(branch.ids) + len(branch.answer) - 1)
            answers[len(branch.answer)] += not question.choices
            answers_ended += encoder.prompt.end_id in branch.answer[:-1]
            of_row.append(len(branch.ids) + len(branch.answer) - 1)
            questions, tokens_cut, questions_cut = questions + 1, tokens_cut + cut, questions_cut + (cut > 0)
        lengths.append(of_row)
        images.append(str(row.get("image", "")))
    if unanswered:
        raise InputError(
            f"{len(unanswered)} of {questions} questions ({named(unanswered)}) have an answer that is none of their "
            "choices. Correct the answers or leave the rows out of train.csv."
        )
    if unsupervised:
        raise InputError(
            f"{len(unsupervised)} of {questions} questions ({named(unsupervised)}) have an answer that is no token: "
            "there is nothing to learn from them. Give them answers or leave the rows out of train.csv."
        )
    if too_long and not encoder.prompt.cuts:
        raise InputError(
            f"{len(too_long)} of {questions} questions ({named(too_long)}) are too long for --text-token-budget "
            f"{encoder.text_token_budget}, and this model's processor takes them whole: the longest takes {needed} "
            f"tokens with its answer. Raise --text-token-budget to {needed}, or leave the rows out of train.csv."
        )
    if too_long:
        raise InputError(
            f"{len(too_long)} of {questions} questions ({named(too_long)}) are too long for --text-token-budget "
            f"{encoder.text_token_budget} even with the question cut away: the longest takes {needed} tokens, "
            f"{needed_by_answer} of them its answer. Raise --text-token-budget to {needed}, or shorten the answers or "
            "choices, or leave the rows out of train.csv."
        )
    if beyond:
        raise InputError(
            f"{len(beyond)} of {questions} questions ({named(beyond)}) are too long for the model even with the "
            f"question cut away: it has {encoder.positions} positions, the picture and the prompt before the question "
            f"take {encoder.prefix}, and the longest row needs {needed_positions}. Shorten the answers or choices, "
            "leave the rows out of train.csv, or train a model with more positions."
        )
    return RowLengths(
        lengths, images, questions, questions_cut, tokens_cut, AnswerLengths(dict(+answers)), answers_ended
    )


class TrainingBatches(Dataset[dict[str, Any]]):
    """Item k is the k-th planned batch: `pixel_values`, (B, 3, side, side) for a Vlm, and the tensors of `collate`.

    A picture that can't be read is left out with its questions, and the batch has an `UNREAD` entry that says so. With
    a `shuffle_seed` choices are shown in another order each time their question is drawn: the seed and the place in the
    plan decide it, so a training that goes on sees the same orders.
    """

    def __init__(
        self,
        rows: TrainingRows,
        plan: Sequence[list[PlannedRow]],
        vlm: AnyVlm,
        encoder: BranchEncoder,
        data_root: Path,
        shuffle_seed: int | None = None,
        *,
        pixel_limit: int = PIXEL_LIMIT,
    ) -> None:
        self.shuffle_seed = shuffle_seed
        self.rows, self.plan, self.vlm, self.encoder, self.data_root = rows, plan, vlm, encoder, data_root
        self.pixel_limit = pixel_limit
        self._positions = vlm.positions

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Any]:
        shown: list[tuple[PlannedRow, dict[str, object], Any]] = []
        bad: list[BadPicture] = []
        pauses = waits()
        for planned in self.plan[index]:
            row = self.rows[planned.row]
            picture = self._picture(planned, str(row["image"]), pauses)
            if isinstance(picture, BadPicture):
                bad.append(picture)
            else:
                shown.append((planned, row, picture))
        if not bad:
            return self._batch(index, shown)
        unread = Unread(tuple(bad), is_blank=not shown)
        return self._batch(index, shown or [self._blank(index)]) | {UNREAD: unread}

    def _picture(self, planned: PlannedRow, image: str, pauses: Iterator[float]) -> Any:
        """The picture of a row as the model takes it; a BadPicture if there is none."""
        try:
            return self.vlm.preprocess(open_patiently(self.data_root / image, pauses, pixel_limit=self.pixel_limit))
        except (InputError, OSError) as error:
            problem = str(error) if image in str(error) else f"{self.data_root / image}: {error}"
            return BadPicture(planned.row, len(planned.questions), problem)
        except Exception as error:  # whatever one picture does to a preprocessor is no reason to end a training
            problem = f"{self.data_root / image} can't be prepared for the model ({type(error).__name__}: {error})."
            return BadPicture(planned.row, len(planned.questions), problem, traceback.format_exc())

    def _blank(self, index: int) -> tuple[PlannedRow, dict[str, object], Any]:
        """A grey picture with one question, for a batch without a readable one: every process computes each step."""
        planned = self.plan[index][0]
        picture = self.vlm.preprocess(Image.new("RGB", (64, 64), "grey"))
        return PlannedRow(planned.row, planned.questions[:1]), self.rows[planned.row], picture

    def _batch(self, index: int, shown: Sequence[tuple[PlannedRow, dict[str, object], Any]]) -> dict[str, Any]:
        vlm = self.vlm
        packed, pictures, asked, choices = [], [], [], []
        for planned, row, picture in shown:
            every = questions_of(row)
            questions = [self._as_shown(every[number], index, planned.row, number) for number in planned.questions]
            fitted = [self._fitted(question, picture) for question in questions]
            packed.append(pack_onto(vlm.prefix_of(picture), [branch for branch, _ in fitted]))
            pictures.append(picture)
            asked.append([question for _, question in fitted])
            choices.append([question.choices for question in questions])
        return {"pixel_values": vlm.stacked(pictures, asked, choices), **collate(packed, vlm.pad_id)}

    def _fitted(self, question: TrainingQuestion, picture: Any) -> tuple[Branch, str]:
        """The branch of a question, and its text for a processor, within the model's positions behind a picture.

        Raises InputError where even the question cut away leaves too much.
        """
        branch, _ = self.encoder.encode_question(question)
        if self.vlm.image_tokens or self._positions.is_endless:  # a prefix that was known before the start
            return branch, question.question
        example = Example(question.question_id, "", "", question.question, choices=question.choices)
        fit = fit_question(self.vlm, picture, example, Limits(None, len(branch.answer), positions=self._positions))
        if fit is None:
            return branch, question.question
        if fit.refusal:
            raise InputError(f"Question {question.question_id!r} can't be trained on: {fit.refusal}.")
        return self.encoder.encode_question(question, self.vlm.prefix_of(picture).following)[0], fit.question

    def _as_shown(self, question: TrainingQuestion, *place: int) -> TrainingQuestion:
        """The question as it is drawn at a place of the plan: batch, row, number in the row."""
        if self.shuffle_seed is None or not question.choices:
            return question
        return question.shuffled([self.shuffle_seed, *place])


def supervised_tokens(batch: dict[str, Any]) -> Tensor:
    """The number of tokens that a batch has a target for."""
    return torch.as_tensor((batch["targets"] >= 0).sum())

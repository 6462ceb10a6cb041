"""Retries: what goes wrong with one question or picture is its own failure, and the others keep their answers.

A batch that fails is answered in halves, until what fails stands alone, is tried once more and gets a status. Only what
concerns every question ends the whole: an error that a harmless question meets as well, one that leaves the GPU
unusable, or one that all of the first questions meet. Ctrl-C and the end of the process pass.
"""

import logging
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from vqa_core.data.pictures import patience
from vqa_core.files import InputError, named
from vqa_core.inference.generation import Batch, Picture
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction

logger = logging.getLogger("vqa")

FIRST = 32
"""If so many questions fail with an error of one kind before a first is answered, there will be no answer."""

_AGAIN = 8  # failures in a row after which what has worked before is tried again
_LONGEST_DETAIL = 300  # characters: an error may quote a question of a megabyte
_UNUSABLE = (
    "device-side assert", "illegal memory access", "illegal address", "illegal instruction", "misaligned address",
    "unspecified launch failure", "hardware stack error", "uncorrectable ecc", "launch timed out", "device is lost",
    "cuda error: unknown error", "hip error: unknown error",
)  # fmt: skip
"""Errors after which a process can use the GPU no more, see `cudaErrorAssert` and others in CUDA's runtime API."""
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: the error, without the memory it held; the `status` and the `detail` of a prediction."""

    error: BaseException
    status: str
    detail: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The failure of a question or a picture. Raises the error itself if it is to end the process."""
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # that is a tokeniser's
            raise error
        known: BaseException | None = error
        while known is not None:  # or it would keep the tensors of a batch in memory
            traceback.clear_frames(known.__traceback__)
            known = known.__context__
        if is_out_of_memory(error):
            return cls(error, "oom", first_line(error).partition(" GPU ")[0] or "out of memory")
        if isinstance(error, InputError):
            return cls(error, "error", first_line(error))
        return cls(error, "error", f"{type(error).__name__}: {first_line(error)}".removesuffix(": "))

    @property
    def kind(self) -> tuple[str, str]:
        """What the error is and where it was raised: the same for other questions that fail in the same way."""
        places = traceback.extract_tb(self.error.__traceback__)
        if self.status == "oom" or isinstance(self.error, RecursionError) or not places:  # whose place is anywhere
            return self.status, type(self.error).__name__
        return type(self.error).__name__, f"{places[-1].filename}:{places[-1].lineno}"


class Retries:
    """Has batches answered, with a prediction for each question, whatever goes wrong with it.

    Args:
        answer: predictions of a batch, in order.
        fail: the prediction of a question with a status and a detail.
        harmless: a question that any model can answer, with its picture; one with choices if so asked.
    """

    def __init__(
        self,
        answer: Callable[[Batch, list[Picture]], list[Prediction]],
        fail: Callable[[Example, str, str], Prediction],
        harmless: Callable[[bool], tuple[Batch, list[Picture]]],
    ) -> None:
        self._answer, self._fail, self._harmless = answer, fail, harmless
        self._answered: tuple[Batch, list[Picture]] | None = None  # a question that has been answered
        self._in_a_row = 0  # failures since the last answer
        self._kinds: set[tuple[str, str]] = set()  # of all failures so far

    def predict(self, batch: Batch, pictures: list[Picture], *, halved: bool = False) -> Iterator[Prediction]:
        """Predictions of a batch, in order; where it fails, those of its halves.

        Raises what concerns every question, see the module.
        """
        found = self._try(batch, pictures)
        if isinstance(found, list):
            yield from found
            return
        halves = batch.halve(pictures)
        if found.status == "oom":
            self._make_room(len(batch.examples) if halves else 0)
        elif not halves and not halved:  # one that was halved has been tried with others and alone
            again = self._try(batch, pictures)
            if isinstance(again, list):
                yield from again
                return
            found = again
        for half, of_half in halves:
            yield from self.predict(half, of_half, halved=True)
        if not halves:
            yield self._give_up(found, batch.examples[0], self._answered)

    def fail(self, group: Iterable[Example], error: BaseException) -> Iterator[Prediction]:
        """Predictions of the questions about a picture that could not be loaded, and not because of what it is."""
        failure = Failure.of(error)
        for example in group:
            yield self._give_up(failure, example, None)

    def hold_back(self, predictions: Iterable[Prediction], *, answered: bool = False) -> Iterator[Prediction]:
        """The predictions; failures come only once a question was answered, by now or, if `answered`, before, or last.

        So nothing is written where nothing can be answered. Raises InputError if so many fail before a first answer
        that there will be none.
        """
        held: list[Prediction] = []
        for prediction in predictions:
            if answered or self._answered or prediction.status not in ("error", "oom"):
                if self._answered:
                    yield from held
                    held.clear()
                yield prediction
                continue
            held.append(prediction)
            if len(held) >= FIRST * len(self._kinds):
                raise InputError(
                    f"None of the first {len(held)} questions could be answered ({prediction.detail}), so no answer is "
                    "written. The log has the trace of the first error."
                )
        yield from held

    def _try(self, batch: Batch, pictures: list[Picture]) -> list[Prediction] | Failure:
        try:
            found = self._answer(batch, pictures)
        except BaseException as error:
            failure = Failure.of(error)
        else:
            self._answered, self._in_a_row = (Batch([batch.groups[0][:1]]), pictures[:1]), 0
            return found
        if any(text in str(failure.error).lower() for text in _UNUSABLE):
            ids = named([example.question_id for example in batch.examples])
            logger.error("The GPU failed.", exc_info=failure.error)
            raise InputError(
                f"The GPU can't be used any more after the questions {ids}: {failure.detail}. The answers before them "
                "are kept. Run the same command again to go on; if it ends here again, put CUDA_LAUNCH_BLOCKING=1 "
                "before it, and the trace in the log shows where."
            )
        return failure

    def _give_up(self, failure: Failure, example: Example, answered: tuple[Batch, list[Picture]] | None) -> Prediction:
        """The prediction of a question that failed alone. Raises the error if it concerns every question.

        `answered` is a question that was answered before, where that can be asked again to tell.
        """
        new = failure.kind not in self._kinds
        self._kinds.add(failure.kind)
        self._in_a_row += 1
        if failure.status == "error" and (new or self._in_a_row % _AGAIN == 0):
            self._check_others(failure, answered, with_choices=bool(example.choices))
        if new:
            logger.warning(
                "Question %r can't be answered (%s). It gets the fallback answer and the status %r, and so does every "
                "other that fails in the same way.",
                example.question_id, failure.detail, failure.status, exc_info=failure.error,
            )  # fmt: skip
        return self._fail(example, failure.status, failure.detail)

    def _check_others(
        self, failure: Failure, answered: tuple[Batch, list[Picture]] | None, *, with_choices: bool
    ) -> None:
        """Raise the error if a question that was answered before meets one too, or a harmless one the same."""
        try:
            self._answer(*(answered or self._harmless(with_choices)))
            return
        except BaseException as error:
            other = Failure.of(error)
        if other.status != "oom" and (answered or other.kind == failure.kind):
            if not isinstance(failure.error, InputError):
                failure.error.add_note("This is no single question's fault: others meet it as well.")
            raise failure.error

    def _make_room(self, questions: int) -> None:
        if questions:
            logger.warning("Out of memory with %d questions at once; going on with half as many.", questions)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def may_pass(error: BaseException) -> bool:
    """Whether a picture that could not be loaded may be loaded a moment later: memory was short, or a drive busy."""
    return patience.may_pass(error) if isinstance(error, InputError | OSError) else True


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or here."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without addresses of memory, which differ each time; a long one is cut."""
    lines = str(error).strip().splitlines()
    text = _ADDRESS.sub("0x...", lines[0]) if lines else ""
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}..."

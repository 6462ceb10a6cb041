"""Write results for other scorers: LLaVA's answers JSONL and VQAv2's result JSON, joined to the questions by id."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vqa_core.data.formats.conversations import write_answers
from vqa_core.data.formats.vqav2 import write_results
from vqa_core.data.tables import Table
from vqa_core.files import InputError, named
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction
from vqa_core.submission.choices import refuse_other_answers
from vqa_core.submission.submission import build_submission

RESULTS = {"llava": "answers.jsonl", "vqav2": "results.json"}
"""Format -> the name of its file in a run."""


def write_run_results(
    path: Path,
    kind: str,
    examples: Sequence[Example],
    predictions: Mapping[str, Prediction],
    model_id: str,
    *,
    allow_failed: bool = False,
) -> dict[str, int]:
    """Write the answers to `examples`, in their order, as `kind`, one of RESULTS; return how many are
    not `ok`, by status.

    `model_id` is the model's name in LLaVA's format. Raises InputError for missing, unknown or duplicate ids, as
    `build_submission` does.
    """
    refuse_other_answers(examples, predictions)
    sample = Table(Path("the questions"), "utf-8", ("question_id", "answer"), [[e.question_id, ""] for e in examples])
    submission = build_submission(sample, predictions, allow_failed=allow_failed)
    answers = dict(zip(submission.ids, submission.answers))
    repeated = [example.id_in_source for example in examples if example.source_id is not None]
    if kind == "vqav2" and repeated:
        raise InputError(
            f"{path.name} joins answers to questions by id, and several questions have the id {named(repeated)}. Write "
            "--format llava, which has a line for each question, in their order."
        )
    if kind == "llava":
        write_answers(path, examples, answers, model_id)
    else:
        write_results(path, answers)
    return submission.statuses

"""Results for other people's scorers: LLaVA's answers JSONL and VQAv2's result JSON, joined by id to the questions."""

from collections.abc import Mapping
from pathlib import Path

from vqa_core.conversations import write_answers
from vqa_core.exchange.vqav2 import write_results
from vqa_core.predictions import Prediction
from vqa_core.runs import RunDir
from vqa_core.submission import build_submission
from vqa_core.tables import Table

RESULTS = {"llava": "answers.jsonl", "vqav2": "results.json"}
"""Format -> the name of its file in a run."""


def write_run_results(
    run: RunDir, kind: str, path: Path, predictions: Mapping[str, Prediction], *, allow_failed: bool = False
) -> dict[str, int]:
    """Write the answers to the run's test questions, in their order; return how many are fallbacks, by status.

    Raises InputError for ids that are missing, unknown or stand twice, as `build_submission` does.
    """
    examples = run.examples("test")
    asked = Table(run.test, "utf-8", ("question_id", "answer"), [[example.question_id, ""] for example in examples])
    submission = build_submission(asked, predictions, allow_failed=allow_failed)
    answers = {row[0]: row[1] for row in submission.rows}
    if kind == "llava":
        write_answers(path, examples, answers, run.name)
    else:
        write_results(path, answers)
    return submission.fallbacks

"""Submit a run: write its test answers in a scorer's format, checked by id, with a card beside the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vqa_core.config import DataSettings, settings_of
from vqa_core.data.competition import SAMPLE, read_test
from vqa_core.data.prepare import TABLES, column_map, typed_columns
from vqa_core.files import InputError, named
from vqa_core.runs.predictions import Prediction, read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.card import card_path, write_card
from vqa_core.submission.history import keep_submission, writing
from vqa_core.submission.results import RESULTS, write_run_results
from vqa_core.submission.staging import staged
from vqa_core.submission.submission import Submission, explain_statuses, submission_of, write_submission

FORMATS = ("csv", *RESULTS)


@dataclass(frozen=True, slots=True)
class WrittenSubmission:
    """A file of answers and its card. `reference` names what the ids were checked against."""

    path: Path
    card: Path
    answers: int
    reference: str
    warnings: list[str]


def submit(
    run: RunDir,
    kind: str,
    *,
    data: Path | None,
    out: Path | None,
    allow_failed: bool,
    command: Sequence[str],
    all_questions: bool = False,
    flags: Mapping[str, Any] | None = None,
) -> WrittenSubmission:
    """Write the test answers of a run as `kind`, one of FORMATS, and keep a submission.csv among the run's submissions.

    Args:
        data: competition folder; by default the one that the run was prepared from.
        out: file to write; by default one in the run.
        allow_failed: submit failed questions with an empty answer.
        command: the command to record in the card.
        all_questions: add the questions that the sample does not list below those that it does.
        flags: setting name -> flag that the user passed; names of columns override the run's.

    Raises InputError for missing, unknown or duplicate ids, and for a `data` or `out` that can't be used.
    """
    if kind == "csv":
        make = partial(submission_of, flags=flags, allow_failed=allow_failed, all_questions=all_questions)
        return _submit_csv(run, data or run.data_root(), out or run.submission, make, command)
    return _submit_results(run, kind, data, out or run.root / RESULTS[kind], allow_failed, command, flags or {})


def _submit_csv(
    run: RunDir,
    data: Path,
    out: Path,
    make: Callable[[RunDir, Path, Mapping[str, Prediction]], tuple[Submission, list[str]]],
    command: Sequence[str],
) -> WrittenSubmission:
    if not data.is_dir():
        raise InputError(f"{data} is not a folder. Pass the competition folder with --data.")
    data_files = [data / name for name in (*TABLES, SAMPLE)]
    if out.resolve() in [file.resolve() for file in data_files]:
        raise InputError(f"--out {out} is one of the competition's own files; choose another name.")
    _refuse_repeated_ids(run, data)
    predictions = read_predictions(run.predictions("test"))
    submission, warnings = make(run, data, predictions)
    with writing(run):
        with staged(out) as new:
            write_submission(new, submission)
            write_card(
                new,
                run,
                data_files=data_files,
                predictions=predictions,
                warnings=warnings,
                command=command,
                layout=submission.layout,
            )
        keep_submission(run, out)
    return WrittenSubmission(out, card_path(out), len(submission.rows), SAMPLE, warnings)


def _refuse_repeated_ids(run: RunDir, data: Path) -> None:
    """Raise InputError if `data` has no sample because several of the run's test questions share an id."""
    if (data / SAMPLE).is_file() or not run.test.is_file():
        return
    repeated = [row.id_in_source for row in run.examples("test") if row.source_id is not None]
    if repeated:
        raise InputError(
            f"several test questions have the id {named(repeated)}, so a CSV file can't tell their answers apart. "
            "Write --format llava, which has a line for each question, in their order."
        )


def _submit_results(
    run: RunDir,
    kind: str,
    data: Path | None,
    out: Path,
    allow_failed: bool,
    command: Sequence[str],
    flags: Mapping[str, Any],
) -> WrittenSubmission:
    """Write a format that needs no sample: the ids are those of the test questions, of the run or of `data`."""
    predictions = read_predictions(run.predictions("test"))
    examples, table = run.examples("test"), run.test
    if data:
        settings = settings_of(DataSettings, run.read_config(), flags)
        competition = read_test(
            data, column_map(settings), insist=typed_columns(flags), answer_form=settings.answer_form
        )
        examples, table = competition.test, competition.root / "test.csv"
    with writing(run), staged(out) as new:
        statuses = write_run_results(new, kind, examples, predictions, run.name, allow_failed=allow_failed)
        warnings = explain_statuses(statuses)
        write_card(new, run, data_files=[table], predictions=predictions, warnings=warnings, command=command)
    return WrittenSubmission(out, card_path(out), len(predictions), "the test questions", warnings)

"""`python -m eval.submit`: turn predictions and sample_submission.csv into a checked submission.csv with its card."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import parser_for, run_command
from vqa_core.config import DataSettings, settings_of
from vqa_core.data.competition import read_test
from vqa_core.data.prepare import column_map
from vqa_core.files import InputError
from vqa_core.runs.predictions import read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.submission.card import write_card
from vqa_core.submission.history import keep_submission, writing
from vqa_core.submission.results import RESULTS, write_run_results
from vqa_core.submission.submission import submission_of, write_submission

DATA_FILES = ("train.csv", "test.csv", "sample_submission.csv")


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("eval.submit", "Write the submission of a run and check it.", config=False)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="competition folder (default: the one that the run was prepared from)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: submission.csv in the run)")
    parser.add_argument(
        "--format",
        default="csv",
        choices=("csv", *RESULTS),
        help="csv: submission.csv in the order of the sample; llava: answers JSONL; vqav2: result JSON (default csv)",
    )
    parser.add_argument("--allow-failed", action="store_true", help="submit failed questions with an empty answer")
    args = parser.parse_args(argv)

    run = RunDir(args.run)
    if args.format != "csv":
        return _write_results(run, args, argv)
    data = args.data or run.data_root()
    if not data.is_dir():
        raise InputError(f"{data} is not a folder. Pass the competition folder with --data.")
    out = args.out or run.submission
    data_files = [data / name for name in DATA_FILES]
    if out.resolve() in [file.resolve() for file in data_files]:
        raise InputError(f"--out {out} is one of the competition's own files; choose another name.")
    predictions_file = run.predictions("test")
    predictions = read_predictions(predictions_file)
    submission, warnings = submission_of(run, data, predictions, allow_failed=args.allow_failed)
    with writing(run):
        write_submission(out, submission)
        card = write_card(
            out,
            run,
            data_files=data_files,
            predictions=predictions,
            predictions_file=predictions_file,
            warnings=warnings,
            command=["python", "-m", "eval.submit", *(sys.argv[1:] if argv is None else argv)],
        )
        keep_submission(run, out)
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"{out}: {len(submission.rows)} answers, checked against sample_submission.csv. Card: {card}")
    return None


def _write_results(run: RunDir, args: argparse.Namespace, argv: Sequence[str] | None) -> None:
    """Write one of the other formats, which need no sample: the ids are those of the test questions (run or --data)."""
    out = args.out or run.root / RESULTS[args.format]
    predictions_file = run.predictions("test")
    predictions = read_predictions(predictions_file)
    examples, asked = run.examples("test"), run.test
    if args.data:
        competition = read_test(args.data, column_map(settings_of(DataSettings, run.read_config(), {})))
        examples, asked = competition.test, competition.root / "test.csv"
    fallbacks = write_run_results(out, args.format, examples, predictions, run.name, allow_failed=args.allow_failed)
    warnings = [f"{count} answers are fallbacks: their status is {status!r}." for status, count in fallbacks.items()]
    card = write_card(
        out,
        run,
        data_files=[asked],
        predictions=predictions,
        predictions_file=predictions_file,
        warnings=warnings,
        command=["python", "-m", "eval.submit", *(sys.argv[1:] if argv is None else argv)],
    )
    for warning in warnings:
        print(f"warning: {warning}")
    print(f"{out}: {len(predictions)} answers, checked against the test questions. Card: {card}")


if __name__ == "__main__":
    run_command(main)

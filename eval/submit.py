"""`python -m eval.submit`: turn predictions and sample_submission.csv into a checked submission.csv with its card."""

import sys
from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import parser_for, run_command
from vqa_core.config import DataSettings
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import add_arguments
from vqa_core.submission.submit import FORMATS, submit


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("eval.submit", "Write the submission of a run and check it.", config=False)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="competition folder (default: the one that the run was prepared from)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: submission.csv in the run)")
    parser.add_argument(
        "--format",
        default="csv",
        choices=FORMATS,
        help="csv: submission.csv in the order of the sample; llava: answers JSONL; vqav2: result JSON (default csv)",
    )
    parser.add_argument("--allow-failed", action="store_true", help="submit failed questions with an empty answer")
    parser.add_argument(
        "--all-questions",
        action="store_true",
        help="add the questions that sample_submission.csv does not list, where it only shows what a submission is",
    )
    add_arguments(parser, DataSettings, only=("question_id_column", "answer_column"))
    args = parser.parse_args(argv)

    written = submit(
        RunDir(args.run),
        args.format,
        data=args.data,
        out=args.out,
        allow_failed=args.allow_failed,
        all_questions=args.all_questions,
        flags=vars(args),
        command=["python", "-m", "eval.submit", *(sys.argv[1:] if argv is None else argv)],
    )
    for warning in written.warnings:
        print(f"warning: {warning}")
    print(f"{written.path}: {written.answers} answers, checked against {written.reference}. Card: {written.card}")


if __name__ == "__main__":
    run_command(main)

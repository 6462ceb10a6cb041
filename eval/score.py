"""`python -m eval.score`: score the answers of a split; prints a table and writes the run's score.json."""

from collections.abc import Sequence

from vqa_core.answers import NORMALISERS
from vqa_core.commands import parser_for, run_command
from vqa_core.data.references import add_reference_arguments, references_of
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.metrics import DEFAULT_NORMALISER, METRICS
from vqa_core.scoring.score import score_run


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("eval.score", "Score the predictions of one split.", config=False)
    parser.add_argument(
        "--split", default="val", choices=("train", "val", "test"), help="which questions to score (default val)"
    )
    parser.add_argument("--partial", action="store_true", help="score only the questions answered so far")
    parser.add_argument(
        "--metric",
        default="exact",
        choices=tuple(METRICS),
        metavar="NAME",
        help=f"one of {', '.join(METRICS)} (default exact)",
    )
    parser.add_argument(
        "--normaliser",
        default=DEFAULT_NORMALISER,
        choices=tuple(NORMALISERS),
        metavar="NAME",
        help="normalises prediction and reference for exact match after normalisation: one of "
        f"{', '.join(NORMALISERS)} (default {DEFAULT_NORMALISER})",
    )
    add_reference_arguments(parser)
    args = parser.parse_args(argv)

    run = RunDir(args.run)
    score = score_run(
        run,
        args.split,
        references=references_of(run, args),
        metric=args.metric,
        normaliser=args.normaliser,
        allow_partial=args.partial,
    )
    print(score.table())
    print()
    print(score.headline())


if __name__ == "__main__":
    run_command(main)

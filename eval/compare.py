"""`python -m eval.compare`: compare two runs on the same questions; which is better, and which answers changed."""

from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import parser_for, run_command
from vqa_core.data.references import add_reference_arguments, references_of
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.comparison import compare_runs


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("eval.compare", "Compare the predictions of two runs.", config=False)
    parser.add_argument("--with", dest="other", type=Path, required=True, metavar="DIR", help="folder of the other run")
    parser.add_argument(
        "--split", default="val", choices=("train", "val", "test"), help="which questions to compare on (default val)"
    )
    add_reference_arguments(parser)
    args = parser.parse_args(argv)

    a, b = RunDir(args.run), RunDir(args.other)
    comparison = compare_runs(a, b, args.split, references=references_of(a, args))
    print(comparison.table(*((a.name, b.name) if a.name != b.name else map(str, (a.root, b.root)))))


if __name__ == "__main__":
    run_command(main)

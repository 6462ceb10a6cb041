"""Read a competition's data, report on it, and write the run's training, validation and test examples.

python -m train.prepare --data easy-vqa --run runs/demo
python -m train.prepare --data open.zip --run runs/mine --val-fraction 0.02 --question-column text
"""

from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import log_to, logger, parser_for, run_command
from vqa_core.config import DataSettings, read_config, settings_of
from vqa_core.prepare import count_images, prepare
from vqa_core.runs import RunDir
from vqa_core.settings import add_arguments


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("train.prepare", "Read a competition's data, report on it, and start a run with it.")
    parser.add_argument(
        "--data", required=True, metavar="DIR|ZIP|easy-vqa", help="the competition folder, or a zip of it"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where easy-vqa is written (default data/easy-vqa) or a zip unpacked",
    )
    add_arguments(parser, DataSettings)
    args = parser.parse_args(argv)
    settings = settings_of(DataSettings, read_config(args.config), args)
    run = RunDir(args.run)
    splits = prepare(
        run, args.data, settings, data_dir=args.data_dir, tell=lambda report: print(report.text(), flush=True)
    )
    log_to(run)
    for name, examples in (("Training", splits.train), ("Validation", splits.val), ("Test", splits.test)):
        logger.info(f"{name}: {len(examples):,} questions of {count_images(examples):,} images.")
    logger.info(f"Written to {run.root}. Next: python -m train.finetune --run {run.root}")


if __name__ == "__main__":
    run_command(main)

"""Read data, report on it, and write the run's training, validation and test examples; or export them.

python -m train.prepare --data easy-vqa --run runs/demo
python -m train.prepare --data open.zip --run runs/mine --val-fraction 0.02 --question-column text
python -m train.prepare --data output.json --images image/train --run runs/llava
python -m train.prepare --data train_questions.json train_annotations.json --images train2014 --run runs/vqa
python -m train.prepare --run runs/mine --export parquet
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import log_to, logger, parser_for, run_command, shell_word
from vqa_core.config import DataSettings, read_config, settings_of
from vqa_core.data.findings import OWN_VAL
from vqa_core.data.formats.exporting import EXPORTS, export_run, unanswered_of
from vqa_core.data.formats.importing import LEFT_OUT, Sources
from vqa_core.data.prepare import column_map, count_images, prepare_sources
from vqa_core.data.report import DataReport
from vqa_core.files import read_json
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import alone_in
from vqa_core.settings import add_arguments
from vqa_core.space import check_folder


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_for("train.prepare", "Read data, report on it and start a run with it; or export a prepared run.")
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="SOURCE",
        help="competition folder, zip of one, easy-vqa or easy-vqa-choices; LLaVA conversations or VQA questions and "
        "annotations (JSON files or a folder of them); a `datasets` dataset as folder, parquet file or "
        "hub:NAME[:CONFIG][@REVISION], with #SPLIT for one split; a CSV or TSV file with its pictures inside",
    )
    parser.add_argument("--test-data", nargs="+", default=[], metavar="SOURCE", help="test questions, in these formats")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder that image paths are relative to (default: that of the first JSON file; for a competition folder, "
        "the usual places in it)",
    )
    parser.add_argument(
        "--test-images", type=Path, metavar="DIR", help="the same for test questions (default: as --images)"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where to write easy-vqa or easy-vqa-choices (default data/NAME), to unpack a zip, to write another "
        "format as a competition folder (default data/NAME.imported, with a hash behind NAME if others have that "
        "folder), or to put links to --images (default data/NAME.linked)",
    )
    parser.add_argument("--export", choices=tuple(EXPORTS), help="also write the run's splits in this format")
    parser.add_argument(
        "--export-to", type=Path, metavar="DIR", help="folder of the export (default RUN/export/FORMAT)"
    )
    add_arguments(parser, DataSettings)
    args = parser.parse_args(argv)
    if not args.data and not args.export:
        parser.error("--data is required, except to --export a run that is already prepared")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    run = RunDir(args.run)
    if args.data:
        with alone_in(run):
            _prepare(run, args)
    if args.export:
        folder, files = export_run(run, args.export, args.export_to)
        log_to(run.log)
        logger.info(f"Exported to {folder}: {', '.join(files)}.")
        if unanswered := len(unanswered_of(run)):
            logger.info(
                f"The export includes {unanswered:,} rows with an empty answer, which the run does not train on."
            )
        if args.export != "parquet":
            logger.info(f"Its image paths are relative to {run.data_root()}.")


def _prepare(run: RunDir, args: argparse.Namespace) -> None:
    check_folder(run.root)  # now rather than after minutes of reading
    settings = settings_of(DataSettings, read_config(args.config), args)
    sources = Sources(args.data, args.test_data, args.images, args.test_images, column_map(settings))
    asked = "val_fraction" in {**read_config(args.config).get("data", {}), **vars(args)}
    codes: set[str] = set()

    def show(report: DataReport) -> None:
        codes.update(finding.code for finding in report.findings)
        _print_report(report)

    splits = prepare_sources(run, sources, settings, data_dir=args.data_dir, on_report=show)
    log_to(run.log)
    if asked and OWN_VAL in codes:
        logger.warning(
            f"--val-fraction {settings.val_fraction:g} is not used: the validation split that the data have wins, "
            "and all other questions are trained on."
        )
    for name, examples in (("Training", splits.train), ("Validation", splits.val), ("Test", splits.test)):
        logger.info(f"{name}: {len(examples):,} questions about {count_images(examples):,} images.")
    logger.info(f"Written to {run.root}. Next: python -m train.finetune --run {shell_word(run.root)}")


def _print_report(report: DataReport) -> None:
    print(report.text(), flush=True)
    left_out = Path(report.root) / LEFT_OUT
    if left_out.is_file():
        print(
            f"Records left out: {len(read_json(left_out)):,}. They are in {left_out}, each with the reason.\n",
            flush=True,
        )


if __name__ == "__main__":
    run_command(main)

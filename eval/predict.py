"""Answer a split: `python -m eval.predict --run runs/mine --data DIR --split test`."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa_core.commands import log_to, parser_for, run_command
from vqa_core.config import DataSettings, PredictSettings, read_config, settings_of
from vqa_core.data.competition import read_test
from vqa_core.data.formats.importing import columns_of_import, is_foreign
from vqa_core.data.prepare import column_map, column_settings
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import add_arguments

logger = logging.getLogger("vqa")


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("eval.predict", "Answer the questions of one split with a run's model.")
    parser.add_argument(
        "--data",
        metavar="DIR|ZIP|FILE",
        help="competition folder, zip, or questions of another format (default: what the run was prepared from)",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="where the images of a --data of JSON lie")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where a --data is written or unpacked (default: as train.prepare)"
    )
    parser.add_argument("--split", default="test", choices=("test", "val", "train"), help="(default test)")
    parser.add_argument(
        "--model",
        metavar="DIR|ID",
        help="model folder to copy into the run and use; or an image-text model of Hugging Face, by folder or hub id",
    )
    parser.add_argument("--restart", action="store_true", help="throw the answers of this split away first")
    add_arguments(parser, PredictSettings)
    add_arguments(parser, DataSettings, only=tuple(column_settings(ColumnMap())))
    args = parser.parse_args(argv)

    run = RunDir(args.run)
    config = run.read_config()
    given = read_config(args.config)
    settings = settings_of(PredictSettings, given, args)
    columns = column_map(_data_settings(config, args))
    if args.data:
        root = data_folder(args.data, args.data_dir, images=args.images, columns=columns, to_answer=True)
    else:
        root = run.data_root()
    if args.split == "test" and args.data:
        competition = read_test(root, columns)
        root, examples = competition.root, competition.test
    else:
        examples = run.examples(args.split)
    if not examples:
        raise InputError(f"There are no {args.split} questions in {root}.")
    log_to(run.log)

    from vqa_core.inference.predict import predict_split  # imports torch

    statuses = predict_split(run, args.split, examples, root, settings, model=args.model, restart=args.restart)
    failed = ", ".join(f"{count} {status}" for status, count in statuses.items() if status != "ok")
    logger.info(
        "Wrote %s: %d answers%s.", run.predictions(args.split), statuses.total(), f" ({failed})" if failed else ""
    )


def _data_settings(config: dict[str, Any], args: argparse.Namespace) -> DataSettings:
    """Columns are named as where the run's data came from, CSV or dataset, but for those that a flag names."""
    root = config.get("dataset", {}).get("root") if args.data and is_foreign(args.data) else None
    columns = columns_of_import(Path(root)) if root else None
    known = config.get("data", {}) | (column_settings(columns) if columns else {})
    return settings_of(DataSettings, {"data": known}, args)


if __name__ == "__main__":
    run_command(main)

"""Answer the questions of a split: `python -m eval.predict --run runs/mine --data DIR --split test`."""

from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import log_to, logger, parser_for, run_command
from vqa_core.config import DataSettings, PredictSettings, read_config, settings_of
from vqa_core.data.prepare import column_settings
from vqa_core.data.questions import read_questions
from vqa_core.runs.examples import ColumnMap
from vqa_core.runs.hub_folder import check_model
from vqa_core.runs.predictions import STATUSES
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import add_arguments


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_for("eval.predict", "Answer the questions of one split with a run's model.")
    parser.add_argument(
        "--data",
        metavar="DIR|ZIP|FILE",
        help="competition folder, zip, or questions in another format (default: the data the run was prepared from)",
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="folder that the image paths of --data are relative to"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where to write or unpack --data (default: as in train.prepare)"
    )
    parser.add_argument(
        "--split", default="test", choices=("test", "val", "train"), help="split to answer (default test)"
    )
    parser.add_argument(
        "--model",
        metavar="DIR|ID",
        help="model folder to copy into the run and use, or a Hugging Face image-text model by folder or hub id",
    )
    parser.add_argument(
        "--restart", action="store_true", help="start over; the answers so far move to a file with the suffix .old"
    )
    add_arguments(parser, PredictSettings)
    add_arguments(parser, DataSettings, only=(*column_settings(ColumnMap()), "pixel_limit"))
    args = parser.parse_args(argv)

    run = RunDir(args.run)
    settings = settings_of(PredictSettings, read_config(args.config), args)
    asked = read_questions(run, args.split, args.data, data_dir=args.data_dir, images=args.images, flags=vars(args))
    log_to(run.log)
    if args.model:
        check_model(args.model)

    from vqa_core.inference.predict import predict_split  # imports torch

    statuses = predict_split(
        run,
        args.split,
        asked.examples,
        asked.root,
        settings,
        model=args.model,
        restart=args.restart,
        pixel_limit=vars(args).get("pixel_limit"),
    )
    odd = ", ".join(f"{statuses[status]} {status}" for status in STATUSES if status != "ok" and statuses[status])
    logger.info("Wrote %s: %d answers%s.", run.predictions(args.split), statuses.total(), f" ({odd})" if odd else "")


if __name__ == "__main__":
    run_command(main)

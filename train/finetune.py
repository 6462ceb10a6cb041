"""Train a prepared run: `python -m train.finetune --run runs/mine --config configs/demo.json`."""

import argparse
from collections.abc import Sequence

from vqa_core.commands import log_to, logger, parser_for, run_command, shell_word
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.planning.resolve import resolve_training
from vqa_core.processes import check_processes
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import alone_in
from vqa_core.settings import add_arguments
from vqa_core.stops import Stopped, Stops


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_for("train.finetune", "Train a model on the prepared rows of a run.")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        choices=("auto",),
        help="continue from the newest intact checkpoint, or start if there is none; `auto` may be omitted",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="delete the run's checkpoints and metrics first, and set aside its model and what was made with it",
    )
    add_arguments(parser, ModelSettings, TrainSettings)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    check_processes()
    if args.resume and args.restart:
        raise InputError("--resume and --restart exclude each other. Pass one of them.")
    run = RunDir(args.run)
    run.read_config()  # an error where there is no run, before anything is written into the folder
    with Stops() as stops:
        try:
            with alone_in(run):
                _finetune(run, args, stops)
        except Stopped:
            logger.warning("Stopped before the first step. Give the same command again.")
            raise
        except Exception as error:
            if stops.asked is None or isinstance(error, InputError):
                raise
            logger.warning("Stopped in the middle (%s). --resume goes on from the newest checkpoint.", error)
        stops.check()


def _finetune(run: RunDir, args: argparse.Namespace, stops: Stops) -> None:
    chosen = resolve_training(run, args.config, vars(args), resume=bool(args.resume))
    if not run.train.is_file():
        raise InputError(
            f"{run.root} is not prepared: {run.train.name} is missing. Run `python -m train.prepare` first."
        )
    log_to(run.log)
    if chosen.warning:
        logger.warning("%s", chosen.warning)

    from vqa_core.training.finetune import finetune  # torch is imported only once the settings are known to be good
    from vqa_core.training.task import TrainingTask

    task = TrainingTask.of_run(
        run, chosen.model, chosen.train, resume=bool(args.resume), restart=args.restart, stops=stops
    )
    if finetune(task).finished:
        shown = shell_word(run.root), shell_word(task.data_root)
        logger.info("Next: python -m eval.predict --run %s --data %s --split test", *shown)


if __name__ == "__main__":
    try:
        run_command(main)
    except Stopped as stopped:
        stopped.leave()

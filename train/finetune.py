"""Train a prepared run: `python -m train.finetune --run runs/mine --config configs/demo.json`."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vqa_core.commands import log_to, logger, parser_for, run_command
from vqa_core.config import ModelSettings, TrainSettings, read_config, settings_of
from vqa_core.files import InputError
from vqa_core.prompts.styles import OWN_TEMPLATE, STYLE_NAMES
from vqa_core.runs.examples import read_examples
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import add_arguments, differences


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_for("train.finetune", "Train a model on the prepared rows of a run.")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        choices=("auto",),
        help="continue from the newest intact checkpoint, or start if there is none; `auto` may be omitted",
    )
    parser.add_argument("--restart", action="store_true", help="delete the run's checkpoints and metrics first")
    add_arguments(parser, ModelSettings, TrainSettings)
    return parser.parse_args(argv)


def _of_folder(folder: str) -> dict[str, dict[str, Any]]:
    """Parts, prompt, stage and LoRA of a model folder that training starts from, as sections of a config."""
    from vqa_core.runs.model_folder import describe_model_folder

    model = describe_model_folder(Path(folder))
    lora = {name: value for name, value in asdict(model.stage).items() if name != "name" and model.stage.lora_rank}
    stage = {} if model.stage.name == "base" else {"stage": model.stage.name}
    return {"model": model.settings.to_dict(), "train": {**stage, **lora}}


def _sections(
    earlier: dict[str, dict[str, Any]], given: dict[str, dict[str, Any]], args: argparse.Namespace
) -> tuple[dict[str, dict[str, Any]], str]:
    """The settings below the flags: what the run said earlier, then a config's; and what to tell of them, or "".

    Weights that training starts from bring their own parts and prompt, which a config of other weights can't know: it
    wins over them only if it names them itself, as a run's own config does.
    """
    sections = {name: earlier.get(name, {}) | given.get(name, {}) for name in ("model", "train")}
    start = settings_of(TrainSettings, sections, args).init_from
    if not start:
        return sections, ""
    theirs = earlier or _of_folder(start)
    merged = {name: theirs.get(name, {}) | sections[name] for name in sections}
    if given.get("train", {}).get("init_from") == start:
        return merged, ""
    unheard = {name: value for name, value in given.get("model", {}).items() if name not in args}
    other = differences(theirs.get("model", {}), unheard)
    told = f"{start} keeps its own, whatever {args.config} says: {other}. A flag would win." if other else ""
    return merged | {"model": sections["model"] | theirs.get("model", {})}, told


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    run = RunDir(args.run)
    config = run.read_config()
    if args.resume and args.restart:
        raise InputError("--resume and --restart exclude each other. Pass one of them.")
    given = read_config(args.config)
    # a run that goes on keeps its settings unless told otherwise
    earlier = config if args.resume and "train" in config else {}
    spelled_out = earlier.get("model", {}).get("prompt_style", OWN_TEMPLATE) not in STYLE_NAMES
    if spelled_out and getattr(args, "prompt_style", "") == OWN_TEMPLATE:
        del args.prompt_style  # the text that it was then
    sections, told = _sections(earlier, given, args)
    model_settings = settings_of(ModelSettings, sections, args)
    settings = settings_of(TrainSettings, sections, args)
    if not run.train.is_file():
        raise InputError(
            f"{run.root} is not prepared: {run.train.name} is missing. Run `python -m train.prepare` first."
        )
    log_to(run.log)
    if told:
        logger.warning("%s", told)
    if args.restart:
        shutil.rmtree(run.checkpoints, ignore_errors=True)
        run.metrics.unlink(missing_ok=True)

    from vqa_core.runs.training_rows import open_rows
    from vqa_core.training.finetune import finetune  # torch is imported only once the settings are known to be good

    run.write_section("model", model_settings.to_dict())
    run.write_section("train", settings.to_dict())
    root = run.data_root()
    outcome = finetune(
        run, open_rows(run.rows), read_examples(run.val), root, model_settings, settings, resume=bool(args.resume)
    )
    if outcome.finished:
        logger.info("Next: python -m eval.predict --run %s --data %s --split test", run.root, root)


if __name__ == "__main__":
    run_command(main)

"""Convert an original LLaVA checkpoint to a model folder, or a model to Hugging Face's or LLaVA's format.

python -m train.convert --from llava/checkpoint-2400 --base lmsys/vicuna-7b-v1.3 --to models/dacon
python -m train.convert --from runs/mine --to-hf exported/mine
python -m train.convert --from runs/mine --to-llava exported/llava-mine

Without a flag, a setting comes from the config.json of LLaVA or of the vision tower, not from the defaults below; the
prompt, which no checkpoint records, is then vicuna_v1.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import run_command, shell_word
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import check_new
from vqa_core.settings import add_arguments

GIVEN = ("vision_tower", "revision", "prompt_style", "instruction", "image_side_px", "image_aspect")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m train.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--from",
        "--model-path",
        dest="source",
        type=Path,
        required=True,
        metavar="DIR",
        help="LLaVA folder (projector, LoRA or whole model), model folder, or run with a model",
    )
    parser.add_argument(
        "--base",
        "--model-base",
        dest="language_model",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="language model that LLaVA's projector or LoRA was trained on (default: the one in its config.json)",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", type=Path, metavar="DIR", help="model folder for eval.predict --model and --init-from")
    target.add_argument("--to-hf", type=Path, metavar="DIR", help="Hugging Face folder, LoRA merged")
    target.add_argument("--to-llava", type=Path, metavar="DIR", help="folder that llava-torch loads")
    add_arguments(parser, ModelSettings, only=GIVEN)
    add_arguments(parser, TrainSettings, only=("save_dtype",))
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    settings = {name: value for name, value in vars(args).items() if name in (*GIVEN, "language_model")}
    targets = {"model": args.to, "hf": args.to_hf, "llava": args.to_llava}
    target, out = next((name, folder) for name, folder in targets.items() if folder)
    check_new(out)

    from vqa_core.convert.convert import convert  # imports torch

    advice = convert(args.source, out, target, settings, getattr(args, "save_dtype", TrainSettings.save_dtype))
    print(f"Wrote {out}. {advice}".strip())
    if args.to:
        model = shell_word(out)
        print(
            f"Next: python -m eval.predict --run RUN --model {model}, or train.finetune --run RUN --init-from {model}"
        )


if __name__ == "__main__":
    run_command(main)

"""Convert an original LLaVA checkpoint to a model folder, or a model to Hugging Face's or LLaVA's format.

python -m train.convert --from llava/checkpoint-2400 --base lmsys/vicuna-7b-v1.3 --to models/dacon
python -m train.convert --from runs/mine --to-hf exported/mine
python -m train.convert --from runs/mine --to-llava exported/llava-mine

Without a flag, a setting comes from the config.json of LLaVA or of the vision tower, not from the defaults below; the
prompt, which no checkpoint records, is then vicuna_v1.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vqa_core.commands import run_command
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError, check_new
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
    given = {name: value for name, value in vars(args).items() if name in (*GIVEN, "language_model")}
    out: Path = args.to or args.to_hf or args.to_llava
    check_new(out)

    from vqa_core.convert.hf_export import export_hf  # these import torch
    from vqa_core.convert.llava_export import export_llava
    from vqa_core.convert.llava_import import import_llava
    from vqa_core.model.vlm import DTYPES
    from vqa_core.runs.model_folder import describe_model_folder, is_llava_folder

    source: Path = args.source
    source = source / "model" if (source / "model" / "vqa.json").is_file() else source
    if not is_llava_folder(source):
        if not (source / "vqa.json").is_file():
            raise InputError(
                f"{source} is neither a folder of LLaVA (its config.json would say so) nor a model folder or run of "
                "this workbench (vqa.json). A LLaVA of Hugging Face needs no conversion."
            )
        model = describe_model_folder(source)
        if model.settings.base_model:
            raise InputError(
                f"{source} belongs to the whole model {model.settings.base_model!r}, which is no LLaVA of parts. "
                "Use it where it is: --model, --init-from."
            )
        if args.to or given:
            raise InputError(
                f"{source} is a model folder of this workbench already: it needs no --to, and has its own parts and "
                "prompt. Give --to-hf or --to-llava alone."
            )
    elif args.to_llava:
        raise InputError(f"{source} is LLaVA's already. Convert it with --to, and what was trained from that back.")
    dtype = DTYPES[getattr(args, "save_dtype", TrainSettings.save_dtype)]
    with tempfile.TemporaryDirectory() as scratch:
        said = ""
        if args.to:
            import_llava(source, out, given)
        elif args.to_llava:
            said = export_llava(model, out)
        elif is_llava_folder(source):
            import_llava(source, Path(scratch) / "model", given)
            said = export_hf(Path(scratch) / "model", out, dtype=dtype)
        else:
            said = export_hf(source, out, dtype=dtype)
    print(f"Wrote {out}. {said}".strip())
    if args.to:
        print(f"Next: python -m eval.predict --run RUN --model {out}, or train.finetune --run RUN --init-from {out}")


if __name__ == "__main__":
    run_command(main)

"""Converting a folder of weights from one layout to another: which importer and exporter it takes."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqa_core.convert.hf_export import export_hf
from vqa_core.convert.llava_export import export_llava
from vqa_core.convert.llava_import import import_llava
from vqa_core.convert.llava_parts import OWN_PARTS
from vqa_core.drives import hidden_prefix
from vqa_core.files import InputError
from vqa_core.model.vlm import DTYPES
from vqa_core.runs.model_folder import ModelFolder, describe_model_folder, is_llava_folder
from vqa_core.space import drive_errors


def convert(source: Path, out: Path, target: str, settings: Mapping[str, Any], save_dtype: str) -> str:
    """Write the weights in `source` to the new folder `out`; return a sentence for the user, or "".

    Args:
        source: a folder of LLaVA, a model folder, or a run with one.
        target: the layout of `out`: "model" (a model folder), "hf" (Hugging Face) or "llava".
        settings: model settings by name that override what a folder of LLaVA says of itself.
        save_dtype: number format of the weights for Hugging Face, a key of DTYPES.

    Raises InputError, and leaves nothing at `out`, if `source` is neither, is in that layout already, or takes no
    settings, or if the drive is full or the like.
    """
    made = [out, *(out.parent / f"{out.name}-{part}" for part in OWN_PARTS)]
    made = [folder for folder in made if not folder.is_dir() or not any(folder.iterdir())]
    try:
        with drive_errors(out):
            return _convert(source, out, target, settings, save_dtype)
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _convert(source: Path, out: Path, target: str, settings: Mapping[str, Any], save_dtype: str) -> str:
    source = source / "model" if (source / "model" / "vqa.json").is_file() else source
    if not is_llava_folder(source):
        model = _describe(source)
        if target == "model" or settings:
            raise InputError(
                f"{source} is a model folder of this workbench already: it needs no --to, and has its own parts and "
                "prompt. Give --to-hf or --to-llava alone."
            )
        return export_llava(model, out) if target == "llava" else export_hf(source, out, dtype=DTYPES[save_dtype])
    if target == "llava":
        raise InputError(f"{source} is LLaVA's already. Convert it with --to, and what was trained from that back.")
    if target == "model":
        import_llava(source, out, settings)
        return ""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=hidden_prefix(out.name)) as scratch:
        model_folder = Path(scratch) / "model"
        import_llava(source, model_folder, settings)
        return export_hf(model_folder, out, dtype=DTYPES[save_dtype])


def _describe(folder: Path) -> ModelFolder:
    """The description of a model folder whose model is a LLaVA of parts."""
    if not (folder / "vqa.json").is_file():
        raise InputError(
            f"{folder} is neither a folder of LLaVA (its config.json would say so) nor a model folder or run of "
            "this workbench (vqa.json). A LLaVA of Hugging Face needs no conversion."
        )
    model = describe_model_folder(folder)
    if model.settings.base_model:
        raise InputError(
            f"{folder} belongs to the whole model {model.settings.base_model!r}, which is no LLaVA of parts. "
            "Use it where it is: --model, --init-from."
        )
    return model

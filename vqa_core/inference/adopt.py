"""A run adopts a model: it gets a copy of a model folder, or a note of an image-text model of Hugging Face."""

import shutil
from pathlib import Path

from vqa_core.commands import shell_word
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.drives import copy_folder, rename_folder
from vqa_core.files import InputError, sha256_of
from vqa_core.folders import sync_files
from vqa_core.inference.build import load_model
from vqa_core.model.folder import write_model_folder
from vqa_core.model.hub.loading import check_image_text_model
from vqa_core.model.loading import LoadOptions, is_hub_id
from vqa_core.model.protocol import AnyVlm
from vqa_core.prompts.styles import changed_choices, changed_prompt
from vqa_core.runs.model_folder import Stage, describe_model_folder, is_llava_folder
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.run_lock import alone_in
from vqa_core.space import check_space, drive_errors


def adopt_model(run: RunDir, name: str, how: PredictSettings | None = None) -> AnyVlm | None:
    """Make a model the run's own and return it, loaded; None where the run has it already.

    `name` is a model folder, or an image-text model by folder or hub id, which may be ID@REVISION. `how` says whose
    code may run. The run has the model only once it was loaded, so one that can't be asked is never adopted. Raises
    InputError if the name is neither, if the model can't be loaded, or if the run has another one already.
    """
    how = how or PredictSettings()
    folder, copy = Path(name), run.root / ".model-copy"
    shutil.rmtree(copy, ignore_errors=True)  # of an adoption that was killed
    try:
        trained = (folder / "vqa.json").is_file()
        source = folder if trained else _write_note(copy, _find_hub_model(name, how))
        if run.model.is_dir():
            _check_same_weights(run, source, name)
            if trained:
                _check_same_prompt(run, source)
            return None
        if trained:
            check_space(run.model, sum(path.stat().st_size for path in folder.rglob("*")), f"The copy of {folder}")
        with alone_in(run):  # a training would put its own model there
            vlm = load_model(source, how)
            with drive_errors(run.model):
                if trained:
                    copy_folder(folder, copy)
                    sync_files(copy)
                else:  # once more, now that the text of its prompt is known
                    _write_note(copy, vlm.settings)
                rename_folder(copy, run.model)
            return vlm
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _find_hub_model(name: str, how: PredictSettings) -> ModelSettings:
    """The settings of the image-text model that a folder, ID or ID@REVISION names; an InputError if there is none."""
    folder = Path(name)
    if is_llava_folder(folder):
        raise InputError(
            f"--model {name} holds no trained model (no vqa.json). Convert it: python -m train.convert --from "
            f"{shell_word(folder)} --to DIR"
        )
    hub_id, _, revision = name.partition("@")
    if (folder / "config.json").is_file():
        settings = ModelSettings(base_model=str(folder.resolve()))
    elif is_hub_id(hub_id) and not folder.exists():
        settings = ModelSettings(base_model=hub_id, revision=(revision,) if revision else ())
    else:
        raise InputError(f"--model {name} holds no trained model (no vqa.json).")
    check_image_text_model(settings.base_model, LoadOptions.of(settings, how))
    return settings


def _write_note(folder: Path, settings: ModelSettings) -> Path:
    """A model folder that names a whole model and holds no weights of its own."""
    write_model_folder(folder, settings, Stage("base"), {}, about={})
    return folder


def _check_same_weights(run: RunDir, source: Path, name: str) -> None:
    if sha256_of(source / "trained.safetensors") != sha256_of(run.model / "trained.safetensors"):
        raise InputError(
            f"{run.model} holds other weights than --model {name}. Leave --model out, use another --run, "
            f"or remove {run.root} to start over."
        )


def _check_same_prompt(run: RunDir, folder: Path) -> None:
    theirs, ours = (describe_model_folder(each).settings for each in (folder, run.model))
    if changed_prompt(theirs, ours) or changed_choices(theirs, ours):
        raise InputError(
            f"{run.model} holds the weights of --model {folder} with another prompt. Leave --model out, and ask "
            "for a prompt with --prompt-style, --instruction, --choice-instruction and --choice-scoring, or use "
            "another --run."
        )

"""The description of a model folder, read without torch; vqa_core/model/folder.py reads and writes its weights.

model/trained.safetensors   projector, and LoRA matrices or the whole language model
model/vqa.json              the parts, the prompt, the stage: enough to load it without the run
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.commands import shell_word
from vqa_core.config import ModelSettings, TrainSettings, settings_of
from vqa_core.files import InputError, read_json
from vqa_core.runs.damaged_files import check_file, is_named, read_object
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import resolve

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What `prepare_stage` made trainable; stored in vqa.json so that loading can build the same modules.

    The stage `base` trains nothing: a whole model as it was published.
    """

    name: str
    lora_rank: int = 0
    lora_alpha: float = 0.0
    lora_dropout: float = 0.0
    lora_targets: tuple[str, ...] = ()


def stage_of(settings: TrainSettings) -> Stage:
    """The stage that the settings of a training ask for."""
    if settings.stage != "lora":
        return Stage(settings.stage)
    return Stage("lora", settings.lora_rank, settings.lora_alpha, settings.lora_dropout, settings.lora_targets)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model folder's description: the parts and the stage that its weights belong to."""

    folder: Path
    settings: ModelSettings
    stage: Stage


def is_llava_folder(folder: Path) -> bool:
    """Whether a folder's config.json is an original LLaVA's."""
    path = folder / "config.json"
    if not is_named(path):
        return False
    check_file(path)
    return is_llava_config(read_json(path))


def is_llava_config(config: Any) -> bool:
    """Whether a config.json is an original LLaVA's: it has the language model's keys at its top and no parts.

    Hugging Face's LLaVA has the same `model_type`, and its loader would read such a config as a default 7B model.
    """
    if not isinstance(config, dict) or {"vision_config", "text_config"} & config.keys():
        return False
    return str(config.get("model_type")).startswith("llava")


def describe_model_folder(folder: Path) -> ModelFolder:
    """Read vqa.json, or for a run's checkpoint the run's config.json.

    Raises InputError if there is neither, or if vqa.json has another format.
    """
    run = RunDir(folder.absolute().parent.parent)
    if (folder / "manifest.json").is_file() and run.config.is_file():
        config = run.read_config()
        check_file(folder / "trained.safetensors")
        return ModelFolder(
            folder, settings_of(ModelSettings, config, {}), stage_of(settings_of(TrainSettings, config, {}))
        )
    if is_llava_folder(folder):
        raise InputError(
            f"{folder} is an original LLaVA checkpoint. Convert it first: "
            f"python -m train.convert --from {shell_word(folder)} --to DIR"
        )
    path = folder / "vqa.json"
    if not is_named(path):
        raise InputError(f"{folder} holds no trained model (no vqa.json). Train one with `python -m train.finetune`.")
    described = read_object(path)
    if described.get("format") != FORMAT:
        raise InputError(f"{path} has format {described.get('format')!r}; this version reads {FORMAT}.")
    if is_named(folder / "trained.safetensors"):  # else loading says that it is missing
        check_file(folder / "trained.safetensors")
    try:
        stage = Stage(**described["stage"] | {"lora_targets": tuple(described["stage"]["lora_targets"])})
        return ModelFolder(folder, resolve(ModelSettings, described["model"], {}), stage)
    except InputError as error:
        raise InputError(
            f"{path} was written by another version, or changed by hand: {error} Use the version that trained it, or "
            "copy the folder anew."
        ) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged: its `model` or `stage` can't be read ({type(error).__name__}: {error}). Copy the "
            "folder anew."
        ) from None


def check_parts_are_here(model: ModelFolder) -> None:
    """An InputError for a model whose parts lie in folders that are not on this machine, with the place to say so."""
    settings = model.settings
    names = ("base_model",) if settings.base_model else ("vision_tower", "language_model")
    for name in names:
        part = str(getattr(settings, name))
        if _is_path(part) and not Path(part).exists():
            raise InputError(
                f"{model.folder / 'vqa.json'} names the {name.replace('_', ' ')} {part!r}, which is not on this "
                f"machine. Copy it there, or write where it lies into that file, as `model`, `{name}`."
            )


def _is_path(name: str) -> bool:
    """Whether the name of a part can only be a folder: no hub id and no word has such a form."""
    return Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "\\" in name

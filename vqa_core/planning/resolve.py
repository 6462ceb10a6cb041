"""Which settings win when training starts: flags, then the config, then what the run recorded or its weights bring."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqa_core.config import ModelSettings, TrainSettings, read_config, settings_of
from vqa_core.prompts.styles import OWN_TEMPLATE, STYLE_NAMES
from vqa_core.runs.hub_folder import PICTURES, PROCESSOR, TOKENIZER, WEIGHTS, check_local
from vqa_core.runs.model_folder import describe_model_folder
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import differences

Sections = dict[str, dict[str, Any]]
"""Settings by section, `model` and `train`, as config.json has them; those left out have their defaults."""


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings of a training. `warning` names those of the config that it does not follow; "" if there are none."""

    model: ModelSettings
    train: TrainSettings
    warning: str


def resolve_training(run: RunDir, config: Path | None, flags: Mapping[str, Any], *, resume: bool) -> ResolvedSettings:
    """The settings to train `run` with.

    With `resume` a run keeps the settings of its earlier training unless the config or a flag says otherwise. Weights
    that a training starts from (`--init-from`) bring their own parts and prompt, which a config of other weights can't
    know: it wins over them only if it names these weights itself, as a run's own config does.

    Args:
        config: the file of `--config`.
        flags: the flags given, by the name of their setting; names of no setting are ignored.

    Raises InputError for a part whose folder is damaged or something else.
    """
    recorded = run.read_config()
    recorded = recorded if resume and "train" in recorded else {}
    given = read_config(config)
    flags = _keep_template(recorded, flags)
    sections = {name: recorded.get(name, {}) | given.get(name, {}) for name in ("model", "train")}
    start, warning = settings_of(TrainSettings, sections, flags).init_from, ""
    if start:
        weights = recorded or _settings_of_weights(Path(start))
        sections = {name: weights.get(name, {}) | section for name, section in sections.items()}
        if given.get("train", {}).get("init_from") != start:
            sections["model"] |= weights.get("model", {})
            ignored = {name: value for name, value in given.get("model", {}).items() if name not in flags}
            if other := differences(weights.get("model", {}), ignored):
                warning = f"{start} keeps its own settings, not those of {config}: {other}. A flag would win."
    model, train = settings_of(ModelSettings, sections, flags), settings_of(TrainSettings, sections, flags)
    if model.base_model:
        check_local("model", model.base_model, WEIGHTS, PROCESSOR)
    else:
        check_local("vision tower", model.vision_tower, WEIGHTS, PICTURES)
        check_local("language model", model.language_model, WEIGHTS, TOKENIZER)
    return ResolvedSettings(model, train, warning)


def _settings_of_weights(folder: Path) -> Sections:
    """The parts, prompt, stage and LoRA of the model folder `folder`."""
    model = describe_model_folder(folder)
    lora = {name: value for name, value in asdict(model.stage).items() if name != "name" and model.stage.lora_rank}
    stage = {} if model.stage.name == "base" else {"stage": model.stage.name}
    return {"model": model.settings.to_dict(), "train": {**stage, **lora}}


def _keep_template(recorded: Sections, flags: Mapping[str, Any]) -> Mapping[str, Any]:
    """The flags without `--prompt-style template` where the run recorded the text that the template was then."""
    written_out = recorded.get("model", {}).get("prompt_style", OWN_TEMPLATE) not in STYLE_NAMES
    if written_out and flags.get("prompt_style") == OWN_TEMPLATE:
        return {name: value for name, value in flags.items() if name != "prompt_style"}
    return flags

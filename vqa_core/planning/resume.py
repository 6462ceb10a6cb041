"""Which settings a resumed training keeps: those that its checkpoint was planned with, by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vqa_core.commands import shell_word
from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import InputError, read_json
from vqa_core.prompts.styles import OWN_TEMPLATE
from vqa_core.runs.checkpoints import PLAN
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import differences

FREE = frozenset(
    {
        *("log_every", "save_every", "eval_every", "eval_questions", "workers", "max_minutes", "report_to"),
        *("precision", "tf32", "attention", "trust_remote_code", "gradient_checkpointing", "save_dtype"),
        *("max_grad_norm", "max_skipped_steps", "max_bad_images"),
    }
)
"""Training settings that may change on a resume, and then take effect from its first step on."""
LENGTH = frozenset({"epochs", "max_steps"})
"""Those that may change, too, and change the learning rate: the training says how."""


def plan_settings(model: ModelSettings, train: TrainSettings) -> dict[str, Any]:
    """The settings, JSON-ready, that a checkpoint is planned with: they decide its steps or its learning rate."""
    return _planned(model.to_dict() | train.to_dict())


def refuse_other_settings(run: RunDir, checkpoint: Path, model: ModelSettings, train: TrainSettings) -> None:
    """Raise InputError if `checkpoint` was planned with other settings.

    A checkpoint of an older version holds no plan; config.json then has the settings that it was made with.
    """
    if (checkpoint / PLAN).is_file():
        recorded: Mapping[str, Any] = read_json(checkpoint / PLAN)["settings"]
    else:
        config = run.read_config()
        recorded = _planned(config.get("model", {}) | config.get("train", {}))
    ours = plan_settings(model, train)
    if ours["prompt_style"] == OWN_TEMPLATE:  # the text that it stood for is recorded
        del ours["prompt_style"]
    other = {name: value for name, value in recorded.items() if name in ours and ours[name] != value}
    if other:
        raise InputError(
            f"--resume goes on with the plan of {checkpoint}, which has other settings: {differences(ours, other)}. "
            f"{ways_from(checkpoint)}"
        )


def ways_from(checkpoint: Path) -> str:
    """What to do where a checkpoint cannot be resumed as asked."""
    return (
        "Resume with the settings that it was made with, start a new schedule from its weights in another run with "
        f"--init-from {shell_word(checkpoint)}, or begin again with --restart."
    )


def _planned(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in FREE | LENGTH}

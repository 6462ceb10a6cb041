"""Which settings win: flags, the config, what the run recorded, what the weights were trained with."""

from pathlib import Path
from typing import Any

import pytest

from vqa_core.config import ModelSettings, TrainSettings
from vqa_core.files import write_json
from vqa_core.planning.resolve import ResolvedSettings, resolve_training
from vqa_core.runs.run_dir import RunDir

FLAGS: dict[str, Any] = {"run": "no setting", "config": None}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run that was trained: one with LoRA of rank 4, its prompt a template that was written out."""
    run = RunDir(tmp_path / "run")
    run.write_section("data", {"val_fraction": 0.5})
    run.write_section("model", ModelSettings(prompt_style="Q {question} A").to_dict())
    run.write_section("train", TrainSettings(stage="lora", lora_rank=4, seed=7).to_dict())
    return run


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A model folder of 56-pixel pictures and LoRA of rank 8."""
    stage = {"name": "lora", "lora_rank": 8, "lora_alpha": 16.0, "lora_dropout": 0.0, "lora_targets": []}
    model = ModelSettings(image_side_px=56, image_aspect="pad").to_dict()
    write_json(tmp_path / "weights/vqa.json", {"format": 1, "model": model, "stage": stage})
    return tmp_path / "weights"


def resolve(
    run: RunDir, config: dict[str, Any] | None = None, *, resume: bool = False, **flags: Any
) -> ResolvedSettings:
    path = None
    if config is not None:
        path = run.root.parent / "config.json"
        write_json(path, config)
    return resolve_training(run, path, FLAGS | flags, resume=resume)


def test_a_flag_wins_over_the_config_and_the_config_over_the_defaults(run: RunDir) -> None:
    chosen = resolve(run, {"train": {"seed": 1, "epochs": 2.0}}, seed=2)
    assert chosen == ResolvedSettings(ModelSettings(), TrainSettings(seed=2, epochs=2.0), "")


def test_a_resumed_run_keeps_its_settings_but_for_those_that_are_given_now(run: RunDir) -> None:
    chosen = resolve(run, {"train": {"seed": 1}}, resume=True, lora_rank=2)
    assert chosen.train == TrainSettings(stage="lora", lora_rank=2, seed=1)
    assert chosen.model.prompt_style == "Q {question} A"
    assert resolve(run).train == TrainSettings(), "a run that starts anew begins with the defaults"


def test_a_resumed_run_asks_with_the_template_as_it_was(run: RunDir) -> None:
    assert resolve(run, resume=True, prompt_style="template").model.prompt_style == "Q {question} A"
    assert resolve(run, resume=True, prompt_style="chatml").model.prompt_style == "chatml"
    assert resolve(run, prompt_style="template").model.prompt_style == "template"


def test_weights_bring_their_parts_and_their_lora(run: RunDir, weights: Path) -> None:
    chosen = resolve(run, init_from=str(weights))
    assert chosen.model == ModelSettings(image_side_px=56, image_aspect="pad")
    assert chosen.train == TrainSettings(stage="lora", lora_rank=8, lora_alpha=16.0, init_from=str(weights))
    assert chosen.warning == ""


def test_a_config_of_other_weights_is_not_followed_and_the_warning_says_in_what(run: RunDir, weights: Path) -> None:
    config = {"model": {"image_side_px": 28, "image_aspect": "square"}, "train": {"lora_rank": 2}}
    chosen = resolve(run, config, init_from=str(weights), image_aspect="stretch")
    assert (chosen.model.image_side_px, chosen.model.image_aspect) == (56, "stretch")
    assert chosen.train.lora_rank == 2, "how they are trained on is the config's to say"
    assert f"{weights} keeps its own settings, not those of" in chosen.warning
    assert chosen.warning.endswith(": --image-side-px 56, not 28. A flag would win.")


def test_a_config_that_names_the_weights_is_followed(run: RunDir, weights: Path) -> None:
    chosen = resolve(run, {"model": {"image_side_px": 28}, "train": {"init_from": str(weights)}})
    assert (chosen.model.image_side_px, chosen.model.image_aspect, chosen.warning) == (28, "pad", "")

"""`eval.benchmark recipe`: variants that differ in one change each, and the two presets they come from."""

from pathlib import Path

import pytest

from tests.support.tiny import tiny_competition, tiny_parts
from vqa_core import ROOT
from vqa_core.benchmarks.recipe import BASE, CHANGES, bench_recipe, variants
from vqa_core.benchmarks.settings import RecipeBench
from vqa_core.config import SECTIONS, read_config, settings_of

CONFIGS = ROOT / "configs"
BATCHES = {"batch_questions", "accumulate", "log_every"}  # a step has 256 questions either way


def preset(name: str) -> dict[str, object]:
    """Model and training settings, as resolved."""
    config = read_config(CONFIGS / f"{name}.json")
    return settings_of(SECTIONS["model"], config, {}).to_dict() | settings_of(SECTIONS["train"], config, {}).to_dict()


def test_the_base_is_the_team_s_recipe_and_the_changes_are_those_of_the_improved_preset() -> None:
    recipe, improved = preset("dacon-vicuna7b"), preset("dacon-vicuna7b-lora")
    assert {name: recipe[name] for name in BASE} == BASE
    differing = {name: value for name, value in improved.items() if value != recipe[name] and name not in BATCHES}
    assert {name: value for change in CHANGES.values() for name, value in change.items()} == differing
    steps = [each["batch_questions"] * each["accumulate"] for each in (recipe, improved)]
    assert steps == [256, 256]


def test_nothing_new_is_downloaded_for_the_improved_preset() -> None:
    recipe, improved = preset("dacon-vicuna7b"), preset("dacon-vicuna7b-lora")
    for part in ("vision_tower", "language_model"):
        assert recipe[part] == improved[part]


def test_a_variant_is_the_recipe_with_one_change_and_the_last_has_all() -> None:
    assert list(variants()) == ["recipe", *(f"+ {name}" for name in CHANGES), "all"]
    for name, change in CHANGES.items():
        chosen = variants()[f"+ {name}"]
        assert {key: value for key, value in chosen.items() if BASE.get(key) != value} == change
    assert change.items() <= variants()["all"].items()


@pytest.mark.slow
def test_every_variant_is_scored_on_the_same_held_out_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_competition(tmp_path / "data", train_images=40, test_images=1)
    tower, language_model = tiny_parts(tmp_path)
    monkeypatch.setitem(BASE, "text_token_budget", 400)  # a token of the tiny tokeniser is hardly more than a letter
    settings = RecipeBench(
        vision_tower=str(tower), language_model=str(language_model), data=str(data), steps=2, seeds=2, questions=4,
        batch_questions=4, image_side_px=32, precision="fp32",
    )  # fmt: skip
    *_, report = bench_recipe(settings)
    assert list(report.numbers) == ["question-only baseline", *variants()]
    counts = {found["score"]["n"] for found in report.numbers.values()}
    assert len(counts) == 1
    assert counts.pop() >= 4
    assert {name: len(found["right"]) for name, found in report.numbers.items()} == {
        name: 1 if name == "question-only baseline" else 2 for name in report.numbers
    }
    assert report.numbers["recipe"]["over"]["value"] == 0
    assert len(report.tables[0]) == 1 + len(report.numbers)
    assert not any(line.startswith("pad: not trained") for line in report.lines)  # these pictures are wider than high

"""docs/from-llava.md answers every flag of the team's README, and names no flag that our commands lack."""

import contextlib
import importlib
import re
import shlex

import pytest

from tests import readme

TEXT = (readme.ROOT / "docs/from-llava.md").read_text(encoding="utf-8")
TRAINING = """
    --model_name_or_path --version --data_path --image_folder --vision_tower --tune_mm_mlp_adapter
    --mm_vision_select_layer --mm_use_im_start_end --bf16 --output_dir --num_train_epochs --per_device_train_batch_size
    --per_device_eval_batch_size --gradient_accumulation_steps --evaluation_strategy --save_strategy --save_steps
    --save_total_limit --learning_rate --weight_decay --warmup_ratio --lr_scheduler_type --logging_steps --tf32
    --model_max_length --gradient_checkpointing --lazy_preprocess --report_to
"""
THEIRS = {
    "Preprocessing": ["preprocessing.py", "output.json"],
    "Training": TRAINING.split(),
    "Re-training": ["'vicuna'", "`output_dir` must contain", "from 2", "--output_dir", "--num_train_epochs 2",
                    "--warmup_ratio 0.00"],
    "Inference": ["rename `checkpoint-*`", "model_vqa.py", "--model-path", "--model-base", "--question-file",
                  "--image-folder", "--answers-file", "--conv-mode", "--temperature", "--top_p", "--num_beams",
                  "--num-chunks", "--chunk-idx"],
    "Submission": ["submission.py", "row order"],
}  # fmt: skip


def section(title: str) -> str:
    return re.split(rf"^## {title}$", TEXT, flags=re.MULTILINE)[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a section's table lines below the head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def commands(text: str) -> list[list[str]]:
    """Module and arguments of every `python -m` line."""
    lines = "\n".join(readme.blocks(text, "sh")).splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("python -m ")]


def flags_of(module: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with contextlib.suppress(SystemExit):
        importlib.import_module(module).main(["--help"])
    return set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))


@pytest.mark.parametrize("title", THEIRS)
def test_every_flag_of_the_teams_commands_has_a_row(title: str) -> None:
    named = [row[0] for row in rows(section(title))]
    assert [flag for flag in THEIRS[title] if not any(flag in cell for cell in named)] == []


@pytest.mark.parametrize("title", ["Setting up", *THEIRS])
def test_no_row_is_without_an_answer(title: str) -> None:
    table = rows(section(title))
    assert table
    assert [row for row in table if len(row) != 3 or not all(row)] == []


@pytest.mark.parametrize("title", THEIRS)
def test_every_flag_of_ours_is_one_that_a_command_of_its_section_has(
    title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = commands(section(title))
    known = {module: flags_of(module, capsys) for module in dict.fromkeys(words[0] for words in given)}
    for module, *arguments in given:
        assert {word for word in arguments if word.startswith("--")} <= known[module], module
        assert all((readme.ROOT / word).is_file() for word in arguments if word.startswith("configs/"))
    named = {flag for row in rows(section(title)) for flag in re.findall(r"--[a-z][a-z-]*", row[1])}
    assert named <= set().union(*known.values())


def test_the_recipe_puts_as_many_questions_into_a_step_as_the_team_did() -> None:
    from vqa_core.config import TrainSettings, read_config, settings_of

    config = read_config(readme.ROOT / "configs/dacon-vicuna7b.json")
    settings = settings_of(TrainSettings, config, {})
    assert settings.batch_questions * settings.accumulate == 16 * 16
    assert (settings.learning_rate, settings.warmup_ratio, settings.weight_decay) == (2e-3, 0.03, 0.0)
    assert (settings.scheduler, settings.precision, settings.gradient_checkpointing) == ("cosine", "bf16", True)

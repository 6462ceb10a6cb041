"""docs/from-llava.md answers every flag of the team's README, and names no flag that our commands lack."""

import contextlib
import importlib
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support import readme
from tests.support.converting import checkpoint, clip_parts
from tests.support.tiny import tiny_run
from train.convert import main as convert
from train.finetune import main as finetune
from vqa_core import ROOT
from vqa_core.config import read_config
from vqa_core.prompts.encoder import PromptEncoder
from vqa_core.prompts.styles import prompt_style
from vqa_core.runs.model_folder import describe_model_folder
from vqa_core.training.data import BranchEncoder

TEXT = (ROOT / "docs/from-llava.md").read_text(encoding="utf-8")
TRAINING = """
    --model_name_or_path --version --data_path --image_folder --vision_tower --tune_mm_mlp_adapter
    --mm_vision_select_layer --mm_use_im_start_end --bf16 --output_dir --num_train_epochs --per_device_train_batch_size
    --per_device_eval_batch_size --gradient_accumulation_steps --evaluation_strategy --save_strategy --save_steps
    --save_total_limit --learning_rate --weight_decay --warmup_ratio --lr_scheduler_type --logging_steps --tf32
    --model_max_length --gradient_checkpointing --lazy_preprocess --report_to
"""
THEIRS = {
    "Setting up": ["A100", "git clone haotian-liu/LLaVA", "pip install --upgrade pip", "pip install -e .", "ninja",
                   "flash-attn", "lmsys/vicuna-7b-v1.3", "gdown", "pimang62/dacon-multimodal-vqa", "wandb login"],
    "Preprocessing": ["preprocessing.py", "output.json"],
    "Training": ["train_mem.py", *TRAINING.split()],
    "Re-training": ["--image_folder", "'vicuna'", "`output_dir` must contain", "from 2", "--output_dir",
                    "--num_train_epochs 2", "--warmup_ratio 0.00"],
    "Inference": ["drive.mount", "rename `checkpoint-*`", "model_vqa.py", "--model-path", "--model-base",
                  "--question-file", "--image-folder", "--answers-file", "--conv-mode", "--temperature",
                  "--top_p", "--num_beams", "--num-chunks", "--chunk-idx"],
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


@pytest.mark.parametrize("title", [*THEIRS, "Less memory, other sources"])
def test_no_row_is_without_an_answer(title: str) -> None:
    table = rows(section(title))
    assert table
    assert [row for row in table if len(row) != 3 or not all(row)] == []


@pytest.mark.parametrize("title", [title for title in THEIRS if title != "Setting up"])
def test_every_flag_of_ours_is_one_that_a_command_of_its_section_has(
    title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = commands(section(title))
    known = {module: flags_of(module, capsys) for module in dict.fromkeys(words[0] for words in given)}
    for module, *arguments in given:
        assert {word for word in arguments if word.startswith("--")} <= known[module], module
        assert all((ROOT / word).is_file() for word in arguments if word.startswith("configs/"))
    named = {flag for row in rows(section(title)) for flag in re.findall(r"--[a-z][a-z-]*", row[1])}
    assert named <= set().union(*known.values())


@pytest.mark.slow
def test_the_documented_re_training_keeps_what_the_checkpoint_was_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The team's own: trained by transformers 4.31 with start and end; the config's parts are not even here."""
    monkeypatch.chdir(tmp_path)
    parts = clip_parts(tmp_path / "parts")
    old = {"transformers_version": "4.31.0", "image_aspect_ratio": "pad"}
    checkpoint(tmp_path / "llava/checkpoint-2400", parts, True, **old)
    tiny_run(tmp_path / "tiny").root.rename("more")
    _, converting, training = commands(section("Re-training"))
    here = {"lmsys/vicuna-7b-v1.3": parts["_name_or_path"], "runs/more": "more"}
    here["configs/dacon-vicuna7b.json"] = str(ROOT / "configs/dacon-vicuna7b.json")
    convert([here.get(word, word) for word in converting[1:]])
    small = ["--precision", "fp32", "--max-steps", "1", "--eval-questions", "1", "--report-to", "none"]
    small += ["--text-token-budget", "256"]
    given = [here.get(word, word) for word in training[1:]] + small
    theirs = describe_model_folder(Path("models/dacon")).settings
    for more in ([], ["--resume", "auto", "--max-steps", "2"]):  # the config is given again, and says no more
        finetune([*given, *more])
        assert describe_model_folder(Path("more/model")).settings == theirs
    assert (theirs.prompt_style, theirs.image_aspect) == ("vicuna_v1_start_end", "pad")
    assert theirs.language_model == parts["_name_or_path"]
    log = Path("more/log.txt").read_text()
    assert "models/dacon keeps its own settings, not those of " in log
    assert ", not 'lmsys/vicuna-7b-v1.3'; " in log
    assert "--image-aspect 'pad', not 'square'; --prompt-style 'vicuna_v1_start_end', not 'vicuna_v1'" in log
    assert "was trained with" not in log

    finetune([*given, "--restart", "--image-aspect", "square", "--vision-feature-layer", "-1"])
    settings = describe_model_folder(Path("more/model")).settings
    assert settings == replace(theirs, image_aspect="square", vision_feature_layer=-1)
    told = "models/dacon was trained with --vision-feature-layer -2, not -1; --image-aspect 'pad', not 'square'."
    assert told in Path("more/log.txt").read_text()

    shutil.copy("more/config.json", "again.json")  # a run's own config names the weights, so it is about them
    finetune(["--run", "more", "--restart", "--config", "again.json"])
    assert describe_model_folder(Path("more/model")).settings == settings


RECIPE = {
    "model": {
        "language_model": "lmsys/vicuna-7b-v1.3",
        "vision_tower": "openai/clip-vit-large-patch14",
        "projector": "linear",
        "vision_feature_layer": -2,
        "image_boundaries": True,
        "prompt_style": "vicuna_v1",
        "image_aspect": "square",
        "image_side_px": 224,
        "instruction": "",
    },
    "train": {
        "stage": "align",
        "precision": "bf16",
        "tf32": True,
        "batch_questions": 16,
        "accumulate": 16,
        "learning_rate": 2e-3,
        "scheduler": "cosine",
        "warmup_ratio": 0.03,
        "weight_decay": 0.0,
        "epochs": 1,
        "text_token_budget": 128,
        "gradient_checkpointing": True,
        "log_every": 1,
        "report_to": "wandb",
    },
}
"""The team's training command, flag by flag."""


def test_the_config_is_the_team_s_command_and_names_every_value_itself() -> None:
    config = read_config(ROOT / "configs/dacon-vicuna7b.json")
    for section, values in RECIPE.items():
        assert {name: config[section].get(name) for name in values} == values  # a default that changes, changes nothing
        assert config[section].keys() - values.keys() <= {"eval_every"}  # the one thing that theirs had not


def test_the_text_budget_counts_as_llava_1_0_did() -> None:
    """LLaVA's own count of a sample with <im_start> and <im_end>, each an id as the picture is, in 4.37: 53 of 128."""
    style = prompt_style("vicuna_v1")

    class Words:
        """A tokeniser of one token a character, with BOS."""

        bos_token_id, eos_token_id, unk_token_id = 1, 2, 0
        added_tokens_decoder: ClassVar[dict[int, str]] = {}

        def __call__(self, text: str, add_special_tokens: bool = True, **_: object) -> dict[str, list[int]]:
            return {"input_ids": [1] * add_special_tokens + [ord(character) for character in text]}

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [chr(number) for number in ids]

    prompt = PromptEncoder(Words(), "vicuna_v1")
    question, answer = "What color is the bus?", "red"
    text = style.before_image + style.before_question + question + style.after_question + style.before_answer + answer
    ids = len(text) + len(["<s>", "<im_start>", "<image>", "<im_end>", "</s>"])
    assert BranchEncoder(prompt, ids, boundaries=True).encode(question, answer)[1] == 0
    assert BranchEncoder(prompt, ids - 1, boundaries=True).encode(question, answer)[1] == 1

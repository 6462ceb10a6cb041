"""The prompt of a whole model is stored when it is first used: a template that prints the date asks as it did then."""

from pathlib import Path
from typing import Any

import pytest

from eval import predict
from tests.support.tiny import tiny_run
from tests.support.tiny_hub import VICUNA, tiny_hub
from train import finetune
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError, read_json
from vqa_core.inference.build import build_engine
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

TRAIN = [
    "--stage", "lora", "--lora-rank", "2", "--batch-questions", "8", "--max-steps", "2", "--save-every", "1",
    "--precision", "fp32", "--text-token-budget", "256",
]  # fmt: skip
PREDICT = ["--precision", "fp32", "--max-new-tokens", "3"]
DATED = "{{ 'Today: ' + strftime_now('%d %B %Y') + '. ' }}" + VICUNA
TODAY, STORED = "26 July 2024", "Today: 26 July 2024. USER: <image>\n<question> ASSISTANT: <answer>"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose template prints the date, which is TODAY."""
    folder = tiny_hub("llava", tmp_path / "base")
    (folder / "chat_template.jinja").write_text(DATED)
    on_the(TODAY, monkeypatch)
    return folder


def on_the(day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        @classmethod
        def now(cls) -> Any:
            return type("Day", (), {"strftime": lambda *_: day})()

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Clock)


def prompt_of(run: RunDir) -> str:
    engine = build_engine(run, PredictSettings(precision="fp32"), run.data_root())
    return str(engine.vlm.prompt.text("What?"))


def test_training_stores_the_prompt_and_prediction_and_resuming_keep_it(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, train_images=4, test_images=2)
    finetune.main(["--run", str(run.root), "--base-model", str(base), *TRAIN])
    assert run.read_config()["model"]["prompt_style"] == STORED
    assert read_json(run.model / "vqa.json")["model"]["prompt_style"] == STORED
    predict.main(["--run", str(run.root), *PREDICT])
    assert read_json(run.root / "predictions/test.meta.json")["prompt_style"] == STORED
    answers = run.predictions("test").read_bytes()
    assert "writes another prompt" not in capsys.readouterr().err

    on_the("27 July 2024", monkeypatch)
    assert prompt_of(run).startswith(f"Today: {TODAY}. USER: <image>")
    assert "writes another prompt now" in capsys.readouterr().err
    predict.main(["--run", str(run.root), *PREDICT, "--restart"])
    assert run.predictions("test").read_bytes() == answers
    finetune.main(["--run", str(run.root), "--resume", "--max-steps", "3"])
    assert read_json(run.model / "vqa.json")["model"]["prompt_style"] == STORED


def test_a_prediction_that_goes_on_another_day_asks_as_it_began(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, train_images=2, test_images=3)
    command = ["--run", str(run.root), "--model", str(base), *PREDICT]
    predict.main(command)
    whole = run.predictions("test").read_bytes()
    assert read_json(run.model / "vqa.json")["model"]["prompt_style"] == STORED
    run.predictions("test").write_bytes(b"".join(whole.splitlines(keepends=True)[:1]))
    on_the("27 July 2024", monkeypatch)
    predict.main(command)
    assert run.predictions("test").read_bytes() == whole
    assert "writes another prompt now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--prompt-style", "mistral"], "--prompt-style 'mistral' is not for"),
        (["--image-aspect", "pad"], "--image-aspect is not for --base-model"),
        (["--projector", "linear"], "--projector is not for --base-model"),
    ],
)
def test_what_belongs_to_parts_is_refused_in_training_too(flags: list[str], said: str, tmp_path: Path) -> None:
    base, run = tiny_hub("llava", tmp_path / "base"), tiny_run(tmp_path, train_images=2)
    with pytest.raises(InputError, match=said):
        finetune.main(["--run", str(run.root), "--base-model", str(base), *TRAIN, *flags])
    with pytest.raises(InputError, match="is not for"):
        build_hub_model(ModelSettings(base_model="nobody/nothing", image_aspect="stretch"))


def test_a_model_that_fails_to_load_leaves_the_run_without_one(tmp_path: Path) -> None:
    broken, good = tiny_hub("llava", tmp_path / "broken"), tiny_hub("llava", tmp_path / "good")
    (broken / "chat_template.jinja").unlink()
    run = tiny_run(tmp_path, train_images=2, test_images=2)
    with pytest.raises(InputError, match="no chat template"):
        predict.main(["--run", str(run.root), "--model", str(broken), *PREDICT])
    assert not run.model.exists()
    predict.main(["--run", str(run.root), "--model", str(good), *PREDICT])
    assert run.predictions("test").is_file()

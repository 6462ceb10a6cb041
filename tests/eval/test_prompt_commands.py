"""The prompt of training is stored and used; another one can be asked for, is reported, and keeps its own answers."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval import predict
from tests.support.tiny import TINY_MODEL, TINY_TRAIN, tiny_parts, tiny_run
from train import finetune
from vqa_core.config import PredictSettings
from vqa_core.files import InputError, read_json
from vqa_core.inference.adopt import adopt_model
from vqa_core.inference.build import build_engine
from vqa_core.runs.run_dir import RunDir

pytestmark = pytest.mark.slow

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WRITTEN_OUT = "<|im_start|>user\n<image>\n<question><|im_end|>\n<|im_start|>assistant\n<answer><|im_end|>"
OTHER = TEMPLATE.replace("im_start|>{{", "im_start|>the {{")
TRAIN = TINY_TRAIN | {"max_steps": 2, "eval_every": 0, "eval_questions": 1}


@dataclass(frozen=True)
class World:
    """A run trained with `template` and an instruction, and its language model, whose template has changed since."""

    run: RunDir
    tokenizer_config: Path
    train: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("prompts")
    tower, language_model = tiny_parts(folder)
    run = tiny_run(folder, train_images=3, test_images=2)
    settings = TINY_MODEL | TRAIN | {"vision_tower": tower, "language_model": language_model}
    settings |= {"prompt_style": "template", "instruction": "Be short."}
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    world = World(run, language_model / "tokenizer_config.json", ["--run", str(run.root), *flags])
    write_template(world, TEMPLATE)
    finetune.main(world.train)
    write_template(world, OTHER)
    return world


@pytest.fixture
def world(trained: World, tmp_path: Path) -> World:
    """A copy of the run, nothing predicted."""
    shutil.copytree(trained.run.root, tmp_path / "run")
    run = RunDir(tmp_path / "run")
    return World(run, trained.tokenizer_config, ["--run", str(run.root), *trained.train[2:]])


def write_template(world: World, template: str) -> None:
    config = json.loads(world.tokenizer_config.read_text())
    world.tokenizer_config.write_text(json.dumps(config | {"chat_template": template}))
    (world.tokenizer_config.parent / "chat_template.jinja").write_text(template)


def predicted(world: World, *flags: str) -> bytes:
    predict.main(["--run", str(world.run.root), "--precision", "fp32", *flags])
    return world.run.predictions("test").read_bytes()


def prompt_of(world: World, **settings: str) -> str:
    engine = build_engine(world.run, PredictSettings(**settings, precision="fp32"), world.run.data_root())
    return engine.vlm.prompt.text("How many?")


def warnings_of(run: RunDir) -> list[str]:
    """What the log says of another prompt, newest last."""
    return [line for line in run.log.read_text().splitlines() if "was trained with" in line]


def test_a_template_is_stored_as_the_text_that_it_was_in_training(world: World) -> None:
    for settings in (read_json(world.run.model / "vqa.json")["model"], world.run.read_config()["model"]):
        assert (settings["prompt_style"], settings["instruction"]) == (WRITTEN_OUT, "Be short.")


def test_a_model_is_asked_as_it_was_trained_without_a_warning(world: World) -> None:
    asked = WRITTEN_OUT.replace("<question>", "How many?\nBe short.").partition("<answer>")[0]
    assert prompt_of(world) == asked
    plain = predicted(world)
    assert "prompt_style" not in read_json(world.run.root / "predictions/test.meta.json")
    same = ["--prompt-style", "chatml", "--instruction", "Be short."]
    assert prompt_of(world, prompt_style="chatml") == asked
    assert predicted(world, *same, "--restart") == plain
    assert warnings_of(world.run) == []


def test_another_prompt_is_reported_by_both_names_and_keeps_its_own_answers(world: World) -> None:
    plain = predicted(world)
    other = ["--prompt-style", "mistral", "--instruction", ""]
    with pytest.raises(InputError, match=r"instruction was None, is ''; prompt_style was None, is 'mistral'"):
        predicted(world, *other)
    assert predicted(world, *other, "--restart") != plain
    text = warnings_of(world.run)[-1]
    assert "the prompt style '<|im_start|>user" in text
    assert "not 'mistral', and the instruction 'Be short.', not ''" in text
    assert prompt_of(world, prompt_style="mistral", instruction="") == "[INST] <image>\nHow many? [/INST]"
    assert world.run.read_config()["predict"]["prompt_style"] == "mistral"
    with pytest.raises(InputError, match=r"prompt_style was 'mistral', is None"):
        predicted(world)


def test_the_templates_text_of_today_is_another_prompt(world: World) -> None:
    assert prompt_of(world, prompt_style="template").startswith("<|im_start|>the user\n")
    predicted(world, "--prompt-style", "template")
    (text,) = warnings_of(world.run)
    assert "not '<|im_start|>the user" in text


def test_a_training_that_goes_on_keeps_the_text_it_began_with(world: World) -> None:
    shutil.rmtree(world.run.checkpoints / "checkpoint-2", ignore_errors=True)
    finetune.main([*world.train, "--resume", "--max-steps", "3"])
    assert read_json(world.run.model / "vqa.json")["model"]["prompt_style"] == WRITTEN_OUT
    assert world.run.read_config()["model"]["prompt_style"] == WRITTEN_OUT


def test_a_training_from_given_weights_takes_their_prompt_or_tells_of_another(world: World, tmp_path: Path) -> None:
    steps = ["--max-steps", "1", "--eval-questions", "1", "--precision", "fp32"]
    for number, (flags, count) in enumerate([([], 0), (["--prompt-style", "bare"], 1)]):
        root = tmp_path / f"more-{number}"
        shutil.copytree(world.run.root, root, ignore=shutil.ignore_patterns("checkpoints", "model", "log.txt"))
        config = read_json(root / "config.json")
        (root / "config.json").write_text(json.dumps({"dataset": config["dataset"], "data": config["data"]}))
        finetune.main(["--run", str(root), "--init-from", str(world.run.model), *steps, *flags])
        assert len(warnings_of(RunDir(root))) == count
        style = read_json(root / "model/vqa.json")["model"]["prompt_style"]
        assert style == ("bare" if count else WRITTEN_OUT)


def test_the_same_weights_with_another_prompt_are_not_taken_for_the_same_model(world: World, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(world.run.model, copy)
    adopt_model(world.run, copy)
    described = read_json(copy / "vqa.json")
    (copy / "vqa.json").write_text(json.dumps(described | {"model": described["model"] | {"prompt_style": "bare"}}))
    with pytest.raises(InputError, match="with another prompt"):
        adopt_model(world.run, copy)

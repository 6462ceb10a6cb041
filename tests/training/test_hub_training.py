"""A whole image-text model is trained with LoRA by the same command; its folder answers as the trained model did."""

import re
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch

from eval import predict
from tests.support.plain_generate import ANSWERS_TAUGHT
from tests.support.plain_hubs import PLAIN_KINDS
from tests.support.tiny import QUESTIONS, losses, tiny_language_model, tiny_picture, tiny_run, tiny_tokenizer
from tests.support.tiny_hub import KINDS, plain_inputs, tiny_hub
from train import finetune
from vqa_core.config import ModelSettings, PredictSettings
from vqa_core.files import InputError, read_json
from vqa_core.inference.adopt import adopt_model
from vqa_core.inference.build import build_engine
from vqa_core.model.capabilities import CAPABILITIES, Sharing
from vqa_core.model.collator import collate
from vqa_core.model.folder import load_llava_folder, load_model_folder
from vqa_core.model.hub.assembly import build_hub_model
from vqa_core.model.hub.hub_model import HubModel
from vqa_core.model.hub.inputs import HubPicture, extend_inputs
from vqa_core.model.packing import Branch, pack_onto
from vqa_core.model.stages import prepare_stage
from vqa_core.runs.model_folder import Stage, describe_model_folder
from vqa_core.runs.predictions import read_predictions
from vqa_core.runs.run_dir import RunDir
from vqa_core.training.data import BranchEncoder
from vqa_core.training.losses.packed import PackedLoss
from vqa_core.training.losses.separate import SeparateRowsLoss

pytestmark = pytest.mark.slow

TRAIN = [
    "--stage", "lora", "--lora-rank", "4", "--batch-questions", "8", "--max-steps", "25", "--learning-rate", "1e-2",
    "--log-every", "1", "--save-every", "100", "--precision", "fp32", "--text-token-budget", "256",
]  # fmt: skip
STEPS = {"blip": 25}  # it learns the slowest
PREDICT = ["--precision", "fp32", "--max-new-tokens", "4"]


def answers(run: RunDir, split: str = "val") -> dict[str, str]:
    return {key: prediction.generated for key, prediction in read_predictions(run.predictions(split)).items()}


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "smolvlm", "gemma3", *PLAIN_KINDS])
def test_training_learns_and_its_folder_answers_the_same_in_another_run(kind: str, tmp_path: Path) -> None:
    base = tiny_hub(kind, tmp_path / "base")
    run = tiny_run(tmp_path, train_images=8)
    steps = str(STEPS.get(kind, 15))
    finetune.main(["--run", str(run.root), "--base-model", str(base), *TRAIN, "--max-steps", steps])
    loss = losses(run)
    assert sum(list(loss.values())[-5:]) < 0.8 * sum(list(loss.values())[:5])
    described = read_json(run.model / "vqa.json")
    assert described["model"]["base_model"] == str(base)
    predict.main(["--run", str(run.root), "--split", "val", *PREDICT])
    other = tiny_run(tmp_path / "other", train_images=8)
    predict.main(["--run", str(other.root), "--split", "val", "--model", str(run.model), *PREDICT])
    plain = tiny_run(tmp_path / "plain", train_images=8)
    predict.main(["--run", str(plain.root), "--split", "val", "--model", str(base), *PREDICT])
    assert answers(run) == answers(other) != answers(plain)


@pytest.mark.parametrize("kind", sorted({*PLAIN_KINDS} - {"blip"}))
def test_recomputing_activations_trains_the_same(kind: str, tmp_path: Path) -> None:
    base = tiny_hub(kind, tmp_path / "base")
    runs = [tiny_run(tmp_path / name, train_images=4) for name in ("kept", "recomputed")]
    for run, more in zip(runs, ([], ["--gradient-checkpointing"])):
        finetune.main(["--run", str(run.root), "--base-model", str(base), *TRAIN, "--max-steps", "2", *more])
    assert losses(runs[1]) == pytest.approx(losses(runs[0]), rel=1e-5)


def test_activations_that_can_t_be_recomputed_are_said(tmp_path: Path) -> None:
    base, run = tiny_hub("blip", tmp_path / "base"), tiny_run(tmp_path, train_images=2)
    with pytest.raises(InputError, match="--gradient-checkpointing is not for a language model of type 'blip_text_mod"):
        finetune.main(["--run", str(run.root), "--base-model", str(base), *TRAIN, "--gradient-checkpointing"])


def test_lora_is_on_the_language_model_alone_and_starts_as_nothing(tmp_path: Path) -> None:
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub("internvl", tmp_path))))
    prepare_stage(hub, Stage("lora", 4, 8.0))
    trained = [name for name, parameter in hub.model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".language_model." in name and ".lora_" in name for name in trained)


@pytest.mark.parametrize("stage", ["align", "full"])
def test_other_stages_are_refused(stage: str, tmp_path: Path) -> None:
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub("llava", tmp_path))))
    with pytest.raises(InputError, match="--stage lora"):
        prepare_stage(hub, Stage(stage))


def test_a_run_answers_with_one_model_only(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, test_images=2)
    one, two = (tiny_hub(kind, tmp_path / kind) for kind in ("llava", "idefics3"))
    predict.main(["--run", str(run.root), "--model", str(one), *PREDICT])
    assert len(answers(run, "test")) == len(run.examples("test"))
    predict.main(["--run", str(run.root), "--model", str(one), *PREDICT])
    with pytest.raises(InputError, match="holds other weights"):
        predict.main(["--run", str(run.root), "--model", str(two), *PREDICT])
    with pytest.raises(InputError, match="needs a model of a vision tower"):
        load_llava_folder(run.model)
    assert load_model_folder(run.model).sharing is Sharing.PREFIX


def test_what_is_no_image_text_model_is_said(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, test_images=1)

    def told(name: str) -> str:
        with pytest.raises(InputError) as error:
            predict.main(["--run", str(run.root), "--model", name, *PREDICT])
        assert not run.model.exists()
        return str(error.value)

    language = tmp_path / "language"
    tiny_language_model(tiny_tokenizer()).save_pretrained(language)
    tiny_tokenizer().save_pretrained(language)
    assert "answers no questions about pictures" in told(str(language))
    assert "holds no trained model" in told(str(tmp_path / "nowhere" / "at" / "all"))
    (tmp_path / "empty").mkdir()
    assert "holds no trained model" in told(str(tmp_path / "empty"))
    assert "is not on this machine" in told("nobody/nothing-at-all")


@pytest.mark.parametrize(
    ("gone", "said"),
    [("preprocessor_config.json|processor_config.json", "processor"), ("chat_template", "chat template")],
)
def test_a_model_that_lacks_a_file_is_said(gone: str, said: str, tmp_path: Path) -> None:
    folder = tiny_hub("llava", tmp_path / "llava")
    for path in folder.iterdir():
        if re.search(gone, path.name):
            path.unlink()
    with pytest.raises(InputError, match=said):
        build_hub_model(ModelSettings(base_model=str(folder)))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_loss_is_that_of_the_model_s_own_forward_pass(kind: str, tmp_path: Path) -> None:
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub(kind, tmp_path))))
    pictures = [hub.preprocess(tiny_picture(0)), hub.preprocess(tiny_picture(1).resize((30, 70)))]
    encode = BranchEncoder(hub.prompt, 256).encode
    branches = [encode(question, answer)[0] for question, answer in zip(QUESTIONS, ANSWERS_TAUGHT)]
    batch = collate([pack_onto(hub.prefix_of(seen), branches) for seen in pictures], hub.pad_id)
    loss = PackedLoss(hub) if hub.sharing is Sharing.PREFIX else SeparateRowsLoss(hub)
    with torch.no_grad():
        found = float(loss(hub.stacked(pictures, [QUESTIONS[:3]] * 2), **batch)["loss"])
        expected = sum(
            own_loss(hub, seen, branch, question, answer)
            for seen in pictures
            for branch, question, answer in zip(branches, QUESTIONS, ANSWERS_TAUGHT)
        )
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_architecture_that_is_not_in_the_table_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that gives the logits of all tokens, whatever number is asked for, as some do."""
    base = tiny_hub("internvl", tmp_path / "base")
    monkeypatch.delitem(CAPABILITIES, "internvl")
    kind = type(build_hub_model(ModelSettings(base_model=str(base))).model)
    whole = kind.forward

    @wraps(whole)
    def forward(self: Any, *args: Any, logits_to_keep: int = 0, **how: Any) -> Any:  # noqa: ARG001
        return whole(self, *args, **how)

    monkeypatch.setattr(kind, "forward", forward)
    run = tiny_run(tmp_path, train_images=8)
    finetune.main(["--run", str(run.root), "--base-model", str(base), *TRAIN])
    loss = list(losses(run).values())
    assert sum(loss[-5:]) < 0.6 * sum(loss[:5])
    hub = load_model_folder(run.model)
    assert isinstance(hub, HubModel)
    assert hub.sharing is Sharing.NOTHING
    seen, branch = hub.preprocess(tiny_picture(0)), BranchEncoder(hub.prompt, 256).encode(QUESTIONS[0], "dark blue")[0]
    batch = collate([pack_onto(hub.prefix_of(seen), [branch])], hub.pad_id)
    with torch.no_grad():
        found = float(SeparateRowsLoss(hub)(hub.stacked([seen], [QUESTIONS[:1]]), **batch)["loss"])
        assert found == pytest.approx(own_loss(hub, seen, branch, QUESTIONS[0], "dark blue"), rel=1e-5)


def own_loss(hub: HubModel, seen: HubPicture, branch: Branch, question: str, answer: str) -> float:
    """What transformers makes of labels on the answer."""
    if hub.model.config.model_type == "paligemma":
        made = hub.processor(text=[question], images=[seen.image], suffix=[answer], return_tensors="pt")
        assert (made["labels"] >= 0).sum() == len(branch.answer)
        return float(hub.model(**made).loss) * len(branch.answer)
    if hub.lead:
        forced = len(hub.lead) - 1
        given = torch.tensor([[*hub.lead, *branch.answer[:-1]]])
        labels = torch.tensor([[-100] * forced + branch.answer])
        inputs = plain_inputs(hub.processor, seen.image, question)
        return float(hub.model(**inputs, decoder_input_ids=given, labels=labels).loss) * len(branch.answer)
    if hub.model.config.model_type == "blip":  # as its `generate` asks; its own loss smooths the labels
        inputs = plain_inputs(hub.processor, seen.image, question)
        asked = [hub.prompt.tokenizer.bos_token_id, *inputs.pop("input_ids")[0, 1:-1].tolist()]
        ids = torch.tensor([asked + branch.answer[:-1]])
        logits = hub.model(pixel_values=inputs["pixel_values"], input_ids=ids).logits[0, len(asked) - 1 :]
        return float(torch.nn.functional.cross_entropy(logits, torch.tensor(branch.answer), reduction="sum"))
    if hub.processor.chat_template:
        inputs = extend_inputs(hub.question_inputs(seen, question), branch.answer)
    else:
        inputs = plain_inputs(hub.processor, seen.image, question)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([branch.answer])], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if "image_embeds_position_mask" in inputs:  # Kosmos-2's
            placed = inputs["image_embeds_position_mask"]
            inputs["image_embeds_position_mask"] = torch.nn.functional.pad(placed, (0, len(branch.answer)))
    labels = inputs["input_ids"].clone()
    labels[:, : -len(branch.answer)] = -100
    return float(hub.model(**inputs, labels=labels).loss) * len(branch.answer)


def test_a_whole_model_is_asked_with_another_instruction_and_with_no_other_style(tmp_path: Path) -> None:
    base = tiny_hub("llava", tmp_path / "llava")
    run = tiny_run(tmp_path, test_images=1)
    predict.main(["--run", str(run.root), "--model", str(base), "--instruction", "In one word.", *PREDICT])
    assert read_json(run.root / "predictions" / "test.meta.json")["instruction"] == "In one word."
    engine = build_engine(run, PredictSettings(instruction="In one word.", precision="fp32"), run.data_root())
    assert "\nIn one word." in engine.vlm.prompt.text("What?")
    ids = engine.vlm.prompt.branch_ids("What?")[0]
    assert "In one word." in engine.vlm.prompt.tokenizer.decode(ids)
    with pytest.raises(InputError, match="asked with its own chat template"):
        predict.main(["--run", str(run.root), "--prompt-style", "vicuna_v1", "--restart", *PREDICT])


def test_a_hub_id_may_name_its_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(
        "vqa_core.inference.adopt.check_image_text_model",
        lambda name, options: asked.update({name: options.revision}),
    )
    hub = build_hub_model(ModelSettings(base_model=str(tiny_hub("llava", tmp_path / "llava"))))
    monkeypatch.setattr(
        "vqa_core.inference.adopt.load_model",
        lambda folder, _how: replace(hub, settings=describe_model_folder(folder).settings),
    )
    run = tiny_run(tmp_path, test_images=1)
    adopt_model(run, "some-org/some-model@v1.2")
    assert asked == {"some-org/some-model": ("v1.2",)}
    described = read_json(run.model / "vqa.json")["model"]
    assert (described["base_model"], described["revision"]) == ("some-org/some-model", ["v1.2"])
    with pytest.raises(InputError, match="holds other weights"):
        adopt_model(run, "some-org/some-model@v2")

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.packed import IMAGES, packed_batch, randomise_lora
from tests.support.tiny import TINY_MODEL, tiny_examples, tiny_parts, tiny_picture, tiny_vlm, write_pictures
from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError, read_json, write_json
from vqa_core.inference.engine import Engine
from vqa_core.model.folder import load_model_folder, save_model_folder
from vqa_core.model.stages import load_trained, merge_lora, prepare_stage, trained_tensors
from vqa_core.model.vlm import Vlm, build_vlm
from vqa_core.runs.model_folder import Stage, stage_of
from vqa_core.runs.predictions import Prediction
from vqa_core.training.losses.packed import PackedLoss

LORA = Stage("lora", lora_rank=2, lora_alpha=4.0)


def snapshot(vlm: Vlm) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}


def logits_of(vlm: Vlm) -> Tensor:
    seen: list[Tensor] = []
    handle = vlm.model.lm_head.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        PackedLoss(vlm)(**packed_batch(vlm, IMAGES))
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("stage", ["align", "lora", "full"])
@pytest.mark.parametrize("tied", [False, True])
def test_what_is_frozen_stays_bit_identical_and_what_is_trained_changes(stage: str, tied: bool) -> None:
    vlm = tiny_vlm(tied=tied)
    prepare_stage(vlm, stage_of(TrainSettings(stage=stage, lora_rank=2)))
    randomise_lora(vlm)
    before = snapshot(vlm)
    optimiser = torch.optim.AdamW([p for p in vlm.model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        PackedLoss(vlm).train()(**packed_batch(vlm, IMAGES))["loss"].backward()
        optimiser.step()
    changed = {name for name, tensor in snapshot(vlm).items() if not torch.equal(tensor, before[name])}
    trained = set(trained_tensors(vlm))
    assert changed - ({"lm_head.weight"} if tied else set()) == trained
    assert all("vision_tower" not in name for name in trained)
    assert all("projector" in name for name in trained) == (stage == "align")
    assert any("lora" in name for name in trained) == (stage == "lora")


def test_lora_changes_nothing_before_it_is_trained() -> None:
    plain, vlm = tiny_vlm(), tiny_vlm()
    prepare_stage(vlm, LORA)
    assert torch.equal(logits_of(vlm), logits_of(plain))


def test_lora_is_drawn_from_its_own_seed() -> None:
    drawn = []
    for seed in (0, 0, 1):
        vlm = tiny_vlm()
        state = torch.random.get_rng_state()
        prepare_stage(vlm, LORA, seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        drawn.append(next(tensor for name, tensor in trained_tensors(vlm).items() if "lora_A" in name))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_lora_is_on_every_linear_layer_or_on_those_named() -> None:
    everywhere, named = tiny_vlm(), tiny_vlm()
    prepare_stage(everywhere, LORA)
    prepare_stage(named, Stage("lora", lora_rank=2, lora_alpha=4.0, lora_targets=("q_proj", "v_proj")))
    layers = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trained_tensors(everywhere) if "lora" in name}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert sum("lora" in name for name in trained_tensors(named)) == 3 * 2 * 2
    with pytest.raises(InputError, match=r"'query'.*q_proj"):
        prepare_stage(tiny_vlm(), Stage("lora", lora_rank=2, lora_targets=("query",)))


def test_merged_lora_computes_what_lora_computes() -> None:
    vlm = tiny_vlm()
    prepare_stage(vlm, LORA)
    randomise_lora(vlm)
    vlm.model.eval()
    before, plain = logits_of(vlm), logits_of(tiny_vlm())
    merge_lora(vlm.language_model)
    assert not any("lora" in name for name, _ in vlm.model.named_parameters())
    torch.testing.assert_close(logits_of(vlm), before, rtol=1e-5, atol=1e-5 * before.abs().max().item())
    assert (before - plain).abs().max() > 0.1


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    tower, language_model = tiny_parts(tmp_path_factory.mktemp("parts"))
    return ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language_model))


def trained(settings: ModelSettings, stage: Stage) -> Vlm:
    vlm = build_vlm(settings)
    prepare_stage(vlm, stage)
    generator = torch.Generator().manual_seed(3)
    for parameter in trained_tensors(vlm).values():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.1
    vlm.model.eval()
    return vlm


def answers(vlm: Vlm, data_root: Path) -> list[Prediction]:
    examples = tiny_examples(6)
    write_pictures(data_root, examples)
    return list(Engine(vlm, PredictSettings(max_new_tokens=6), data_root).generate(examples))


@pytest.mark.parametrize("stage", [Stage("align"), LORA, Stage("full")], ids=lambda stage: stage.name)
def test_a_model_read_back_gives_the_same_answers(settings: ModelSettings, stage: Stage, tmp_path: Path) -> None:
    vlm = trained(settings, stage)
    save_model_folder(tmp_path / "model", vlm, stage, about={"note": "kept"})
    described = read_json(tmp_path / "model" / "vqa.json")
    assert described["note"] == "kept"
    assert described["image_tokens"] == vlm.image_tokens
    before = answers(vlm, tmp_path)
    for merge in (True, False):
        for ours, theirs in zip(
            answers(load_model_folder(tmp_path / "model", merge=merge), tmp_path), before, strict=True
        ):
            assert (ours.question_id, ours.generated) == (theirs.question_id, theirs.generated)
            assert ours.probability == pytest.approx(theirs.probability, abs=1e-4)


def test_weights_stored_in_bf16_are_those_weights_rounded(settings: ModelSettings, tmp_path: Path) -> None:
    vlm = trained(settings, LORA)
    save_model_folder(tmp_path / "whole", vlm, LORA, about={})
    save_model_folder(tmp_path / "half", vlm, LORA, save_dtype="bf16", about={})
    sizes = [(tmp_path / name / "trained.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.65 * sizes[0]  # names and shapes are written in both
    back = load_model_folder(tmp_path / "half", merge=False)
    for name, tensor in trained_tensors(back).items():
        assert torch.equal(tensor, trained_tensors(vlm)[name].to(torch.bfloat16).float())


def test_a_model_loaded_in_bf16_is_wholly_in_it(settings: ModelSettings, tmp_path: Path) -> None:
    save_model_folder(tmp_path, trained(settings, LORA), LORA, about={})
    vlm = load_model_folder(tmp_path, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in vlm.model.parameters()} == {torch.bfloat16}
    Engine(vlm, PredictSettings(), tmp_path).ask(tiny_picture(0), ["How many?"])


def test_weights_of_another_model_are_refused_by_name(settings: ModelSettings, tmp_path: Path) -> None:
    vlm = trained(settings, Stage("align"))
    tensors = dict(trained_tensors(vlm))
    name = "model.multi_modal_projector.linear_1.weight"
    with pytest.raises(InputError, match=f"has unknown 1 .*{name}x"):
        load_trained(vlm, tensors | {name + "x": tensors[name]}, tmp_path)
    with pytest.raises(InputError, match=r"shape \(3,\), expected \(32, 24\)"):
        load_trained(vlm, tensors | {name: torch.zeros(3)}, tmp_path)
    del tensors[name]
    with pytest.raises(InputError, match=f"lacks 1 of 4 weights, such as {name}"):
        load_trained(vlm, tensors, tmp_path)


def test_a_folder_of_another_format_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no trained model"):
        load_model_folder(tmp_path)
    write_json(tmp_path / "vqa.json", {"format": 99})
    with pytest.raises(InputError, match="format 99"):
        load_model_folder(tmp_path)

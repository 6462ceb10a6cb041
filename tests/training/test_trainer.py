"""Packed rows are the same computation as separate ones: loss, gradients, and nothing leaks between questions."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from tests.support.packed import IMAGES, branches_of, packed_batch, randomise_lora
from tests.support.tiny import tiny_picture, tiny_vlm
from vqa_core.files import InputError
from vqa_core.model.stages import prepare_stage, trained_tensors
from vqa_core.model.vlm import Vlm
from vqa_core.runs.model_folder import Stage
from vqa_core.training.losses.packed import PackedLoss

ALIGN, LORA = Stage("align"), Stage("lora", lora_rank=2, lora_alpha=4.0)


def separate_loss(vlm: Vlm) -> Tensor:
    """The sum of all cross entropies by transformers' own LLaVA, one question of one picture at a time."""
    total = torch.zeros(())
    for number, pairs in enumerate(IMAGES):
        pixels = vlm.pixels([tiny_picture(number)])
        for branch in branches_of(vlm, pairs):
            prompt = vlm.prompt.prefix_ids + [vlm.image_token_id] * vlm.image_tokens + branch.ids
            ids = torch.tensor([prompt + branch.answer])
            logits = vlm.model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids)).logits[0]
            predicted = logits[len(prompt) - 1 : -1]
            total = total + nn.functional.cross_entropy(predicted, torch.tensor(branch.answer), reduction="sum")
    return total


def gradients(vlm: Vlm, loss: Tensor) -> dict[str, Tensor]:
    names = trained_tensors(vlm)
    return dict(zip(names, torch.autograd.grad(loss, list(names.values())), strict=True))


@pytest.mark.parametrize("stage", [ALIGN, LORA, Stage("full")], ids=lambda stage: stage.name)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("projector", ["linear", "mlp2x_gelu", "pooled_and_patches_mlp"])
def test_loss_and_gradients_of_packed_rows_are_those_of_separate_ones(
    stage: Stage, attention: str, projector: str
) -> None:
    vlm = tiny_vlm(attention=attention, projector=projector)
    prepare_stage(vlm, stage)
    randomise_lora(vlm)
    packed = PackedLoss(vlm)(**packed_batch(vlm, IMAGES))
    separate = separate_loss(vlm)
    assert packed["tokens"] == sum(len(branch.answer) for pairs in IMAGES for branch in branches_of(vlm, pairs))
    torch.testing.assert_close(packed["loss"], separate, rtol=1e-5, atol=0)
    ours, theirs = gradients(vlm, packed["loss"]), gradients(vlm, separate)
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm(), name
        assert gradient.norm() > 0 or stage.name == "full", name


@pytest.mark.parametrize("style", ["chatml", "bare", "vicuna_v1", "v0", "mistral"])
def test_every_prompt_style_packs_without_changing_the_loss(style: str) -> None:
    vlm = tiny_vlm(prompt_style=style, adds_bos=style == "vicuna_v1")
    with torch.no_grad():
        packed = PackedLoss(vlm)(**packed_batch(vlm, IMAGES))["loss"]
        torch.testing.assert_close(packed, separate_loss(vlm), rtol=1e-5, atol=0)


def test_a_tower_that_is_trained_gets_the_same_gradients() -> None:
    vlm = tiny_vlm()
    vlm.vision_tower.requires_grad_(True)
    packed = PackedLoss(vlm)(**packed_batch(vlm, IMAGES))["loss"]
    weight = vlm.vision_tower.embeddings.patch_embeddings.projection.weight
    ours, theirs = (torch.autograd.grad(loss, weight)[0] for loss in (packed, separate_loss(vlm)))
    assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


def test_gradient_checkpointing_changes_nothing() -> None:
    vlm = tiny_vlm()
    prepare_stage(vlm, LORA)
    randomise_lora(vlm)
    module = PackedLoss(vlm).train()
    batch = packed_batch(vlm, IMAGES)
    plain = gradients(vlm, module(**batch)["loss"])
    vlm.language_model.activation_checkpointing_enable({"use_reentrant": False})
    recomputed = _count_calls(vlm.language_model.layers[0].self_attn, lambda: gradients(vlm, module(**batch)["loss"]))
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-5, atol=1e-7)


def _count_calls(module: nn.Module, act: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    calls: list[None] = []
    handle = module.register_forward_hook(lambda *_: calls.append(None))
    result = act()
    handle.remove()
    assert len(calls) == 2  # forward, and again in backward: it did recompute
    return result


def test_the_head_runs_on_supervised_positions_only() -> None:
    vlm = tiny_vlm()
    seen: list[int] = []
    vlm.model.lm_head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape[0]))
    outputs = PackedLoss(vlm)(**packed_batch(vlm, IMAGES))
    assert seen == [int(outputs["tokens"])]


@pytest.mark.parametrize("backend", ["flash_attention_2", "flex_attention", "sdpa_paged"])
def test_other_attention_backends_are_refused_by_name(backend: str) -> None:
    vlm = tiny_vlm()
    vlm.language_model.config._attn_implementation_internal = backend
    with pytest.raises(InputError, match=f"--attention {backend} can't run packed rows"):
        PackedLoss(vlm)


def test_the_mask_that_flash_attention_gets_is_enough_for_rows_of_one_question_and_for_no_others() -> None:
    vlm = tiny_vlm()
    batch = packed_batch(vlm, [pairs[:1] for pairs in IMAGES])  # rows of several lengths, so some are padded
    with torch.no_grad():
        plain, packed = PackedLoss(vlm, plain=True)(**batch)["loss"], PackedLoss(vlm)(**batch)["loss"]
    torch.testing.assert_close(plain, packed, rtol=1e-5, atol=0)
    with pytest.raises(InputError, match="--attention flash_attention_2 can't run packed rows"):
        PackedLoss(vlm, plain=True)(**packed_batch(vlm, IMAGES))


def hidden_of(vlm: Vlm, pairs: Sequence[tuple[str, str]], picture: int = 0) -> list[Tensor]:
    """Hidden states of each question's tokens, as one packed row computes them."""
    batch = packed_batch(vlm, [pairs]) | {"pixel_values": vlm.pixels([tiny_picture(picture)])}
    states: list[Tensor] = []
    handle = vlm.language_model.register_forward_hook(lambda _m, _i, output: states.append(output.last_hidden_state))
    with torch.no_grad():
        PackedLoss(vlm)(**batch)
    handle.remove()
    return [states[-1][batch["segment_ids"] == segment] for segment in range(1, len(pairs) + 1)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_questions_do_not_see_each_other(attention: str) -> None:
    vlm = tiny_vlm(attention=attention)
    pairs = IMAGES[2]
    before = hidden_of(vlm, pairs)
    for changed in range(len(pairs)):
        others = [*pairs]
        others[changed] = ("Something else of another length altogether", "dark blue")
        after = hidden_of(vlm, others)
        for number in range(len(pairs)):
            same = before[number].shape == after[number].shape and torch.allclose(
                before[number], after[number], rtol=0, atol=1e-5
            )
            assert same == (number != changed)


def test_the_order_of_questions_does_not_matter() -> None:
    vlm = tiny_vlm()
    pairs = IMAGES[2]
    order = [3, 0, 4, 1, 2]
    before, after = hidden_of(vlm, pairs), hidden_of(vlm, [pairs[number] for number in order])
    for place, number in enumerate(order):
        torch.testing.assert_close(after[place], before[number], rtol=0, atol=1e-5)


def test_another_picture_changes_every_question() -> None:
    vlm = tiny_vlm()
    for before, after in zip(hidden_of(vlm, IMAGES[2], 0), hidden_of(vlm, IMAGES[2], 1), strict=True):
        assert (before - after).abs().max(-1).values.min() > 0.01

"""Stages of training: which parameters are trained; LoRA, injected into a language model and merged again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vqa_core.files import InputError
from vqa_core.model.loading import load_in_of, quantised_by
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import assign
from vqa_core.model.vlm import Vlm
from vqa_core.runs.model_folder import Stage


def prepare_stage(vlm: AnyVlm, stage: Stage, seed: int = 0) -> None:
    """Make the stage's parameters trainable and fp32; everything else stays frozen in the model's own format.

    LoRA's first matrices are drawn from `seed`, its second ones start at 0, so the model starts as it was.
    """
    vlm.model.requires_grad_(False)
    _refuse_quantised(vlm, stage)
    if isinstance(vlm, Vlm):
        vlm.projector.float().requires_grad_(True)
    elif stage.name not in ("lora", "base"):
        raise InputError(f"--stage {stage.name} can't train --base-model {vlm.settings.base_model}. Use --stage lora.")
    if stage.name == "lora":
        _inject_lora(vlm, stage, seed)
    elif stage.name == "full":
        vlm.language_model.float().requires_grad_(True)
        vlm.model.lm_head.float().requires_grad_(True)


def _refuse_quantised(vlm: AnyVlm, stage: Stage) -> None:
    """An InputError where the language model is in few bits, and the stage trains it or adds LoRA that can't be."""
    bits, method = load_in_of(vlm.language_model), quantised_by(vlm.language_model)
    if stage.name == "full" and (bits != "full" or method):
        raise InputError(
            f"--stage full trains the language model, whose weights are in few bits here ({method or bits}). Give a "
            "language model that is not quantised and leave --load-in out, or use --stage lora or align."
        )
    if stage.name == "lora" and method not in ("", "bitsandbytes"):
        raise InputError(
            f"--stage lora is for language models in full or quantised by bitsandbytes, and this one is quantised by "
            f"{method!r}. Give the model that it was made from, with --load-in 4bit if memory is short, or use --stage "
            "align."
        )


def _inject_lora(vlm: AnyVlm, stage: Stage, seed: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    # some language models hold their head; one that is tied to the embedding can't have LoRA
    heads = [part.get_output_embeddings() for part in vlm.model.modules() if hasattr(part, "get_output_embeddings")]
    linear = [
        name
        for name, part in vlm.language_model.named_modules()
        if isinstance(part, nn.Linear)
        and not any(part is head for head in heads)
        and "Router" not in type(part).__name__  # a router of experts returns two tensors: no LoRA can be added
    ]
    leaves = {name.rsplit(".", 1)[-1] for name in linear}
    unknown = sorted(set(stage.lora_targets) - leaves)
    if unknown:
        raise InputError(
            f"--lora-targets {unknown[0]!r} is no linear layer of the language model; it has "
            f"{', '.join(sorted(leaves))}."
        )
    wanted = set(stage.lora_targets) or leaves
    config = LoraConfig(
        r=stage.lora_rank,
        lora_alpha=stage.lora_alpha,
        lora_dropout=stage.lora_dropout,
        # whole names: a leaf's may be that of something else elsewhere
        target_modules=[name for name in linear if name.rsplit(".", 1)[-1] in wanted],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if (bits := load_in_of(vlm.language_model)) != "full":
            # peft looks at the module that it gets; transformers marked the one with the head
            setattr(vlm.language_model, f"is_loaded_in_{bits}", True)
        inject_adapter_in_model(config, vlm.language_model)
    for name, parameter in vlm.language_model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def trained_tensors(vlm: AnyVlm) -> dict[str, Tensor]:
    """The trainable parameters by name, as they are; tied ones once."""
    return {name: parameter for name, parameter in vlm.model.named_parameters() if parameter.requires_grad}


def load_trained(vlm: AnyVlm, tensors: dict[str, Tensor], source: Path) -> None:
    """Copy tensors into the trainable parameters of the same names; names and shapes must match exactly."""
    own = trained_tensors(vlm)
    for what, names in (("lacks", own.keys() - tensors.keys()), ("has unknown", tensors.keys() - own.keys())):
        if names:
            raise InputError(f"{source} {what} {len(names)} of {len(own)} weights, such as {min(names)}.")
    for name, parameter in own.items():
        if parameter.shape != tensors[name].shape:
            raise InputError(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}."
            )
    if spoilt := not_finite(tensors):
        raise InputError(
            f"{source} comes from a training that diverged: {spoilt} holds numbers that are not finite. Train again "
            "with a lower --learning-rate."
        )
    for name, parameter in own.items():
        assign(parameter, tensors[name])


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor with a NaN or an infinity in it; None if all numbers are finite."""
    return next((name for name, value in tensors.items() if not bool(torch.isfinite(value).all())), None)


def merge_lora(language_model: nn.Module) -> None:
    """Fold every LoRA update into its layer, W + scale * B A, computed in fp32, and take the adapters out."""
    for name, module in list(language_model.named_modules()):
        if not hasattr(module, "lora_A"):
            continue
        base: Any = module.get_base_layer()
        for adapter, down in module.lora_A.items():
            up = module.lora_B[adapter]
            update = module.scaling[adapter] * (up.weight.float() @ down.weight.float())
            base.weight.data = (base.weight.data.float() + update).to(base.weight.dtype)
        parent, _, leaf = name.rpartition(".")
        setattr(language_model.get_submodule(parent), leaf, base)

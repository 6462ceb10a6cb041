"""What is trained: stages, LoRA, and the model folder that holds trained weights and says what they belong to.

model/trained.safetensors   projector, and LoRA matrices or the whole language model
model/vqa.json              the parts, the prompt, the stage: enough to load it without the run
"""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vqa_core.config import ModelSettings, PredictSettings, TrainSettings, settings_of
from vqa_core.convert.llava_checkpoint import is_llava_folder
from vqa_core.files import InputError, read_json, write_atomically, write_json
from vqa_core.model.hub.assembly import build_any
from vqa_core.model.loading import LoadOptions, load_in_of
from vqa_core.model.protocol import AnyVlm
from vqa_core.model.sharding import assign, whole
from vqa_core.model.vlm import DTYPES, Vlm, cast_weights
from vqa_core.prompts.styles import changed_prompt
from vqa_core.runs.run_dir import RunDir
from vqa_core.settings import differences, resolve

logger = logging.getLogger("vqa")

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What `prepare_stage` made trainable; written to vqa.json so that loading can make the same modules.

    `base` is nothing at all: a whole model as it came.
    """

    name: str
    lora_rank: int = 0
    lora_alpha: float = 0.0
    lora_dropout: float = 0.0
    lora_targets: tuple[str, ...] = ()


def stage_of(settings: TrainSettings) -> Stage:
    """The stage that a training's settings ask for."""
    if settings.stage != "lora":
        return Stage(settings.stage)
    return Stage("lora", settings.lora_rank, settings.lora_alpha, settings.lora_dropout, settings.lora_targets)


def prepare_stage(vlm: AnyVlm, stage: Stage, seed: int = 0) -> None:
    """Make the stage's parameters trainable and fp32; everything else stays frozen in the model's own format.

    LoRA's first matrices are drawn from `seed`, its second ones start at 0, so the model starts as it was.
    """
    vlm.model.requires_grad_(False)
    if isinstance(vlm, Vlm):
        vlm.projector.float().requires_grad_(True)
    elif stage.name not in ("lora", "base"):
        raise InputError(f"--stage {stage.name} can't train --base-model {vlm.settings.base_model}. Use --stage lora.")
    if stage.name == "lora":
        _inject_lora(vlm, stage, seed)
    elif stage.name == "full":
        vlm.language_model.float().requires_grad_(True)
        vlm.model.lm_head.float().requires_grad_(True)


def _inject_lora(vlm: AnyVlm, stage: Stage, seed: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    # within the language model of some; one that it shares with the embedding is no place for LoRA
    heads = [part.get_output_embeddings() for part in vlm.model.modules() if hasattr(part, "get_output_embeddings")]
    linear = [
        name
        for name, part in vlm.language_model.named_modules()
        if isinstance(part, nn.Linear)
        and not any(part is head for head in heads)
        and "Router" not in type(part).__name__  # what chooses experts gives two things: no LoRA can be added
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
            # peft asks the module that it is given; transformers told the one with the head
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
        assign(parameter, tensors[name])


def save_model_folder(
    folder: Path,
    vlm: AnyVlm,
    stage: Stage,
    *,
    tensors: dict[str, Tensor] | None = None,
    save_dtype: str = "fp32",
    about: dict[str, Any],
) -> None:
    """Write trained weights and their description.

    Args:
        tensors: weights by name, where they are not those that `vlm` holds.
        about: free-form and kept as it is (steps, scores, data).
    """
    tensors = trained_tensors(vlm) if tensors is None else tensors
    tensors = {name: whole(value).to(DTYPES[save_dtype]) for name, value in tensors.items()}
    write_model_folder(folder, vlm.settings, stage, tensors, about={"image_tokens": vlm.image_tokens, **about})


def write_model_folder(
    folder: Path, settings: ModelSettings, stage: Stage, tensors: dict[str, Tensor], *, about: dict[str, Any]
) -> None:
    """Write a model folder from its contents, tensors as they are; `about` is free-form.

    The weights of a whole model are known by its name, so that is in the file whose hash stands for them; alone, since
    safetensors writes several entries in any order.
    """
    whole = "@".join([settings.base_model, *settings.revision])
    metadata = {"base_model": whole} if settings.base_model else {"format": "pt"}
    write_atomically(folder / "trained.safetensors", save(tensors, metadata=metadata))
    described = {"format": FORMAT, "model": settings.to_dict(), "stage": asdict(stage)}
    write_json(folder / "vqa.json", described | about)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a model folder says it is: the parts and the stage its weights belong to."""

    folder: Path
    settings: ModelSettings
    stage: Stage

    def tensors(self) -> dict[str, Tensor]:
        """The trained weights by parameter name, as they are stored."""
        return dict(load_file(self.folder / "trained.safetensors"))


def describe_model_folder(folder: Path) -> ModelFolder:
    """Read vqa.json, or what the run says of one of its checkpoints.

    An InputError if there is neither, or a vqa.json of another format.
    """
    run = RunDir(folder.absolute().parent.parent)
    if (folder / "manifest.json").is_file() and run.config.is_file():
        config = run.read_config()
        return ModelFolder(
            folder, settings_of(ModelSettings, config, {}), stage_of(settings_of(TrainSettings, config, {}))
        )
    if is_llava_folder(folder):
        raise InputError(
            f"{folder} is an original LLaVA checkpoint. Convert it first: "
            f"python -m train.convert --from {folder} --to DIR"
        )
    if not (folder / "vqa.json").is_file():
        raise InputError(f"{folder} holds no trained model (no vqa.json). Train one with `python -m train.finetune`.")
    described = read_json(folder / "vqa.json")
    if described.get("format") != FORMAT:
        raise InputError(f"{folder / 'vqa.json'} has format {described.get('format')!r}; this version reads {FORMAT}.")
    stage = Stage(**described["stage"] | {"lora_targets": tuple(described["stage"]["lora_targets"])})
    return ModelFolder(folder, resolve(ModelSettings, described["model"], {}), stage)


def start_from(vlm: AnyVlm, folder: Path) -> None:
    """Put a model folder's weights into what `prepare_stage` made trainable.

    A folder of stage `align` has a projector alone, one of stage `base` nothing; what another stage trains besides then
    starts as the base has it.
    """
    given = describe_model_folder(folder)
    if said := changed_prompt(given.settings, vlm.settings):
        logger.warning("%s", said)
    theirs, ours = (
        {**model.to_dict(), "prompt_style": "", "instruction": ""} for model in (given.settings, vlm.settings)
    )
    if said := differences(theirs, ours):
        logger.warning("%s was trained with %s. Leave these settings out to keep its own.", folder, said)
    alone = given.stage.name in ("align", "base")
    base = {name: t for name, t in trained_tensors(vlm).items() if alone and ".multi_modal_projector." not in name}
    load_trained(vlm, base | given.tensors(), folder / "trained.safetensors")


def load_model_folder(
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    merge: bool = True,
    how: PredictSettings | None = None,
) -> AnyVlm:
    """Read what `save_model_folder` wrote. LoRA is merged into the language model unless told otherwise.

    Merging computes in fp32 and rounds once to `dtype`; the model comes back frozen and wholly in `dtype`. `how` says
    in how many bits the parts are loaded and whose code may run; LoRA stays beside a language model in 4 or 8 bits.
    """
    given = describe_model_folder(folder)
    vlm = build_any(given.settings, dtype=dtype, attention=attention, options=LoadOptions.of(given.settings, how))
    prepare_stage(vlm, given.stage)
    load_trained(vlm, given.tensors(), folder / "trained.safetensors")
    if merge:
        if load_in_of(vlm.language_model) == "full":
            merge_lora(vlm.language_model)
        vlm.model.requires_grad_(False)
        cast_weights(vlm.model, dtype)
    vlm.model.eval()
    return vlm


def load_llava_folder(folder: Path, *, dtype: torch.dtype = torch.float32) -> Vlm:
    """As `load_model_folder`; an InputError for a folder whose model is no LLaVA of parts."""
    given = describe_model_folder(folder)
    vlm = None if given.settings.base_model else load_model_folder(folder, dtype=dtype)
    if not isinstance(vlm, Vlm):
        raise InputError(
            f"{folder} belongs to the whole model {given.settings.base_model!r}; this needs a model of a vision tower, "
            "a projector and a language model."
        )
    return vlm


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

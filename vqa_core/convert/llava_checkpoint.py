"""Read an original LLaVA checkpoint. Its files say what it holds; its folder's name says nothing.

Formats (haotian-liu/LLaVA, v1.0.0 of 2023-08 to 1.2.2 of 2024): a projector alone (`mm_projector.bin`, with the whole
`embed_tokens` if training used `<im_start>` and `<im_end>`), LoRA (`adapter_model`, `non_lora_trainables.bin`), or the
whole model, whose folder may have `mm_projector.bin` too.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vqa_core.files import InputError, named
from vqa_core.model.reading.tensor_files import load_tensors, load_whole
from vqa_core.runs.damaged_files import is_named, read_object
from vqa_core.runs.model_folder import is_llava_folder
from vqa_core.runs.other_folders import refuse_known

LANGUAGE_TYPES = {"llava": "llama", "llava_llama": "llama", "llava_mistral": "mistral"}
"""LLaVA's `model_type` -> that of its language model. `llava` is the name of 2023, and of Hugging Face's LLaVA."""
BOUNDARY_TOKENS = ("<im_start>", "<im_end>")
PROJECTOR, NON_LORA = "mm_projector.bin", "non_lora_trainables.bin"
EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")
EXPECTED = f"{PROJECTOR}; or {ADAPTERS[1]} and {NON_LORA}; or a whole model (model.safetensors, pytorch_model.bin)"


@dataclass(frozen=True, slots=True)
class LlavaCheckpoint:
    """What a LLaVA folder holds. D is the hidden size of the language model.

    `projector` is under the names of our projector of kind `projector_kind`. `boundaries` (2, D) are the embeddings of
    `<im_start>` and `<im_end>`, None if training did not use them. `lora` has names that begin with `model.layers`.
    `language` is the whole language model under the names of `LlamaForCausalLM`, `beside_lora` the part of it that was
    saved with LoRA, `tower` the vision tower under its own names; each is empty if the checkpoint lacks it.
    """

    folder: Path
    config: dict[str, Any]
    projector_kind: str
    projector: dict[str, Tensor]
    boundaries: Tensor | None = None
    lora: dict[str, Tensor] = field(default_factory=dict)
    lora_config: dict[str, Any] = field(default_factory=dict)
    language: dict[str, Tensor] = field(default_factory=dict)
    beside_lora: dict[str, Tensor] = field(default_factory=dict)
    tower: dict[str, Tensor] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`full`, `lora` or `projector`."""
        return "full" if self.language else "lora" if self.lora else "projector"

    @property
    def language_type(self) -> str:
        """`model_type` of the language model."""
        return LANGUAGE_TYPES[self.config["model_type"]]


def read_llava(folder: Path) -> LlavaCheckpoint:
    """Read a LLaVA folder. If it is none, an InputError lists what it holds and what was expected."""
    if not is_llava_folder(folder):
        raise InputError(
            f"{folder} is no original LLaVA folder: its config.json has to name a model_type of {_known()} and to have "
            "no vision_config. A LLaVA of Hugging Face needs no conversion."
        )
    config = read_object(folder / "config.json")
    if str(config["model_type"]) not in LANGUAGE_TYPES:
        raise InputError(f"{folder}: model_type {config['model_type']!r} is not known; it can be {_known()}.")
    tensors, lora_config, lora = _read_files(folder)
    found = _by_part(folder, tensors)
    kind, projector = _projector(folder, config, found["projector"])
    language = found["language"]
    boundaries = _boundaries(folder, config, language)
    whole = not lora and any(".layers." in name for name in language)
    spare = [] if whole or lora else [name for name in language if name != EMBEDDINGS or boundaries is None]
    if spare:
        raise InputError(f"{folder} has tensors that no checkpoint of a projector has: {named(sorted(spare))}.")
    return LlavaCheckpoint(
        folder, config, kind, projector, boundaries, lora, lora_config, tower=found["tower"],
        language=language if whole else {}, beside_lora=language if lora else {},
    )  # fmt: skip


def config_number(folder: Path, config: dict[str, Any], key: str) -> int:
    """A whole number in config.json; an InputError if it is missing."""
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{folder / 'config.json'}: {key} has to be a whole number, found {value!r}.")
    return value


def lora_targets(names: Iterable[str]) -> tuple[str, ...]:
    """The linear layers of these LoRA matrices: `up_proj` of `model.layers.0.mlp.up_proj.lora_A.weight`."""
    return tuple(sorted({name.split(".lora_")[0].rsplit(".", 1)[1] for name in names}))


def _known() -> str:
    return ", ".join(LANGUAGE_TYPES)


def _read_files(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Tensor]]:
    """All tensors except LoRA's; LoRA's config; LoRA's tensors, under names that begin with `model.layers`."""
    adapter = next((folder / name for name in ADAPTERS if is_named(folder / name)), None)
    if adapter:
        if not is_named(folder / NON_LORA):
            raise InputError(
                f"{folder} has LoRA weights ({adapter.name}) and no {NON_LORA}, which the projector is in. LLaVA "
                "writes it when training ends: take the folder of a training that did."
            )
        lora = {_from_model(name).replace(".default.", "."): t for name, t in load_tensors(adapter).items()}
        return load_tensors(folder / NON_LORA), read_object(folder / "adapter_config.json"), lora
    if whole := load_whole(folder):
        return whole, {}, {}
    # an output folder called checkpoint-N has its projector in a folder beside it (safe_save_model_for_hf_trainer)
    for path in (folder / PROJECTOR, folder.parent / "mm_projector" / f"{folder.name}.bin"):
        if is_named(path):
            return load_tensors(path), {}, {}
    refuse_known("LLaVA checkpoint", folder)
    found = named(sorted(path.name for path in folder.iterdir()), 12)
    raise InputError(f"{folder} has no weights. Expected: {EXPECTED}. Found: {found}.")


def _by_part(folder: Path, tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors by part: `projector`, `tower` and `language`, each under the part's own names."""
    parts: dict[str, dict[str, Tensor]] = {"projector": {}, "tower": {}, "language": {}}
    strange = sorted(name for name in tensors if "vision_resampler" in name or "image_newline" in name)
    if strange:
        raise InputError(f"{folder} has {named(strange)}: resamplers and several views a picture are not supported.")
    for name, tensor in tensors.items():
        if "mm_projector." in name:
            parts["projector"][name.split("mm_projector.", 1)[1]] = tensor
        elif "vision_tower." in name:
            parts["tower"][name.rsplit("vision_tower.", 1)[1]] = tensor
        elif not name.endswith("rotary_emb.inv_freq"):  # a computed buffer, which transformers stored before 4.32
            parts["language"][_from_model(name)] = tensor
    return parts


def _projector(folder: Path, config: dict[str, Any], found: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The kind of the projector, by its tensors, and the tensors under our names."""
    declared = config.get("mm_projector_type")
    depth = len(found) // 2
    mlp = [f"{2 * layer}.{kind}" for layer in range(depth) for kind in ("weight", "bias")]  # nn.Sequential with GELUs
    if found.keys() == {"weight", "bias"}:
        kind, ours = "linear", dict(found)
    elif found and found.keys() == set(mlp):
        kind = f"mlp{depth}x_gelu"
        ours = {f"linear_{index // 2 + 1}.{name.split('.')[1]}": found[name] for index, name in enumerate(mlp)}
    else:
        raise InputError(
            f"{folder}: the projector has to have weight and bias (linear), or 0.weight, 0.bias, 2.weight, 2.bias ... "
            f"(mlp2x_gelu and deeper) after `mm_projector.`. Found: {named(sorted(found), 8) or 'none'}."
        )
    if declared not in (None, kind):
        raise InputError(f"{folder}: config.json has mm_projector_type {declared!r}, the tensors are {kind!r}'s.")
    weights = [tensor for name, tensor in ours.items() if name.endswith("weight")]
    sizes = (weights[0].shape[1], weights[-1].shape[0])
    expected = tuple(config_number(folder, config, key) for key in ("mm_hidden_size", "hidden_size"))
    if sizes != expected:
        raise InputError(
            f"{folder}: the projector goes from {sizes[0]} to {sizes[1]}, config.json says from {expected[0]} to "
            f"{expected[1]} (mm_hidden_size, hidden_size)."
        )
    return kind, ours


def _boundaries(folder: Path, config: dict[str, Any], language: dict[str, Tensor]) -> Tensor | None:
    """(2, D): the last rows of `embed_tokens`, as LLaVA appends `<im_patch>`, `<im_start>`, `<im_end>` in this order.

    LLaVA itself uses only these two rows (`initialize_vision_tokenizer`), of the whole matrix or of one of two rows.
    """
    if not config.get("mm_use_im_start_end"):
        return None
    embeddings = language.get(EMBEDDINGS)
    if embeddings is None:
        raise InputError(
            f"{folder}: config.json says mm_use_im_start_end, and model.embed_tokens.weight, which has the two learned "
            f"vectors, is not there. Found besides the projector: {named(sorted(language), 8) or 'nothing'}."
        )
    rows, expected = len(embeddings), config_number(folder, config, "vocab_size")
    if rows not in (2, expected):
        raise InputError(f"{folder}: model.embed_tokens.weight has {rows} rows, config.json says {expected}.")
    return embeddings[-2:].clone()


_PREFIX = re.compile(r"(base_model\.)?(model\.(?=model\.|lm_head\.))?")


def _from_model(name: str) -> str:
    """`base_model.model.model.layers.0` -> `model.layers.0`; `embed_tokens.weight` -> `model.embed_tokens.weight`."""
    name = name[_PREFIX.match(name).end() :]  # type: ignore[union-attr]
    return name if name.startswith(("model.", "lm_head.")) else f"model.{name}"

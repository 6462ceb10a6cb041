"""The parts that are frozen here and that LLaVA trained: they become Hugging Face folders beside the model folder.

A whole model brings its language model, and its vision tower if it was trained. LoRA may bring embeddings and a head of
its own: LLaVA trains the embeddings if it uses `<im_start>` and `<im_end>`, and its old versions saved both matrices
whenever they had added a token.
"""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import cached_file

from vqa_core.config import ModelSettings
from vqa_core.convert.llava_checkpoint import EMBEDDINGS, HEAD, NON_LORA, LlavaCheckpoint
from vqa_core.drives import copy_folder
from vqa_core.files import InputError, check_new, named, write_json
from vqa_core.model.embedded import resolve_language_model
from vqa_core.model.loading import LoadOptions, pretrained_keywords
from vqa_core.model.parts import load_language_model, load_tokenizer, load_tower, preprocessor_of, tower_config

TOKENIZER_FILES = (
    "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja",
)  # fmt: skip
OWN_PARTS = (
    "language-model",
    "vision-tower",
)  # what stands behind the name of the model folder, for the folders of these
# The keys that LLaVA adds to config.json; all others belong to the language model.
_LLAVA_KEYS = ("mm_", "tune_mm_", "freeze_mm_", "unfreeze_mm_", "use_mm_proj", "image_", "tokenizer_")
_OTHER_KEYS = ("model_type", "architectures", "_name_or_path", "transformers_version", "pretrain_mm_mlp_adapter")
_APPENDED = 4  # the most tokens that LLaVA adds to a language model: [PAD], <im_patch>, <im_start>, <im_end>


def with_own_parts(checkpoint: LlavaCheckpoint, settings: ModelSettings, base: str | None, out: Path) -> ModelSettings:
    """Write the checkpoint's own parts as `out-language-model` and `out-vision-tower`; return the settings with them.

    Args:
        base: the language model that the user named; a whole model without a tokeniser gets this model's.

    Raises InputError, before anything is written, if one of those folders exists.
    """
    options, language_model = LoadOptions.of(settings), settings.language_model
    trained = _trained_on(checkpoint, language_model, options)
    target = _beside(out, OWN_PARTS[0]) if checkpoint.kind == "full" or trained else None
    settings = replace(settings, vision_tower=_own_tower(checkpoint, settings, out))
    if target is None:
        return settings
    if trained:
        copy_tokenizer(resolve_language_model(language_model), target, options)
        trained.save_pretrained(target)
    else:
        _write_whole(checkpoint, target, base, options)
    return replace(settings, language_model=str(target))


def _own_tower(checkpoint: LlavaCheckpoint, settings: ModelSettings, out: Path) -> str:
    """The tower to use: that of the settings, or `out-vision-tower`, which is written if LLaVA trained the tower."""
    tower, options = settings.vision_tower, LoadOptions.of(settings)
    if not checkpoint.tower:
        return tower
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_file(checkpoint.tower, folder / "model.safetensors", metadata={"format": "pt"})
        tower_config(tower, options).save_pretrained(folder)
        write_json(folder / "preprocessor_config.json", preprocessor_of(tower, options))
        given, own = (load_tower(path, torch.float32, options).state_dict() for path in (tower, scratch))
        dtype = next(iter(checkpoint.tower.values())).dtype  # LLaVA rounds the tower to the number format of training
        if all(torch.equal(tensor.to(dtype), own[name].to(dtype)) for name, tensor in given.items()):
            return tower
        target = _beside(out, OWN_PARTS[1])
        copy_folder(folder, target)
    return str(target)


def copy_tokenizer(source: str, out: Path, options: LoadOptions) -> bool:
    """Copy a model's tokeniser files as they are, from its folder or its revision on the hub; False if there are none.

    transformers 5 would write Llama's tokeniser without `tokenizer.model`, which LLaVA reads.
    """
    revision = pretrained_keywords(source, options).get("revision")
    how = {"revision": revision, "_raise_exceptions_for_missing_entries": False}
    found = [cached_file(source, name, **how) for name in TOKENIZER_FILES]
    out.mkdir(parents=True, exist_ok=True)
    for path in found:
        if path:
            shutil.copyfile(path, out / Path(path).name)
    return any(found)


def _beside(out: Path, what: str) -> Path:
    """The folder for a part beside `out`; an InputError if it exists."""
    folder = (out.parent / f"{out.name}-{what}").resolve()
    check_new(folder)
    return folder


def _write_whole(checkpoint: LlavaCheckpoint, out: Path, base: str | None, options: LoadOptions) -> None:
    """Write the language model of a whole model, with the checkpoint's tokeniser or else the base's."""
    of_language = {key: value for key, value in checkpoint.config.items() if not key.startswith(_LLAVA_KEYS)}
    config = AutoConfig.for_model(
        checkpoint.language_type, **{key: value for key, value in of_language.items() if key not in _OTHER_KEYS}
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    own, given = model.state_dict(), checkpoint.language
    optional = {HEAD} if config.tie_word_embeddings else set()
    for what, names in (("lacks", own.keys() - given.keys() - optional), ("has unknown", given.keys() - own.keys())):
        if names:
            raise InputError(f"{checkpoint.folder} {what} {len(names)} of {len(own)} weights: {named(sorted(names))}.")
    for name, tensor in given.items():
        if (found := tuple(tensor.shape)) != (expected := tuple(own[name].shape)):
            raise InputError(f"{checkpoint.folder}: {name} has shape {found}, config.json says {expected}.")
    model.load_state_dict(given, strict=False, assign=True)
    model.tie_weights()
    model.config.dtype = given[EMBEDDINGS].dtype
    if not copy_tokenizer(str(checkpoint.folder), out, options) and not (base and copy_tokenizer(base, out, options)):
        raise InputError(f"{checkpoint.folder} has no tokeniser. Name the language model it is of with --base.")
    model.save_pretrained(out)


def _trained_on(checkpoint: LlavaCheckpoint, base: str, options: LoadOptions) -> PreTrainedModel | None:
    """The language model `base` with what LoRA's training changed besides LoRA; None if it changed nothing else.

    Only the rows of the base's tokens count in embeddings and head. The rows that LLaVA appends belong to `<im_patch>`,
    which no text has, and to `<im_start>` and `<im_end>`, which are in the projector here.
    """
    if not checkpoint.beside_lora:
        return None
    model, tokens = load_language_model(base, "auto", options), len(load_tokenizer(base, options))
    own, path, changed = model.state_dict(), checkpoint.folder / NON_LORA, {}
    for name, tensor in checkpoint.beside_lora.items():
        before = own.get(name, torch.empty(0))
        rows, fits = len(tensor), tensor.shape == before.shape
        if name in (EMBEDDINGS, HEAD):
            fits = tensor.shape[1:] == before.shape[1:] and tokens <= rows <= max(len(before), tokens + _APPENDED)
            ends = name == EMBEDDINGS and checkpoint.boundaries is not None
            rows = min(tokens, len(before), rows - 2 if ends else rows)
        if not fits:
            found = tuple(before.shape) if name in own else "none"
            raise InputError(
                f"{path}: {name} has shape {tuple(tensor.shape)}, and {base!r} has {found}. "
                "Name the language model that LoRA was trained on with --base."
            )
        if not torch.equal(tensor[:rows], before[:rows].to(tensor.dtype)):  # LLaVA rounds it to training's format
            changed[name] = torch.cat([tensor[:rows], before[rows:].to(tensor.dtype)])
    model.load_state_dict(changed, strict=False, assign=True)
    model.tie_weights()
    now = model.state_dict()
    if lost := sorted(name for name, tensor in changed.items() if not torch.equal(now[name], tensor)):
        raise InputError(
            f"{path}: {named(lost)} differs from {EMBEDDINGS}, and {base!r} has one matrix for both. "
            "Name the language model that LoRA was trained on with --base."
        )
    return model if changed else None

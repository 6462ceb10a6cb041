"""Quantised models as they are published: by which method, which package reads it, and whether it is there.

A config.json says so in `quantization_config`. Methods and their packages: transformers 5.23, quantizers/auto.py and
`validate_environment` of each quantizer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from vqa_core.files import InputError
from vqa_core.runs.damaged_files import TensorInfo


@dataclass(frozen=True, slots=True)
class _Method:
    """`modules` are what has to be there to be imported, `install` the packages that they come with."""

    modules: tuple[str, ...]
    install: str


_METHODS: dict[str, _Method] = {
    "aqlm": _Method(("aqlm",), "aqlm[gpu,cpu]"),
    "auto-round": _Method(("auto_round",), "auto-round"),
    "awq": _Method(("gptqmodel",), "gptqmodel"),
    "bitnet": _Method((), ""),
    "bitsandbytes": _Method(("bitsandbytes",), "bitsandbytes"),
    "compressed-tensors": _Method(("compressed_tensors",), "compressed-tensors"),
    "eetq": _Method(("kernels",), "kernels"),
    "fbgemm_fp8": _Method(("fbgemm_gpu",), "fbgemm-gpu"),
    "fouroversix": _Method(("fouroversix",), "fouroversix"),
    "fp8": _Method((), ""),
    "fp_quant": _Method(("fp_quant",), "fp_quant"),
    "gptq": _Method(("optimum", "gptqmodel"), "optimum gptqmodel"),
    "higgs": _Method(("flute", "fast_hadamard_transform"), "flute-kernel fast_hadamard_transform"),
    "hqq": _Method(("hqq",), "hqq"),
    "metal": _Method(("kernels",), "kernels"),
    "mxfp4": _Method((), ""),
    "mxfp8": _Method((), ""),
    "nvfp4": _Method(("kernels",), "kernels"),
    "quanto": _Method(("optimum", "optimum.quanto"), "optimum-quanto"),
    "quark": _Method(("quark",), "amd-quark"),
    "sinq": _Method(("sinq",), "sinq"),
    "spqr": _Method(("spqr_quant",), "spqr_quant[gpu]"),
    "torchao": _Method(("torchao",), "torchao"),
    "vptq": _Method(("vptq",), "vptq"),
}
UNKNOWN = "unknown"
_KEYS = ("quantization_config", "compression_config", "quantization")  # transformers', llm-compressor's before, MLX's
_SIGNS = (
    ".qweight", ".qzeros", ".scales", ".weight_scale", ".weight_scale_inv", ".weight_packed", ".weight.absmax",
    ".weight.quant_state.bitsandbytes__nf4", ".SCB", ".q_weight", ".codebooks", ".W_q",
)  # fmt: skip
"""Endings of the names of tensors that quantised weights are stored with."""


def method_of(config: Mapping[str, Any]) -> str:
    """The method that a config.json says a model is quantised by, such as `gptq`; "" for none."""
    parts = (config.get(key) for key in ("text_config", "llm_config", "language_config"))
    for holder in (config, *(part for part in parts if isinstance(part, Mapping))):
        described = next((holder[key] for key in _KEYS if holder.get(key) is not None), None) if holder else None
        if described is None:
            continue
        if not isinstance(described, Mapping):
            return UNKNOWN
        if described.get("load_in_4bit") or described.get("load_in_8bit"):
            return "bitsandbytes"
        method = str(described.get("quant_method") or "").lower()
        if method:
            return "bitsandbytes" if method.startswith("bitsandbytes") else method
        return "mlx" if {"bits", "group_size"} <= described.keys() else str(described.get("quant_algo") or UNKNOWN)
    return ""


def check_quantised(what: str, name: str, config: Mapping[str, Any]) -> None:
    """An InputError for a quantised model whose method can't be read here, or needs a package that is not there."""
    method = method_of(config)
    if not method:
        return
    if method == UNKNOWN:
        raise InputError(
            f"The {what} {name!r} has a quantization_config in its config.json that names no quant_method. Fetch "
            "config.json anew, or take quantization_config out of it if the weights are plain numbers."
        )
    known = _METHODS.get(method)
    if known is None:
        raise InputError(
            f"The {what} {name!r} is quantised by {method!r}, which transformers can't read. Give the model that it "
            "was made from, not quantised; --load-in 4bit quantises it as it is loaded."
        )
    lacking = [module for module in known.modules if not _is_there(module)]
    if lacking:
        raise InputError(
            f"The {what} {name!r} is quantised by {method!r} and needs {', '.join(lacking)}, which is not installed: "
            f"pip install {known.install}. Or give the model that it was made from, not quantised."
        )


def check_stored(what: str, name: str, tensors: Mapping[str, TensorInfo], config: Mapping[str, Any]) -> None:
    """An InputError for files with quantised weights that config.json does not tell of, or with LoRA beside them."""
    if lora := next((tensor for tensor in tensors if ".lora_A." in tensor or ".lora_B." in tensor), None):
        raise InputError(
            f"The {what} {name!r} holds LoRA beside its weights ({lora}), which would be left out. Merge it with PEFT "
            "(merge_and_unload) and save the model again."
        )
    if method_of(config):
        return
    sign = next((tensor for tensor in tensors if tensor.endswith(_SIGNS)), None) or next(
        (
            tensor
            for tensor, info in tensors.items()
            if tensor.endswith(".weight") and len(info.shape) > 1 and (info.dtype[:1] in "IU" or info.dtype == "BOOL")
        ),
        None,
    )
    if sign:
        raise InputError(
            f"The {what} {name!r} holds quantised weights ({sign}, {tensors[sign].dtype}), and its config.json says "
            "nothing of it (quantization_config): they would be taken for plain numbers. Fetch the folder anew, "
            "whole, or give the model that it was made from."
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False

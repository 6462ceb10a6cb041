"""Folders that people take for a model: an adapter, a checkpoint of a training, another format, a folder above it."""

import re
from collections.abc import Sequence
from pathlib import Path

from vqa_core.files import InputError, named, read_json
from vqa_core.runs.damaged_files import check_file

_ADAPTER = "adapter_config.json"
_FORMATS = {
    "GGUF, llama.cpp's": ("*.gguf",),
    "ONNX": ("*.onnx", "onnx/*.onnx"),
    "OpenVINO": ("openvino_model.xml",),
    "TensorFlow": ("tf_model.h5", "*.ckpt.index", "saved_model.pb"),
    "Flax": ("flax_model.msgpack",),
    "Core ML": ("*.mlpackage", "*.mlmodel", "coreml/*"),
    "MLX": ("weights.npz", "weights.*.npz"),
    "TensorRT": ("*.engine", "*.plan"),
    "PyTorch Lightning": ("*.ckpt",),
    "NeMo": ("*.nemo",),
    "the original release of Llama or Mistral": ("consolidated.*.pth", "consolidated*.safetensors", "params.json"),
}
"""Formats that transformers does not read, and the files they are known by."""
_STATE = (
    "optimizer.pt",
    "optimizer.bin",
    "scheduler.pt",
    "trainer_state.json",
    "rng_state*.pth",
    "random_states_*.pkl",
)
_UNFINISHED = ("*.incomplete", "*.part", "*.crdownload", "*.aria2", "*.download", "*.tmp")


def check_folder(what: str, name: str) -> None:
    """An InputError unless `name` is a folder."""
    path = Path(name)
    if path.is_dir():
        return
    if path.is_symlink() and not path.exists():
        check_file(path)
    if path.exists():
        raise InputError(
            f"The {what} {name!r} is a file. Give the folder of a Hugging Face model: config.json, weights as "
            "safetensors, and what belongs to them."
        )
    parent = next((above for above in path.absolute().parents if above.is_dir()), None)
    raise InputError(
        f"The {what} {name!r} can't be loaded: there is no such folder (there is {parent}). Give `embedded`, the "
        "folder of a Hugging Face model, or a hub id that this machine can reach."
    )


def refuse_folder(what: str, folder: Path, lacks: str) -> None:
    """Raise the InputError for a folder that lacks the files `lacks`: what it is instead, and the way from there."""
    refuse_known(what, folder)
    found = sorted(path.name for path in folder.iterdir())
    by_case = {name.lower(): name for name in found}
    for name in lacks.split(" or "):
        if name not in found and name in by_case:
            raise InputError(f"The {what} '{folder}' has no {name}, but {by_case[name]}: capitals count. Rename it.")
    if unfinished := _matches(folder, _UNFINISHED):
        raise InputError(
            f"The {what} '{folder}' has no {lacks}, but {named(unfinished)}: a download that did not end. Download it "
            "again; `hf download` goes on where it stopped."
        )
    raise InputError(
        f"The {what} '{folder}' has no {lacks}. It holds {named(found, 8) or 'nothing'}. Give the folder of a Hugging "
        "Face model, whole."
    )


def refuse_known(what: str, folder: Path) -> None:
    """An InputError for a folder that is known to be something else; nothing for one that is not."""
    _refuse_adapter(what, folder)
    _refuse_checkpoint(what, folder)
    _refuse_ours(what, folder)
    _refuse_above(what, folder)
    for kind, patterns in _FORMATS.items():
        if files := _matches(folder, patterns):
            raise InputError(
                f"The {what} '{folder}' is in another format ({kind}: {named(files)}), which can't be loaded here. "
                "Give the model that it was made from, as a Hugging Face folder with safetensors."
            )


def _refuse_adapter(what: str, folder: Path) -> None:
    if not (folder / _ADAPTER).is_file():
        return
    check_file(folder / _ADAPTER)
    described = read_json(folder / _ADAPTER)
    base = described.get("base_model_name_or_path") if isinstance(described, dict) else None
    raise InputError(
        f"The {what} '{folder}' is an adapter of PEFT, made for {str(base or 'a model that it does not name')!r}, and "
        "no model. Put both together and give that folder: load the model, then PeftModel.from_pretrained(model, "
        f"{str(folder)!r}).merge_and_unload().save_pretrained(DIR), and copy its tokeniser into DIR."
    )


def _refuse_checkpoint(what: str, folder: Path) -> None:
    """For what trainings leave that is no model: shards of DeepSpeed, FSDP or Megatron, or an optimiser alone."""
    if shards := _matches(folder, ("global_step*", "mp_rank_*", "zero_pp_rank_*", "zero_to_fp32.py")):
        top = folder if (folder / "zero_to_fp32.py").is_file() else folder.parent
        raise InputError(
            f"The {what} '{folder}' is a checkpoint of DeepSpeed ({named(shards)}), whose weights lie in shards. Put "
            f"them together, and give DIR: python {top / 'zero_to_fp32.py'} {top} DIR --safe_serialization, then copy "
            "config.json and the tokeniser into it."
        )
    if shards := _matches(folder, ("*.distcp", "pytorch_model_fsdp*", "*/*.distcp")):
        shard = next((path for path in sorted(folder.glob("pytorch_model_fsdp*")) if path.is_dir()), folder)
        raise InputError(
            f"The {what} '{folder}' is a checkpoint of FSDP ({named(shards)}), whose weights lie in shards. Put them "
            f"together, and give DIR: accelerate merge-weights {shard} DIR, then copy config.json and the tokeniser "
            "into it."
        )
    if state := _matches(folder, _STATE):
        raise InputError(
            f"The {what} '{folder}' holds the state of a training ({named(state)}) and no weights. Give the folder "
            "that its training wrote the model to, or save the model again."
        )


def _refuse_ours(what: str, folder: Path) -> None:
    ours = next((path for path in (folder, folder / "model") if (path / "vqa.json").is_file()), None)
    if ours:
        raise InputError(
            f"The {what} '{folder}' is a model of this workbench ({ours / 'vqa.json'}), trained on top of its parts. "
            "Use it by --init-from or by eval.predict --model; a part is what its vqa.json names."
        )


def _refuse_above(what: str, folder: Path) -> None:
    """For a folder that lies above the model: of the hub's cache, of a training, of a copy."""
    inner = sorted(path.parent for path in (*folder.glob("*/config.json"), *folder.glob("snapshots/*/config.json")))
    inner.sort(key=lambda path: [int(number) for number in re.findall(r"\d+", path.name)])  # checkpoint-90 before -100
    if inner:
        raise InputError(f"The {what} '{folder}' is no model itself; there is one in {inner[-1]}. Give that folder.")


def _matches(folder: Path, patterns: Sequence[str]) -> list[str]:
    """The names in a folder that a pattern fits."""
    return sorted({str(path.relative_to(folder)) for pattern in patterns for path in folder.glob(pattern)})

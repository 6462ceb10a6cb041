"""Loading by `from_pretrained`, with every way in which it can fail as a sentence.

First the files are looked at (vqa_core/runs/hub_folder.py), then they are loaded, then what was loaded is looked at:
weights that are missing, of another shape, or no numbers at all.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel, __version__
from transformers.utils.hub import is_offline_mode

from vqa_core.commands import shell_word
from vqa_core.files import InputError
from vqa_core.model.loading import is_hub_id
from vqa_core.model.reading.fit import check_size
from vqa_core.model.reading.hub_access import check_reachable, hub_refusal, snapshot_of
from vqa_core.runs.hub_folder import WEIGHTS, check_hub_folder
from vqa_core.runs.model_folder import is_llava_config, is_llava_folder
from vqa_core.runs.other_folders import check_folder

_LACKING = re.compile(r"requires the (?:🤗 )?(\w+) library but|Missing optional dependencies: (\w+)")  # transformers'
_UNKNOWN_TYPE = re.compile(r"has model type `(.+?)` but Transformers does not recognize")
_OTHER_KIND = re.compile(r"configuration class <class '[\w.]*?(\w+)'> for this kind of AutoModel: (\w+)\.")
_INSTALL = re.compile(r"`?pip install ['\"]?((?:-\S+ )*[\w.\-\[\],]+)")
_MEMORY = re.compile(r"out of memory|can't allocate memory|Cannot allocate memory|not enough memory")
_LAYER = re.compile(r"\.\d+\.")
WHOLE = ("model", "processor")
"""The nouns for a whole image-text model and what belongs to it."""
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def load_guarded(what: str, name: str, load: Callable[..., Any], loads: str, **how: Any) -> Any:
    """What `load(name, **how)` gives; an InputError where the files, the hub or the library are in its way.

    Args:
        what: the noun for the model, such as "language model".
        name: a folder or hub id.
        load: a `from_pretrained`.
        loads: what of the folder is loaded, see vqa_core/runs/hub_folder.py.
    """
    revision = how.get("revision")
    try:
        _look(what, name, revision, loads)
        return load(name, **how)
    except InputError:
        raise
    except Exception as error:  # of transformers, tokenizers, safetensors, pickle, the model's own code ...
        _look(what, name, revision, loads)  # what was fetched only now
        _refuse_shapes(what, name, load, how, error)
        raise explain(what, name, error, revision) from error


def _look(what: str, name: str, revision: str | None, loads: str) -> None:
    """An InputError for files that can't be loaded, here or in the hub's cache."""
    if not is_hub_id(name):
        check_folder(what, name)
        refuse_llava(what, name)
        check_hub_folder(what, Path(name), loads)
        if loads == WEIGHTS:
            check_size(what, Path(name))
        return
    check_reachable(what, name, revision)
    refuse_llava(what, name, revision)
    if folder := snapshot_of(name, revision):
        check_hub_folder(what, folder, loads, whole=False)


def refuse_llava(what: str, name: str, revision: str | None = None) -> None:
    """An InputError for an original LLaVA checkpoint, a folder or on the hub.

    transformers would take it for a LLaVA of its own, with default sizes and weights drawn at random.
    """
    if not is_hub_id(name):
        if is_llava_folder(Path(name)):
            raise InputError(
                f"The {what} {name!r} is an original LLaVA checkpoint. Convert it first: "
                f"python -m train.convert --from {shell_word(name)} --to DIR"
            )
        return
    try:
        config, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
    except Exception:  # the loader that follows says why it can't be read
        return
    if is_llava_config(config):
        raise InputError(
            f"The {what} {name!r} is an original LLaVA checkpoint. Fetch it with `hf download {name} --local-dir DIR` "
            "and convert it: python -m train.convert --from DIR --to OTHER"
        )


def all_there(what: str, name: str, loaded: tuple[PreTrainedModel, dict[str, Any]], spare: str = "") -> PreTrainedModel:
    """The model that `from_pretrained` gave with `output_loading_info`.

    An InputError where its files lack weights, which transformers draws at random, have more layers than config.json
    tells of, or hold what is no number. `spare` matches weights that are never used.
    """
    model, info = loaded
    missing = sorted(key for key in info["missing_keys"] if not (spare and re.search(spare, key)))
    if missing:
        raise InputError(
            f"The {what} {name!r} lacks {len(missing)} of its weights, such as {missing[0]}: they would be drawn at "
            "random. Fetch it anew, or give the model that its files were made from."
        )
    # a tower whose last layers were taken off is common: what they compute is never used
    lists = (
        {key for key, part in model.named_modules() if isinstance(part, nn.ModuleList)}
        if what != "vision tower"
        else ()
    )
    beyond = sorted(key for key in info["unexpected_keys"] if _LAYER.split(key)[0] in lists)
    if beyond:
        raise InputError(
            f"The {what} {name!r} has more layers than its config.json tells of: {beyond[0]} and {len(beyond) - 1} "
            "more weights would be left out. Fetch config.json and weights anew, from one version of the model."
        )
    if spoilt := _first_spoilt(model):
        raise InputError(
            f"The {what} {name!r} holds numbers that are not finite ({spoilt}), and nothing that it says would mean "
            "anything. Fetch it anew, or give a checkpoint from before its training diverged."
        )
    return model


def _first_spoilt(model: PreTrainedModel) -> str:
    """The name of a weight with a NaN or an infinity in it; "" where there is none. Reads each weight once."""
    kept = model.state_dict().keys()
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if name in kept and tensor.dtype in _FLOATS and not tensor.is_meta and not _is_finite(tensor.detach()):
            return str(name)
    return ""


def _is_finite(tensor: Tensor) -> bool:
    # a sum is a fast look, with no second tensor of that size; it may also be too large, so a second look decides
    total = tensor.sum(dtype=torch.float32)
    return bool(torch.isfinite(total)) or bool(torch.isfinite(tensor).all())


def _refuse_shapes(what: str, name: str, load: Callable[..., Any], how: dict[str, Any], error: Exception) -> None:
    """An InputError where weights have other shapes than the config says: transformers only prints which."""
    if "ignore_mismatched_sizes" not in str(error) or "output_loading_info" not in how:
        return
    _, info = load(name, **how, ignore_mismatched_sizes=True)
    wrong = sorted(info["mismatched_keys"])
    key, found, expected = wrong[0]
    raise InputError(
        f"The {what} {name!r} has {len(wrong)} weights of another shape than its config.json says, such as {key}: "
        f"{tuple(found)} in the file, {tuple(expected)} by config.json. Fetch both anew, from one version of the model."
    ) from error


def refusal(what: str, name: str, error: Exception, revision: str | None = None) -> InputError | None:
    """The InputError for a model that lacked trust, the hub, a package or memory; None for other reasons."""
    text = str(error)
    if "trust_remote_code=True" in text:
        return InputError(
            f"The {what} '{name}' comes with Python code of its own, which runs only where that is asked for by name. "
            f"Read it; if you trust it, add --trust-remote-code {name}."
        )
    if is_hub_id(name):
        if is_offline_mode() and isinstance(error, OSError):
            return InputError(
                f"The {what} '{name}' is not on this machine, and HF_HUB_OFFLINE keeps it from being fetched. Fetch it "
                f"where there is a network with `hf download {name}`, or give its folder; or unset HF_HUB_OFFLINE."
            )
        if said := hub_refusal(what, name, revision, error):
            return said
    if lacking := _LACKING.search(text):
        package = str(lacking[1] or lacking[2]).lower()
        return InputError(f"The {what} '{name}' needs {package}, which is not installed: pip install {package}")
    if isinstance(error, ImportError) and (install := _INSTALL.search(text)):
        return InputError(
            f"The {what} '{name}' needs a package that is not installed: pip install {install[1]} ({_lines(error)})"
        )
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _MEMORY.search(text):
        return InputError(
            f"The {what} '{name}' does not fit into memory: {_lines(error)} Choose a smaller model, --precision bf16, "
            "or --load-in 4bit on a GPU."
        )
    return None


def explain(what: str, name: str, error: Exception, revision: str | None = None) -> InputError:
    """The InputError for a model that `from_pretrained` would not load, with what to do about it."""
    if known := refusal(what, name, error, revision):
        return known
    text = str(error)
    if unknown := _UNKNOWN_TYPE.search(text):
        close = get_close_matches(unknown[1].lower(), CONFIG_MAPPING.keys(), 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return InputError(
            f"The {what} '{name}' is of type {unknown[1]!r} (model_type in its config.json), which transformers "
            f"{__version__} does not know.{hint} Mend config.json, choose another model, or use a release of the "
            "workbench with a newer transformers."
        )
    if other := _OTHER_KIND.search(text):
        return InputError(
            f"The {what} '{name}' is a {other[1]}, which {other[2]} does not take: it is another kind of model. A "
            "language model is one like Llama, Mistral or Qwen, a vision tower one like CLIP, SigLIP or DINOv2."
        )
    if "attn_implementation" in text or "FlashAttention" in text:
        return InputError(
            f"The {what} '{name}' asks in its config.json for a way to compute attention that is not here: "
            f"{_lines(error)} Take _attn_implementation and attn_implementation out of it; --attention chooses."
        )
    if "weights_only" in text or "UnpicklingError" in type(error).__name__:
        return InputError(
            f"The {what} '{name}' has a file of weights that holds something else than tensors, or is damaged. Nothing "
            "in it was run. Copy it anew, or have it saved again as safetensors."
        )
    if what in WHOLE:
        return InputError(
            f"The {what} of {name!r} can't be loaded: {_lines(error)} Give the folder of a Hugging Face image-text "
            "model, with its processor, or a hub id that this machine can reach."
        )
    return InputError(
        f"The {what} '{name}' can't be loaded: {_lines(error)} "
        "Give `embedded`, the folder of a Hugging Face model, or a hub id that this machine can reach."
    )


def _lines(error: BaseException) -> str:
    """The beginning of an error's message, one or two lines of it; with its kind where that says more."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()][:2]
    if isinstance(error, KeyError) and lines and " " not in lines[0]:
        lines.insert(0, "a name that is missing or not known,")
    elif not lines or isinstance(error, KeyError | IndexError | AssertionError):
        lines.insert(0, f"{type(error).__name__}:" if lines else type(error).__name__)
    text = " ".join(lines)[:400]
    return text if text.endswith((".", "!", "?")) else f"{text}."

"""A folder of a Hugging Face model, looked at before it is loaded: its config, its weights, its tokeniser.

Only what would be loaded is looked at: a pointer beside whole weights does no harm. Nothing here imports torch.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, named
from vqa_core.runs.damaged_files import TensorInfo, check_file, is_named, read_header, read_object
from vqa_core.runs.model_folder import describe_model_folder, is_llava_folder
from vqa_core.runs.other_folders import refuse_folder
from vqa_core.runs.quantised import check_quantised, check_stored

CONFIG, WEIGHTS, TOKENIZER, PICTURES, PROCESSOR = "config", "weights", "tokenizer", "pictures", "processor"
"""What is loaded of a model: its config alone, the model, its tokeniser, how it takes pictures, or both of these."""

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order in which transformers looks for them
_SAID = " or ".join(_WEIGHTS)
_OF_TEXT = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "chat_template.json",
)  # fmt: skip
_OF_PICTURES = ("preprocessor_config.json", "processor_config.json")
_SIDE = {
    CONFIG: (),
    WEIGHTS: ("generation_config.json",),
    TOKENIZER: _OF_TEXT,
    PICTURES: _OF_PICTURES,
    PROCESSOR: _OF_TEXT + _OF_PICTURES,
}
"""Small files that are read where they are there."""
_VOCABULARIES = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model",
    "tekken.json", "*.tiktoken", "*.model", "*.vocab", "vocab*",
)  # fmt: skip
_WITHOUT = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")  # every byte or character is a token
_NUMBER_FORMATS = (
    "float32", "float16", "bfloat16", "float64", "float", "half", "double", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "base_model.model.", "_fsdp_wrapped_module.", "_forward_module.")
"""What trainers put before every name where the wrapper of a model was saved, not the model."""


def check_hub_folder(what: str, folder: Path, loads: str, *, whole: bool = True) -> None:
    """An InputError for a folder that can't be loaded as it is, with the file, what is wrong with it and a next step.

    Args:
        what: the noun for the model, such as "language model".
        loads: what of it is loaded, see CONFIG.
        whole: whether all of it has to be there; a folder of the hub's cache may lack what was not asked for yet.
    """
    for name in _SIDE[loads]:
        if is_named(folder / name):
            (read_object if name.endswith(".json") else check_file)(folder / name)
    if loads in (CONFIG, WEIGHTS):
        config = _check_config(what, folder, whole=whole)
        if loads == WEIGHTS:
            check_quantised(what, str(folder), config)
            _check_weights(what, folder, config, whole=whole)
    if loads in (TOKENIZER, PROCESSOR):
        _check_vocabulary(what, folder, whole=whole)


def check_local(what: str, name: str, *loads: str) -> None:
    """`check_hub_folder` for a folder here, before torch is imported; what is none waits until it is loaded."""
    if Path(name).is_dir() and not is_llava_folder(Path(name)):
        for part in loads:
            check_hub_folder(what, Path(name), part)


def check_model(name: str) -> None:
    """An InputError where what `--model` names is a folder here, and damaged; before torch is imported."""
    folder = Path(name)
    if is_named(folder / "vqa.json"):
        describe_model_folder(folder)
        check_file(folder / "trained.safetensors")
    elif is_named(folder / "config.json"):
        check_local("model", name, WEIGHTS, PROCESSOR)


def _check_config(what: str, folder: Path, *, whole: bool) -> dict[str, Any]:
    path = folder / "config.json"
    if not is_named(path):
        if whole:
            refuse_folder(what, folder, path.name)
        return {}
    config = read_object(path)
    if is_named(folder / "adapter_config.json") and not _is_code(config):
        refuse_folder(what, folder, "weights of its own")
    if not config.get("model_type") and not _is_code(config) and "architecture" not in config:  # timm's has that
        if {"data", "dataset"} & config.keys():
            raise InputError(
                f"The {what} '{folder}' is a run of this workbench and no model. Its model lies in {folder / 'model'}; "
                "use it by --init-from or by eval.predict --model."
            )
        raise InputError(
            f"{path} has no model_type, which says what kind of model this is (architectures: "
            f"{config.get('architectures')}). Copy the config.json of the model that it was made from, or add the line "
            '"model_type": "llama" with the type of yours.'
        )
    if not isinstance(config.get("model_type", ""), str):
        raise InputError(
            f'{path} has {config["model_type"]!r} as model_type, which has to be one word such as "llama". Copy the '
            "config.json of the model that it was made from."
        )
    _check_number_format(path, config)
    return config


def _check_number_format(path: Path, config: Mapping[str, Any]) -> None:
    """The number format of the weights is not needed here; yet transformers looks it up, under its plain name alone."""
    for key in ("dtype", "torch_dtype"):
        given = config.get(key)
        if isinstance(given, str) and given not in _NUMBER_FORMATS:
            raise InputError(
                f"{path} has {given!r} as {key}, which transformers can't read. Write one of "
                f"{', '.join(_NUMBER_FORMATS[:4])}, or take that line out: the files say it themselves."
            )
    for value in config.values():
        if isinstance(value, dict):
            _check_number_format(path, value)


def _is_code(config: Mapping[str, Any]) -> bool:
    """Whether a model brings Python code of its own, whose files need not be those of transformers."""
    return bool(config.get("auto_map"))


def _check_weights(what: str, folder: Path, config: Mapping[str, Any], *, whole: bool) -> None:
    if explicit := config.get("transformers_weights"):
        check_file(folder / str(explicit))
        return
    if any(folder.glob("shard-*-model-*-of-*.safetensors")):  # transformers' own distributed checkpoints
        return
    tensors: dict[str, TensorInfo] = {}
    files = list(weight_files(folder, whole=whole))
    if not files and whole and not _is_code(config):
        refuse_folder(what, folder, _SAID)
    for path in files:
        check_file(path)
        if path.suffix == ".safetensors":
            tensors |= read_header(path)
    check_stored(what, str(folder), tensors, config)
    if prefix := next((each for each in _PREFIXES if tensors and all(name.startswith(each) for name in tensors)), ""):
        raise InputError(
            f"The {what} '{folder}' has weights whose names all begin with {prefix!r}: a wrapper was saved, not the "
            "model. Save the model within it, or take the prefix off the names and save the file again."
        )


def weight_files(folder: Path, *, whole: bool = True) -> Iterator[Path]:
    """The files that hold the weights, those that transformers would read; an InputError where one of several lacks."""
    for single in _WEIGHTS:
        if is_named(folder / single):
            yield folder / single
            return
        index = folder / f"{single}.index.json"
        if is_named(index):
            yield from _shards(index, whole=whole)
            return


def _shards(index: Path, *, whole: bool) -> Iterator[Path]:
    place = read_object(index).get("weight_map")
    if not isinstance(place, dict) or not all(isinstance(name, str) for name in place.values()):
        raise InputError(f"{index} has no weight_map, which says where each weight lies. Fetch the folder anew.")
    shards = sorted(set(place.values()))
    gone = [name for name in shards if not is_named(index.parent / name)]
    if gone and whole:
        raise InputError(
            f"{index} names {named(gone)}, which is not there. Copy the whole folder, or download it again."
        )
    for name in shards:
        path = index.parent / name
        if not is_named(path):
            continue
        if path.suffix == ".safetensors":
            check_file(path)
            lost = {tensor for tensor, shard in place.items() if shard == name} - read_header(path).keys()
            if lost:
                raise InputError(
                    f"{path} lacks {len(lost)} weights that {index.name} says it holds, such as {min(lost)}. Copy or "
                    "download both again, from one version of the model."
                )
        yield path


def _check_vocabulary(what: str, folder: Path, *, whole: bool) -> None:
    """A tokeniser is read from one file, or from vocab.json and merges.txt; without any transformers makes one up."""
    if is_named(folder / "tokenizer.json"):
        check_file(folder / "tokenizer.json")
        return
    found = sorted({path for pattern in _VOCABULARIES for path in folder.glob(pattern) if not path.is_dir()})
    found = [path for path in found if path.suffix != ".safetensors"]
    for path in found:
        check_file(path)
    settings = folder / "tokenizer_config.json"
    about = read_object(settings) if settings.is_file() else {}
    if not whole or about.get("tokenizer_class") in _WITHOUT or _is_code(about):
        return
    if not found:
        refuse_folder(what, folder, "tokenizer.json or tokenizer.model")
    if [path.name for path in found] == ["vocab.json"]:
        check_file(folder / "merges.txt")

"""LoadOptions: the arguments of `from_pretrained` beside a model's name: revision, bits, whose code may run.

Nothing is fetched in offline mode (HF_HUB_OFFLINE=1), and a model's own Python code runs only where its name was given.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedConfig, PreTrainedModel
from transformers.utils import is_bitsandbytes_available
from transformers.utils.hub import is_offline_mode

from vqa_core.commands import shell_word
from vqa_core.config import ModelSettings, PredictSettings, TrainSettings
from vqa_core.files import InputError
from vqa_core.processes import local_rank
from vqa_core.runs.model_folder import is_llava_config, is_llava_folder

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LACKING = re.compile(r"requires the (?:🤗 )?(\w+) library but|Missing optional dependencies: (\w+)")  # transformers'
_QUANTISED = {"Linear4bit": "4bit", "Linear8bitLt": "8bit"}  # bitsandbytes' layers, by name: it need not be installed


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How models that other people made are loaded.

    revision: `REVISION` for every hub id, `ID@REVISION` for one; a branch, a tag or a commit.
    load_in: `full`, or `8bit` or `4bit` for language models, quantised by bitsandbytes as they are read.
    trust_remote_code: names of the models whose own Python code may run.
    """

    revision: tuple[str, ...] = ()
    load_in: str = "full"
    trust_remote_code: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: ModelSettings, how: TrainSettings | PredictSettings | None = None) -> "LoadOptions":
        """The options of a model's settings, and of those of its training or prediction.

        The revision belongs to the model and is stored with it. Trust in code never is: a user gives it each time.
        """
        return cls(model.revision, how.load_in, how.trust_remote_code) if how else cls(model.revision)

    def check(self, *names: str) -> None:
        """An InputError for a revision, or for trust in code, of a model that is none of `names`."""
        for flag, given in (
            ("--revision", [entry.rpartition("@")[0] for entry in self.revision]),
            ("--trust-remote-code", self.trust_remote_code),
        ):
            strange = [name for name in given if name and name not in names]
            if strange:
                raise InputError(f"{flag} names {strange[0]!r}, which is no part here; there are {', '.join(names)}.")


AS_IT_IS = LoadOptions()


def pretrained_keywords(
    name: str,
    options: LoadOptions = AS_IT_IS,
    *,
    dtype: torch.dtype | Literal["auto"] | None = None,
    quantise: bool = False,
    whole: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of `from_pretrained` for a folder or hub id.

    Args:
        dtype: number format of weights, "auto" that of the files; None for what has none (a config, a tokeniser).
        quantise: whether `load_in` applies to this model.
        whole: its modules that are not quantised; None for its head alone.

    Raises InputError where it can't be loaded in so few bits: without a CUDA device, or without bitsandbytes.
    """
    keywords: dict[str, Any] = {"trust_remote_code": name in options.trust_remote_code}
    if is_hub_id(name) and (revision := revision_of(name, options)):
        keywords["revision"] = revision
    if dtype is not None:
        keywords["dtype"] = dtype
    if quantise and options.load_in != "full":
        keywords |= _quantisation(options.load_in, dtype if isinstance(dtype, torch.dtype) else torch.float32, whole)
    return keywords


def is_hub_id(name: str) -> bool:
    """Whether a name is that of a model on the hub and not of a folder here."""
    return bool(_HUB_ID.fullmatch(name)) and not Path(name).exists()


def revision_of(name: str, options: LoadOptions) -> str:
    """The revision of a hub id in the options: its own, else the one for all; "" where there is none."""
    given = dict(entry.rpartition("@")[::2] for entry in options.revision)
    return given.get(name) or given.get("", "")


def load_in_of(model: nn.Module) -> str:
    """`full`, `8bit` or `4bit`: how the weights of a model's linear layers are stored."""
    kinds = {type(part).__name__ for part in model.modules()}
    return next((bits for kind, bits in _QUANTISED.items() if kind in kinds), "full")


def _quantisation(load_in: str, dtype: torch.dtype, whole: Sequence[str] | None) -> dict[str, Any]:
    """NF4 with doubly quantised constants for 4 bits, as QLoRA has it (arXiv:2305.14314); LLM.int8() for 8 bits."""
    if not torch.cuda.is_available():
        raise InputError(
            f"--load-in {load_in} needs a CUDA device, and there is none here. Leave --load-in out, "
            "or choose a smaller --language-model."
        )
    if not is_bitsandbytes_available():
        raise InputError(
            f"--load-in {load_in} needs bitsandbytes, which is not installed: pip install bitsandbytes. "
            "Or leave --load-in out."
        )
    skip = None if whole is None else list(whole)  # of 4 bits, too
    config = (
        BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=skip,
        )
        if load_in == "4bit"
        else BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    )
    # each process of torchrun puts the model on its own device, whole
    return {"quantization_config": config, "device_map": {"": local_rank()}}


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
    except (OSError, ValueError):  # the loader that follows says why it can't be read
        return
    if is_llava_config(config):
        raise InputError(
            f"The {what} {name!r} is an original LLaVA checkpoint. Fetch it with `hf download {name} --local-dir DIR` "
            "and convert it: python -m train.convert --from DIR --to OTHER"
        )


def all_there(what: str, name: str, loaded: tuple[PreTrainedModel, dict[str, Any]], spare: str = "") -> PreTrainedModel:
    """The model that `from_pretrained` gave with `output_loading_info`.

    An InputError where its files lack weights, which transformers draws at random; `spare` matches those never used.
    """
    model, info = loaded
    missing = sorted(key for key in info["missing_keys"] if not (spare and re.search(spare, key)))
    if missing:
        raise InputError(
            f"The {what} {name!r} lacks {len(missing)} of its weights, such as {missing[0]}: they would be drawn at "
            "random. Fetch it anew, or give the model that its files were made from."
        )
    return model


def refusal(what: str, name: str, error: Exception) -> InputError | None:
    """The InputError for a model that lacked trust, a network or a package to be loaded; None for other reasons."""
    if "trust_remote_code=True" in str(error):
        return InputError(
            f"The {what} '{name}' comes with Python code of its own, which runs only where that is asked for by name. "
            f"Read it; if you trust it, add --trust-remote-code {name}."
        )
    if is_hub_id(name) and is_offline_mode() and isinstance(error, OSError):
        return InputError(
            f"The {what} '{name}' is not on this machine, and HF_HUB_OFFLINE keeps it from being fetched. Fetch it "
            f"where there is a network with `hf download {name}`, or give its folder; or unset HF_HUB_OFFLINE."
        )
    if lacking := _LACKING.search(str(error)):
        package = str(lacking[1] or lacking[2]).lower()
        return InputError(f"The {what} '{name}' needs {package}, which is not installed: pip install {package}")
    return None


def explain(what: str, name: str, error: Exception) -> InputError:
    """The InputError for a part that `from_pretrained` would not load, with what to do about it."""
    first = (str(error) or type(error).__name__).splitlines()[0]
    return refusal(what, name, error) or InputError(
        f"The {what} '{name}' can't be loaded: {first} "
        "Give `embedded`, the folder of a Hugging Face model, or a hub id that this machine can reach."
    )

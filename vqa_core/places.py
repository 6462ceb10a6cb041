"""The folders outside a run that a command writes to: caches, temporary files, what libraries keep in a home.

`explain` turns the error of one that can't be written into a sentence with the variable that moves it.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqa_core.files import InputError

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Place:
    """A folder: `variable` moves it; without it, it is `default` below the first of `bases` that is set."""

    what: str
    variable: str
    default: str
    bases: tuple[str, ...] = ("HOME",)

    def path(self) -> Path:
        """Where it is now."""
        if own := os.environ.get(self.variable):
            return _expanded(own)
        base = next((os.environ[name] for name in self.bases if os.environ.get(name)), "~")
        below = self.default if base == "~" or self._is_home(base) else self.default.removeprefix(".cache/")
        return _expanded(base) / below

    def _is_home(self, base: str) -> bool:
        return base == os.environ.get("HOME") and os.environ.get(self.bases[0]) in (None, "", base)


_CACHE = ("XDG_CACHE_HOME", "HOME")
PLACES = (
    Place("the cache of built models", "VQA_CACHE", ".cache/vqa-workbench", _CACHE),
    Place("the cache of the Hugging Face hub", "HF_HOME", ".cache/huggingface", _CACHE),
    Place("the cache of the Hugging Face hub", "HF_HUB_CACHE", ".cache/huggingface/hub", _CACHE),
    Place("the cache of datasets", "HF_DATASETS_CACHE", ".cache/huggingface/datasets", _CACHE),
    Place("the models' own code", "HF_MODULES_CACHE", ".cache/huggingface/modules", _CACHE),
    Place("PyTorch's cache", "TORCH_HOME", ".cache/torch", _CACHE),
    Place("the cache of compiled kernels", "TRITON_CACHE_DIR", ".triton"),
    Place("the cache of compiled kernels", "TORCHINDUCTOR_CACHE_DIR", ".cache/torchinductor", _CACHE),
    Place("matplotlib's settings", "MPLCONFIGDIR", ".config/matplotlib", ("XDG_CONFIG_HOME", "HOME")),
    Place("the page's temporary files", "GRADIO_TEMP_DIR", "gradio", ("TMPDIR",)),
    Place("the caches", "XDG_CACHE_HOME", ".cache"),
)


def cache_dir() -> Path:
    """Where models are built: $VQA_CACHE, else `vqa-workbench` in $XDG_CACHE_HOME, else in ~/.cache.

    Raises InputError where it depends on a home that there is not.
    """
    return PLACES[0].path().absolute()

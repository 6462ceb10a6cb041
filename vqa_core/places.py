"""The folders outside a run that a command writes to: caches, temporary files, what libraries keep in a home.

`explain` turns the error of one that can't be written into a sentence with the variable that moves it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from vqa_core.errors import InputError

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT}


def home() -> Path:
    """The user's home. Raises InputError where nothing says which it is."""
    try:
        return Path.home()
    except RuntimeError:
        raise InputError(
            "This user has no home: HOME is not set in the environment, and the system knows no other. Set HOME to a "
            "folder that can be written."
        ) from None


def cache_home() -> Path:
    """$XDG_CACHE_HOME, else ~/.cache."""
    own = os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser().absolute() if own else home() / ".cache"


PLACES: dict[str, Callable[[], Path]] = {
    "VQA_CACHE": lambda: cache_home() / "vqa-workbench",
    "HF_HOME": lambda: cache_home() / "huggingface",
    "HF_HUB_CACHE": lambda: place("HF_HOME") / "hub",
    "HF_DATASETS_CACHE": lambda: place("HF_HOME") / "datasets",
    "HF_MODULES_CACHE": lambda: place("HF_HOME") / "modules",
    "TORCH_HOME": lambda: cache_home() / "torch",
    "TRITON_CACHE_DIR": lambda: home() / ".triton",
    "TORCHINDUCTOR_CACHE_DIR": lambda: cache_home() / "torchinductor",
    "MPLCONFIGDIR": lambda: home() / ".config" / "matplotlib",
    "XDG_CACHE_HOME": lambda: home() / ".cache",
    "XDG_CONFIG_HOME": lambda: home() / ".config",
}
"""Where a folder is that its variable, the key, does not move."""


def place(variable: str) -> Path:
    """A folder of `PLACES`, wherever it is now."""
    own = os.environ.get(variable)
    return (Path(own).expanduser() if own else PLACES[variable]()).absolute()


def explain(error: BaseException) -> InputError | None:
    """A sentence for an error that comes from a folder of `PLACES`, a home or temporary files; None for others."""
    for cause in _chain(error):
        if isinstance(cause, FileNotFoundError) and "temporary directory" in str(cause):
            return InputError(
                f"No folder for temporary files can be written; tried: {_listed(str(cause))}. Set TMPDIR to one that "
                "can."
            )
        if isinstance(cause, KeyError) and "getpwuid" in str(cause):
            return InputError("The system does not know this user's name. Set USER in the environment, to any name.")
        if isinstance(cause, OSError) and cause.errno in _REFUSED and isinstance(cause.filename, str | bytes):
            path = Path(os.path.abspath(os.fsdecode(cause.filename)))
            if variable := variable_of(path):
                return InputError(
                    f"{path} can't be used ({cause.strerror}). Set {variable} to a folder that can be written, or make "
                    "this one so."
                )
    return None


def variable_of(path: Path) -> str | None:
    """The variable that moves the innermost place that holds `path`, or that moves the home itself."""
    try:
        places = {variable: place(variable) for variable in PLACES}
        at_home = home()
    except (InputError, RuntimeError):
        return None
    holding = [variable for variable, folder in places.items() if folder in (path, *path.parents)]
    if holding:
        return max(holding, key=lambda variable: len(places[variable].parts))
    return "HOME" if path in (at_home, *at_home.parents[:-1]) else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _listed(text: str) -> str:
    """The folders in Python's own words, "... in ['/tmp', '/var/tmp']"."""
    return text.rpartition("[")[2].rpartition("]")[0].replace("'", "")

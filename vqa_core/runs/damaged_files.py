"""Damaged files: something else in a file's place, such as a Git LFS pointer or a web page, or a file cut short.

`check_file` goes by the first bytes and the size, so that files of any size are looked at in a moment.
"""

import json
import os
import re
import shlex
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqa_core.files import InputError, read_json

_HEAD = 2048  # bytes at the beginning that tell what a file is
_SMALL = 1 << 20  # bytes of JSON that are read as a whole
_LONGEST_HEADER = 100_000_000  # bytes, safetensors' own limit
_LFS = re.compile(rb"\s*version https://(git-lfs|hawser)\.github\.com/spec")
_XET = re.compile(rb"\s*# xet version")
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html|head|\?xml)\b", re.IGNORECASE)
_SIZE = re.compile(rb"^(?:size|filesize) *=? *(\d+)", re.MULTILINE)
_TORCH = (".bin", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as the header of a safetensors file describes it: `dtype` as in `BF16`, `I32`, `F8_E4M3`."""

    dtype: str
    shape: tuple[int, ...]


def is_named(path: Path) -> bool:
    """Whether a folder has an entry of that name, be it a link that leads nowhere."""
    return path.exists() or path.is_symlink()


def check_file(path: Path) -> None:
    """An InputError unless `path` is a file that can be read and is what its name says.

    It names what is there instead, with the size found and, where that is known, the size expected.
    """
    head = _check_content(path)
    size = path.stat().st_size
    if path.suffix == ".safetensors":
        read_header(path)
    elif path.suffix in _TORCH:
        _check_torch_file(path, size, head)
    elif path.suffix == ".json":
        _check_json(path, size, head)


def is_safetensors(path: Path) -> bool:
    """Whether a file of tensors is safetensors, and not torch.save's; what it is says its content, not its name.

    An InputError where it is neither, or not whole.
    """
    head = _check_content(path)
    if _begins_safetensors(head):
        read_header(path)
        return True
    _check_torch_file(path, path.stat().st_size, head)
    return False


def _check_content(path: Path) -> bytes:
    """The first bytes of a file; an InputError where that is not there, can't be read, or is something else."""
    size = _size_of(path)
    head = _read_head(path)
    told = _SIZE.search(head)
    whole = f", which has {int(told[1]):,} bytes" if told else ""
    if _LFS.match(head):
        raise InputError(
            f"{path} is a Git LFS pointer ({size:,} bytes), not the file itself{whole}. Run `git lfs install` and "
            f"`git lfs pull` in {path.parent}, or download the file."
        )
    if _XET.match(head):
        raise InputError(
            f"{path} is a Git Xet pointer ({size:,} bytes), not the file itself{whole}. Download the file itself, from "
            "the hub with `hf download`."
        )
    if head.startswith(b"/annex/objects/"):
        raise InputError(
            f"{path} is a git-annex pointer ({size:,} bytes), not the file itself. Run `git annex get` in "
            f"{path.parent}, or download the file."
        )
    if _PAGE.match(head):
        raise InputError(
            f"{path} is a web page ({size:,} bytes), as a server sends for an error or a login, not the file itself. "
            "Download the file again, and look at it before it is used."
        )
    if not head.strip(b"\0"):
        raise InputError(
            f"{path} begins with zeros alone, as where a download or a disk stopped half-way ({size:,} bytes). Copy or "
            "download it again."
        )
    return head


def _begins_safetensors(head: bytes) -> bool:
    """Whether a file that begins with `head` is safetensors: a length of eight bytes, then a JSON object."""
    return len(head) > 8 and int.from_bytes(head[:8], "little") < _LONGEST_HEADER and head[8:9] == b"{"


def _begins_torch(head: bytes) -> bool:
    """Whether a file that begins with `head` is one of torch.save: a zip file, a pickle before 2020."""
    return head.startswith((b"PK\x03\x04", b"\x80"))


def _read_head(path: Path) -> bytes:
    """The first bytes of a file; an InputError where it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}). Give yourself the right to read it, or copy it to another disk."
        ) from None


def read_header(path: Path) -> dict[str, TensorInfo]:
    """The tensors of a safetensors file by name, read from its header; an InputError where the file is not whole.

    Format: https://github.com/huggingface/safetensors#format
    """
    size, head = _size_of(path), _read_head(path)
    if not _begins_safetensors(head):
        if _begins_torch(head):
            raise InputError(
                f"{path} was written by torch.save and has the name of a safetensors file. Rename it: "
                f"{_renamed(path, '.safetensors', '.bin')}"
            )
        raise _no_tensors(path, size, head)
    length = int.from_bytes(head[:8], "little")
    if size < 8 + length:
        raise _cut_short(path, size, 8 + length)
    with path.open("rb") as file:
        file.seek(8)
        text = file.read(length)
    try:
        described = json.loads(text)
        tensors = {name: entry for name, entry in described.items() if name != "__metadata__"}
        expected = 8 + length + max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
        found = {name: TensorInfo(str(entry["dtype"]), tuple(entry["shape"])) for name, entry in tensors.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise _no_tensors(path, size, head) from None
    if size < expected:
        raise _cut_short(path, size, expected)
    if size > expected:
        raise InputError(
            f"{path} has {size:,} bytes where its header tells of {expected:,}: something was written behind it. Copy "
            "or download it again."
        )
    return found


def _size_of(path: Path) -> int:
    """Bytes of a file; an InputError where there is none."""
    try:
        size = path.stat().st_size
    except OSError as error:
        if path.is_symlink():
            raise InputError(
                f"{path} is a link to {os.readlink(path)}, which is not there. Copy the folder with what its links "
                "lead to (cp -rL, rsync -L), or download it again."
            ) from None
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{path} is missing. Copy the whole folder, or download it again.") from None
        raise InputError(
            f"{path} can't be read ({error.strerror}). Give yourself the right to read it, or copy it to another disk."
        ) from None
    if path.is_dir():
        raise InputError(f"{path} is a folder where a file is expected. Copy or download the file again.")
    if not size:
        raise InputError(f"{path} is empty. Copy or download it again, to a disk with room for it.")
    return size


def _check_torch_file(path: Path, size: int, head: bytes) -> None:
    if _begins_safetensors(head):
        raise InputError(
            f"{path} is a safetensors file under a name of torch's. Rename it: {_renamed(path, path.suffix, '')}"
        )
    if not _begins_torch(head):
        raise _no_tensors(path, size, head)
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise InputError(
            f"{path} is cut short: it has {size:,} bytes, and the list of contents that ends such a file is not there. "
            "Copy or download it again."
        )


def _check_json(path: Path, size: int, head: bytes) -> None:
    if head.startswith(b"\xef\xbb\xbf"):
        raise InputError(
            f"{path} begins with a byte order mark, which transformers can't read. Save it as UTF-8 without one."
        )
    if size <= _SMALL:
        try:
            read_json(path)
        except RecursionError:
            raise InputError(f"{path} nests brackets too deeply to be a config. Fetch the file anew.") from None
        return
    with path.open("rb") as file:
        file.seek(-64, os.SEEK_END)
        end = file.read().rstrip()
    if not head.lstrip().startswith((b"{", b"[")) or not end.endswith((b"}", b"]")):
        raise InputError(
            f"{path} is cut short or no JSON: it has {size:,} bytes and ends with {_shown(end[-20:])}. Copy or "
            "download it again."
        )


def _renamed(path: Path, old: str, new: str) -> str:
    """The command that gives a file the name that transformers looks for."""
    names = {"model.safetensors": "pytorch_model.bin", "pytorch_model.bin": "model.safetensors"}
    to = names.get(path.name) or path.name.removesuffix(old) + (new or ".safetensors")
    return shlex.join(["mv", str(path), str(path.with_name(to))])


def _no_tensors(path: Path, size: int, head: bytes) -> InputError:
    kind = "safetensors" if path.suffix == ".safetensors" else "torch.save"
    return InputError(
        f"{path} is no file of {kind}: it has {size:,} bytes and begins with {_shown(head[:24])}. Copy or download it "
        "again."
    )


def _cut_short(path: Path, size: int, expected: int) -> InputError:
    return InputError(
        f"{path} is cut short: it has {size:,} bytes, and its header tells of {expected:,}. Copy or download it again."
    )


def _shown(some: bytes) -> str:
    return repr(some.decode("ascii", "backslashreplace"))


def read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file that is no longer than a config; an InputError where it is damaged or no object."""
    check_file(path)
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path} has to hold a JSON object, found {type(value).__name__}. Fetch the file anew.")
    return value

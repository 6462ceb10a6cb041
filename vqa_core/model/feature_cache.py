"""FeatureCache: what a frozen vision tower made of pictures, kept on disk, so that no picture goes through it twice.

    DIR/<tower>/ab/abcdef....safetensors       one file per picture, (S, D_v) in the tower's number format

The tower's key covers its weights, the layer that is used, the side and the number format; a picture's key is the hash
of its preprocessed pixels. So whatever would change a feature changes a key. Files are written whole or not at all and
carry a checksum. The folder may be deleted at any time, and several processes may share it.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedModel

from vqa_core.files import InputError

logger = logging.getLogger("vqa")

_ROOM = 0.9  # the share of the limit that is left once old files were removed
_SUFFIX = ".safetensors"


class FeatureCache:
    """Features by picture, below `folder`, at most `limit_gb` GB of them; those unused for longest are removed first.

    `hits` counts the pictures that were found. Raises InputError for a folder that can't be made.
    """

    def __init__(self, folder: Path, limit_gb: float, key: str) -> None:
        self.root, self.folder, self.limit = folder, folder / key, round(limit_gb * 1e9)
        self.hits = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--feature-cache {folder} can't be used as a folder: {error.strerror}. Name another folder, or leave "
                "the flag out."
            ) from None
        self._size = sum(size for _, size, _ in self._files())
        self._writes = True

    def features(self, pixels: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """The features (B, S, D_v) of pictures (B, 3, side, side); `compute` makes those that are not there."""
        paths = [self._path(picture) for picture in pixels]
        found = {number: kept for number, path in enumerate(paths) if (kept := _read(path)) is not None}
        self.hits += len(found)
        missing = [number for number in range(len(paths)) if number not in found]
        if missing:
            for number, made in zip(missing, compute(pixels[missing]), strict=True):
                found[number] = made
                self._write(paths[number], made)
        device = found[missing[0]].device if missing else None
        return torch.stack([found[number].to(device) if device else found[number] for number in range(len(paths))])

    def _path(self, picture: Tensor) -> Path:
        name = hashlib.sha256(picture.contiguous().numpy().tobytes()).hexdigest()
        return self.folder / name[:2] / f"{name}{_SUFFIX}"

    def _write(self, path: Path, features: Tensor) -> None:
        if not self._writes:
            return
        kept = features.detach().cpu().contiguous()
        data = save({"features": kept}, {"crc32": str(_checksum(kept))})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            logger.warning("%s can't be written (%s); no more features are kept there.", self.folder, error.strerror)
            self._writes = False
            return
        self._size += len(data)
        if self._size > self.limit:
            self._make_room()

    def _make_room(self) -> None:
        files = sorted(self._files())
        self._size = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._size <= _ROOM * self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            self._size -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file of any tower was last used, in seconds since the epoch, its size in bytes, and its path."""
        found = []
        for path in self.root.glob(f"*/??/*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        return found


def key_of_tower(tower: PreTrainedModel, feature_layer: int, side: int) -> str:
    """What the features of a tower depend on, as a name of 32 hex digits: it hashes the weights, a second per GB."""
    first = next(tower.parameters())
    digest = hashlib.sha256(json.dumps([feature_layer, side, str(first.dtype), tower.config.model_type]).encode())
    for name, weight in sorted(tower.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path) -> Tensor | None:
    """The features in a file; None where there is none, or a damaged one."""
    try:
        with safe_open(path, "pt") as file:
            features: Tensor = file.get_tensor("features")
            if (file.metadata() or {}).get("crc32") != str(_checksum(features)):
                return None
    except (OSError, SafetensorError, ValueError):
        return None
    with contextlib.suppress(OSError):  # in a folder that others own
        os.utime(path)
    return features


def _checksum(features: Tensor) -> int:
    return zlib.crc32(features.flatten().view(torch.uint8).numpy().tobytes())

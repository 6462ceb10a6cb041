"""How the batches of `--workers` reach the training.

PyTorch passes them through /dev/shm, where a container often has 64 MB; a worker that finds it full dies of a bus
error. A batch that is too large for it goes through a memory file instead, which only the machine's memory limits; that
takes one more copy.
"""

import io
import logging
import mmap
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from multiprocessing.reduction import DupFd
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from vqa_core.processes import local_count

logger = logging.getLogger("vqa")

SHARED = "/dev/shm"
AHEAD = 2
"""Batches that each worker has ready: the DataLoader's prefetch factor."""
_FILES_LEFT = 256
"""Open files that are left to everything but batches."""


class Collator:
    """That of a DataLoader whose items are batches already."""

    def __call__(self, items: list[dict[str, Any]]) -> Any:
        """The batch; from a worker whose batches are too large for /dev/shm, one that goes another way.

        What can fail is done here: an error in the thread that sends batches would lose one, and the training would
        wait for it for ever.
        """
        (batch,) = items
        worker = get_worker_info()
        if worker is None or sys.platform != "linux":
            return batch
        tensors = list(_tensors(batch))
        at_once = worker.num_workers * local_count() * AHEAD
        if not _passes_files() or len(tensors) * at_once > _open_files() - _FILES_LEFT:
            return _Moved(batch)
        if sum(tensor.numel() * tensor.element_size() for tensor in tensors) * at_once > free_shared():
            return _Moved(batch)
        try:
            for tensor in tensors:
                tensor.share_memory_()  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError):
            return _Moved(batch)
        return batch


def free_shared() -> int:
    """Bytes that are free in /dev/shm; 0 where it can't be used."""
    try:
        found = os.statvfs(SHARED)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize if os.access(SHARED, os.W_OK) else 0


def _open_files() -> int:
    """How many files this process may have open; each tensor in /dev/shm is one, here and in the training."""
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@cache
def _passes_files() -> bool:
    """Whether this process can hand open files to others: by a socket in the folder for temporary files."""
    try:
        with open(os.devnull) as file:
            DupFd(file.fileno())
    except OSError:
        return False
    return True


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in a batch."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))


class _Moved:
    """A batch that becomes itself again where it is unpickled: its bytes are in a memory file, or else in the pipe."""

    def __init__(self, batch: Any) -> None:
        packed = io.BytesIO()
        _Pickler(packed, protocol=5).dump(batch)
        self.content: Any = packed.getvalue()
        if not _passes_files():
            return
        try:
            handle = os.memfd_create("batch")
        except OSError:
            return
        try:
            view = memoryview(self.content)
            while view:
                view = view[os.write(handle, view) :]
            self.content = DupFd(handle)
        finally:
            os.close(handle)  # DupFd has a copy of its own

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _unpacked, (self.content,)


class _Pickler(pickle.Pickler):
    """Tensors by their bytes; torch's own way would put them into /dev/shm."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor:
            return NotImplemented
        bytes_of: Any = value.contiguous().flatten().view(torch.uint8).numpy() if value.numel() else b""
        data = pickle.PickleBuffer(bytes_of)
        return _tensor, (data, value.dtype, tuple(value.shape))


def _tensor(data: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """`data` is a bytearray of its own, as unpickled buffers are."""
    return torch.frombuffer(data, dtype=dtype).reshape(shape) if len(data) else torch.empty(shape, dtype=dtype)


def _unpacked(content: Any) -> Any:
    """In the training's process: the batch again."""
    _say_moved()
    if isinstance(content, bytes):
        return pickle.loads(content)
    handle = content.detach()
    try:
        with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as data:
            return pickle.loads(data)
    finally:
        os.close(handle)


@cache
def _say_moved() -> None:
    logger.info(
        "The batches of --workers are copied past %s, as it has %d MB free and %d files may be open. In a container, "
        "--shm-size 2g makes room.", SHARED, free_shared() >> 20, _open_files(),
    )  # fmt: skip

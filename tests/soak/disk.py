"""FailingDisk: a disk on which one call goes wrong.

Within `with FailingDisk(folder, fault):` every call that changes a file or folder below `folder` is counted, and call
number `fault.at` goes wrong in the way that `fault.kind` says:

crash      the process ends instead of the call
torn       half of the bytes of a write reach the file, then the process ends
power      the process ends instead of the call, and half of what was written since the last fsync of each file is gone
error      the call raises EIO, once
full       from here on nothing that takes room succeeds (ENOSPC); of the write itself, half of the bytes arrive
readonly   from here on every call raises EROFS

Seen are Python's own calls: open, write, fsync, rename, replace, unlink, mkdir, rmdir, truncate, chmod, utime, sendfile
and their kin, and of C++ and Rust the two that write our files, torch.save and safetensors' serialize_file, each as one
write. `LIMITED` is another way to fail, which such code feels by itself: the system's own limit of a file's size.
"""

import builtins
import errno
import io
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

CRASHED = 70  # exit code of a process that a fault has ended
ENDING = ("crash", "torn", "power")
FAILING = ("error", "full", "readonly")
LIMITED = "limit"
KINDS = (*ENDING, *FAILING)

_ONE_PATH = ("unlink", "remove", "rmdir", "chmod", "utime", "truncate")
_TWO_PATHS = ("rename", "replace", "link", "symlink")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Fault:
    """Call number `at`, from 0, goes wrong as `kind` says."""

    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was counted: its name, its path below the folder, whether it takes room and has bytes to tear."""

    name: str
    path: str
    grows: bool
    tears: bool

    def can(self, kind: str) -> bool:
        """Whether the call can go wrong in this way."""
        return self.tears if kind == "torn" else self.grows if kind == "full" else True


class _Raw(io.FileIO):
    """A file whose writes the disk sees: Python's own go from C to the system."""

    disk: "FailingDisk"

    def write(self, data: Any) -> int:
        return self.disk.write(self.fileno(), data)

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        return self.disk.call("truncate", self.fileno(), lambda: super(_Raw, self).truncate(length))


class FailingDisk:
    def __init__(self, folder: Path, fault: Fault | None = None) -> None:
        self.folder, self.fault = os.path.realpath(folder), fault
        self.calls: list[Call] = []
        self._synced: dict[tuple[int, int], int] = {}  # inode -> bytes that an fsync has made certain, where not all
        self._stack = ExitStack()
        self._real = {name: getattr(os, name) for name in ("open", "write", "sendfile", "truncate")}

    def __enter__(self) -> "FailingDisk":
        self._put(os, "open", self._os_open)
        self._put(os, "write", self.write)
        self._put(os, "fsync", self._fsync)
        self._put(os, "fdatasync", self._fsync)
        self._put(os, "ftruncate", self._one("ftruncate"))
        self._put(os, "mkdir", self._one("mkdir", grows=True))
        self._put(os, "sendfile", self._sendfile)
        for name in _ONE_PATH:
            self._put(os, name, self._one(name))
        for name in _TWO_PATHS:
            self._put(os, name, self._two(name))
        opened = self._opener(io.open)
        self._put(io, "open", opened)
        self._put(builtins, "open", opened)
        if torch := sys.modules.get("torch"):
            self._put(torch, "save", self._whole(torch.save, "torch.save", 1, _torch_error))
        if tensors := sys.modules.get("safetensors.torch"):
            self._put(tensors, "serialize_file", self._whole(tensors.serialize_file, "save_file", 1, _tensor_error))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _put(self, module: Any, name: str, function: Callable[..., Any]) -> None:
        self._stack.enter_context(mock.patch.object(module, name, function))

    # -- a call --------------------------------------------------------------------------------------------------

    def call(
        self,
        name: str,
        path: Any,
        do: Callable[[], Any],
        *,
        grows: bool = False,
        tear: Callable[[], Any] | None = None,
        dir_fd: int | None = None,
    ) -> Any:
        """Count a call and do it, or let it go wrong. `tear` does half of it and returns what a half returns."""
        where = self.where(path, dir_fd)
        if where != self.folder and not where.startswith(self.folder + os.sep):
            return do()
        number = len(self.calls)
        self.calls.append(Call(name, os.path.relpath(where, self.folder), grows, tear is not None))
        fault = self.fault
        if fault is None or number < fault.at:
            return do()
        if number == fault.at and fault.kind in ENDING:
            if fault.kind == "torn" and tear:
                tear()
            elif fault.kind == "power":
                self._cut_power()
            os._exit(CRASHED)
        if number == fault.at and fault.kind == "error":
            raise OSError(errno.EIO, os.strerror(errno.EIO), where)
        if fault.kind == "readonly":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), where)
        if fault.kind == "full" and grows:
            if number == fault.at and tear and (half := tear()):
                return half
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)
        return do()

    def where(self, path: Any, dir_fd: int | None = None) -> str:
        """The absolute path of a path or a descriptor, links in its folders resolved."""
        if isinstance(path, int):
            return os.readlink(f"/proc/self/fd/{path}").removesuffix(" (deleted)")
        text = os.fsdecode(path)
        if dir_fd is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
        folder, name = os.path.split(os.path.abspath(text))
        return os.path.join(os.path.realpath(folder), name)

    # -- writes, and what of them is certain ---------------------------------------------------------------------

    def write(self, handle: int, data: Any) -> int:
        """os.write."""
        view, real = memoryview(data).cast("B"), self._real["write"]

        def whole() -> int:
            self._soil(handle)
            return int(real(handle, view))

        def half() -> int:
            self._soil(handle)
            return int(real(handle, view[: len(view) // 2])) if len(view) > 1 else 0

        return int(self.call("write", handle, whole, grows=True, tear=half))

    def _sendfile(self, out: int, source: int, *args: Any, **kwargs: Any) -> int:
        def whole() -> int:
            self._soil(out)
            return int(self._real["sendfile"](out, source, *args, **kwargs))

        def half() -> int:
            self._soil(out)
            return int(self._real["sendfile"](out, source, 0, os.fstat(source).st_size // 2))

        return int(self.call("write", out, whole, grows=True, tear=half))

    def _whole(self, real: Callable[..., Any], name: str, at: int, error: Callable[[str], Exception]) -> Any:
        """A function that writes the whole file named by its argument number `at`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            path = args[at]
            if not isinstance(path, (str, os.PathLike)):
                return real(*args, **kwargs)

            def do() -> Any:
                result = real(*args, **kwargs)
                self._synced[_inode(os.stat(path))] = 0
                return result

            def half() -> int:
                do()
                self._real["truncate"](path, os.stat(path).st_size // 2)
                return 0

            try:
                return self.call(name, path, do, grows=True, tear=half)
            except OSError as cause:
                raise error(str(cause.strerror)) from None

        return call

    def _soil(self, handle: int) -> None:
        stat = os.fstat(handle)
        self._synced.setdefault(_inode(stat), stat.st_size)

    def _forget(self, path: Any, dir_fd: int | None = None) -> None:
        """The number of a file that is about to go may soon be another's."""
        try:
            stat = os.lstat(self.where(path, dir_fd))
        except OSError:
            return
        if stat.st_nlink == 1:
            self._synced.pop(_inode(stat), None)

    def _fsync(self, handle: Any) -> None:
        """Only noted: nobody pulls the plug here, and a real one takes a hundred times as long."""
        number = handle if isinstance(handle, int) else handle.fileno()

        def do() -> None:
            self._synced.pop(_inode(os.fstat(number)), None)

        self.call("fsync", number, do)

    def _cut_power(self) -> None:
        for folder, _, names in os.walk(self.folder):
            for path in (os.path.join(folder, name) for name in names):
                stat = os.lstat(path)
                certain = self._synced.get(_inode(stat))
                if certain is not None and stat.st_size > certain:
                    self._real["truncate"](path, certain + (stat.st_size - certain) // 2)

    # -- opening, and calls with paths ---------------------------------------------------------------------------

    def _os_open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        def do() -> int:
            return int(self._real["open"](path, flags, mode, dir_fd=dir_fd))

        if not flags & _WRITES:
            return do()
        creates = bool(flags & os.O_CREAT) and not os.path.lexists(self.where(path, dir_fd))
        return int(self.call("open", path, do, grows=creates, dir_fd=dir_fd))

    def _opener(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def opened(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            if not set(mode) & set("wax+"):
                return real(file, mode, buffering, encoding, errors, newline, closefd, opener)

            def do() -> _Raw:
                return _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)

            if isinstance(file, int):
                raw = do()
            else:
                raw = self.call("open", file, do, grows=not os.path.lexists(self.where(file)))
            raw.disk = self
            if buffering == 0:
                return raw
            buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)

        return opened

    def _one(self, name: str, *, grows: bool = False) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            def do() -> Any:
                if name in ("unlink", "remove"):
                    self._forget(path, kwargs.get("dir_fd"))
                return real(path, *args, **kwargs)

            return self.call(name, path, do, grows=grows, dir_fd=kwargs.get("dir_fd"))

        return call

    def _two(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(source: Any, target: Any, **kwargs: Any) -> Any:
            def do() -> Any:
                self._forget(target, kwargs.get("dst_dir_fd"))
                return real(source, target, **kwargs)

            return self.call(name, target, do, grows=name in ("link", "symlink"), dir_fd=kwargs.get("dst_dir_fd"))

        return call


@contextmanager
def limited(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes: a write ends short there, the next fails with EFBIG, whoever makes it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _inode(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _torch_error(said: str) -> Exception:
    return RuntimeError(f"PytorchStreamWriter failed writing file data/0: file write failed ({said})")


def _tensor_error(said: str) -> Exception:
    from safetensors import SafetensorError

    return SafetensorError(f"Error while serializing: I/O error: {said}")

"""Uploads: where they lie, how much of them there may be, and that none outlives the server it was sent to.

<runs>/.page/uploads/<random>/      one server's: Gradio's temporary folder
                             lock   held as long as that server lives
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ui.words import Words

REQUEST_LIMIT = 64 << 20  # bytes of one upload, of several files perhaps
QUOTA = 1 << 30  # bytes of all
FILES = 2000
DISK_FLOOR = 500 << 20  # bytes that stay free on the disk
KEPT_S = 3600.0  # for so long a file is not removed for another
_LOCK = "lock"


class UploadFolder:
    """A folder below `parent` for this process; those of servers that are gone are removed."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(parent / _LOCK, wait=True):  # another server that starts now has its folder locked before we look
            for folder in parent.iterdir():
                _remove_if_left(folder)
            self.path = Path(tempfile.mkdtemp(dir=parent)).resolve()
            self._lock = _locked(self.path / _LOCK, wait=True)

    def files(self) -> Iterator[tuple[os.stat_result, Path]]:
        """Every file in it but the lock."""
        for folder, _, names in os.walk(self.path):
            for path in (Path(folder) / name for name in names if name != _LOCK):
                with contextlib.suppress(OSError):  # removed meanwhile
                    yield path.lstat(), path

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def room_for(self, size: int) -> bool:
        """Whether `size` bytes more are allowed, when old files have made room."""
        found = sorted(self.files(), key=lambda pair: pair[0].st_mtime)
        used, count = sum(stat.st_size for stat, _ in found), len(found)
        for stat, path in found:
            if used + size <= QUOTA and count < FILES:
                break
            if time.time() - stat.st_mtime < KEPT_S:
                return False
            path.unlink(missing_ok=True)
            used, count = used - stat.st_size, count - 1
        return used + size <= QUOTA and shutil.disk_usage(self.path).free - size >= DISK_FLOOR


class UploadLimit:
    """ASGI middleware round Gradio's upload route. `prefixes` are the paths a page may lie at, and their words."""

    def __init__(self, app: ASGIApp, folder: UploadFolder, words: Mapping[str, Words]) -> None:
        self.app, self.folder = app, folder
        self.words = {f"{path.rstrip('/')}/gradio_api/upload": words[path] for path in words}
        self._coming = 0  # bytes of uploads under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        t = self.words.get(scope["path"].rstrip("/")) if scope["type"] == "http" else None
        if t is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else REQUEST_LIMIT + 1
        if size > REQUEST_LIMIT:
            await PlainTextResponse(t("uploads.too_large", limit=REQUEST_LIMIT >> 20), 413)(scope, receive, send)
        elif not self.folder.room_for(self._coming + size):
            await PlainTextResponse(t("uploads.full"), 507)(scope, receive, send)
        else:
            self._coming += size
            try:
                await self.app(scope, receive, send)
            finally:
                self._coming -= size


def _remove_if_left(folder: Path) -> None:
    if not folder.is_dir():
        return
    with contextlib.suppress(BlockingIOError), _locked(folder / _LOCK, wait=False):
        shutil.rmtree(folder, ignore_errors=True)


def _locked(path: Path, *, wait: bool) -> IO[bytes]:
    """The file, locked until it is closed or this process ends; BlockingIOError where another holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        file.close()
        raise
    return file

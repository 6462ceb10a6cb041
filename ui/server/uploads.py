"""Uploads: where they lie, how much of them there may be, and that none outlives the server it was sent to.

<runs>/.page/uploads/<random>/      one server's: Gradio's temporary folder
                             lock   held as long as that server lives
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.components.words import Words
from vqa_core.locks import locked, soft_path, try_lock

FILE_LIMIT = 30 << 20  # bytes of one file
REQUEST_LIMIT = 64 << 20  # bytes of one upload, perhaps of several files
FILES_AT_ONCE = 20  # in one upload
QUOTA = 1 << 30  # bytes of all
FILES = 2000
DISK_FLOOR = 500 << 20  # bytes that stay free on the disk
KEPT_S = 3600.0  # a file is kept this long even if another needs the room
_LOCK = "lock"


class UploadFolder:
    """A folder below `parent` for this process; it removes the folders of servers that are gone."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(parent / _LOCK):  # another server that starts now has its folder locked before we look
            for folder in parent.iterdir():
                _remove_if_abandoned(folder)
            self.path = Path(tempfile.mkdtemp(dir=parent)).resolve()
            self._lock = try_lock(self.path / _LOCK)

    def files(self) -> Iterator[tuple[os.stat_result, Path]]:
        """Every file in it but the lock."""
        for folder, _, names in os.walk(self.path):
            for path in (Path(folder) / name for name in names if name not in (_LOCK, soft_path(Path(_LOCK)).name)):
                with contextlib.suppress(OSError):  # removed since
                    yield path.lstat(), path

    def close(self) -> None:
        """Remove it."""
        if self._lock is not None:
            self._lock.release()  # Windows removes no file that is open
        shutil.rmtree(self.path, ignore_errors=True)

    def room_for(self, size: int, files: int = 1) -> bool:
        """Whether there is room for `size` more bytes in that many files; old files are removed to make it."""
        found = sorted(self.files(), key=lambda pair: pair[0].st_mtime)
        used, count = sum(stat.st_size for stat, _ in found), len(found)
        for stat, path in found:
            if used + size <= QUOTA and count + files <= FILES:
                break
            if time.time() - stat.st_mtime < KEPT_S:
                return False
            path.unlink(missing_ok=True)
            used, count = used - stat.st_size, count - 1
        fits = used + size <= QUOTA and count + files <= FILES
        return fits and shutil.disk_usage(self.path).free - size >= DISK_FLOOR


class UploadLimit:
    """ASGI middleware round Gradio's upload route. `prefixes` are the paths a page may lie at, and their words."""

    def __init__(self, app: ASGIApp, folder: UploadFolder, words: Mapping[str, Words]) -> None:
        self.app, self.folder = app, folder
        self.words = {f"{path.rstrip('/')}/gradio_api/upload": words[path] for path in words}
        self._sizes: list[int] = []  # bytes of each running upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        t = self.words.get(scope["path"].rstrip("/")) if scope["type"] == "http" else None
        if t is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else REQUEST_LIMIT + 1
        sizes = [*self._sizes, size]
        if size > REQUEST_LIMIT:
            await PlainTextResponse(t("uploads.too_large", limit=REQUEST_LIMIT >> 20), 413)(scope, receive, send)
        elif not self.folder.room_for(sum(sizes), FILES_AT_ONCE * len(sizes)):
            await PlainTextResponse(t("uploads.full"), 507)(scope, receive, send)
        else:
            self._sizes.append(size)
            try:
                await self._pass_on(scope, receive, send, t)
            finally:
                self._sizes.remove(size)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, t: Words) -> None:
        """Let Gradio take the files, but not too many, and say in our words what it refuses."""
        count, refused = _line_counter(Headers(scope=scope)), ""

        async def count_and_receive() -> Message:
            nonlocal refused
            message = await receive()
            if count(message.get("body", b"")) > FILES_AT_ONCE + 1:  # one line before each file, one after the last
                refused = t("uploads.too_many", limit=FILES_AT_ONCE)
                raise MultiPartException(refused)  # Gradio removes what it has received
            return message

        async def answer(message: Message) -> None:
            nonlocal refused
            if (
                message["type"] == "http.response.start" and message["status"] == 413
            ):  # Gradio has a limit of its own for a file
                refused = t("uploads.file_too_large", limit=FILE_LIMIT >> 20)
            if not refused:
                await send(message)
            elif message["type"] == "http.response.start":
                await PlainTextResponse(refused, 413)(scope, receive, send)

        await self.app(scope, count_and_receive, answer)


def _line_counter(headers: Headers) -> Callable[[bytes], int]:
    """A function that gets a form's body chunk by chunk and returns how many lines between parts there were so far."""
    line = b"--" + parse_options_header(headers.get("content-type", ""))[1].get(b"boundary", b"")
    rest, found = b"", 0

    def count(chunk: bytes) -> int:
        nonlocal rest, found
        *before, last = (rest + chunk).split(line)
        rest, found = last[max(0, len(last) - len(line) + 1) :], found + len(before)
        return found

    return count


def _remove_if_abandoned(folder: Path) -> None:
    lock = try_lock(folder / _LOCK) if folder.is_dir() else None
    if lock is not None:
        lock.release()  # its server is gone, and none takes up an old folder
        shutil.rmtree(folder, ignore_errors=True)

"""Pictures: the images of datasets, re-encoded and shown under addresses that only this server can make.

A dataset's files are never served as they are: an SVG or HTML file called `cat.jpg` would run in the page. What leaves
is WebP that we have encoded, at the size asked for, kept on disk so that the second look costs nothing.
"""

import base64
import contextlib
import hashlib
import hmac
import io
import os
import secrets
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from PIL import Image

from vqa_core.data.images import ImageError, open_image
from vqa_core.drives import replace_file, set_mode
from vqa_core.files import InputError, write_atomically

THUMB, FULL, WHOLE = 256, 2048, 16_383  # longest side in pixels; WHOLE is what a WebP may have
SMALL = 128  # pixels of the longest side up to which WebP is lossless
KEPT_FOR_S = 7 * 86_400  # in the browser
KEPT_BYTES = 1 << 30  # on disk; beyond it the oldest quarter is removed
AT_ONCE = max(2, (os.cpu_count() or 2) // 2)
DECODING = threading.BoundedSemaphore(AT_ONCE)
"""Held while the page has a picture decoded in full, which may take 400 MB. One a process, and not to be held twice."""


class Pictures:
    """Addresses and bytes of pictures; `folder` keeps the encoded ones and the key that signs the addresses.

    `decode` opens a picture, with a longest side of about that many pixels.
    """

    def __init__(self, folder: Path, decode: Callable[[Path, int], Image.Image] | None = None) -> None:
        self.folder, self._decode = folder, decode or (lambda path, side: open_image(path, side=side))
        key = folder / "key"
        if not key.is_file():
            write_atomically(key, secrets.token_bytes(32))
            set_mode(key, 0o600)
        self._key = key.read_bytes()
        self._whole = threading.Lock()  # 50 million pixels take 470 MB until they are encoded
        self._counting = threading.Lock()
        self._bytes: int | None = None  # on disk, once counted

    def url(self, path: Path | str, side: int = THUMB) -> str:
        """The address of the picture at `path`, at most `side` pixels long; `path` never comes from a request."""
        name = base64.urlsafe_b64encode(str(path).encode("utf-8", "surrogateescape")).decode()
        return f"/picture/{side}/{self._sign(f'{side}/{name}')}/{name}"

    def url_below(self, root: Path, name: str, side: int = THUMB) -> str:
        """The address of the picture `name` of the dataset at `root`, "" where it has none."""
        path = below(root, name)
        return self.url(path, side) if path else ""

    def path(self, side: int, signature: str, name: str) -> Path:
        """The file that an address stands for; an InputError if this server did not make the address."""
        if not hmac.compare_digest(signature.encode(), self._sign(f"{side}/{name}").encode()):
            raise InputError("this picture's address was not made by this page.")
        return Path(base64.urlsafe_b64decode(name).decode("utf-8", "surrogateescape"))

    def encoded(self, path: Path, side: int) -> Path:
        """The picture as a WebP file; raises ImageError or OSError where it can't be read."""
        stat = path.stat()
        if not S_ISREG(stat.st_mode):  # opening a pipe would wait for its writer
            raise IsADirectoryError(f"{path} is no file")
        stamp = f"{path.resolve()}\0{stat.st_mtime_ns}\0{stat.st_size}\0{side}"
        digest = hashlib.sha256(stamp.encode("utf-8", "surrogateescape")).hexdigest()
        kept = self.folder / digest[:2] / f"{digest[2:34]}.webp"
        if not kept.is_file():
            with self._whole if side > FULL else contextlib.nullcontext():
                self._keep(kept, self._encode(path, side))
        return kept

    def _encode(self, path: Path, side: int) -> bytes:
        with DECODING:
            image = self._decode(path, side)
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
        bytes_ = io.BytesIO()
        # a drawing of few pixels: lossy WebP would smear its flat colours, and lossless costs a few kB
        image.save(bytes_, "WEBP", quality=85, method=0, lossless=max(image.size) <= SMALL)
        return bytes_.getvalue()

    def _keep(self, kept: Path, data: bytes) -> None:
        """Write a file that can be made again: whole or absent, but without fsync."""
        kept.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=kept.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            replace_file(Path(name), kept)
        except OSError:  # on a full disk the picture is shown, and not kept
            Path(name).unlink(missing_ok=True)
            return
        with self._counting:
            self._bytes = len(data) + (
                sum(size for _, size, _ in self._files()) if self._bytes is None else self._bytes
            )
            if self._bytes > KEPT_BYTES:
                self._bytes = self._make_room()

    def _make_room(self) -> int:
        """Remove the oldest files until three quarters of KEPT_BYTES are left; return how many bytes are."""
        files = sorted(self._files(), reverse=True)
        left = 0
        for _, size, path in files:
            if left + size > KEPT_BYTES * 3 // 4:
                path.unlink(missing_ok=True)
            else:
                left += size
        return left

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of writing, bytes and path of every kept picture."""
        found = []
        for path in self.folder.glob("??/*"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.append((stat.st_mtime, stat.st_size, path))
        return found

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:32]


def below(root: Path, name: str) -> Path | None:
    """The picture `name` of the dataset at `root`; None where the name, from a file of a run, is no path within it."""
    parts = PurePosixPath(name).parts
    return root.joinpath(*parts) if parts and parts[0] != "/" and ".." not in parts and "\0" not in name else None


def add_routes(app: FastAPI, pictures: Pictures) -> None:
    """`GET /picture/<side>/<signature>/<name>`."""

    @app.get("/picture/{side}/{signature}/{name}")
    def picture(side: int, signature: str, name: str) -> Response:
        try:
            path = pictures.path(side, signature, name)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 404)
        try:
            data = pictures.encoded(path, side).read_bytes()  # here, in this thread: FileResponse asks three others
        except FileNotFoundError:
            return JSONResponse({"error": "the file of this picture is gone."}, 404)
        except (ImageError, OSError):
            return JSONResponse({"error": "the file of this picture can't be shown as one."}, 415)
        return Response(data, media_type="image/webp", headers={"Cache-Control": f"private, max-age={KEPT_FOR_S}"})

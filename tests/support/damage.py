"""Files as they arrive damaged: pointers, pages, halves, links that lead nowhere.

for name, damage in DAMAGES.items():
    damage(folder / "model.safetensors")
"""

from collections.abc import Callable
from pathlib import Path

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{0}\nsize {1}\n"
PAGE = "<!DOCTYPE html>\n<html><head><title>504 Gateway Time-out</title></head><body></body></html>\n"
XML = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>\n'


def _written(content: bytes | str) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content

    def damage(path: Path) -> None:
        path.write_bytes(data)

    return damage


def to_pointer(path: Path) -> None:
    """What `git clone` leaves without git-lfs."""
    path.write_text(POINTER.format("4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393", 987_654_321))


def to_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def to_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("../../blobs/0123456789abcdef")


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "git-lfs": (to_pointer, r"is a Git LFS pointer \(\d+ bytes\), not the file itself, which has 987,654,321 bytes"),
    "git-lfs-crlf": (
        _written(POINTER.format("0" * 64, 12).replace("\n", "\r\n")),
        "Git LFS pointer .* which has 12 bytes.*`git lfs pull`",
    ),
    "xet": (_written('# xet version 0\nfilesize = 123456\nhash = "ab"\n'), "Git Xet pointer .* which has 123,456"),
    "annex": (_written("/annex/objects/SHA256E-s123--ab.bin\n"), "git-annex pointer .*`git annex get`"),
    "page": (_written(PAGE), r"is a web page \(\d+ bytes\)"),
    "xml": (_written(XML), "is a web page"),
    "empty": (_written(b""), "is empty"),
    "zeros": (_written(b"\0" * 4096), "begins with zeros alone"),
    "broken-link": (to_broken_link, r"is a link to \.\./\.\./blobs/0123456789abcdef, which is not there"),
    "folder": (to_folder, "is a folder where a file is expected"),
}  # fmt: skip
"""Damages that any file may have, and what is said of them."""

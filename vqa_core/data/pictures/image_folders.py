"""Where the pictures of a split usually lie in a dataset folder, and what paths of other machines mean in it."""

import os
import re
import unicodedata
from pathlib import Path, PurePosixPath

LINKED = "linked"
"""The folder of links to pictures that lie elsewhere, one a split; see `vqa_core.data.formats.linking`."""

SYNONYMS = {
    "train": ("train", "training", "학습", "훈련"),
    "val": ("val", "valid", "validation", "dev", "검증"),
    "test": ("test", "testing", "평가", "테스트"),
}
_PICTURES = ("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "이미지", "사진", "그림")
_ODD = re.compile(r"^[/\s]|\s$|[\\:]")
_DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")
_FILE = re.compile(r"file:/*", re.IGNORECASE)


def usual_folders(root: Path, split: str) -> list[str]:
    """The folders below `root`, relative to it, that by their names hold the pictures of a split, the likeliest first.

    Names count without case, `_`, `-`, digits and `input`: `image/train`, `train`, `Train_Images`, `images-train2014`,
    `train/images`, `image`. Validation pictures may also lie where those for training do.
    """
    found: dict[str, None] = {}
    tops = {name: _key(name) for name in _folders(root)}
    for kind in (split, "train") if split == "val" else (split,):
        words = SYNONYMS.get(kind, (kind,))
        if kind == split:
            found |= _existing(root, f"{LINKED}/{split}", f"image/{split}", f"images/{split}", split)
        joined = {f"{a}{b}" for word in words for picture in _PICTURES for a, b in ((word, picture), (picture, word))}
        for name, key in tops.items():
            if key in joined or key in words:
                found[name] = None
            inner = words if key in _PICTURES else _PICTURES if key in words else ()
            if inner:
                found |= dict.fromkeys(f"{name}/{below}" for below in _folders(root / name) if _key(below) in inner)
    found |= _existing(root, "image", "images")
    return list(found | dict.fromkeys(name for name, key in tops.items() if key in _PICTURES))


def possible_paths(text: str) -> list[PurePosixPath]:
    r"""The relative paths that a table may mean by `text`, the likeliest first; never one that leads upwards.

    `image\train\a.png` is a path of Windows, `./a.png` and ` a.png ` are `a.png`. An absolute path of another machine,
    as in `D:\data\train\a.png` or `file:///data/train/a.png`, may mean any of its ends with a folder in it, and last
    its name alone.
    """
    plain = unicodedata.normalize("NFC", text)
    if not _ODD.search(plain):
        path = PurePosixPath(plain)
        return [path] if path.name and ".." not in path.parts else []
    found = [plain] if not plain.startswith("/") else []
    stripped = plain.strip()
    local = _DRIVE.sub("/", _FILE.sub("/", stripped, count=1), count=1).replace("\\", "/")
    if local.startswith("/"):
        parts = [part for part in PurePosixPath(local).parts if part not in ("/", "//", ".")]
        found += ["/".join(parts[cut:]) for cut in range(len(parts))]
    else:
        found += [stripped, local]
    paths = [PurePosixPath(path) for path in dict.fromkeys(found)]
    return [path for path in paths if path.name and ".." not in path.parts]


def is_absolute(text: str) -> bool:
    """Whether a path is one of another machine, from its root on."""
    return re.match(r"\s*(?:file:|[A-Za-z]:[\\/]|[\\/])", text, re.IGNORECASE) is not None


def _existing(root: Path, *names: str) -> dict[str, None]:
    return dict.fromkeys(name for name in names if (root / name).is_dir())


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFC", name).casefold().replace("input", "")
    return "".join(character for character in plain if character not in "_- " and not character.isdecimal())


def _folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []

"""AnswerHistory: the pictures that questions were asked about, and the answers, on disk: a reload shows the same.

<folder>/<id>/picture        the file as it came, where it was uploaded; the id is the start of its hash
              answers.jsonl  one answer per line
              <hash>.webp    what a model's own processor made of it
"""

import contextlib
import hashlib
import io
import json
import math
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vqa_core.data.images import image_hash
from vqa_core.drives import touch
from vqa_core.files import InputError, write_atomically

GAP, SHEET = 8, 2048  # pixels between tiles, and of the longest side of all together
KEPT, KEPT_BYTES = 200, 1 << 30  # pictures, and bytes in all; the least recently used goes first
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and how it came about; `asdict` makes JSON of it.

    `probability` and those of `likeliest`, [{"answer", "probability"}, ...], are of token sequences, the end included.
    `seconds` is the time that all questions asked together took, without loading the model and without `likeliest`;
    `prompt` the text as the model gets it, `<image>` standing for the picture; `pixels` the fields of the model's
    PixelTransform, or where it has a processor of its own what was kept of its tiles; `asked` the time in seconds since
    1970; `status` and `detail` are a Prediction's. `searched` is whether the likeliest answers were searched for.
    `choices` are the options that the answer, with its letter, is one of; their probabilities add up to 1.
    """

    question: str
    answer: str
    probability: float | None
    likeliest: list[dict[str, Any]]
    seconds: float
    prompt: str
    status: str
    detail: str
    run: str
    pixels: dict[str, Any]
    asked: float
    searched: bool = True
    choices: list[str] = field(default_factory=list)


class AnswerHistory:
    """Keeps pictures and answers below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._asking: dict[tuple[str, ...], threading.Event] = {}

    @contextlib.contextmanager
    def once(self, what: tuple[str, ...]) -> Iterator[bool]:
        """Whether to ask `what` now: a second click waits for the answer to the first one and asks nothing."""
        mine = threading.Event()
        going = self._asking.setdefault(what, mine)
        if going is not mine:
            going.wait()
            yield False
            return
        try:
            yield True
        finally:
            del self._asking[what]
            mine.set()

    def keep(self, path: Path) -> str:
        """Copy a picture that was uploaded; returns its id."""
        key = id_of(path)
        if not (self.folder / key / "picture").is_file():
            write_atomically(self.folder / key / "picture", path.read_bytes())
            self._sweep(key)
        return key

    def picture(self, key: str) -> Path:
        """The picture of that id; an InputError where there is none."""
        path = self.folder / key / "picture"
        if not (_ID.fullmatch(key) and path.is_file()):
            raise InputError("This picture is not kept any more. Choose it again.")
        return path

    def answers(self, key: str) -> list[Answer]:
        """The answers about the picture of that id, oldest first."""
        path = self.folder / key / "answers.jsonl"
        if not path.is_file():
            return []
        found = []
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with contextlib.suppress(ValueError, TypeError):  # cut short by a killed server, or empty
                found.append(Answer(**json.loads(line)))
        return found

    def add(self, key: str, answers: Iterable[Answer]) -> None:
        """Write down answers about the picture of that id."""
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "answers.jsonl").open("a", encoding="utf-8") as file:
            file.write("".join("\n" + json.dumps(asdict(each), ensure_ascii=False) for each in answers))
        touch(folder)

    def keep_seen(self, key: str, tiles: Sequence[Image.Image]) -> dict[str, Any]:
        """Keep the tiles (RGB, of one size) that a processor made of a picture, side by side: `seen` names the file.

        The other facts are how many they are, and the width and height of one; {} where there are none.
        """
        if not tiles:
            return {}
        wide, high = tiles[0].size
        across = math.ceil(math.sqrt(len(tiles)))
        sheet = Image.new("RGB", (across * (wide + GAP) - GAP, -(-len(tiles) // across) * (high + GAP) - GAP), "white")
        for at, tile in enumerate(tiles):
            sheet.paste(tile, (at % across * (wide + GAP), at // across * (high + GAP)))
        sheet.thumbnail((SHEET, SHEET))
        bytes_ = io.BytesIO()
        sheet.save(bytes_, "WEBP", quality=90)
        name = hashlib.sha256(bytes_.getvalue()).hexdigest()[:32]
        write_atomically(self.folder / key / f"{name}.webp", bytes_.getvalue())
        return {"seen": name, "tiles": len(tiles), "width": wide, "height": high}

    def seen(self, key: str, name: str) -> Path:
        """The file that `keep_seen` has named."""
        return self.folder / key / f"{name}.webp"

    def forget(self, key: str) -> None:
        """Remove the answers about a picture."""
        (self.folder / key / "answers.jsonl").unlink(missing_ok=True)

    def _sweep(self, newest: str) -> None:
        folders = sorted(self.folder.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        folders.sort(key=lambda folder: folder.name != newest)  # the newest stays
        used = 0
        for place, folder in enumerate(folders):
            used += sum(file.stat().st_size for file in folder.iterdir())
            if place and (place >= KEPT or used > KEPT_BYTES):
                shutil.rmtree(folder, ignore_errors=True)


def id_of(path: Path) -> str:
    """The id of a picture: two names of one file share it."""
    return image_hash(path)[:32]

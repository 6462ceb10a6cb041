"""Asked: the pictures that questions were asked about, and the answers, on disk: a reload shows the same.

<folder>/<id>/picture        the file as it came, where it was uploaded; the id is the start of its hash
              answers.jsonl  one answer a line
"""

import contextlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from ui.asking import Answered
from vqa_core.files import InputError, write_atomically
from vqa_core.images import image_hash

KEPT = 200  # pictures; the one untouched for longest goes first
_ID = re.compile(r"[0-9a-f]{32}")


class Asked:
    """Keeps pictures and answers below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._asking: dict[tuple[str, ...], threading.Event] = {}

    @contextlib.contextmanager
    def once(self, what: tuple[str, ...]) -> Iterator[bool]:
        """Whether `what` may be asked now: a second click waits for the first one's answer and asks nothing."""
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
        """The kept picture; an InputError where there is none of that id."""
        path = self.folder / key / "picture"
        if not (_ID.fullmatch(key) and path.is_file()):
            raise InputError("This picture is not kept any more. Choose it again.")
        return path

    def answers(self, key: str) -> list[Answered]:
        """What was answered about the picture of that id, oldest first."""
        path = self.folder / key / "answers.jsonl"
        if not path.is_file():
            return []
        found = []
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            with contextlib.suppress(ValueError, TypeError):  # cut short where a server was killed; or empty
                found.append(Answered(**json.loads(line)))
        return found

    def add(self, key: str, answers: Iterable[Answered]) -> None:
        """Write down answers about the picture of that id."""
        folder = self.folder / key
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "answers.jsonl").open("a", encoding="utf-8") as file:
            file.write("".join("\n" + json.dumps(asdict(each), ensure_ascii=False) for each in answers))
        os.utime(folder)

    def forget(self, key: str) -> None:
        """Remove the answers about a picture."""
        (self.folder / key / "answers.jsonl").unlink(missing_ok=True)

    def _sweep(self, newest: str) -> None:
        folders = sorted(self.folder.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[KEPT:]:
            if folder.name != newest:
                shutil.rmtree(folder, ignore_errors=True)


def id_of(path: Path) -> str:
    """The id of a picture: two names of one file share it."""
    return image_hash(path)[:32]

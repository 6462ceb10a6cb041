"""Prediction, and the append-only `predictions/<split>.jsonl` that survives a kill.

One `write` to a file opened for appending writes whole lines, and only then do their answers count. So after a kill at
any time, the file holds every acknowledged answer and at most one torn line, the last, which is dropped when the file
is opened again. `finish` then sorts the lines into the order of the questions: an interrupted run and an uninterrupted
one end with the same bytes.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vqa_core.drives import open_to_append, replace_file, sync_file, tolerate
from vqa_core.files import InputError, find_duplicates, intern_texts, named, read_json, write_atomically, write_json
from vqa_core.locks import Lock, try_lock
from vqa_core.space import drive_errors

STATUSES = ("ok", "empty", "bad_image", "oom", "error")
_LOCKED_IS_UNREADABLE = os.name == "nt"
LOCK_PATIENCE_S = 2.0  # worker processes of a killed run hold its lock until they notice that they are orphans

PartialAnswer = tuple[str, float | None]
"""The text of an answer so far, and its probability once it is whole."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one question.

    `answer` is submitted; `generated` is the model's raw text; `probability` is that of the generated tokens, including
    the end token. Of a multiple-choice question, `options` are the probabilities of its choices, in their order, which
    add up to 1, and `probability` is that of the one chosen. With a `status` other than `ok`, `answer` is a fallback
    and `detail` says what went wrong.
    """

    question_id: str
    answer: str
    generated: str
    probability: float | None
    status: str = "ok"
    detail: str = ""
    options: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        texts = {"question_id", "answer", "generated", "status", "detail"}
        wrong = sorted(name for name in texts if not isinstance(getattr(self, name), str))
        if wrong:
            raise ValueError(f"{wrong[0]} must be text, not {getattr(self, wrong[0])!r}")
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        object.__setattr__(self, "options", tuple(self.options))  # JSON has lists
        for probability in (self.probability, *self.options):
            if probability is not None and (type(probability) not in (int, float) or not math.isfinite(probability)):
                raise ValueError(f"probability must be a finite number or None, not {probability!r}")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; without the options of an open question, as files had it before there were any."""
        row = asdict(self)
        if not self.options:
            del row["options"]
        return row


class PredictionLog:
    """The predictions file of one split, open for appending in one process at a time. Create it with `open`.

    `done` holds the ids that have an answer.
    """

    def __init__(self, path: Path, handle: int, lock: Lock, predictions: dict[str, Prediction]) -> None:
        self.path = path
        self.done = set(predictions)
        self._handle, self._lock = handle, lock
        self._predictions = predictions

    @classmethod
    def open(cls, path: Path, *, meta: Mapping[str, Any] | None = None, restart: bool = False) -> Self:
        """Open or create the file; keep its whole lines, and the first of several answers to one id.

        `meta` describes the weights and settings of the answers; it is stored beside the file and must agree with what
        is stored there. `restart` renames an existing file and its meta to the suffix `.old`.

        Raises InputError if another process has the file open, a line is malformed, or `meta` differs.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        if restart:
            _move_away(path)
        lock = _lock(path)
        handle = -1
        try:
            handle = open_to_append(path)
            for leftover in path.parent.glob(f".{path.stem}.*.tmp"):  # of a process killed while it held the lock
                leftover.unlink()
            data = path.read_bytes()
            predictions, end, complete = _parse(path, data)
            _check_meta(path, meta, bool(predictions))
            if end < len(data) and not _cut(handle, end, path):
                write_atomically(path, data[:end])  # a new file, of which we have neither handle nor lock
                os.close(handle)
                handle = -1
                lock.release()
                return cls.open(path, meta=meta)
            if not complete:
                _write_at_end(handle, b"\n")
        except BaseException:
            if handle >= 0:
                os.close(handle)
            lock.release()
            raise
        return cls(path, handle, lock, predictions)

    def read(self) -> dict[str, Prediction]:
        """The predictions so far by question id, in the order of the file."""
        return dict(self._predictions)

    def append(self, predictions: Iterable[Prediction], *, sync: bool = False) -> int:
        """Write predictions, one per line; on return they survive a SIGKILL, with `sync` also a power cut.

        An id that has an answer keeps it. Returns the number written. Raises InputError if the disk is full.
        """
        if self._handle < 0:
            raise ValueError(f"{self.path} is closed")
        new: dict[str, Prediction] = {}
        for item in predictions:
            if item.question_id not in self.done:
                new.setdefault(item.question_id, item)
        data = b"".join(_line(item) for item in new.values())
        size = os.fstat(self._handle).st_size
        try:
            written = _write_at_end(self._handle, data) if data else 0
            if written < len(data):
                if not _cut(self._handle, size, self.path):
                    self._close_file()  # nothing may follow a torn line, which the next start drops
                raise OSError(0, "only a part could be written, the disk seems full")
            if sync:
                sync_file(self._handle, self.path)
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written: {error.strerror}. The {len(self.done)} answers in it are kept; "
                "make room and run the same command again."
            ) from error
        self._predictions.update(new)
        self.done.update(new)
        return len(new)

    def finish(self, order: Sequence[str]) -> None:
        """Rewrite the file atomically, one line for each id in `order`, and close the log.

        Raises InputError if an id is missing, occurs twice in `order`, or is in the file but not in `order`.
        """
        _check_ids(self.path, self.done, order)
        data = b"".join(_line(self._predictions[question_id]) for question_id in order)
        self._close_file()  # Windows replaces no file that is open
        if data != self.path.read_bytes():
            write_atomically(self.path, data)
        self.close()

    def close(self) -> None:
        """Flush to disk and close the file; closing twice does no harm."""
        try:
            self._close_file()
        finally:
            self._lock.release()

    def _close_file(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with drive_errors(self.path):
                try:
                    sync_file(handle, self.path)
                finally:
                    os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with contextlib.suppress(OSError):  # of the two errors, the first says more
                self.close()


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Read a predictions file by question id, in its order, without changing it; skips a torn last line."""
    if not path.is_file():
        raise InputError(f"{path} does not exist. Write it with `python -m eval.predict`.")
    return _parse(path, path.read_bytes())[0]


def finish(path: Path, order: Sequence[str]) -> None:
    """`PredictionLog.finish` for a file that no log has open."""
    with PredictionLog.open(path) as log:
        log.finish(order)


def refuse_while_written(path: Path) -> None:
    """Raise InputError if another process writes the predictions file `path`."""
    _lock(path).release()


def meta_path(path: Path) -> Path:
    """`predictions/test.jsonl` -> `predictions/test.meta.json`."""
    return path.with_suffix(".meta.json")


def _line(prediction: Prediction) -> bytes:
    row = prediction.to_dict()
    try:
        return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair can only be written as an escape
        return (json.dumps(row, allow_nan=False) + "\n").encode()


def _parse(path: Path, data: bytes) -> tuple[dict[str, Prediction], int, bool]:
    """Predictions by id, the offset after the last whole line, and whether that line has its line end."""
    predictions: dict[str, Prediction] = {}
    end = 0
    for number, line, ended in _lines(data):
        try:
            prediction = Prediction(**intern_texts(json.loads(line)))
        except (ValueError, TypeError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            if not ended:
                return predictions, end, True
            raise InputError(
                f"{path}, line {number}: not a prediction ({error}). Delete the line, or pass --restart to set the old "
                "answers aside."
            ) from None
        predictions.setdefault(prediction.question_id, prediction)
        end += len(line) + ended
        if not ended:
            return predictions, end, False
    return predictions, end, True


def _lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Each line's number, its bytes, and whether a line feed ends it."""
    *whole, last = data.split(b"\n")
    for number, line in enumerate(whole, start=1):
        yield number, line, True
    if last:
        yield len(whole) + 1, last, False


def _lock(path: Path) -> Lock:
    """The lock on the file now at `path`, which other processes then do not write.

    It is the file's own, as ever. But Windows lets nobody read what is locked, so there it is that of a file beside it.
    """
    place = path.with_name(f".{path.name}.lock") if _LOCKED_IS_UNREADABLE else path
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        lock = try_lock(place)
        if lock is not None:
            with contextlib.suppress(FileNotFoundError):
                # some network drives never number a file alike twice: in the end it is taken for the same
                if os.path.samestat(os.fstat(lock.fd), os.stat(place)) or time.monotonic() > deadline:
                    return lock
            lock.release()  # another process has just put a new file in its place
        elif time.monotonic() > deadline:
            raise InputError(
                f"{path} is being written by another process. Wait for it to end, or stop it, then try again."
            )
        else:
            time.sleep(0.05)


def _write_at_end(handle: int, data: bytes) -> int:
    """Append in one write; return how many bytes were written."""
    os.lseek(handle, 0, os.SEEK_END)  # for drives that do not append
    return os.write(handle, data)


def _cut(handle: int, size: int, path: Path) -> bool:
    """Cut the file to `size` bytes; False if its drive cuts no files."""
    try:
        os.ftruncate(handle, size)
    except OSError as error:
        tolerate("ftruncate", error, path)
        return False
    return True


def _move_away(path: Path) -> None:
    """Rename the file and its meta to the suffix `.old`, unless the file is empty.

    The meta first: between the two, answers with no meta are refused, but those with another's would be believed.
    """
    with _lock(path):
        if path.exists() and path.stat().st_size:
            if meta_path(path).exists():
                replace_file(meta_path(path), Path(f"{meta_path(path)}.old"))
            replace_file(path, Path(f"{path}.old"))


def _check_meta(path: Path, meta: Mapping[str, Any] | None, answered: bool) -> None:
    """Store `meta` beside the file. Raises InputError if the file has answers with a different one."""
    if meta is None:
        return
    now = json.loads(json.dumps(meta))
    beside = meta_path(path)
    if answered:
        there = read_json(beside) if beside.exists() else {}
        differing = sorted(key for key in now.keys() | there.keys() if now.get(key) != there.get(key))
        if differing:
            shown = "; ".join(f"{key} was {there.get(key)!r}, is {now.get(key)!r}" for key in differing[:4])
            more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
            raise InputError(
                f"{path} holds answers made differently: {shown}{more}. Pass --restart to set the old answers aside, "
                "or use another run."
            )
    else:
        write_json(beside, now)


def _check_ids(path: Path, done: set[str], order: Sequence[str]) -> None:
    """Raise InputError unless `done` and `order` are the same ids, each once."""
    wanted = set(order)
    if len(wanted) < len(order):
        twice = find_duplicates(order)
        raise InputError(f"{named(twice)} occur more than once among the questions of {path}; ids must be unique.")
    missing = [item for item in order if item not in done]
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} of {len(order)} answers, among them {named(missing)}. "
            "Run the same `python -m eval.predict` again to add them."
        )
    unknown = [item for item in done if item not in wanted]
    if unknown:
        raise InputError(
            f"{path} holds {len(unknown)} answers to other questions, among them {named(sorted(unknown))}. "
            "Pass --restart to set the old answers aside, or use another run."
        )

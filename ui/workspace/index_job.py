"""IndexJob: makes the index of a dataset in a process of its own: the page's memory is no place for 400,000 rows.

python -m ui.workspace.index_job --data data/easy-vqa --out runs/.page/indexes/easy-vqa

The process outlives the page. It holds a lock as long as it lives, and writes its progress and its end to state.json,
where every page and every server can read them.
"""

import argparse
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vqa_core import ROOT
from vqa_core.config import DataSettings
from vqa_core.data.archives import extract_zip
from vqa_core.data.competition import dataset_root
from vqa_core.data.index.writer import fingerprint, index_dataset
from vqa_core.data.prepare import column_map, column_settings
from vqa_core.data.sources import EMBEDDED, data_folder
from vqa_core.files import InputError, read_json, write_json
from vqa_core.locks import Lock, try_lock
from vqa_core.runs.examples import ColumnMap
from vqa_core.settings import add_arguments, flag_of, resolve

COLUMNS = tuple(column_settings(ColumnMap()))
OVER = ("done", "failed")
WRITE_EVERY_S = 0.4
_looking = threading.Lock()  # looking for a running process means trying its lock


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far the making of an index is.

    `stage` is start, unpack, read, index, check, done or failed, with `error` saying why; `done` of `total` steps of
    it are done, 0 of 0 where that is not known. `mark` is the fingerprint of the data it is made from, "" before that
    is known.
    """

    stage: str
    done: int = 0
    total: int = 0
    error: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class IndexJob:
    """`folder` is where the index of one dataset is kept."""

    folder: Path

    @property
    def index(self) -> Path:
        return self.folder / "index.sqlite"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def building(self) -> bool:
        """Whether a process is making the index now."""
        with _looking:
            lock = self._try_lock()
            if lock is not None:
                lock.release()
            return lock is None

    def state(self) -> IndexState | None:
        """The state that the last process wrote; None if there was none. One that died without a word has failed."""
        building = self.building  # read before the file, so that a job which ends in between counts as ended
        try:
            state = IndexState(**read_json(self.folder / "state.json"))
        except (InputError, TypeError):
            return None
        if state.stage in OVER or building:
            return state
        return IndexState("failed", mark=state.mark)

    def start(self, source: str, data_dir: Path, columns: ColumnMap, mark: str) -> None:
        """Start a process, unless one is running. `source` and `data_dir` are those of `data_folder`."""
        command = [
            sys.executable,
            "-m",
            "ui.workspace.index_job",
            "--data",
            source,
            "--data-dir",
            str(data_dir.resolve()),
        ]
        for name, value in column_settings(columns).items():
            command += [flag_of(name), value]
        with _looking:
            lock = self._try_lock()
            if lock is None:
                return
            try:
                self.tell(IndexState("start", mark=mark))
                process = self._run([*command, "--out", str(self.folder.resolve()), "--mark", mark], lock)
            except BaseException:
                lock.release()
                raise
            if self._inherits(lock):
                lock.release()
        threading.Thread(target=_wait, args=(process, lock), daemon=True).start()

    def _run(self, command: Sequence[str], lock: Lock) -> "subprocess.Popen[bytes]":
        """Start the process, which holds the lock from its first moment to its last."""
        with self.log.open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fd] if self._inherits(lock) else [],
            )

    @staticmethod
    def _inherits(lock: Lock) -> bool:
        """Whether a child process can hold the lock too; if not, the server holds it as long as both live."""
        return os.name != "nt" and not lock.is_soft

    def tell(self, state: IndexState) -> None:
        """Write how far it is."""
        write_json(self.folder / "state.json", asdict(state))

    def _try_lock(self) -> Lock | None:
        """The lock; None if a process that builds has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return try_lock(self.folder / "lock")


def _wait(process: "subprocess.Popen[bytes]", lock: Lock) -> None:
    """Wait for the end of the process, so that no zombie is left."""
    process.wait()
    lock.release()


def main(argv: Sequence[str] | None = None) -> None:
    """Make an index; how it went is in its state.json."""
    parser = argparse.ArgumentParser(
        prog="python -m ui.workspace.index_job", description="Index a dataset for the page."
    )
    parser.add_argument(
        "--data", required=True, metavar="DIR|ZIP|easy-vqa", help="the dataset, as train.prepare has it"
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where easy-vqa is written or a zip unpacked")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the index is kept")
    parser.add_argument("--mark", default="", help=argparse.SUPPRESS)
    add_arguments(parser, DataSettings, only=COLUMNS)
    args = parser.parse_args(argv)
    if hasattr(os, "nice"):
        os.nice(10)
    job = IndexJob(args.out)
    progress = _Progress(job, args.mark)
    try:
        root = dataset_root(_unpacked(args.data, args.data_dir, progress))
        columns = column_map(resolve(DataSettings, {}, args))
        progress.mark = fingerprint(root, columns)
        index_dataset(root, columns, job.index, progress)
        job.tell(IndexState("done", mark=progress.mark))
    except InputError as error:
        job.tell(IndexState("failed", error=str(error), mark=progress.mark))
        raise SystemExit(2) from None
    except Exception:
        logging.exception("the index could not be made")
        job.tell(IndexState("failed", mark=progress.mark))
        raise SystemExit(1) from None


class _Progress:
    """Writes the state at most every WRITE_EVERY_S seconds, and at every new stage."""

    def __init__(self, job: IndexJob, mark: str) -> None:
        self.job, self.mark = job, mark
        self._last = ("", 0.0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._last[0] or now > self._last[1] + WRITE_EVERY_S:
            self._last = (stage, now)
            self.job.tell(IndexState(stage, done, total, mark=self.mark))


def _unpacked(source: str, data_dir: Path | None, progress: _Progress) -> Path:
    """The folder of a source."""
    progress("unpack", 0, 0)
    if source in EMBEDDED or Path(source).is_dir() or not Path(source).exists():
        return data_folder(source, data_dir)
    return extract_zip(Path(source), data_dir, progress=lambda done, total: progress("unpack", done, total))


if __name__ == "__main__":
    main()

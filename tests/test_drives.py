"""Every call that a drive may refuse, with every error that says so: done in another way, with one warning."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vqa_core import drives
from vqa_core.data.pictures.links import make_link
from vqa_core.drives import REFUSALS, link_or_copy
from vqa_core.files import write_atomically
from vqa_core.folders import replaced_folder
from vqa_core.runs import predictions
from vqa_core.runs.checkpoints import problem_with, seal
from vqa_core.runs.examples import Example
from vqa_core.runs.predictions import Prediction, PredictionLog, read_predictions
from vqa_core.runs.training_rows import open_rows, write_rows


def codes(*calls: str) -> list[Any]:
    """A case for each call and each error that this system knows."""
    return [
        pytest.param(call, code, id=f"{call}-{code}")
        for call in calls
        for code in REFUSALS[call].errors.split()
        if hasattr(errno, code)
    ]


class Drive:
    """Lets calls fail below a folder, and counts the warnings."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.folder, self.patch, self.caplog = folder, patch, caplog

    def refuse(self, name: str, code: str, when: Callable[..., bool] = lambda *_: True) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if when(*arguments):
                raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
            return real(*arguments, **options)

        self.patch.setattr(os, name, call)

    def check(self, call: str) -> None:
        said = [text for text in self.caplog.messages if f"refuses {call} " in text]
        assert len(said) == 1, self.caplog.messages
        assert REFUSALS[call].weaker in said[0]


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Drive:
    monkeypatch.setattr(drives, "_warned", set())
    monkeypatch.setattr(drives.logger, "propagate", True)
    return Drive(tmp_path, monkeypatch, caplog)


def is_folder(handle: int, *_: object) -> bool:
    return os.path.isdir(f"/proc/self/fd/{handle}") if os.path.isdir("/proc/self/fd") else False


def make(number: int) -> Prediction:
    return Prediction(f"Q{number}", "yes", "yes", 0.5)


@pytest.mark.parametrize(("call", "code"), codes("fsync"))
def test_files_without_fsync(call: str, code: str, drive: Drive) -> None:
    drive.refuse("fsync", code)
    for text in ("old", "new"):
        write_atomically(drive.folder / "file", text)
    assert (drive.folder / "file").read_text() == "new"
    with PredictionLog.open(drive.folder / "test.jsonl") as log:
        log.append([make(1)], sync=True)
        log.finish(["Q1"])
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("fsync of a folder"))
def test_checkpoints_without_fsync_of_folders(call: str, code: str, drive: Drive) -> None:
    drive.refuse("fsync", code, is_folder)
    for number in (1, 2):
        new = drive.folder / ".writing"
        new.mkdir()
        (new / "weights").write_text("1")
        seal(new, drive.folder / f"checkpoint-{number}")
        assert problem_with(drive.folder / f"checkpoint-{number}") is None
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("chmod"))
def test_files_without_permissions(call: str, code: str, drive: Drive) -> None:
    drive.refuse("chmod", code)
    for text in ("old", "new"):
        write_atomically(drive.folder / "file", text)
    assert (drive.folder / "file").read_text() == "new"
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("utime"))
def test_folders_without_dates(call: str, code: str, drive: Drive) -> None:
    drive.refuse("utime", code)
    drives.touch(drive.folder)
    drives.touch(drive.folder)
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("rename over a file"))
def test_a_drive_that_renames_over_no_file(call: str, code: str, drive: Drive) -> None:
    def over(_: Any, target: Any) -> bool:
        return os.path.exists(target)

    drive.refuse("replace", code, over)
    drive.refuse("rename", code, over)
    (drive.folder / "file.old").write_text("what --restart has set aside")
    for text in ("old", "newer", "newest"):
        write_atomically(drive.folder / "file", text)
        assert (drive.folder / "file").read_text() == text
    assert sorted(os.listdir(drive.folder)) == ["file", "file.old"]
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("rename of a file"))
def test_a_drive_that_renames_no_file(call: str, code: str, drive: Drive) -> None:
    drive.refuse("replace", code)
    drive.refuse("rename", code)
    for text in ("old", "new"):
        if code in REFUSALS["rename over a file"].errors.split() and text == "new":
            break  # what is there can't be moved away either: see below
        write_atomically(drive.folder / "file", text)
        assert (drive.folder / "file").read_text() == text
    assert os.listdir(drive.folder) == ["file"]
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("rename of a folder"))
def test_a_drive_that_renames_no_folder(call: str, code: str, drive: Drive) -> None:
    drive.refuse("rename", code, lambda source, _: os.path.isdir(source))
    for text in ("old", "new"):
        with replaced_folder(drive.folder / "rows") as building:
            (building / "part").mkdir()
            (building / "part" / "file").write_text(text)
        assert (drive.folder / "rows" / "part" / "file").read_text() == text
    assert os.listdir(drive.folder) == ["rows"]
    drive.check(call)


@pytest.mark.parametrize("hard", ["links", "no links"])
@pytest.mark.parametrize(("call", "code"), codes("symlink"))
def test_a_drive_without_links(call: str, code: str, hard: str, drive: Drive) -> None:
    place = drive.folder / "pictures"
    place.mkdir()
    (place / "a.png").write_bytes(b"1")
    (place / ".hidden").write_bytes(b"1")
    drive.refuse("symlink", code)
    if hard == "no links":
        drive.refuse("link", "EPERM")
    for name in ("one", "two"):
        link = place / f"to-{name}" / "linked"  # inside of what it stands for
        link.parent.mkdir()
        make_link(link, place)
        assert (link / "a.png").read_bytes() == b"1"
        assert not (link / ".hidden").exists()
        assert not (link / f"to-{name}").exists()
    make_link(drive.folder / "b.png", place / "a.png")
    assert (drive.folder / "b.png").read_bytes() == b"1"
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("link"))
def test_a_drive_without_hard_links(call: str, code: str, drive: Drive) -> None:
    assert call == "link"
    (drive.folder / "a").write_text("1")
    drive.refuse("link", code)
    link_or_copy(drive.folder / "a", drive.folder / "b")
    assert (drive.folder / "b").read_text() == "1"


@pytest.mark.parametrize(("call", "code"), codes("ftruncate"))
def test_a_torn_line_on_a_drive_that_cuts_no_files(call: str, code: str, drive: Drive) -> None:
    path = drive.folder / "test.jsonl"
    with PredictionLog.open(path, meta={"weights": "a"}) as log:
        log.append([make(1)])
    path.write_bytes(path.read_bytes() + b'{"question_id": "Q2", "ans')
    drive.refuse("ftruncate", code)
    drive.patch.setattr(predictions, "LOCK_PATIENCE_S", 0.0)
    with PredictionLog.open(path, meta={"weights": "a"}) as log:
        assert log.done == {"Q1"}
        log.append([make(2)])
        with pytest.raises(ValueError, match="being written"):
            PredictionLog.open(path)
    assert list(read_predictions(path)) == ["Q1", "Q2"]
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("opening to append"))
def test_a_drive_that_opens_nothing_to_append(call: str, code: str, drive: Drive) -> None:
    path = drive.folder / "test.jsonl"
    drive.refuse("open", code, lambda _, flags=0, *__: bool(flags & os.O_APPEND))
    for number in (1, 2):
        with PredictionLog.open(path) as log:
            log.append([make(number)])
            log.append([make(number + 10)])
    assert list(read_predictions(path)) == ["Q1", "Q11", "Q2", "Q12"]
    drive.check(call)


@pytest.mark.parametrize(("call", "code"), codes("mmap"))
def test_rows_and_weights_on_a_drive_that_maps_nothing_into_memory(
    call: str, code: str, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    write_rows([Example("1", "a", "a.png", "What?", "red")], drive.folder / "rows")
    monkeypatch.setattr("datasets.arrow_dataset.MemoryMappedTable.from_file", refuse)
    for _ in range(2):
        assert open_rows(drive.folder / "rows")[0]["answers"] == ["red"]
    drive.check(call)


def test_a_copy_on_a_drive_without_permissions_or_times(drive: Drive) -> None:
    (drive.folder / "a" / "b").mkdir(parents=True)
    (drive.folder / "a" / "b" / "file").write_text("1")
    for name in ("chmod", "utime"):
        drive.refuse(name, "EPERM")
    drives.copy_folder(drive.folder / "a", drive.folder / "c")
    assert (drive.folder / "c" / "b" / "file").read_text() == "1"
    drive.check("chmod")


def test_a_drive_that_never_numbers_a_file_alike_twice(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "samestat", lambda *_: False)
    monkeypatch.setattr(predictions, "LOCK_PATIENCE_S", 0.1)
    with PredictionLog.open(drive.folder / "test.jsonl") as log:
        log.append([make(1)])
        log.finish(["Q1"])
    with replaced_folder(drive.folder / "rows") as building:
        (building / "file").write_text("1")
    assert sorted(os.listdir(drive.folder)) == ["rows", "test.jsonl"]


@pytest.mark.parametrize(("call", "code"), codes("statvfs"))
def test_a_drive_that_says_nothing_of_its_room(
    call: str, code: str, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert drives.free_bytes(drive.folder / "not there yet") is None
    assert drives.free_bytes(drive.folder) is None
    drive.check(call)


def test_every_call_of_the_list_was_tried() -> None:
    """The counterpart: a call that is added needs a test here, and flock has its own in test_locks.py."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'codes("{call}")' in text for call in REFUSALS if call != "flock")


@pytest.mark.parametrize("code", ["EIO", "ENOSPC", "EDQUOT"])
def test_an_error_of_the_disk_is_no_refusal(code: str, drive: Drive) -> None:
    write_atomically(drive.folder / "file", "old")
    for name in ("fsync", "replace"):
        with pytest.MonkeyPatch.context() as patch:
            Drive(drive.folder, patch, drive.caplog).refuse(name, code)
            with pytest.raises(OSError, match=str(drive.folder / "file")):
                write_atomically(drive.folder / "file", "new")
    assert (drive.folder / "file").read_text() == "old"
    assert os.listdir(drive.folder) == ["file"]
    assert not drive.caplog.messages


def test_what_can_be_renamed_in_no_way_stays_as_it_was(drive: Drive) -> None:
    """A folder that may not be changed answers like a drive that renames nothing."""
    write_atomically(drive.folder / "file", "old")
    drive.refuse("replace", "EACCES")
    drive.refuse("rename", "EACCES")
    with pytest.raises(OSError, match="permission denied"):
        write_atomically(drive.folder / "file", "new")
    assert (drive.folder / "file").read_text() == "old"
    assert os.listdir(drive.folder) == ["file"]


def test_windows_has_a_file_open_for_a_moment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: a reader or a virus scanner holds the file for three tries."""
    real, tries = os.replace, [0]

    def busy(source: Any, target: Any) -> None:
        tries[0] += 1
        if tries[0] <= 3:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(source), None, str(target))
        real(source, target)

    monkeypatch.setattr(drives, "_WINDOWS", True)
    monkeypatch.setattr(os, "replace", busy)
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert tries == [4]


def test_names_of_temporary_files_fit_where_the_name_itself_does(tmp_path: Path) -> None:
    for name in ("a" * 255, "가" * 85, "가" * 80 + "b"):
        write_atomically(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"
        with replaced_folder(tmp_path / f"d{name[1:]}") as building:
            (building / "file").write_text("x")
    assert len(os.listdir(tmp_path)) == 6

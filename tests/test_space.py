"""Errors of drives as sentences: the place, what is wrong, what to do."""

import errno
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from vqa_core import space
from vqa_core.files import InputError
from vqa_core.space import DiskError, check_folder, check_space, disk_error, drive_errors, format_bytes, said_of_drive

SAID = {
    "ENOSPC": "its drive is full",
    "EDQUOT": "your quota",
    "EFBIG": "ulimit -f",
    "EROFS": "read-only",
    "EACCES": "permission denied",
    "EPERM": "permission denied",
    "ENAMETOOLONG": "255 bytes",
    "EEXIST": "where a folder is needed",
    "ENOTDIR": "where a folder is needed",
    "EISDIR": "where a file is needed",
    "EINVAL": "does not take this name",
    "EILSEQ": "does not take this name",
    "EMFILE": "ulimit -n",
    "EIO": "Input/output error",
    "ESTALE": "connected",
    "ENOTCONN": "connected",
}


def error(code: str, *names: str) -> OSError:
    return OSError(getattr(errno, code), os.strerror(getattr(errno, code)), *names)


@pytest.mark.parametrize("code", sorted(SAID))
def test_each_error_of_a_drive_has_a_sentence(code: str) -> None:
    said = disk_error(Path("runs/a"), error(code), 5 << 20)
    assert str(said).startswith("runs/a")
    assert SAID[code] in str(said)
    assert isinstance(said, InputError)
    assert isinstance(said, OSError)
    assert said.errno == getattr(errno, code)
    assert ("5.0 MB needed" in str(said)) == (code in ("ENOSPC", "EDQUOT", "EFBIG"))
    found = said_of_drive(error(code, "runs/b"))
    assert found is not None
    assert str(found).startswith("runs/b")


def test_errors_of_libraries_are_read_from_their_words() -> None:
    for text in (
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device",
    ):
        assert SAID["ENOSPC"] in str(said_of_drive(RuntimeError(text), Path("a")))
    full = sqlite3.OperationalError("database or disk is full")
    assert SAID["ENOSPC"] in str(said_of_drive(full, Path("a")))
    read_only = sqlite3.OperationalError("attempt to write a readonly database")
    assert SAID["EROFS"] in str(said_of_drive(read_only, Path("a")))


def test_the_first_of_what_went_wrong_in_a_copied_folder_is_said(tmp_path: Path) -> None:
    many = shutil.Error([("a", str(tmp_path / "b"), "[Errno 13] Permission denied: 'b'"), ("c", "d", "[Errno 28] x")])
    assert str(said_of_drive(many)).startswith(f"{tmp_path / 'b'}: permission denied")


def test_the_cause_counts_and_what_is_no_drives_fault_is_left_alone() -> None:
    outer = RuntimeError("could not save")
    outer.__cause__ = error("ENOSPC")
    assert SAID["ENOSPC"] in str(said_of_drive(outer, Path("a")))
    for other in (
        ZeroDivisionError("x"),
        FileNotFoundError(errno.ENOENT, "x", "runs/a"),
        ConnectionRefusedError(errno.ECONNREFUSED, "x"),
        TimeoutError(errno.ETIMEDOUT, "x"),  # of a server, as it names no file
        PermissionError(errno.EPERM, "x"),  # of a process
        InputError("a better sentence"),
        OSError("no number"),
    ):
        assert said_of_drive(other) is None


def test_a_better_sentence_about_a_drive_is_not_replaced() -> None:
    outer = InputError("The 7 answers are kept.")
    outer.__cause__ = error("ENOSPC", "x")
    assert said_of_drive(outer) is None
    first = disk_error(Path("a"), error("EROFS"))
    assert said_of_drive(first, Path("b")) is first
    with pytest.raises(DiskError, match=r"^a cannot"), drive_errors(Path("b")):
        raise first


def test_room_is_asked_for_where_the_folder_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_space(tmp_path / "not" / "there", 1, "A test")
    with pytest.raises(InputError, match=r"^A test needs \d+\.\d GB at .*not/there, and its drive has .* free"):
        check_space(tmp_path / "not" / "there", 1 << 60, "A test")
    monkeypatch.setattr(space, "free_bytes", lambda _: None)
    check_space(tmp_path, 1 << 60, "A test")


def test_bytes_for_a_person() -> None:
    assert [format_bytes(count) for count in (5, 2048, 3 << 20, 3 << 29)] == ["5 bytes", "2.0 KB", "3.0 MB", "1.5 GB"]


def test_a_long_path_is_shortened_where_it_is_the_fault() -> None:
    assert len(str(disk_error(Path("a" * 5000), error("ENAMETOOLONG")))) < 300


def test_a_folder_is_looked_at_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere" / "deep")
    for there in (tmp_path, tmp_path / "a" / "b"):
        check_folder(there)
    for wrong in ("file", "file/run", "broken", "broken/run", "a" * 256, "가" * 86):
        with pytest.raises(DiskError):
            check_folder(tmp_path / wrong)
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr(os, "access", lambda *_: False)
    check_folder(tmp_path / "a")

    def refuse(**_: object) -> None:
        raise error("EROFS")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(DiskError, match="read-only"):
        check_folder(tmp_path / "a")
    assert sorted(os.listdir(tmp_path)) == ["broken", "file"]

"""Folders wholly there or not there, through errors and kills."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vqa_core import ROOT, folders
from vqa_core.folders import put_in_place, replaced_folder, scratch_folder
from vqa_core.space import DiskError

BUILDER = """
import sys, time
from pathlib import Path
from vqa_core.folders import replaced_folder

with replaced_folder(Path(sys.argv[1])) as building:
    (building / "half").write_text("half")
    print("building", flush=True)
    time.sleep(60)
"""


def write(target: Path, text: str) -> None:
    with replaced_folder(target) as building:
        (building / "file").write_text(text)


def fail(target: Path, error: Exception) -> None:
    with replaced_folder(target) as building:
        (building / "file").write_text("new")
        raise error


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write(tmp_path / "rows", text)
    assert (tmp_path / "rows" / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["rows"]
    assert (tmp_path / "rows").stat().st_mode & 0o777 == 0o777 & ~folders_umask()


def folders_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ZeroDivisionError()])
def test_an_error_leaves_the_folder_as_it_was_and_nothing_else(error: Exception, tmp_path: Path) -> None:
    write(tmp_path / "rows", "old")
    kind = DiskError if isinstance(error, OSError) else ZeroDivisionError
    with pytest.raises(kind):
        fail(tmp_path / "rows", error)
    assert (tmp_path / "rows" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["rows"]


def test_a_full_drive_names_the_target_and_a_source_that_cannot_be_read_names_that(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=f"^{tmp_path / 'rows'} cannot be written.*3 bytes needed"):
        fail(tmp_path / "rows", OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(DiskError, match=r"^/somewhere/a\.png: permission denied"):
        fail(tmp_path / "rows", PermissionError(errno.EACCES, "Permission denied", "/somewhere/a.png"))


def test_what_a_killed_build_leaves_is_removed_by_the_next_but_not_by_one_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    write(target, "old")
    command = [sys.executable, "-c", BUILDER, str(target)]
    builder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert builder.stdout is not None
    assert builder.stdout.readline() == "building\n"
    write(target, "new")
    assert list(tmp_path.glob(".rows.*.tmp/half")), "a live build is left alone"
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    assert (target / "file").read_text() == "new"
    write(target, "newest")
    assert os.listdir(tmp_path) == ["rows"]


def test_a_kill_between_the_two_renames_costs_nothing(tmp_path: Path) -> None:
    target = tmp_path / "rows"
    write(target, "old")
    target.rename(tmp_path / ".rows.12345678.old.tmp")
    (tmp_path / ".rows.12345678.lock.tmp").touch()
    with pytest.raises(ZeroDivisionError), replaced_folder(target):
        raise ZeroDivisionError
    assert (target / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["rows"]


def test_leftovers_of_earlier_versions_and_of_other_folders(tmp_path: Path) -> None:
    (tmp_path / ".rows.ab_d1234.tmp").mkdir()  # tempfile's name, without a lock
    for other in (".rows.more.ab_d1234.tmp", ".rowsab_d1234.tmp", ".rows.tmp"):
        (tmp_path / other).mkdir()
    write(tmp_path / "rows", "new")
    assert sorted(os.listdir(tmp_path)) == [".rows.more.ab_d1234.tmp", ".rows.tmp", ".rowsab_d1234.tmp", "rows"]


def test_builders_side_by_side_leave_the_folder_of_one_of_them(tmp_path: Path) -> None:
    failed = []

    def work(number: int) -> None:
        for _ in range(10):
            try:
                write(tmp_path / "rows", str(number))
            except OSError as error:  # another has put its own there in between
                failed.append(error)
            time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write(tmp_path / "rows", "last")
    assert os.listdir(tmp_path) == ["rows"]
    assert (tmp_path / "rows" / "file").read_text() == "last"


def test_parts_are_put_in_place_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("old")
    with scratch_folder(tmp_path / "new") as scratch:
        (scratch / "file").write_text("new")
        (scratch / "folder").mkdir()
        (scratch / "folder" / "b").write_text("new")
        for name in ("file", "folder"):
            put_in_place(scratch / name, tmp_path / name)
    assert (tmp_path / "file").read_text() == "new"
    assert os.listdir(tmp_path / "folder") == ["b"]
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "rows", "old")
    real = folders.rename_folder

    def refuse(source: Path, target: Path) -> None:
        if target.name == "rows" and source.name.count(".") == 3:  # the new one, not the old one on its way back
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(folders, "rename_folder", refuse)
    with pytest.raises(DiskError):
        write(tmp_path / "rows", "new")
    assert (tmp_path / "rows" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["rows"]

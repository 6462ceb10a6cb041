"""Locks: one holder between processes and threads, free when it dies, also on a drive that has none."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from vqa_core import ROOT, drives, locks
from vqa_core.locks import Busy, holder, locked, soft_path, try_lock

REFUSED = ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL")

HOLDER = """
import errno, os, sys, time
from pathlib import Path
import filelock
from vqa_core.locks import try_lock

if sys.argv[2] == "soft":
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    filelock.lock_descriptor = refuse
lock = try_lock(Path(sys.argv[1]), note=True)
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(60)
print("held" if lock else "busy", flush=True)
time.sleep(60)
"""


def refuse(code: str) -> Callable[..., bool]:
    def call(*_: object, **__: object) -> bool:
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    return call


def hold(path: Path, kind: str = "", *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER, str(path), kind, *more]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture(autouse=True)
def warnings_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "_warned", set())


@pytest.mark.parametrize("kind", ["native", "soft"])
def test_threads_of_one_process_exclude_each_other(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "soft":
        monkeypatch.setattr(filelock, "lock_descriptor", refuse("ENOLCK"))
    path, inside, most = tmp_path / "lock", [0], [0]

    def work() -> None:
        for _ in range(10):
            with locked(path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.001)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert path.exists(), "who waits for it waits for this very file"


@pytest.mark.parametrize("kind", ["native", "soft"])
def test_a_killed_holder_is_named_while_it_lives_and_frees_the_lock_when_it_dies(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "soft":
        monkeypatch.setattr(filelock, "lock_descriptor", refuse("ENOLCK"))
    path = tmp_path / "lock"
    process = hold(path, kind)
    try:
        assert try_lock(path) is None
        found = holder(path)
        assert found is not None
        assert found.pid == process.pid
        with (
            pytest.raises(Busy, match=f"is held by process {process.pid} on .* since .* Wait for its end"),
            locked(path, patience_s=0.05),
        ):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    with locked(path, patience_s=10, note=True):
        found = holder(path)
        assert found is not None
        assert found.pid == os.getpid()
    assert holder(path) is None


def test_a_forked_child_does_not_hold_what_its_dead_parent_held(tmp_path: Path) -> None:
    process = hold(tmp_path / "lock", "native", "fork")
    try:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with locked(tmp_path / "lock", patience_s=10):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_child_that_inherits_the_descriptor_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = try_lock(path)
    assert lock is not None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fd])
    lock.release()
    assert try_lock(path) is None
    child.communicate(b"\n")
    with locked(path, patience_s=10):
        pass


@pytest.mark.parametrize("code", REFUSED)
def test_a_drive_without_locks_gets_a_file_for_it_and_one_warning(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filelock, "lock_descriptor", refuse(code))
    monkeypatch.setattr(drives.logger, "propagate", True)
    path = tmp_path / "lock"
    for _ in range(2):
        with locked(path) as lock:
            assert lock.is_soft
            assert soft_path(path).exists()
            assert try_lock(path) is None
        assert not soft_path(path).exists()
    assert len(caplog.messages) == 1
    assert "refuses flock" in caplog.text
    assert "switched off" in caplog.text


def test_the_lock_of_another_machine_is_kept_and_the_sentence_says_how_to_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock, "lock_descriptor", refuse("ENOLCK"))
    path = tmp_path / "lock"
    soft_path(path).write_text(f"{os.getpid()}\nanother-machine\n12345\n")
    with (
        pytest.raises(Busy, match=r"on another-machine.*switched off, delete .*lock\.soft"),
        locked(path, patience_s=0),
    ):
        pass
    found = holder(path)
    assert found is not None
    assert found.left_behind == str(soft_path(path))
    soft_path(path).unlink()
    with locked(path, patience_s=0):
        pass


def test_an_error_that_says_something_else_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelock, "lock_descriptor", refuse("EIO"))
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    with pytest.raises(OSError, match="Input/output"):
        try_lock(tmp_path / "lock")
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_the_core_and_the_page_start_where_there_is_no_fcntl(tmp_path: Path) -> None:
    code = "import sys\nsys.modules['fcntl'] = None\nimport warnings\nwarnings.simplefilter('ignore')\n"
    code += "import vqa_core.runs.predictions, vqa_core.folders, vqa_core.submission.history, ui.workspace.index_job\n"
    code += "from pathlib import Path\nfrom vqa_core.locks import locked, try_lock\np = Path(sys.argv[1])\n"
    code += "with locked(p):\n    assert try_lock(p) is None\n"
    code += "assert try_lock(p) is not None\n"
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_lock_that_is_released_twice_takes_nobody_elses(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock")
    assert first is not None
    first.release()
    second = try_lock(tmp_path / "lock")
    assert second is not None
    first.release()
    assert try_lock(tmp_path / "lock") is None
    second.release()


def test_what_stands_in_the_file_is_read_only_as_far_as_it_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for text in ("", " ", " {", " []", ' {"pid": 1}', "x" * 5000, ' {"pid": 1, "host": "a", "more": 2}'):
        path.write_text(text)
        assert holder(path) is None
    assert locks.Holder(1, "a").host == "a"

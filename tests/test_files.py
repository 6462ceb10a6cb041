"""Files wholly there or not there, and the sentences for those that are wrong."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vqa_core import ROOT
from vqa_core.files import (
    InputError,
    intern_texts,
    named,
    read_json,
    read_json_lines,
    sha256_of,
    write_atomically,
    write_json,
    write_json_lines,
)
from vqa_core.locks import try_lock

WRITER = """
import sys
from pathlib import Path
from vqa_core.files import write_atomically

path, number = Path(sys.argv[1]), 0
while True:
    write_atomically(path, str(number % 10) * 300_000)
    number += 1
"""


def test_a_write_that_is_killed_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for delay in (0.0, 0.01, 0.02, 0.03, 0.05):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT)
        while not path.exists():
            time.sleep(0.005)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        text = path.read_text()
        assert len(text) == 300_000
        assert len(set(text)) == 1
        path.unlink()


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half a pair: \ud83d")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_write_left_goes_with_the_next_and_what_a_live_one_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    left, live, foreign = (tmp_path / name for name in (".file.abcdefgh.tmp", ".file.12345678.tmp", ".file.mine.tmp"))
    for other in (left, live, foreign):
        other.write_text("half")
    with try_lock(live) as lock:  # type: ignore[union-attr]  # as the process that writes it holds it
        assert lock.fd
        write_atomically(path, "new")
        assert {item.name for item in tmp_path.iterdir()} == {"file", live.name, foreign.name}
    write_atomically(path, "newer")
    assert {item.name for item in tmp_path.iterdir()} == {"file", foreign.name}


def test_writers_at_once_never_take_each_others_files_for_leftovers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_atomically(path, str(number % 10) * 5_000), range(200)))
    text = path.read_text()
    assert (len(text), len(set(text))) == (5_000, 1)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    before = os.umask(0o027)
    try:
        write_atomically(path, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_json_survives_with_every_text_as_it_was(tmp_path: Path) -> None:
    value = {"answers": ["none", "NA", "001", "", "예", "\u2028"], "number": 0.1, "nothing": None}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert write_json_lines(tmp_path / "a.jsonl", [value, {}]) == 2
    assert list(read_json_lines(tmp_path / "a.jsonl")) == [value, {}]
    assert len((tmp_path / "a.jsonl").read_bytes().split(b"\n")) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": 1,\n}', "not valid JSON.*line 2"),
        (b"\xff\xfe{", "is not UTF-8 .byte 0xff.*Save it as UTF-8"),
        (b"", "not valid JSON"),
    ],
)
def test_json_that_is_none_is_said_with_its_place(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        read_json(path)
    assert str(path) in str(error.value)


def test_a_bad_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    (tmp_path / "korean.jsonl").write_bytes('{"a": 1}\n{"a": "한국어"}\n'.encode("cp949"))
    with pytest.raises(InputError, match=r"korean.jsonl is not UTF-8 \(byte 0xc7"):
        list(read_json_lines(tmp_path / "korean.jsonl"))
    for bad, says in (('{"a"', "line 3: not valid JSON"), ("[1]", "line 3: expected an object, found list")):
        path.write_text(f'{{"a": 1}}\n\n{bad}\n')
        with pytest.raises(InputError, match=says):
            list(read_json_lines(path))
    for reader in (read_json, lambda missing: list(read_json_lines(missing))):
        with pytest.raises(InputError, match="does not exist"):
            reader(tmp_path / "missing")


def test_a_byte_order_mark_is_no_part_of_the_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"a": 1}\n', encoding="utf-8-sig")
    assert read_json(tmp_path / "a") == {"a": 1}
    assert list(read_json_lines(tmp_path / "a")) == [{"a": 1}]


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\r\n\0")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"\r\n\0").hexdigest()


def test_ids_are_named_a_few_at_a_time() -> None:
    assert named(["a"]) == "'a'"
    assert named([str(number) for number in range(7)]) == "'0', '1', '2' and 4 more"


def test_equal_texts_of_rows_are_one_object() -> None:
    """Examples and predictions of 100,000 rows repeat answers, pictures and ids: a page keeps them all in memory."""
    first, second = (
        intern_texts(json.loads('{"question_id": "TRAIN_1", "answer": "a long answer", "n": 1}')) for _ in "ab"
    )
    assert first == second
    assert first["answer"] is second["answer"]
    with pytest.raises(TypeError, match="expected an object, found list"):
        intern_texts([])

"""Files that are not what their name says are named, with what is there instead and the way to mend it."""

import json
import os
import re
import struct
import zipfile
from pathlib import Path

import pytest

from tests.support.damage import DAMAGES
from vqa_core.files import InputError
from vqa_core.runs.damaged_files import check_file, is_safetensors, read_header, read_object


def write_safetensors(path: Path, shape: tuple[int, ...] = (2, 3), dtype: str = "F32", extra: int = 0) -> Path:
    size = 4 * shape[0] * shape[1]
    header = json.dumps({"a.weight": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\1" * (size + extra))
    return path


def write_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"x" * 4000)
    return path


def said_of(path: Path) -> str:
    with pytest.raises(InputError) as error:
        check_file(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "config.json", "tokenizer.model", "a.jinja"]
)
@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_in_a_files_place_is_named_with_a_next_step(kind: str, name: str, tmp_path: Path) -> None:
    damage, says = DAMAGES[kind]
    path = tmp_path / name
    path.write_text("{}")
    damage(path)
    assert re.search(says, said_of(path))


def test_whole_files_are_let_through(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors")
    write_zip(tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"a": 1}')
    (tmp_path / "tokenizer.json").write_text(json.dumps({"a": "x" * (1 << 20)}) + "\n")
    (tmp_path / "old.bin").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    (tmp_path / "chat_template.jinja").write_text("<|im_start|>{% for m in messages %}{% endfor %}")
    (tmp_path / "link.safetensors").symlink_to("model.safetensors")
    for path in tmp_path.iterdir():
        check_file(path)
    assert read_header(tmp_path / "model.safetensors")["a.weight"].shape == (2, 3)


def test_a_file_cut_short_is_said_with_both_sizes(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors")
    whole = path.stat().st_size
    for size in (whole - 1, 40, 9, 8, 3):
        os.truncate(path, size)
        assert f"{size:,} bytes" in said_of(path) or f"({size:,} bytes)" in said_of(path)
        assert size < 9 or f"tells of {whole:,}" in said_of(path) or "is cut short" in said_of(path)
    path = write_zip(tmp_path / "pytorch_model.bin")
    os.truncate(path, 2000)
    assert "is cut short: it has 2,000 bytes" in said_of(path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"a": "x" * (2 << 20)}))
    os.truncate(path, 2 << 20)
    assert "is cut short or no JSON: it has 2,097,152 bytes" in said_of(path)


def test_bytes_behind_a_file_are_said(tmp_path: Path) -> None:
    assert "something was written behind it" in said_of(write_safetensors(tmp_path / "a.safetensors", extra=3))


def test_a_file_under_the_name_of_the_other_kind_is_said_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    torch = write_zip(folder / "model.safetensors")
    assert said_of(torch).endswith(f"Rename it: mv '{torch}' '{folder}/pytorch_model.bin'")
    other = write_safetensors(folder / "pytorch_model.bin")
    assert said_of(other).endswith(f"Rename it: mv '{other}' '{torch}'")
    shard = write_safetensors(folder / "pytorch_model-00001-of-00002.bin")
    assert said_of(shard).endswith("pytorch_model-00001-of-00002.safetensors'")
    assert is_safetensors(other)
    assert not is_safetensors(torch)


def test_what_is_neither_is_said_with_how_it_begins(tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_text("Entry not found")
        assert "begins with 'Entry not found'" in said_of(tmp_path / name)
        (tmp_path / name).write_text('{"error": "Invalid credentials in Authorization header"}')
        assert 'begins with \'{"error"' in said_of(tmp_path / name)
        (tmp_path / name).write_bytes(b"GGUF\x03\0\0\0" + b"\1" * 99)
        assert "begins with 'GGUF" in said_of(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'\xef\xbb\xbf{"a": 1}', "begins with a byte order mark"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
        (b'{"a": 1, // a comment\n "b": 2}', "line 1 column 10"),
        (b'{"a": 1,\n "b": 2,\n}', "line 2 column|line 3 column"),
        (b"{'a': 1}", "line 1 column 2"),
        (b'{"a": 1}\n{"b": 2}', "line 2 column 1"),
        (b'{"a": ', "line 1 column 7"),
    ],
)
def test_json_that_transformers_can_not_read_is_said_with_its_line(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    assert re.search(says, said_of(tmp_path / "config.json"))


def test_an_object_is_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="has to hold a JSON object, found list"):
        read_object(tmp_path / "config.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all files")
def test_a_file_that_may_not_be_read_is_said(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors")
    path.chmod(0)
    assert "can't be read (Permission denied)" in said_of(path)

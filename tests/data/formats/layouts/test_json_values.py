"""JSON is read by what it holds: one value or several, under any suffix; what is no JSON is refused with a way on."""

import json
import pickle
import re
from pathlib import Path

import pytest

from vqa_core.data.formats.layouts.json_values import is_json, read_values, refuse_pickle
from vqa_core.files import InputError

ROWS = [{"id": 1, "question": "무엇?"}, {"id": 2, "question": "Why?"}]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".ndjson", ".txt"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, ensure_ascii=False, indent=2),
        "\n".join(map(json.dumps, ROWS)),
        "\r\n".join(map(json.dumps, ROWS)) + "\r\n\r\n",
        "\n\n  " + "\n".join(json.dumps(row, indent=2) for row in ROWS),
        "".join(map(json.dumps, ROWS)),
        "\n".join(json.dumps([row]) for row in ROWS),
        "\ufeff" + json.dumps(ROWS),
    ],
)
def test_lists_lines_and_values_in_a_row_are_the_same_records_under_any_suffix(
    text: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"data{suffix}"
    path.write_bytes(text.encode())
    assert is_json(path)
    assert read_values(path)[0] == ROWS


def test_utf_16_is_read_and_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(ROWS, ensure_ascii=False).encode("utf-16"))
    assert read_values(path)[0] == ROWS
    path.write_text(" \n")
    assert read_values(path)[0] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1},\n {"b": 2},\n]', r"line 3, column 1: a comma stands before ']'.*Remove the comma"),
        ('{"a": 1,}', r"line 1, column 9: a comma stands before '}'"),
        ('{"a": 1},\n{"b": 2}', "line 1, column 9: a comma stands between two objects.*enclose them in"),
        ("{'a': 1}", "single quotes.*json.dump"),
        ('{"a": 1}\n{"b": 2}\n{"c": "x', "line 3, column 7: the file ends within a value"),
        ('[{"a": 1}', "the file ends within a value"),
        ('{"a": 1}\n{"b": yes}', r"line 2, column 7: not valid JSON \(Expecting value\)"),
    ],
)
def test_what_is_no_json_is_refused_with_line_column_and_what_to_do(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_values(tmp_path / "a.json")


def test_a_table_or_a_picture_is_no_json_and_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("[1]")
    (tmp_path / "a.bin").write_bytes(b"\x89PNG")
    assert not is_json(tmp_path / "a.csv")
    assert not is_json(tmp_path / "a.bin")
    assert not is_json(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_values(tmp_path / "gone.json")


def test_a_pickle_is_never_opened_and_the_command_that_the_refusal_names_makes_it_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train_vqa.pkl"
    path.write_bytes(pickle.dumps(ROWS))
    with pytest.raises(InputError, match="may run any program") as refusal:
        refuse_pickle(path)
    code = re.findall(r'python -c "(.*?)"`', str(refusal.value))[0]
    monkeypatch.chdir(tmp_path)
    exec(code)
    assert read_values(tmp_path / "train_vqa.json")[0] == ROWS
    refuse_pickle(tmp_path / "train_vqa.json")

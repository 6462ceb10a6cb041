import json
from pathlib import Path

from vqa_core.runs.examples import Example, write_examples
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.watching import count_lines, examples_by_id, newest_predictions


def test_the_newest_predictions_come_first_and_a_torn_line_does_not(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    assert (newest_predictions(path, 3), count_lines(path)) == ([], 0)
    with PredictionLog.open(path) as log:
        log.append([Prediction(f"T{n}", "none", "사과\n" * 20, 0.5) for n in range(2000)])
    with path.open("ab") as file:
        file.write(b'{"question_id": "torn')
    assert [item.question_id for item in newest_predictions(path, 3)] == ["T1999", "T1998", "T1997"]
    assert count_lines(path) == 2000
    assert 3 < len(newest_predictions(path, 10_000)) < 2000


def test_only_the_end_of_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    path.write_bytes(b"x" * 1_000_000 + b"\n" + b'{"not": "one"}\n')
    assert newest_predictions(path, 3) == []


def test_examples_are_found_by_their_ids_whatever_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    tricky = Example('a"b', "i", "i.png", '{"question_id": "T1", ', None)
    given = [
        tricky,
        Example("T10", "i", "", "?"),
        Example("T1", "j", "j.png", "무엇?", "none"),
        Example("한글", "k", "", ""),
    ]
    write_examples(path, given)
    for order in (given, given[::-1]):
        assert list(examples_by_id(path, [example.question_id for example in order]).values()) == order
    assert examples_by_id(path, ["T", "", "gone", "\ud800"]) == {}
    assert examples_by_id(tmp_path / "none.jsonl", ["T1"]) == {}
    path.write_text("")
    assert examples_by_id(path, ["T1"]) == {}
    path.write_text(json.dumps({"question_id": "T1", "other": 1}))
    assert examples_by_id(path, ["T1"]) == {}

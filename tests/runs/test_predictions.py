import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqa_core import ROOT
from vqa_core.files import InputError
from vqa_core.runs import predictions
from vqa_core.runs.predictions import Prediction, PredictionLog, finish, meta_path, read_predictions

TEXTS = st.text(max_size=12)
PREDICTIONS = st.lists(
    st.builds(
        Prediction,
        question_id=st.text(min_size=1, max_size=6),
        answer=TEXTS,
        generated=TEXTS,
        probability=st.none() | st.floats(0, 1),
        status=st.sampled_from(predictions.STATUSES),
        detail=TEXTS,
    ),
    unique_by=lambda prediction: prediction.question_id,
    max_size=6,
)


def make(number: int, answer: str = "yes") -> Prediction:
    return Prediction(f"TEST_{number:05d}", answer, answer, 1 / (number + 3))


def write(path: Path, items: list[Prediction]) -> bytes:
    with PredictionLog.open(path, restart=True) as log:
        log.append(items)
    return path.read_bytes()


@given(items=PREDICTIONS)
@settings(max_examples=60, deadline=None)
def test_any_text_and_any_probability_come_back_exactly(
    items: list[Prediction], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "test.jsonl"
    data = write(path, items)
    assert list(read_predictions(path).values()) == items
    assert data.count(b"\n") == len(items)


@given(items=PREDICTIONS, share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_opens_with_its_whole_lines_and_goes_on(
    items: list[Prediction], share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "test.jsonl"
    data = write(path, items)
    cut = round(share * len(data))
    path.write_bytes(data[:cut])
    whole = data[:cut].count(b"\n")
    kept = list(read_predictions(path).values())
    assert kept in (items[:whole], items[: whole + 1])  # cut just before a line end, the line is whole
    with PredictionLog.open(path) as log:
        assert list(log.read().values()) == kept
        log.append(items)
    assert path.read_bytes() == data


def test_half_a_character_comes_back_too(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    items = [make(0, "\ud83d"), make(1, "답")]
    assert "답".encode() in write(path, items)
    assert list(read_predictions(path).values()) == items


def test_what_a_kill_while_finishing_leaves_is_swept_up_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    (tmp_path / ".test.jsonl.abc123.tmp").write_text("half")
    (tmp_path / ".val.jsonl.abc123.tmp").write_text("another split's")
    PredictionLog.open(path).close()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".val.jsonl.abc123.tmp", "test.jsonl"]


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    torn = write(path, [make(0), make(1)])[:-9]
    path.write_bytes(torn)
    assert list(read_predictions(path)) == ["TEST_00000"]
    assert path.read_bytes() == torn


@pytest.mark.parametrize(
    "bad", [b"{", b"[1]", b'{"question_id": 5, "answer": "", "generated": "", "probability": null}', b"", b"\xff"]
)
def test_a_malformed_line_in_the_middle_is_named_and_left_alone(bad: bytes, tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    first, second = write(path, [make(0), make(1)]).splitlines(keepends=True)
    path.write_bytes(first + bad + b"\n" + second)
    for read in (read_predictions, PredictionLog.open):
        with pytest.raises(InputError, match=r"test\.jsonl, line 2"):
            read(path)
    assert path.read_bytes() == first + bad + b"\n" + second


def test_the_first_answer_to_an_id_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    with PredictionLog.open(path) as log:
        assert log.append([make(0, "first"), make(0, "second")]) == 1
        assert log.append([make(0, "third")]) == 0
    path.write_bytes(
        path.read_bytes()
        + json.dumps({"question_id": "TEST_00000", "answer": "fourth", "generated": "", "probability": None}).encode()
        + b"\n"
    )
    assert read_predictions(path)["TEST_00000"].answer == "first"


def test_a_second_writer_is_refused_with_the_name_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "LOCK_PATIENCE_S", 0.0)
    path = tmp_path / "test.jsonl"
    with PredictionLog.open(path) as log:
        for restart in (False, True):
            with pytest.raises(InputError, match=r"test\.jsonl is being written by another process"):
                PredictionLog.open(path, restart=restart)
        log.append([make(0)])
    PredictionLog.open(path).close()
    assert list(read_predictions(path)) == ["TEST_00000"]


def test_answers_of_other_weights_are_refused_by_what_differs_and_moved_away_by_restart(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    old = {"weights": "abc", "settings": {"max_new_tokens": 16}}
    PredictionLog.open(path, meta={"weights": "none answered yet"}).close()
    with PredictionLog.open(path, meta=old) as log:
        log.append([make(0)])
    PredictionLog.open(path, meta=old).close()
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"weights was 'abc', is 'def'.*--restart"):
        PredictionLog.open(path, meta=old | {"weights": "def"})
    assert path.read_bytes() == before
    with PredictionLog.open(path, meta=old | {"weights": "def"}, restart=True) as log:
        assert log.done == set()
    assert Path(f"{path}.old").read_bytes() == before
    assert json.loads(meta_path(path).read_text())["weights"] == "def"


def test_finish_puts_lines_in_order_and_says_what_is_wrong_with_the_ids(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    ordered = write(path, [make(number) for number in range(4)])
    write(path, [make(number) for number in (2, 0, 3, 1)])
    ids = [f"TEST_{number:05d}" for number in range(4)]
    for order, problem in (
        ([*ids, "TEST_9"], "lacks 1 of 5"),
        (ids[1:], "answers to other"),
        ([*ids, ids[0]], "more than once"),
    ):
        with pytest.raises(InputError, match=problem):
            finish(path, order)
    finish(path, ids)
    assert path.read_bytes() == ordered
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["test.jsonl", "test.jsonl.old"]


def test_a_full_disk_is_an_input_error_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.jsonl"
    real = os.write
    with PredictionLog.open(path) as log:
        log.append([make(0)])
        monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
        with pytest.raises(InputError, match="1 answers in it are kept"):
            log.append([make(1)])
        monkeypatch.undo()
        assert log.done == {"TEST_00000"}
        log.append([make(1)])
    assert list(read_predictions(path)) == ["TEST_00000", "TEST_00001"]


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EIO", "EROFS", "EFBIG"])
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_disk_that_fails_at_any_call_is_a_sentence_and_costs_no_answer(
    call: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, number = tmp_path / "test.jsonl", getattr(errno, code)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    log = PredictionLog.open(path)
    log.append([make(1), make(0)])
    monkeypatch.setattr(os, call, fail)
    if call == "write":
        with pytest.raises(InputError, match="2 answers in it are kept"), log:
            log.append([make(2)])
    elif (call, code) != ("fsync", "EROFS"):  # which says that the drive has no fsync
        with pytest.raises(InputError, match=r"test\.jsonl"):
            log.finish(["TEST_00000", "TEST_00001"])
    monkeypatch.undo()
    log.close()
    assert sorted(read_predictions(path)) == ["TEST_00000", "TEST_00001"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["test.jsonl"]
    PredictionLog.open(path).close()


def test_of_two_errors_the_first_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full drive may refuse an answer, and then the fsync of those before it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = PredictionLog.open(tmp_path / "a.jsonl")
    log.append([make(0)])
    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="1 answers in it are kept"), log:
        log.append([make(1)])
    monkeypatch.undo()
    PredictionLog.open(tmp_path / "a.jsonl").close()


def test_where_windows_would_let_nobody_read_the_file_a_lock_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "LOCK_PATIENCE_S", 0.0)
    monkeypatch.setattr(predictions, "_LOCKED_IS_UNREADABLE", True)
    path = tmp_path / "test.jsonl"
    with PredictionLog.open(path) as log:
        log.append([make(1), make(0)])
        with pytest.raises(InputError, match="is being written by another process"):
            PredictionLog.open(path)
        log.finish(["TEST_00000", "TEST_00001"])
    with PredictionLog.open(path, restart=True) as log:
        assert log.done == set()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".test.jsonl.lock", "test.jsonl", "test.jsonl.old"]


def test_options_come_back_and_an_open_answer_has_no_trace_of_them(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl"
    chosen = Prediction("1", "B", "B", 0.75, options=(0.25, 0.75))
    write(path, [chosen, Prediction("2", "red", "red", 0.5)])
    assert read_predictions(path)["1"] == chosen
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first["options"] == [0.25, 0.75]
    assert list(second) == ["question_id", "answer", "generated", "probability", "status", "detail"]
    with pytest.raises(ValueError, match="finite"):
        Prediction("1", "B", "B", 0.75, options=(0.25, float("nan")))


@pytest.mark.parametrize("values", [{"status": "fine"}, {"probability": float("nan")}, {"answer": None}])
def test_a_prediction_that_no_reader_could_trust_cannot_be_made(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Prediction(**({"question_id": "1", "answer": "", "generated": "", "probability": None} | values))  # type: ignore[arg-type]


CHILD = """
import random, sys
from pathlib import Path
from vqa_core.runs.predictions import Prediction, PredictionLog
path, total = Path(sys.argv[1]), int(sys.argv[2])
ids = [f"TEST_{i:05d}" for i in range(total)]
with PredictionLog.open(path, meta={"weights": "w"}) as log:
    todo = [i for i in ids if i not in log.done]
    order = random.Random(len(todo))
    order.shuffle(todo)
    while todo:
        batch, todo = todo[:3], todo[3:]
        log.append(Prediction(i, "a" * (int(i[5:]) % 50), "답 " * 400, int(i[5:]) / 7) for i in batch)
        print(*batch, sep="\\n", flush=True)
    log.finish(ids)
"""


def child(path: Path, total: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, str(path), str(total)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_ten_times_no_acknowledged_answer_is_lost_and_the_file_ends_as_if_undisturbed(tmp_path: Path) -> None:
    total, chance = 20_000, random.Random(0)
    acknowledged: set[str] = set()
    path = tmp_path / "disturbed" / "test.jsonl"
    for _ in range(10):
        with child(path, total) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 400)):
                acknowledged.add(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split("\n")
            acknowledged.update(rest[:-1])  # the last may be torn
        assert process.returncode == -signal.SIGKILL
        assert acknowledged <= read_predictions(path).keys()
    assert 0 < len(acknowledged) < total
    for target in (path, tmp_path / "undisturbed" / "test.jsonl"):
        with child(target, total) as process:
            process.communicate()
        assert process.returncode == 0
    assert path.read_bytes() == target.read_bytes()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["test.jsonl", "test.meta.json"]

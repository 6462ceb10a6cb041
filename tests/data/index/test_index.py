"""The index of a dataset: it finds what a plain look at every row finds, and it is there whole or not at all."""

import csv
import errno
import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.tiny import tiny_competition, tiny_run
from vqa_core.answers import answer_type, casefold, question_length, question_type
from vqa_core.config import DataSettings
from vqa_core.data.competition import read_competition
from vqa_core.data.images import check_images
from vqa_core.data.index import writer
from vqa_core.data.index.index import DataIndex, open_index
from vqa_core.data.index.run_layer import NO_RUN, find_predictions, layer_of
from vqa_core.data.index.selection import FACETS, PAGE, SHOWN, Filter, select
from vqa_core.data.index.writer import fingerprint, index_dataset
from vqa_core.data.pictures.copies import find_copies
from vqa_core.data.prepare import prepare
from vqa_core.data.report import examine
from vqa_core.files import InputError
from vqa_core.planning.lengths import lengths_of_data, lengths_of_index, lengths_of_run
from vqa_core.runs.examples import ColumnMap, Example
from vqa_core.runs.predictions import Prediction, PredictionLog
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.tags import Tags

ODD_ANSWERS = ["none", "NA", "001", "", " yes", "Yes", "100%_sure", 'say "hi"', "예", "빨간색"]


def made(folder: Path, out: Path) -> DataIndex:
    index_dataset(folder, ColumnMap(), out / "index.sqlite")
    return open_index(out / "index.sqlite")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train rows in no order of images, with every answer that a careless reader loses, and what reports find."""
    folder = tmp_path_factory.mktemp("odd")
    draw = random.Random(0)
    texts = [
        "What COLOR is it?",
        "what color is the  cat?",
        "몇 개인가요?",
        "Is it 50%?",
        "a_b?",
        'Does "x" fit?',
        " ",
        "İs it?",
    ]
    train = [
        [f"{number}", f"i{draw.randrange(40)}", draw.choice(texts), draw.choice(ODD_ANSWERS)] for number in range(300)
    ]
    train += [
        ["7", "i1", "again?", "yes"],
        ["300", "i1", "again?", "no"],
        ["", "gone", "where?", "x"],
        ["302", "i0", "again?", "a"],
    ]
    train += [["303", "i0", "again?", "a"], ["304", "both", "shared?", "a"], ["305", "broken", "is it?", "a"]]
    test = [[f"{number}", f"t{number % 5}", "what is it?"] for number in range(20)] + [["20", "both", "shared too?"]]
    for name, rows in (
        ("train.csv", [["ID", "image_id", "question", "answer"], *train]),
        ("test.csv", [["ID", "image_id", "question"], *test]),
    ):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    (folder / "solution.csv").write_text("ID,answer\n" + "".join(f"{number},no\n" for number in range(20)))
    (folder / "image").mkdir()
    for number, name in enumerate([*(f"i{n}" for n in range(40)), *(f"t{n}" for n in range(5)), "both"]):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / "image" / f"{name}.png")
    shutil.copyfile(folder / "image/i7.png", folder / "image/t0.png")
    (folder / "image" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def index(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> DataIndex:
    return made(odd, tmp_path_factory.mktemp("index"))


def rows_of(odd: Path) -> list[tuple[str, Example]]:
    competition = read_competition(odd)
    return [("train", row) for row in competition.train] + [("test", row) for row in competition.test]


def known(split: str, row: Example) -> str | None:
    return row.answer if split == "train" else "no" if int(row.question_id) < 20 else None


@pytest.mark.parametrize(
    "text", ["color", "COLOR is", "개인", "몇", "%", "_", '"x"', "50%?", "yes", "i̇s", "the cat", "zzz", "7", "i3", "a"]
)
def test_a_search_finds_what_a_look_at_every_row_finds(odd: Path, index: DataIndex, text: str) -> None:
    def has(split: str, row: Example) -> bool:
        texts = [row.question, known(split, row) or ""]
        return text in (row.question_id, row.image_id) or any(casefold(text) in casefold(part) for part in texts)

    expected = [(split, row) for split, row in rows_of(odd) if has(split, row)]
    selection = select(index, Filter(text=text))
    assert selection.questions == len(expected)
    shown = {index.image(int(number)).path or index.image(int(number)).image_id for number in selection.images}
    assert shown == {row.image or row.image_id for _, row in expected}


def test_every_row_comes_back_as_it_stands_in_the_files_once(odd: Path, index: DataIndex) -> None:
    read = [
        (q.split, q.question_id, image.path, q.question, q.answer)
        for image in map(index.image, range(index.images))
        for q in image.questions
    ]
    assert Counter(read) == Counter(
        (split, row.question_id, row.image, row.question, known(split, row)) for split, row in rows_of(odd)
    )


LABELS: dict[str, Callable[[str, Example], str | None]] = {
    "split": lambda split, _row: split,
    "type": lambda _split, row: question_type(row.question),
    "length": lambda _split, row: question_length(row.question),
    "answer": known,
    "answer_type": lambda split, row: None if known(split, row) is None else answer_type(known(split, row) or ""),
}


def test_counts_beside_a_filter_are_of_rows_that_pass_all_the_others(odd: Path, index: DataIndex) -> None:
    chosen = {"split": "train", "answer_type": "other", "answer": "", "type": "what color"}
    for left in ([], ["split"], ["answer"], ["answer_type", "type"], ["split", "answer", "type"]):
        wanted = {name: chosen[name] for name in left}
        selection = select(index, Filter(text="a", **wanted))
        for facet, label in LABELS.items():
            passing = [
                label(split, row)
                for split, row in rows_of(odd)
                if (
                    "a" in casefold(row.question)
                    or "a" in casefold(known(split, row) or "")
                    or "a" in (row.question_id, row.image_id)
                )
                and all(LABELS[other](split, row) == value for other, value in wanted.items() if other != facet)
            ]
            expected = Counter(value for value in passing if value is not None)
            counts = dict(selection.counts[facet])
            assert {value: count for value, count in counts.items() if count} == dict(expected), (left, facet)


def test_what_the_dataset_does_not_have_lets_nothing_pass(index: DataIndex) -> None:
    for facet in FACETS:
        selection = select(index, Filter(**{facet: "\ud800 nonsense"}))
        assert (len(selection.images), selection.questions, selection.page(3)) == (0, 0, (1, [], []))


def test_pages_and_steps_go_through_the_images_in_one_order(index: DataIndex) -> None:
    selection = select(index, Filter(split="train"))
    numbers = [number for page in range(1, selection.pages + 1) for number in selection.page(page)[1]]
    assert numbers == selection.images.tolist()
    assert all(len(selection.page(page)[1]) == PAGE for page in range(1, selection.pages))
    assert selection.page(10**9)[0] == selection.pages
    assert selection.page(-5)[0] == 1
    walked, number = [numbers[0]], selection.beside(numbers[0], 1)
    while number is not None:
        walked.append(number)
        number = selection.beside(number, 1)
    assert walked == numbers
    assert [selection.beside(number, -1) for number in numbers] == [None, *numbers[:-1]]
    assert [selection.position(number) for number in numbers] == list(range(len(numbers)))
    outside = next(number for number in range(index.images) if number not in set(numbers))
    assert selection.position(outside) is None
    assert selection.beside(outside, -1) == max(number for number in numbers if number < outside)


def test_the_first_row_of_an_image_is_one_that_passes(index: DataIndex) -> None:
    selection = select(index, Filter(answer="예"))
    assert {q.answer for q in index.questions(selection.first.tolist())} == {"예"}
    assert selection.first.tolist() == sorted(selection.first.tolist())


def test_a_finding_leads_to_as_many_rows_as_it_counts(odd: Path, index: DataIndex) -> None:
    competition = read_competition(odd)
    images = sorted({row.image for row in (*competition.train, *competition.test) if row.image})
    copies = find_copies(competition.root, images)
    report = examine(competition, check_images(competition.root, ["image/broken.png"]).problems, copies)
    assert index.report == json.loads(json.dumps(report.to_dict()))
    by_row = {"empty-answers", "empty-train-ids", "empty-train-questions", "test-images-in-train"}
    codes = {finding.code: finding for finding in report.findings}
    assert codes.keys() > by_row | {
        "conflicting-answers",
        "duplicate-train-ids",
        "broken-train-images",
        "missing-train-images",
    }
    for code, finding in codes.items():
        rows = index.questions(np.flatnonzero(index.findings[code]).tolist()) if code in index.findings else []
        if code in by_row:
            assert len(rows) == finding.count
        elif code == "shared-images":
            assert {index.image(int(index.columns["image"][row.row])).path for row in rows} == set(finding.examples)
        elif code == "duplicate-train-ids":
            assert {row.question_id.partition("#")[0] for row in rows} == set(finding.examples)
        elif code in ("conflicting-answers", "repeated-questions"):
            asked = {(int(index.columns["image"][row.row]), row.question) for row in rows}
            assert len(asked) == finding.count
        elif code in ("broken-train-images", "missing-train-images"):
            assert len({int(index.columns["image"][row.row]) for row in rows}) == finding.count


def test_an_index_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tiny_competition(tmp_path / "data", train_images=3, test_images=2)
    before = made(folder, tmp_path)
    (folder / "train.csv").write_text("nothing,here\n1,2\n")
    with pytest.raises(InputError, match="no column"):
        index_dataset(folder, ColumnMap(), tmp_path / "index.sqlite")
    assert open_index(tmp_path / "index.sqlite") is before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), sqlite3.OperationalError("database or disk is full")])
def test_a_full_disk_leaves_the_old_index_and_no_other_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_competition(tmp_path / "data", train_images=3, test_images=2)
    before = made(folder, tmp_path)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(writer, "_write_facts", fail)
    with pytest.raises(InputError, match=r"index\.sqlite cannot be written: its drive is full"):
        index_dataset(folder, ColumnMap(), tmp_path / "index.sqlite")
    assert open_index(tmp_path / "index.sqlite") is before
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_an_open_index_goes_on_while_a_newer_one_takes_its_place(tmp_path: Path) -> None:
    folder = tiny_competition(tmp_path / "data", train_images=3, test_images=2)
    older = made(folder, tmp_path)
    tiny_competition(tmp_path / "more", train_images=9, test_images=2)
    newer = made(tmp_path / "more", tmp_path)
    assert (older.images, newer.images) == (5, 11)
    assert older.image(0).questions[0].question_id == "TRAIN_00000"


def test_the_fingerprint_tells_changed_files_images_and_columns_apart(tmp_path: Path) -> None:
    folder = tiny_competition(tmp_path / "data", train_images=3, test_images=2)
    marks = [fingerprint(folder, ColumnMap())]
    assert fingerprint(folder, ColumnMap()) == marks[0]
    marks.append(fingerprint(folder, ColumnMap(question="text")))
    os.utime(folder / "train.csv", ns=(1, 1))
    marks.append(fingerprint(folder, ColumnMap()))
    (folder / "image" / "train" / "train_0000.png").unlink()
    marks.append(fingerprint(folder, ColumnMap()))
    assert len(set(marks)) == 4


def test_a_file_that_is_no_index_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"not SQLite at all, but long enough to be taken for something")
    with pytest.raises(InputError, match="not an index"):
        open_index(tmp_path / "index.sqlite")


def test_an_empty_train_csv_has_an_index_without_rows(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("ID,image_id,question,answer\n")
    empty = made(tmp_path, tmp_path)
    selection = select(empty, Filter(text="a"))
    assert (empty.rows, empty.images, selection.pages, selection.per_image) == (0, 0, 1, {})
    with pytest.raises(InputError, match="no image 0"):
        empty.image(0)


def test_values_past_the_most_frequent_are_counted_and_a_search_finds_them(tmp_path: Path) -> None:
    rows = [f"{number},i,what?,word{number // 2 if number < 4 else number}\n" for number in range(SHOWN + 9)]
    (tmp_path / "train.csv").write_text("ID,image_id,question,answer\n" + "".join(rows))
    index = made(tmp_path, tmp_path)
    everything = select(index, Filter())
    answers = SHOWN + 7
    assert (len(everything.counts["answer"]), everything.more["answer"]) == (SHOWN, 7)
    last = f"word{SHOWN + 8}"
    assert last not in dict(everything.counts["answer"])
    chosen = select(index, Filter(answer=last))
    assert dict(chosen.counts["answer"])[last] == 1
    assert len(chosen.counts["answer"]) + chosen.more["answer"] == answers
    absent = select(index, Filter(answer="nothing"))
    assert len(absent.counts["answer"]) - 1 + absent.more["answer"] == answers
    found = select(index, Filter(text=last))
    assert (found.counts["answer"], found.more["answer"]) == ([(last, 1)], 0)


def own_val(folder: Path) -> Path:
    """A tiny competition whose last rows are in a val.csv."""
    tiny_competition(folder, train_images=6, test_images=2)
    head, *rows = (folder / "train.csv").read_text(encoding="utf-8").splitlines()
    (folder / "train.csv").write_text("\n".join([head, *rows[:-4]]) + "\n", encoding="utf-8")
    (folder / "val.csv").write_text("\n".join([head, *rows[-4:]]) + "\n", encoding="utf-8")
    shutil.copytree(folder / "image/train", folder / "image/val")
    return folder


def test_a_validation_split_of_the_datas_own_is_indexed_and_is_the_runs(tmp_path: Path) -> None:
    data = own_val(tmp_path / "data")
    before = fingerprint(data, ColumnMap())
    index = made(data, tmp_path)
    prepare(run := RunDir(tmp_path / "run"), str(data), DataSettings())
    val = {row.question_id for row in run.examples("val")}
    assert len(val) == 4
    for layer in (NO_RUN, layer_of(run, index)):
        selection = select(index, Filter(split="val"), layer)
        rows = [q for number in selection.images for q in index.image(int(number)).questions]
        assert {q.question_id for q in rows if layer.split_of(q) == "val"} == val
    assert index.report is not None
    assert index.report["splits"]["val"]["rows"] == 4
    assert lengths_of_index(index.path, 0.5, 0) == lengths_of_data(data, DataSettings()) == lengths_of_run(run)
    (data / "val.csv").write_text((data / "val.csv").read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    assert fingerprint(data, ColumnMap()) != before


def test_a_run_adds_its_validation_split_its_tags_and_its_predictions(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    index = made(tmp_path / "data", tmp_path)
    val = {example.question_id for example in run.examples("val")}
    Tags(run).toggle(next(iter(val)), "ambiguous")
    Tags(run, "test").toggle("TEST_00000", "interesting")
    layer = layer_of(run, index)
    selection = select(index, Filter(split="val"), layer)
    rows = [q for number in selection.images for q in index.image(int(number)).questions]
    assert {q.question_id for q in rows if layer.split_of(q) == "val"} == val
    assert dict(select(index, Filter(), layer).counts["split"])["val"] == len(val)
    assert select(index, Filter(tag="ambiguous"), layer).questions == 1
    tagged = index.image(index.image_of("TEST_00000", test=True) or 0).questions[0]
    assert layer.tags_of(tagged) == ["interesting"]
    Tags(run).toggle(next(iter(val)), "ambiguous")
    assert select(index, Filter(tag="ambiguous"), layer_of(run, index)).questions == 0

    path = run.predictions("test")
    with PredictionLog.open(path) as log:
        log.append([Prediction("a", '", "question_id": "b', "x", 0.5), Prediction('b"\\', "예", "예", None)])
    with path.open("ab") as file:
        file.write(b'{"question_id": "c", "answer": "torn')
    given = find_predictions(path, ["a", 'b"\\', "c", "none"])
    assert {name: item.answer for name, item in given.items()} == {"a": '", "question_id": "b', 'b"\\': "예"}
    assert find_predictions(run.predictions("train"), ["a"]) == {}


def test_options_are_kept_with_their_question_and_found(tmp_path: Path) -> None:
    train = "ID,image_id,question,A,B,C,answer\n0,a,which?,red,teal,,B\n1,a,how?,one,two,three,A\n2,b,what?,,,,a cat\n"
    (tmp_path / "train.csv").write_text(train, encoding="utf-8")
    index_dataset(tmp_path, ColumnMap(), tmp_path / "index.sqlite")
    index = open_index(tmp_path / "index.sqlite")
    choices = {question.question_id: question.choices for question in index.questions(range(3))}
    assert choices == {"0": ("red", "teal"), "1": ("one", "two", "three"), "2": ()}
    assert index.rows_with("teal").tolist() == [True, False, False]

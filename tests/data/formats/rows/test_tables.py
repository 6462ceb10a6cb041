"""Tables with pictures inside are read like a dataset, and the pictures written to files, never beside the table."""

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.support.exported import notes_of
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.importing import Sources, import_data, is_foreign
from vqa_core.data.formats.rows.column_names import KNOWN_AS, UNUSED
from vqa_core.data.formats.rows.reader import NUMBERED, SEVERAL_PICTURES
from vqa_core.data.formats.rows.tables import ODD
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap, Example


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((8 + number, 8), 90).save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(number) for number in range(3)]
CODED = [base64.b64encode(data).decode() for data in PICTURES]


def write(path: Path, *rows: Sequence[object], separator: str = ",") -> str:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return str(path)


def test_a_benchmark_of_one_tsv_is_training_data_and_shares_pictures_by_index(tmp_path: Path) -> None:
    header = ("index", "question", "answer", "category", "image")
    rows = [
        (241, "Q, 1", "A", "x", CODED[0]),
        (252, 'Q "2"\nnext', "B", "x", f"data:image/png;base64,{CODED[1]}"),
        (253, "Q3", "C", "x", 252),
        (254, "Q4", "D", "x", str(CODED[:2])),
    ]
    source = write(tmp_path / "bench.tsv", header, *rows, separator="\t")
    folder = import_data(Sources([source]), tmp_path / "out")
    read = read_competition(folder)
    assert [(row.question_id, row.question, row.answer) for row in read.train] == [
        ("241", "Q, 1", "A"),
        ("252", 'Q "2"\nnext', "B"),
        ("253", "Q3", "C"),
    ]
    assert [(folder / row.image).read_bytes() for row in read.train] == [PICTURES[0], PICTURES[1], PICTURES[1]]
    assert read.train[1].image_id == read.train[2].image_id == Path(read.train[2].image).stem
    assert notes_of(folder) == {
        KNOWN_AS: 1,
        UNUSED: 1,
        f"left out, kept in left_out.json: {SEVERAL_PICTURES}": 1,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.tsv", "out"]


def test_one_without_answers_is_questions_to_answer(tmp_path: Path) -> None:
    source = write(tmp_path / "bench.tsv", ("index", "question", "image"), (1, "Q", CODED[0]), separator="\t")
    folder = data_folder(source, tmp_path / "out", to_answer=True)
    (row,) = read_competition(folder, required=("test",)).test
    assert (row.question_id, row.question, row.answer) == ("1", "Q", None)
    with pytest.raises(InputError, match=r"questions without answers, and nothing to train on.*--test-data"):
        import_data(Sources([source]), tmp_path / "other")
    known = write(tmp_path / "known.csv", ("index", "question", "answer", "image"), (9, "Q", "A", CODED[1]))
    read = read_competition(import_data(Sources([known], [source]), tmp_path / "both"))
    assert [len(read.train), len(read.test)] == [1, 1]


def test_a_competition_s_csv_files_with_pictures_inside_keep_their_sample_and_solution(tmp_path: Path) -> None:
    given = tmp_path / "given"
    header = ("ID", "image_id", "question", "answer", "picture")
    write(given / "train.csv", header, ("a", "i", "Q", "yes", CODED[0]), ("b", "j", "Q", "", CODED[1]))
    write(given / "test.csv", ("ID", "image_id", "question", "picture"), ("c", "k", "Q", CODED[2]))
    write(given / "sample_submission.csv", ("ID", "image_id", "answer"), ("c", "k", "x"))
    write(given / "solution.csv", ("ID", "answer"), ("c", "no"))
    before = {path.name: path.read_bytes() for path in given.iterdir()}
    assert is_foreign(str(given))
    folder = import_data(Sources([str(given)]), tmp_path / "out")
    read = read_competition(folder)
    assert [(row.question_id, row.image_id, row.answer) for row in read.train] == [("a", "i", "yes"), ("b", "j", "")]
    assert [(row.question_id, row.image_id, row.answer) for row in read.test] == [("c", "k", None)]
    images = [(folder / row.image).read_bytes() for row in (*read.train, *read.test)]
    assert images == PICTURES
    for name in ("sample_submission.csv", "solution.csv"):
        assert (folder / name).read_bytes() == before[name]
    assert {path.name: path.read_bytes() for path in given.iterdir()} == before


def test_csv_files_with_paths_stay_a_competition_folder(tmp_path: Path) -> None:
    write(tmp_path / "given/train.csv", ("ID", "image_id", "question", "answer"), ("a", "i", "Q" * 10**6, "yes"))
    assert not is_foreign(str(tmp_path / "given"))
    assert not is_foreign(str(tmp_path / "given/train.csv"))
    assert len(read_competition(tmp_path / "given").train[0].question) == 10**6


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp949"])
def test_a_table_named_alone_finds_its_pictures_below_images(separator: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "pictures/image").mkdir(parents=True)
    (tmp_path / "pictures/image/하나.png").write_bytes(PICTURES[0])
    source = Path(write(tmp_path / "all.csv", ("image_id", "question", "answer"), ("하나", "무슨 색?", "빨강"),
                        ("하나", "몇 개?"), separator=separator))  # fmt: skip
    source.write_bytes(source.read_text(encoding="utf-8").encode(encoding))
    folder = import_data(Sources([str(source)], images=tmp_path / "pictures"), tmp_path / "out")
    (row,) = read_competition(folder).train
    assert (row.question_id, row.image_id, row.question, row.answer) == ("all_0", "하나", "무슨 색?", "빨강")
    assert (folder / row.image).read_bytes() == PICTURES[0]
    assert not (folder / row.image).is_symlink()
    told = {NUMBERED: 1, f"left out, kept in left_out.json: {ODD}": 1}
    other = {"utf-16": "utf-16-le", "cp949": "cp949"}.get(encoding)
    assert notes_of(folder) == told | ({f"files decoded as {other}": 1} if other else {})


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (
            "question,answer\nQ,A\n",
            ColumnMap(),
            "has no column of pictures; it has 'question', 'answer'.*--image-column",
        ),
        ("image,answer\na.png,A\n", ColumnMap(), "has no column 'question'.*--question-column"),
        ("image,question,gold\na.png,Q,A\n", ColumnMap(answer="god"), "has no column 'god'.*--answer-column"),
        ("image,question,answer\na.png,Q,A\n", ColumnMap(), r"None of the pictures .*\('a.png'\).*--images"),
        ("image,question,question,answer\na.png,Q,R,A\n", ColumnMap(), "more than one column 'question'"),
        ('image,question,answer\na.png,"Q,A\n', ColumnMap(), "double quote left open"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_way_on(
    text: str, columns: ColumnMap, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        import_data(Sources([str(tmp_path / "a.csv")], columns=columns), tmp_path / "out")


def test_texts_of_a_table_stay_to_the_letter(tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", ("ID", "image", "question", "answer"), ("001", CODED[0], "Q", "2.0"))
    (row,) = read_competition(import_data(Sources([source]), tmp_path / "out")).train
    assert row == Example("001", Path(row.image).stem, row.image, "Q", "2.0")


def test_rows_that_name_their_split_belong_to_it(tmp_path: Path) -> None:
    header = ("index", "question", "answer", "image", "split")
    rows = [(at, "Q", "A", CODED[at], split) for at, split in enumerate(("train", "validation", "test"))]
    read = read_competition(import_data(Sources([write(tmp_path / "all.tsv", header, *rows)]), tmp_path / "out"))
    assert [[row.question_id for row in split] for split in (read.train, read.val, read.test)] == [["0"], ["1"], ["2"]]
    dev = write(tmp_path / "dev.tsv", header, *[(*row[:-1], "dev") for row in rows])
    read = read_competition(import_data(Sources([dev]), tmp_path / "dev"))
    assert [len(read.train), len(read.val), len(read.test)] == [3, 0, 0]  # named alone, it is what there is to train on
    asked = import_data(Sources([], [dev]), tmp_path / "asked")
    assert len(read_competition(asked, required=("test",)).test) == 3

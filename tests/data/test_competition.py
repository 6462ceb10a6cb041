"""The competition folder: files found wherever they may lie, images matched by stem, nothing guessed."""

import unicodedata
from pathlib import Path

import pytest

from vqa_core.data.competition import Competition, read_competition
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap, Example

TRAIN = "ID,image_id,question,answer\nTRAIN_0,a,What is it?,none\n"
TEST = "ID,image_id,question\nTEST_0,b,What is it?\n"


def folder_with(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode())
    return root


def image_of(tmp_path: Path, image_id: str, *names: str) -> Competition:
    """The competition with one training row about `image_id` and image files of these names."""
    files = {f"image/train/{name}": "" for name in names}
    return read_competition(
        folder_with(tmp_path, files | {"train.csv": f"ID,image_id,question,answer\n0,{image_id},q,a\n"})
    )


def test_rows_become_examples_with_their_text_untouched(tmp_path: Path) -> None:
    train = 'ID,extra,answer,question,image_id\n001,x,none,"What, ""this""\nhere?",a\n002,x,NA,Q ,a\n003,x,,q,gone\n'
    files = {"train.csv": train, "test.csv": TEST, "image/train/a.png": "", "image/test/b.JPG": ""}
    read = read_competition(folder_with(tmp_path, files))
    assert read.root == tmp_path.resolve()
    assert read.train == [
        Example("001", "a", "image/train/a.png", 'What, "this"\nhere?', "none"),
        Example("002", "a", "image/train/a.png", "Q ", "NA"),
        Example("003", "gone", "", "q", ""),
    ]
    assert read.test == [Example("TEST_0", "b", "image/test/b.JPG", "What is it?", None)]
    assert read.encodings == {"train.csv": "utf-8", "test.csv": "utf-8"}


def test_a_column_image_says_where_the_picture_is_and_else_the_id_does(tmp_path: Path) -> None:
    train = "ID,image_id,image,question,answer\n0,7,deep/x.png,q,a\n1,8,,q,a\n2,9,gone.png,q,a\n"
    files = dict.fromkeys(("deep/x.png", "image/train/7.png", "image/train/8.png", "image/train/9.png"), "")
    read = read_competition(folder_with(tmp_path, files | {"train.csv": train}))
    assert [row.image for row in read.train] == ["deep/x.png", "image/train/8.png", "image/train/9.png"]
    read = read_competition(tmp_path, ColumnMap(image=""))
    assert [row.image for row in read.train] == [f"image/train/{number}.png" for number in (7, 8, 9)]


@pytest.mark.parametrize(
    ("image_id", "names", "found"),
    [
        ("a", ["a.png", "b.png"], "a.png"),
        ("a", ["a.JPeG"], "a.JPeG"),
        ("a", ["a", "a.png"], "a"),
        ("a.png", ["a.png", "a.jpg"], "a.png"),
        ("a.png", ["a.jpg"], "a.jpg"),
        ("photo.v2", ["photo.v2.jpg", "photo.jpg"], "photo.v2.jpg"),
        ("a", ["a.txt", "ab.png"], ""),
        ("A", ["a.png"], ""),
        ("사과", [unicodedata.normalize("NFD", "사과.png")], unicodedata.normalize("NFD", "사과.png")),
        (unicodedata.normalize("NFD", "사과"), ["사과.png"], "사과.png"),
    ],
)
def test_images_are_found_by_exact_name_then_by_stem(
    image_id: str, names: list[str], found: str, tmp_path: Path
) -> None:
    read = image_of(tmp_path, image_id, *names)
    assert read.train[0].image == (found and f"image/train/{found}")
    assert not read.ambiguous


@pytest.mark.parametrize(
    ("image_id", "names"),
    [("a", ["a.jpg", "a.png"]), ("a", ["a.PNG", "a.png"]), ("a.png", ["a.gif", "a.jpg"])],
)
def test_two_candidates_are_reported_and_none_is_chosen(image_id: str, names: list[str], tmp_path: Path) -> None:
    read = image_of(tmp_path, image_id, *names)
    assert read.train[0].image == ""
    assert read.ambiguous == {image_id: [f"image/train/{name}" for name in names]}


@pytest.mark.parametrize("image_id", ["image/train/a.png", "./image/train/a", "train/../a", "sub/a", "deep/b"])
def test_ids_with_folders_are_found_below_the_root_only(image_id: str, tmp_path: Path) -> None:
    read = image_of(tmp_path, image_id, "a.png", "deep/b.png")
    expected = {"sub/a": "", "train/../a": "", "deep/b": "image/train/deep/b.png"}
    assert read.train[0].image == expected.get(image_id, "image/train/a.png")


def test_nothing_outside_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_text("x")
    inside = tmp_path / "data"
    for image_id in ("../secret", "../../../secret.png", str(tmp_path / "secret.png")):
        assert image_of(inside, image_id, "a.png").train[0].image == ""


@pytest.mark.parametrize("folder", ["image/train", "images/train", "train", "image", "images", "."])
def test_the_usual_image_folders_are_tried(folder: str, tmp_path: Path) -> None:
    read = read_competition(folder_with(tmp_path, {"train.csv": TRAIN, f"{folder}/a.png": ""}))
    assert read.image_folders == {"train": folder}
    assert (read.root / read.train[0].image).is_file()


def test_a_wrapping_folder_is_looked_into_once(tmp_path: Path) -> None:
    folder_with(tmp_path, {"open/train.csv": TRAIN, "open/image/train/a.png": "", "other/readme.txt": ""})
    assert read_competition(tmp_path).root == (tmp_path / "open").resolve()
    folder_with(tmp_path, {"more/train.csv": TRAIN})
    with pytest.raises(InputError, match=r"several datasets: .*more.*open"):
        read_competition(tmp_path)


def test_what_is_required_is_said_by_the_caller(tmp_path: Path) -> None:
    folder_with(tmp_path, {"test.csv": TEST, "notes.txt": ""})
    assert len(read_competition(tmp_path, splits=("test",), required=("test",)).test) == 1
    assert read_competition(tmp_path, required=()).train == []
    with pytest.raises(InputError, match=r"does not hold train\.csv; it holds notes\.txt, test\.csv"):
        read_competition(tmp_path)
    with pytest.raises(InputError, match="gone does not exist"):
        read_competition(tmp_path / "gone")


def test_other_column_names_go_through_the_column_map(tmp_path: Path) -> None:
    content = "qid,img,text,label\n7,a,q,x\n"
    folder_with(tmp_path, {"train.csv": content, "image/train/a.png": ""})
    read = read_competition(tmp_path, ColumnMap("qid", "img", "text", "label"))
    assert read.train == [Example("7", "a", "image/train/a.png", "q", "x")]
    with pytest.raises(
        InputError, match=r"no column 'labels'; it has .*'label'.*Did you mean 'label'.*--answer-column"
    ):
        read_competition(tmp_path, ColumnMap("qid", "img", "text", "labels"))


def test_an_answer_column_in_test_csv_is_not_read(tmp_path: Path) -> None:
    folder_with(tmp_path, {"test.csv": TRAIN})
    assert read_competition(tmp_path, splits=("test",), required=("test",)).test[0].answer is None


def test_a_source_is_a_folder_a_zip_or_easy_vqa(tmp_path: Path) -> None:
    assert data_folder(str(tmp_path)) == tmp_path
    with pytest.raises(InputError, match=r"--data easy-vqu does not exist\. Name a folder, a zip, or easy-vqa"):
        data_folder("easy-vqu")
    read = read_competition(data_folder("easy-vqa", tmp_path / "there"), required=("train", "test"))
    assert read.root == (tmp_path / "there").resolve()
    assert (len(read.train), len(read.test)) == (38575, 9673)
    assert all(example.image for example in read.train + read.test)
    assert read.sample_ids == [example.question_id for example in read.test]

"""Pictures that lie elsewhere are reached by links, and nobody's folder is written to."""

import os
from pathlib import Path

import pytest

from tests.support.tables import TEST, TRAIN, write_folder
from train.prepare import main
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.linking import link_images
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError, read_json_lines


def listed(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`csv` with the tables, `pictures` and `asked` with the pictures; the working folder is another."""
    write_folder(
        tmp_path / "csv", "../pictures/a.png", "../pictures/deep/b.png", "../asked/c.png", train=TRAIN, test=TEST
    )
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_pictures_are_looked_for_where_the_flags_say(places: Path) -> None:
    before = listed(places / "csv")
    folder = data_folder(str(places / "csv"), images=places / "pictures", test_images=places / "asked")
    assert folder == Path("data/csv.linked")
    read = read_competition(folder)
    assert [row.image for row in read.train] == ["linked/train/a.png", ""]
    assert [row.image for row in read.test] == ["linked/test/c.png"] * 2
    assert (folder / read.test[0].image).is_file()
    assert listed(places / "csv") == before


def test_paths_in_the_table_are_relative_to_the_folder(places: Path) -> None:
    (places / "csv" / "train.csv").write_text(TRAIN.replace(",b,", r",deep\b.png,"))
    read = read_competition(data_folder(str(places / "csv"), images=places / "pictures"))
    assert [row.image for row in read.train] == ["linked/train/a.png", "linked/train/deep/b.png"]


def test_the_folder_is_kept_and_follows_the_dataset_but_takes_no_other(places: Path) -> None:
    images = {"train": places / "pictures"}
    folder = link_images(places / "csv", images, places / "out")
    made = folder.stat().st_ino
    assert link_images(places / "csv", images, folder).stat().st_ino == made
    (places / "csv" / "solution.csv").write_text("ID,answer\nT0,x\nT1,y\n")
    assert (link_images(places / "csv", images, folder) / "solution.csv").is_file()
    for other in ({"train": places / "asked"}, {"train": places / "pictures", "test": places / "asked"}):
        with pytest.raises(InputError, match=r"out exists and was made from other sources.*--data-dir"):
            link_images(places / "csv", other, folder)
    with pytest.raises(InputError, match="made from other sources"):
        link_images(places / "csv", images, places / "asked")
    assert (places / "asked" / "c.png").is_file()
    with pytest.raises(InputError, match=r"gone is not a folder.*--images"):
        link_images(places / "csv", {"train": places / "gone"}, places / "new")


def test_other_pictures_or_another_folder_of_that_name_get_links_of_their_own(places: Path) -> None:
    folder, images = str(places / "csv"), places / "pictures"
    first = data_folder(folder, images=images)
    other = data_folder(folder, images=images, test_images=places / "asked")
    (places / "else").mkdir()
    (places / "csv").rename(places / "else" / "csv")
    third = data_folder(str(places / "else" / "csv"), images=images)
    assert len({first, other, third}) == 3
    assert data_folder(str(places / "else" / "csv"), images=images) == third
    assert data_folder(str(places / "else" / "csv"), images=images, to_answer=True) == Path("data/csv-asked.linked")


def test_a_run_is_prepared_with_them(places: Path) -> None:
    images = ["--images", str(places / "pictures"), "--test-images", str(places / "asked")]
    main(["--data", str(places / "csv"), *images, "--val-fraction", "0", "--run", "run"])
    root = Path("data/csv.linked").resolve()
    for split, count in (("train", 1), ("test", 2)):
        rows = list(read_json_lines(Path("run") / f"{split}.jsonl"))
        assert len(rows) == count
        assert all(os.path.isfile(root / row["image"]) for row in rows)
    main(["--data", str(places / "csv"), *images, "--data-dir", "mine", "--val-fraction", "0", "--run", "other"])
    assert Path("mine/train.csv").is_symlink()


def test_only_test_images_leave_the_training_images_where_they_are(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "csv", "image/train/a.png", "image/train/b.png", "../asked/c.png")
    read = read_competition(data_folder(str(folder), tmp_path / "out", test_images=tmp_path / "asked"))
    assert [row.image for row in read.train] == ["image/train/a.png", "image/train/b.png"]
    assert read.test[0].image == "linked/test/c.png"

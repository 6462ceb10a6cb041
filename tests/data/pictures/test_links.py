"""Links where symbolic ones are refused, as on Windows without its developer mode."""

import logging
import os
from pathlib import Path

import pytest

from tests.support.tables import TRAIN, write_folder
from train.prepare import main
from vqa_core import drives
from vqa_core.data.formats.linking import link_images
from vqa_core.data.pictures.links import make_link
from vqa_core.files import InputError, read_json_lines


def refused(*_: object, **__: object) -> None:
    error = OSError(22, "A required privilege is not held by the client")
    error.winerror = 1314  # type: ignore[attr-defined]
    raise error


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "symlink", refused)
    monkeypatch.setattr(drives, "_warned", set())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a" / "깊은").mkdir(parents=True)
    (tmp_path / "a" / "1.png").write_bytes(b"one")
    (tmp_path / "a" / "깊은" / "2.png").write_bytes(b"two")
    return tmp_path


def test_a_link_is_a_symbolic_one_where_that_is_allowed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_link(folder / "b", folder / "a")
    assert (folder / "b").is_symlink()
    assert (folder / "b" / "1.png").read_bytes() == b"one"
    assert not caplog.records


@pytest.mark.usefixtures("no_links")
@pytest.mark.parametrize("hard", [True, False])
def test_else_it_is_made_of_hard_links_or_copies(
    folder: Path, hard: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not hard:
        monkeypatch.setattr(os, "link", refused)
    with caplog.at_level(logging.WARNING, logger="vqa"):
        for name in ("b", "c"):
            make_link(folder / name, folder / "a")
        make_link(folder / "1.png", folder / "a" / "1.png")
    for name in ("b", "c"):
        assert (folder / name / "깊은" / "2.png").read_bytes() == b"two"
    assert os.path.samefile(folder / "b" / "1.png", folder / "a" / "1.png") == hard
    assert (folder / "1.png").read_bytes() == b"one"
    assert len([record for record in caplog.records if "symlink" in record.getMessage()]) == 1, "said once"


@pytest.mark.usefixtures("no_links")
def test_what_is_there_is_never_replaced(folder: Path) -> None:
    for name in ("a", "a/1.png"):
        with pytest.raises(FileExistsError):
            make_link(folder / name, folder / "a" / "1.png")
    assert (folder / "a" / "1.png").read_bytes() == b"one"


@pytest.mark.usefixtures("no_links")
def test_a_dataset_of_such_links_is_made_again_as_its_pictures_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_folder(tmp_path / "csv", "../pictures/a.png", "../pictures/deep/b.png", train=TRAIN)
    monkeypatch.chdir(tmp_path)
    to = link_images(data, {"train": tmp_path / "pictures"})
    assert (to / "linked" / "train" / "deep" / "b.png").is_file()
    (tmp_path / "pictures" / "new.png").write_bytes(b"new")
    assert link_images(data, {"train": tmp_path / "pictures"}) == to
    assert (to / "linked" / "train" / "new.png").is_file()
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="was made from other sources"):
        link_images(data, {"train": tmp_path / "other"}, to)


@pytest.mark.usefixtures("no_links")
def test_a_run_is_prepared_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_folder(tmp_path / "csv", "../pictures/a.png", "../pictures/b.png", train=TRAIN)
    monkeypatch.chdir(tmp_path)
    main(["--data", str(data), "--images", "pictures", "--val-fraction", "0", "--run", "run"])
    rows = list(read_json_lines(Path("run/train.jsonl")))
    assert rows
    assert all((Path("data/csv.linked") / row["image"]).is_file() for row in rows)

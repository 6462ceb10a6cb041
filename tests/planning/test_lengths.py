"""Lengths of training rows: from the files, from the index and from a process of its own they are the same."""

import csv
from pathlib import Path

import pytest

from tests.support.tiny import tiny_competition
from ui.train import lengths as train_lengths
from ui.train.plan import Source
from ui.workspace.datasets import NOTHING_YET, IndexStatus
from ui.workspace.workspace import Workspace
from vqa_core.config import DataSettings
from vqa_core.data.easy_vqa import train_examples, write_easy_vqa
from vqa_core.data.index.index import open_index
from vqa_core.data.index.writer import index_dataset
from vqa_core.data.prepare import column_map
from vqa_core.files import InputError
from vqa_core.planning.lengths import lengths_of, lengths_of_data, lengths_of_index


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A competition with rows that can't be trained on, answers and questions of several scripts and lengths."""
    folder = tiny_competition(tmp_path / "data" / "toy")
    table = list(csv.reader((folder / "train.csv").open(encoding="utf-8", newline="")))
    header, rows = table[0], table[1:]
    rows[3][3], rows[5][3], rows[7][1] = "", " \t", "no_such_picture"
    rows[8][2], rows[9][2], rows[10][3] = (
        "빨간 버스가 있나요, 아니면 don't know?",
        "  a\u00a0b_c  1,000 ",
        "t-shirt, red",
    )
    rows.append(["LATE", rows[0][1], "asked again, later?", "yes"])
    with (folder / "train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


@pytest.mark.parametrize(("val_fraction", "seed"), [(0.2, 0), (0.5, 7), (0.0, 0)])
def test_the_index_gives_the_lengths_of_the_files(data: Path, tmp_path: Path, val_fraction: float, seed: int) -> None:
    settings = DataSettings(val_fraction=val_fraction, split_seed=seed)
    index_dataset(data.resolve(), column_map(settings), tmp_path / "index.sqlite")
    given = lengths_of_data(data, settings)
    assert len(given) > 3
    assert lengths_of_index(tmp_path / "index.sqlite", val_fraction, seed) == given


def test_the_lines_of_options_count_in_the_files_and_in_the_index(data: Path, tmp_path: Path) -> None:
    with (data / "train.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    plain = lengths_of_data(data, DataSettings(val_fraction=0))
    options = [["red", "a dark blue one"] if number % 2 else ["", ""] for number in range(len(table) - 1)]
    with (data / "train.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table[0], "A", "B"])
        for row, texts in zip(table[1:], options, strict=True):
            writer.writerow([*row[:3], "B" if texts[0] and row[3].strip() else row[3], *texts])
    settings = DataSettings(val_fraction=0)
    given = lengths_of_data(data, settings)
    grown = [one - other for row, base in zip(given, plain, strict=True) for one, other in zip(row, base, strict=True)]
    assert 0 in grown
    assert min(each for each in grown if each) > 18  # two lines and LLaVA's sentence, and a letter instead of an answer
    index_dataset(data.resolve(), column_map(settings), tmp_path / "index.sqlite")
    assert lengths_of_index(tmp_path / "index.sqlite", 0.0, 0) == given


def test_a_large_file_is_read_in_another_process_or_its_index(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, settings = Workspace(tmp_path / "runs", tmp_path / "data"), DataSettings(val_fraction=0.3)
    dataset = workspace.datasets.all()[0]
    source = Source("toy", "toy", str(data), data, dataset=dataset.key)
    given = lengths_of_data(data, settings)
    monkeypatch.setattr(train_lengths, "LARGE", 0)  # so it is read apart, and never by this process
    monkeypatch.setattr("vqa_core.apart.LARGE", 0)
    monkeypatch.setattr(type(workspace.datasets), "update_index", lambda *_: NOTHING_YET)
    assert train_lengths.lengths_of_source(workspace, source, settings) == given
    with pytest.raises(InputError, match="no column 'text'"):
        train_lengths.lengths_of_source(workspace, source, DataSettings(question_column="text"))

    index_dataset(data.resolve(), column_map(settings), tmp_path / "index.sqlite")
    status = IndexStatus(open_index(tmp_path / "index.sqlite"), None)
    monkeypatch.setattr(type(workspace.datasets), "update_index", lambda *_: status)
    monkeypatch.setattr(train_lengths, "lengths_of_data", None)
    assert train_lengths.lengths_of_source(workspace, source, settings) == given


def test_easy_vqa_is_known_before_it_is_written(tmp_path: Path) -> None:
    write_easy_vqa(tmp_path / "easy-vqa")
    written = lengths_of_data(tmp_path / "easy-vqa", DataSettings(val_fraction=0.0))
    assert lengths_of(train_examples()) == written

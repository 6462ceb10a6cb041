"""`train.prepare`, its export, and `train.prepare` again: every id and answer is what it was, to the letter."""

import csv
import re
from pathlib import Path

import pytest
from PIL import Image

from train.prepare import main
from vqa_core.data.competition import read_competition
from vqa_core.data.formats.exporting import EXPORTS
from vqa_core.runs.examples import Example, read_examples
from vqa_core.runs.run_dir import RunDir

ANSWERS = [
    *("none", "NA", "001", " leading blank", "", "   ", "two\nlines", "a\r\nb", "c\rd", 'say "yes"', "a, b"),
    *("사과, 배", "🍎👩‍👩‍👧", "<image>", "null", "nan", "1.0", "\\n", "=1+1"),
]
IDS = ["0001", "1", "two words", " lead", "a/b", "a#2", "질문 1", "🍎", "-7", "1e3", "0x1", 'q"', "x,y"]
ROWS = [Example(IDS[n] if n < len(IDS) else f"{n:04d}", f"{n % 5:03d}", "", "Q", a) for n, a in enumerate(ANSWERS)]
EMPTY = 2


def facts(rows: list[Example]) -> list[tuple[str, str, str, str]]:
    return sorted((row.question_id, row.image_id, row.question, row.answer or "") for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A competition folder with ROWS in train.csv and, under other ids, in test.csv."""
    folder = tmp_path / "data"
    for split in ("train", "test"):
        (folder / "image" / split).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"image/{split}/{number:03d}.png")
    for name, columns in (("train", ("question", "answer")), ("test", ("question",))):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(("ID", "image_id", *columns))
            writer.writerows((row.question_id, row.image_id, *(getattr(row, c) for c in columns)) for row in ROWS)
    return folder


@pytest.mark.parametrize("kind", EXPORTS)
def test_what_is_exported_and_read_again_is_what_it_was(
    kind: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, images, held_out = data, [], []
    for again in range(3):
        run, export = RunDir(tmp_path / f"run{again}"), tmp_path / f"export{again}"
        into = [] if not again else ["--data-dir", str(tmp_path / f"imported{again}")]
        given = ["--data", str(source), *images, *into, "--val-fraction", "0.4"]
        main([*given, "--run", str(run.root), "--export", kind, "--export-to", str(export)])
        shown = capsys.readouterr()
        empty = re.findall(r"warning: ([0-9]) rows? of (?:train|val)\.csv without an answer, left out", shown.out)
        assert sum(map(int, empty)) == EMPTY
        assert f"The export includes {EMPTY} rows with an empty answer, which the run does not train on." in shown.err
        read = read_competition(run.data_root())
        assert facts(read.train + read.val) == facts(ROWS)
        assert facts(read.test) == sorted((row[0], row[1], row[2], "") for row in facts(ROWS))
        learnt = read_examples(run.train) + read_examples(run.val)
        assert facts(learnt) == facts([row for row in ROWS if (row.answer or "").strip()])
        if again:
            assert facts(read_examples(run.val)) == facts(held_out)
        held_out = read_examples(run.val)
        source, images = export, ["--images", str(run.data_root())] if kind != "parquet" else []

"""Competition folders of a few rows, written as somebody's files would be."""

from pathlib import Path

from PIL import Image

from vqa_core.data.tables import Table

TRAIN = "ID,image_id,question,answer\nA0,a,What is it?,red\nA1,b,What is it?,blue\n"
TEST = "ID,image_id,question\nT0,c,What is it?\nT1,c,Is it?\n"
SAMPLE = "ID,answer\nT0,\nT1,\n"
PICTURES = ("image/train/a.png", "image/train/b.png", "image/test/c.png")


def write_folder(root: Path, *pictures: str, **tables: str | bytes) -> Path:
    """A folder with `train="..."` as train.csv and so on; with neither train nor test, those above. `pictures` are
    files of four pixels, by default PICTURES."""
    known: dict[str, str | bytes] = {} if {"train", "test"} & tables.keys() else {"train": TRAIN, "test": TEST}
    for name, content in (known | tables).items():
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    for picture in pictures or PICTURES:
        (root / picture).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (len(picture), 0, 0)).save(root / picture)
    return root


def table_of(*lines: str, name: str = "table.csv", separator: str = ",") -> Table:
    """A table of these lines, without quotes."""
    header, *rows = (line.split(separator) for line in lines)
    return Table(Path(name), "utf-8", tuple(header), rows, separator)

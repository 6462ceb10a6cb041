"""Draw the figures of README and docs from the code they show: `python -m docs.make_figures`.

docs/images/packed-row-light.png and -dark.png: one picture and three questions as one packed row, with the mask that
`vqa_core.model.packing` gives it. Words stand for tokens.
docs/images/packages-light.png and -dark.png: the packages, their imports and the way of the data (packages_figure.py).
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from docs import packages_figure
from docs.drawing import THEMES, Pen, Theme
from vqa_core.model.packing import IGNORE_INDEX, Branch, pack, shared_prefix_mask

FOLDER = Path(__file__).parent / "images"
PICTURE = "data/train/images/474.png"  # of the easy_vqa package, with three of its questions
QUESTIONS = (
    ("what shape is present?", "circle"),
    ("is there a circle?", "yes"),
    ("is a triangle present?", "no"),
)
IMAGE_TOKENS = 3
END = "end"

SCALE = 2  # drawn at twice the size it is shown at
COLUMN, ROW, LEFT, TOP = 46, 19, 72, 132


def packed_row(theme: Theme) -> Image.Image:
    """The figure as RGBA on nothing, a column a token and a row a query."""
    words: list[str] = []  # a word's place is its token id
    image_id = _ids(["image"], words)[0]
    end = _ids([END], words)
    branches = [Branch(_ids(question.split(), words), _ids([answer], words) + end) for question, answer in QUESTIONS]
    row = pack([], image_id, IMAGE_TOKENS, branches)
    segments = torch.tensor([row.segment_ids])
    mask = shared_prefix_mask(segments, segments, "sdpa", torch.float32)[0, 0].tolist()  # (T, T)

    count = len(row)
    canvas = Image.new("RGBA", ((LEFT + count * COLUMN + 4) * SCALE, (TOP + count * ROW + 12) * SCALE))
    pen = Pen(ImageDraw.Draw(canvas), SCALE)
    thumbnail = (
        Image.open(_package_file(PICTURE)).convert("RGB").resize((46 * SCALE, 46 * SCALE), Image.Resampling.BICUBIC)
    )
    middle = LEFT + COLUMN * IMAGE_TOKENS // 2
    canvas.paste(thumbnail, ((middle - 23) * SCALE, 2 * SCALE))
    for number in range(1, len(QUESTIONS) + 1):
        columns = [at for at, segment in enumerate(row.segment_ids) if segment == number]
        pen.text((_middle(columns[0]) + _middle(columns[-1])) / 2, 32, f"question {number}", theme.faint, 11.5)

    for label, y in (("token", 62), ("position", 86), ("learns", 108)):
        pen.text(LEFT - 8, y, label, theme.faint, 11.5, "rm")
    for at, token in enumerate(row.input_ids):
        left, colour = LEFT + at * COLUMN, theme.segments[row.segment_ids[at]]
        pen.box(left + 1, 51, COLUMN - 2, 22, colour, 4)
        pen.text(_middle(at), 62, words[token], theme.on_segment, 10)
        pen.text(_middle(at), 86, str(row.position_ids[at]), theme.ink, 11.5)
        if row.targets[at] != IGNORE_INDEX:
            pen.text(_middle(at), 108, words[row.targets[at]], theme.ink, 11.5)

    for query, sees in enumerate(mask):
        y = TOP + query * ROW
        pen.text(LEFT - 8, y + ROW / 2, words[row.input_ids[query]], theme.faint, 11, "rm")
        for key, seen in enumerate(sees):
            colour = theme.segments[row.segment_ids[key]] if seen else theme.empty
            pen.box(LEFT + key * COLUMN + 1, y + 1, COLUMN - 2, ROW - 2, colour, 2)
    return canvas


def write_figures(folder: Path) -> list[Path]:
    """Write every figure as PNG; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, theme in THEMES.items():
        for figure, draw in (("packed-row", packed_row), ("packages", packages_figure.draw)):
            paths.append(folder / f"{figure}-{name}.png")
            image, info = draw(theme), PngInfo()
            for key, words in image.info.items():
                info.add_text(str(key), words)
            image.save(paths[-1], optimize=True, pnginfo=info)
    return paths


def _ids(chosen: Sequence[str], words: list[str]) -> list[int]:
    words += [word for word in dict.fromkeys(chosen) if word not in words]
    return [words.index(word) for word in chosen]


def _package_file(name: str) -> Path:
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise SystemExit("error: the easy_vqa package is not installed; `make setup` installs it.")
    return Path(spec.origin).parent / name


def _middle(column: int) -> float:
    return LEFT + (column + 0.5) * COLUMN


if __name__ == "__main__":
    for path in write_figures(FOLDER):
        print(path.relative_to(FOLDER.parents[1]))

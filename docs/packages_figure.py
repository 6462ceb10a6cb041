"""The picture of the packages in docs/design.md: floors, imports between them, and the way of the data.

FLOORS says where a box stands; its words are those of docs/design.md. The arrows are the imports that the code has
today. Left out are imports of the ground, on which all packages stand, and those that a chain of arrows implies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw

from docs import packages
from docs.drawing import Pen, Point, Theme

GROUND = "vqa_core"
LEAF = "vqa_core.benchmarks"
"""Only eval.benchmark imports it, and it imports nearly all: an arrow to it implies no other."""

WIDTH, TOP, BOX, CHANNEL, SLAB = 1000, 10, 48, 26, 56  # px; a channel is the space between two floors
COLUMNS = [(84 + 184 * at, 142) for at in range(5)]  # left edge and width
ROOMS = [(452 + 104 * at, 94) for at in range(5)]
FLOORS: tuple[dict[str, tuple[int, int]], ...] = (
    {GROUND: (4, 992)},
    {"vqa_core.runs": (4, 992)},
    {"vqa_core.data": COLUMNS[0], "vqa_core.prompts": COLUMNS[1]},
    {"vqa_core.planning": COLUMNS[0], "vqa_core.model": COLUMNS[1], "vqa_core.scoring": COLUMNS[3]},
    {"vqa_core.convert": COLUMNS[0], "vqa_core.inference": COLUMNS[2], "vqa_core.submission": COLUMNS[4]},
    {"vqa_core.training": COLUMNS[1], "vqa_core.analysis": COLUMNS[4]},
    {"train": COLUMNS[0], LEAF: COLUMNS[1], "ui.jobs": COLUMNS[3]},
    {"eval": COLUMNS[2], "ui.workspace": COLUMNS[3]},
    {"ui.components": COLUMNS[3]},
    {"ui.train": COLUMNS[3]},
    dict(zip(("ui.explore", "ui.predict", "ui.ask", "ui.errors", "ui.runs"), ROOMS)),
    {"ui.server": (452, 510)},
    {"app": COLUMNS[3]},
)
"""From the ground up. Every import leads to a lower floor: a test says which box has to move when that ends."""

SOURCE = ("train.csv", "test.csv", "image/")
FLOW = (
    ("train.prepare", "vqa_core.data", "train.jsonl, test.jsonl, rows/"),
    ("train.finetune", "vqa_core.training", "model/"),
    ("eval.predict", "vqa_core.inference", "predictions/"),
    ("eval.score", "vqa_core.scoring", "score.json"),
    ("eval.submit", "vqa_core.submission", "submission.csv"),
)
"""A command, the package that does its work, and the file of the run it writes; it reads the file before it."""
READS = {"vqa_core.submission": "predictions/"}  # where that is another one


@dataclass(frozen=True)
class Box:
    """A package on its floor, in px from the top left."""

    name: str
    floor: int
    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> Point:
        return self.left + self.width / 2, self.top + self.height / 2


def arrows() -> list[tuple[str, str]]:
    """The imports that no chain of others implies, without those of the ground."""
    direct = packages.package_imports()

    def reached(name: str) -> set[str]:
        return direct[name].union(*(reached(other) for other in direct[name]))

    return [
        (name, other)
        for name in direct
        for other in sorted(direct[name] - {GROUND})
        if not any(other in reached(way) for way in direct[name] - {other, LEAF})
    ]


def boxes() -> dict[str, Box]:
    """Every package's box."""
    top, found = TOP + 0.0, {}
    for floor in reversed(range(len(FLOORS))):
        height = SLAB if floor == 1 else BOX
        for name, (left, width) in FLOORS[floor].items():
            found[name] = Box(name, floor, left, top, width, height)
        top += height + (CHANNEL if floor > 1 else 8)
    return found


def files(placed: dict[str, Box]) -> dict[str, Point]:
    """The middle of each file of the run, in the slab of `runs`: right of the package that writes it."""
    y = placed["vqa_core.runs"].top + 16
    return {file: (min(placed[package].right + 21, WIDTH - 54), y) for _, package, file in FLOW}


def flow(placed: dict[str, Box]) -> list[list[Point]]:
    """The way of the data, each leg a list of corners: into a package from the left, out of it to the right."""
    at = files(placed)
    legs, before = [], ""
    for _, package, file in FLOW:
        box, y = placed[package], placed[package].middle[1]
        if before:
            x, start = at[READS.get(package, before)]
            legs.append([(x + 3, start - 10), (x + 3, y), (box.left, y)])
        else:
            legs.append([(box.left - 14, y), (box.left, y)])
        x = box.right + 9
        legs.append([(box.right, y), (x, y), (x, at[file][1] - 10)])
        before = file
    return legs


def routes(placed: dict[str, Box]) -> dict[tuple[str, str], list[Point]]:
    """The corners of each arrow. Arrows to one package share their last corridor and end at one point."""
    blocked: list[list[tuple[float, float]]] = [[] for _ in FLOORS]
    for box in placed.values():
        blocked[box.floor].append((box.left - 8, box.right + 8))
    for leg in flow(placed):
        for (x, y), (_, other) in pairwise(leg):
            for box in placed.values():
                if min(y, other) < box.bottom and max(y, other) > box.top:
                    blocked[box.floor].append((x - 7, x + 7))
    wanted = []
    for source, target in arrows():
        above, below = placed[source], placed[target]
        passed = [span for floor in range(below.floor + 1, above.floor) for span in blocked[floor]]
        end = below.middle[0] if below.width < WIDTH / 2 else above.middle[0]
        x = _corridor(passed, _within(end, above), end)
        wanted.append((above, below, x, end))
    tracks = _tracks(wanted)
    found = {}
    for above, below, x, end in wanted:
        start = _within(x, above)
        leave = tracks[above.floor - 1, below.name]
        arrive = tracks[below.floor, below.name]
        corners = [(start, above.bottom), (start, leave), (x, leave), (x, arrive), (end, arrive), (end, below.top)]
        found[above.name, below.name] = _straightened(corners)
    return found


def _within(x: float, box: Box) -> float:
    return min(max(x, box.left + 16), box.right - 16)


def _corridor(passed: list[tuple[float, float]], start: float, end: float) -> float:
    """The x that meets no span of `passed` and lies nearest the way from `start` to `end`, then to the end."""
    edges = [start, end, *(edge for span in passed for edge in span)]
    free = [x for x in edges if 4 < x < WIDTH - 4 and not any(low < x < high for low, high in passed)]
    return min(free, key=lambda x: (abs(x - start) + abs(x - end), abs(x - end)))


def _tracks(wanted: list[tuple[Box, Box, float, float]]) -> dict[tuple[int, str], float]:
    """The y at which arrows to a package run sideways, by the floor below the channel and the package."""
    asked: dict[int, dict[str, float]] = {}
    tops: dict[int, float] = {}
    for above, below, x, end in wanted:
        for floor, far in ((above.floor - 1, abs(_within(x, above) - x)), (below.floor, abs(x - end))):
            asked.setdefault(floor, {}).setdefault(below.name, 0)
            asked[floor][below.name] = max(asked[floor][below.name], far)
        tops[above.floor - 1] = above.bottom
        tops[below.floor] = below.top - CHANNEL
    found = {}
    for floor, targets in asked.items():
        sideways = [name for name, far in sorted(targets.items(), key=lambda each: each[1]) if far > 0.5]
        for name in targets:
            at = sideways.index(name) + 1 if name in sideways else 1
            found[floor, name] = tops[floor] + (CHANNEL - 6) * at / (len(sideways) + 1)
    return found


def _straightened(corners: list[Point]) -> list[Point]:
    """Corners without those that lie on a straight line or twice in one place."""
    kept: list[Point] = []
    for point in corners:
        if kept and abs(kept[-1][0] - point[0]) < 0.5 and abs(kept[-1][1] - point[1]) < 0.5:
            continue
        if len(kept) > 1 and any(
            abs(kept[-2][axis] - point[axis]) < 0.5 > abs(kept[-1][axis] - point[axis]) for axis in (0, 1)
        ):
            kept.pop()
        kept.append(point)
    return kept


def draw(theme: Theme) -> Image.Image:
    """The figure as RGBA on nothing, with its arrows in words; drawn large, then made smaller to smooth lines."""
    scale, shown = 4, 2
    placed = boxes()
    height = int(placed[GROUND].bottom) + 10
    canvas = Image.new("RGBA", (WIDTH * scale, height * scale))
    pen = Pen(ImageDraw.Draw(canvas), scale)
    for corners in routes(placed).values():
        pen.arrow(corners, theme.arrow, 1.5, 6)
    _boxes(pen, theme, placed)
    _flow(pen, theme, placed)
    _legend(pen, theme)
    figure = canvas.resize((WIDTH * shown, height * shown), Image.Resampling.BOX)
    figure.info["arrows"] = "; ".join(" -> ".join(ends) for ends in arrows())
    return figure


def _boxes(pen: Pen, theme: Theme, placed: dict[str, Box]) -> None:
    said, heavy = packages.order(), packages.torch_packages()
    for box in placed.values():
        pen.box(box.left, box.top, box.width, box.height, _colour(theme, box.name, heavy), 6)
        name = box.name.removeprefix("vqa_core.")
        line = said[box.name].partition(";")[0]
        if box.name in ("train", "eval"):
            line = line.removeprefix("commands: ")
        if box.width > 200:
            y = box.bottom - 16 if box.height > BOX else box.middle[1]
            size = pen.width(name, 14)
            x = box.left + 14
            pen.text(x, y, name, theme.on_segment, 14, "lm")
            pen.text(x + size + 12, y, line, theme.on_segment, 11.5, "lm")
            continue
        lines = _wrapped(pen, line, box.width - 6, 11)
        x, y = box.middle[0], box.middle[1] - 7 * len(lines)
        pen.text(x, y, name, theme.on_segment, 13)
        for at, words in enumerate(lines):
            pen.text(x, y + 15 + 12.5 * at, words, theme.on_segment, 11)


def _colour(theme: Theme, name: str, heavy: set[str]) -> str:
    if name in heavy:
        return theme.torch
    return theme.segments[{"train": 2, "eval": 2, "ui": 0, "app": 0}.get(name.partition(".")[0], 1)]


def _flow(pen: Pen, theme: Theme, placed: dict[str, Box]) -> None:
    for leg in flow(placed):
        pen.arrow(leg, theme.flow, 4, 9)
    data = placed["vqa_core.data"]
    for at, file in enumerate(SOURCE):
        pen.text(data.left - 18, data.middle[1] + 14 * (at - 1), file, theme.ink, 11, "rm")
    for number, (_, package, file) in enumerate(FLOW, 1):
        x, y = files(placed)[file]
        width = pen.width(file, 11) + 14
        pen.box(x - width / 2, y - 10, width, 20, theme.flow, 10)
        pen.text(x, y, file, theme.empty, 11)
        _number(pen, theme, placed[package].left + 2, placed[package].top + 2, number)


def _number(pen: Pen, theme: Theme, x: float, y: float, number: int) -> None:
    pen.box(x - 8, y - 8, 16, 16, theme.flow, 8)
    pen.text(x, y, str(number), theme.empty, 11)


def _legend(pen: Pen, theme: Theme) -> None:
    x, y = 8, TOP + 14.0
    pen.text(x, y, "A package imports only packages on lower floors.", theme.ink, 15, "lm")
    rows: list[tuple[Callable[[float], None], str]] = [
        (lambda y: pen.arrow([(x + 12, y - 8), (x + 12, y + 8)], theme.arrow, 1.5, 6),
         "an import; left out are imports of the ground, and those that other arrows imply"),
        (lambda y: pen.box(x, y - 8, 24, 16, theme.segments[1], 4), "vqa_core, without torch"),
        (lambda y: pen.box(x, y - 8, 24, 16, theme.torch, 4), "vqa_core, loads torch"),
        (lambda y: pen.box(x, y - 8, 24, 16, theme.segments[2], 4), "commands"),
        (lambda y: pen.box(x, y - 8, 24, 16, theme.segments[0], 4), "ui, the page"),
        (lambda y: pen.arrow([(x, y), (x + 24, y)], theme.flow, 4, 9), "the way of the data, command by command:"),
    ]  # fmt: skip
    for mark, words in rows:
        y += 24
        mark(y)
        pen.text(x + 34, y, words, theme.ink, 12, "lm")
    for number, (command, _, _) in enumerate(FLOW, 1):
        y += 22
        _number(pen, theme, x + 42, y, number)
        pen.text(x + 58, y, command, theme.ink, 12, "lm")


def _wrapped(pen: Pen, text: str, width: float, size: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines

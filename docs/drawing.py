"""What the figures share: their colours on a light and a dark page, boxes and words."""

from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

Point = tuple[float, float]


@dataclass(frozen=True)
class Theme:
    """Colours on GitHub's light or dark page; `segments` holds the prefix's and then one per question."""

    ink: str
    faint: str
    empty: str
    segments: tuple[str, ...]
    on_segment: str
    torch: str
    arrow: str
    flow: str


THEMES = {
    "light": Theme(
        ink="#1f2328",
        faint="#59636e",
        empty="#edf0f3",
        segments=("#b3bbc5", "#7cb7f2", "#7fd0a0", "#f2b36b"),
        on_segment="#14181d",
        torch="#c3a6f0",
        arrow="#8b95a1",
        flow="#d9480f",
    ),
    "dark": Theme(
        ink="#e6edf3",
        faint="#9198a1",
        empty="#1b2129",
        segments=("#5a6472", "#2f6fb5", "#2d8456", "#a8681c"),
        on_segment="#f5f8fb",
        torch="#6f4fae",
        arrow="#7d8894",
        flow="#ff8c42",
    ),
}


@dataclass(frozen=True)
class Pen:
    """Draws in the pixels that a figure is shown at; the canvas has `scale` of its own for each."""

    draw: ImageDraw.ImageDraw
    scale: int

    def box(self, x: float, y: float, width: float, height: float, colour: str, radius: float) -> None:
        s = self.scale
        corners = [x * s, y * s, (x + width) * s - 1, (y + height) * s - 1]
        self.draw.rounded_rectangle(corners, radius * s, fill=colour)

    def text(self, x: float, y: float, text: str, colour: str, size: float, anchor: str = "mm") -> None:
        s = self.scale
        self.draw.text((x * s, y * s), text, colour, ImageFont.load_default(size * s), anchor)

    def width(self, text: str, size: float) -> float:
        return ImageFont.load_default(size * self.scale).getlength(text) / self.scale

    def arrow(self, corners: list[Point], colour: str, width: float, head: float) -> None:
        """An arrow along the corners, rounded at each; its head ends at the last."""
        (x, y), (before_x, before_y) = corners[-1], corners[-2]
        length = abs(x - before_x) + abs(y - before_y)
        along = (x - before_x) / length, (y - before_y) / length
        base = x - along[0] * head, y - along[1] * head
        wide = head * 0.55
        sides = [(base[0] - sign * along[1] * wide, base[1] + sign * along[0] * wide) for sign in (1, -1)]
        points = _rounded([*corners[:-1], base], 7)
        self.draw.line(self._scaled(points), colour, round(width * self.scale), joint="curve")
        self.draw.polygon(self._scaled([(x, y), *sides]), colour)

    def _scaled(self, points: list[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]


def _rounded(corners: list[Point], radius: float) -> list[Point]:
    """The corners with each inner one replaced by points of a curve."""
    found = [corners[0]]
    for before, corner, after in zip(corners, corners[1:], corners[2:]):
        first, last = _towards(corner, before, radius), _towards(corner, after, radius)
        for step in range(9):
            t = step / 8
            x, y = ((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c for a, b, c in zip(first, corner, last))
            found.append((x, y))
    return [*found, corners[-1]]


def _towards(point: Point, other: Point, distance: float) -> Point:
    """The point at most `distance`, and at most half the way, from `point` to `other`."""
    length = abs(other[0] - point[0]) + abs(other[1] - point[1])
    part = min(distance / length, 0.5)
    return point[0] + (other[0] - point[0]) * part, point[1] + (other[1] - point[1]) * part

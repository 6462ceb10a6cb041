"""Small aligned tables for a terminal."""

import unicodedata
from collections.abc import Sequence


def tabulate(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as aligned text: first column to the left, the others to the right. Rows may be short."""
    columns = max(map(len, rows))
    widths = [max((_width(row[at]) for row in rows if at < len(row) > 1), default=0) for at in range(columns)]
    lines = []
    for row in rows:
        cells = [_pad(cell, width, left=at == 0) for at, (cell, width) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Terminal columns; a Hangul syllable takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _pad(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text

"""docs/images holds what docs/make_figures.py draws from the code today, and a picture of each tab."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.make_figures import FOLDER, THEMES, packed_row, write_figures
from ui.components.words import LANGUAGES
from ui.server.page import TABS


def test_every_figure_that_is_shown_is_one_that_is_drawn(tmp_path: Path) -> None:
    pages = {f"page-{tab}-{language}-{theme}.png" for tab in TABS for language in LANGUAGES for theme in THEMES}
    assert {path.name for path in write_figures(tmp_path)} | pages == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", THEMES)
def test_the_packed_row_shows_the_mask_as_it_is(name: str) -> None:
    shown = np.asarray(Image.open(FOLDER / f"packed-row-{name}.png").convert("RGBA"), dtype=float)
    drawn = np.asarray(packed_row(THEMES[name]), dtype=float)
    assert shown.shape == drawn.shape, "draw it again: python -m docs.make_figures"
    # Another FreeType may move a letter's edge; a cell of the mask is some 1,400 pixels.
    assert (np.abs(shown - drawn).max(axis=2) > 40).sum() < 1000, "draw it again: python -m docs.make_figures"

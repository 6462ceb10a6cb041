"""docs/images holds what docs/make_figures.py draws from the code today, and a picture of each tab."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs import packages, packages_figure
from docs.drawing import THEMES
from docs.make_figures import FOLDER, write_figures
from ui.components.words import LANGUAGES
from ui.server.page import TABS


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every figure as the code draws it today."""
    folder = tmp_path_factory.mktemp("figures")
    write_figures(folder)
    return folder


def test_every_figure_that_is_shown_is_one_that_is_drawn(drawn: Path) -> None:
    pages = {f"page-{tab}-{language}-{theme}.png" for tab in TABS for language in LANGUAGES for theme in THEMES}
    assert {path.name for path in drawn.iterdir()} | pages == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("figure", ["packed-row", "packages"])
def test_a_figure_shows_the_code_as_it_is(figure: str, theme: str, drawn: Path) -> None:
    images = [Image.open(folder / f"{figure}-{theme}.png").convert("RGBA") for folder in (FOLDER, drawn)]
    assert images[0].info == images[1].info, "draw it again: python -m docs.make_figures"
    shown, today = (np.asarray(image, dtype=float) for image in images)
    assert shown.shape == today.shape, "draw it again: python -m docs.make_figures"
    # Another FreeType may move a letter's edge; a cell of the mask is some 1,400 pixels, a box of a package many more.
    assert (np.abs(shown - today).max(axis=2) > 40).sum() < 1000, "draw it again: python -m docs.make_figures"


def test_the_packages_are_those_of_the_design_and_stand_apart() -> None:
    placed = packages_figure.boxes()
    assert placed.keys() == packages.order().keys(), "give each package a place in FLOORS of docs/packages_figure.py"
    assert all(box.left >= 0 and box.right <= packages_figure.WIDTH for box in placed.values())
    for one, other in combinations(placed.values(), 2):
        assert one.floor != other.floor or one.right < other.left or other.right < one.left, (one, other)


def test_a_package_imports_only_lower_floors_of_the_picture() -> None:
    placed = packages_figure.boxes()
    for name, imported in packages.package_imports().items():
        level = {other for other in imported if placed[other].floor >= placed[name].floor}
        assert not level, f"move {name} above {sorted(level)} in FLOORS of docs/packages_figure.py"


def test_the_arrows_imply_every_import() -> None:
    below: dict[str, set[str]] = {name: {packages_figure.GROUND} for name in packages.order()}
    for name in below:  # from the ground up
        direct = {other for source, other in packages_figure.arrows() if source == name}
        below[name] |= direct.union(*(below[other] for other in direct))
    for name, imported in packages.package_imports().items():
        assert imported <= below[name]


def test_an_arrow_runs_through_no_package_between_its_ends() -> None:
    placed = packages_figure.boxes()
    for ends, corners in packages_figure.routes(placed).items():
        for (x, y), (other_x, other_y) in pairwise(corners):
            for box in placed.values():
                apart = max(x, other_x) <= box.left or min(x, other_x) >= box.right
                apart = apart or max(y, other_y) <= box.top or min(y, other_y) >= box.bottom
                assert apart, (ends, box.name)

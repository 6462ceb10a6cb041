"""Tests that need a browser are slow: `make test ARGS="-m 'not slow'"` leaves them out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Server
from tests.support.workspaces import easy_workspace

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.slow(seconds=9))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """runs/ and data/: part of easy-VQA, and two runs, `first` with the demo's weights."""
    return easy_workspace(tmp_path_factory.mktemp("easy"))


@pytest.fixture(scope="module")
def server(folders: tuple[Path, Path]) -> Iterator[Server]:
    """The page on `folders`; a file whose tests need other folders has a server of its own."""
    with Server(*folders) as server:
        yield server

"""Work apart gives what it gives here, InputErrors too."""

import os
from pathlib import Path

import pytest

from tests.support.tiny import tiny_run
from vqa_core.analysis.errors import _guess
from vqa_core.apart import LARGE, run_apart
from vqa_core.config import DataSettings
from vqa_core.files import InputError
from vqa_core.planning.lengths import lengths_of_data
from vqa_core.runs.examples import Example
from vqa_core.runs.run_dir import RunDir


def test_a_large_file_is_read_by_another_process_and_a_small_one_by_this() -> None:
    assert run_apart(os.getpid, size=LARGE - 1) == os.getpid()
    assert run_apart(os.getpid, size=LARGE) != os.getpid()


def test_the_pages_work_gives_the_same_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tmp_path)
    asked = set(run.examples("train"))
    monkeypatch.chdir(run.root)  # a relative path means the same there
    for work, *given in ((_guess, RunDir(Path()), asked), (lengths_of_data, run.data_root(), DataSettings())):
        here = work(*given)
        assert here
        assert run_apart(work, *given, size=LARGE) == here


def test_an_input_error_comes_back(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no questions of the split 'train'"):
        run_apart(_guess, RunDir(tmp_path), {Example("1", "i", "i.png", "what?")}, size=LARGE)

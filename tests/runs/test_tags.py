import multiprocessing
from pathlib import Path

import pytest

from vqa_core.files import InputError, read_json, write_json
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.tags import TAGS, Tags


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    write_json(tmp_path / "run" / "config.json", {})
    return RunDir(tmp_path / "run")


def test_a_tag_goes_on_and_comes_off_and_is_there_for_the_next_reader(run: RunDir) -> None:
    assert Tags(run).read() == {}
    assert Tags(run).toggle("001", "interesting") == ["interesting"]
    assert Tags(run).toggle("001", "wrong_label") == ["wrong_label", "interesting"]  # in the order of TAGS
    assert Tags(run).read() == {"001": ["wrong_label", "interesting"]}
    assert Tags(run).toggle("001", "wrong_label") == ["interesting"]
    assert Tags(run).toggle("001", "interesting") == []
    assert Tags(run).read() == {}


def test_test_questions_have_ids_of_their_own_and_train_and_val_share_theirs(run: RunDir) -> None:
    Tags(run, "val").toggle("0", "ambiguous")
    assert Tags(run, "train").read() == {"0": ["ambiguous"]}
    assert Tags(run, "test").read() == {}
    Tags(run, "test").toggle("0", "bad_image")
    assert read_json(run.tags) == {"train": {"0": ["ambiguous"]}, "test": {"0": ["bad_image"]}}


def test_any_id_and_a_tag_of_another_version_survive(run: RunDir) -> None:
    write_json(run.tags, {"train": {"": ["retired"]}})
    assert Tags(run).toggle("", "model_error") == ["model_error", "retired"]
    assert Tags(run).toggle("", "model_error") == ["retired"]


def test_an_unknown_tag_and_a_file_of_something_else_are_refused_and_left_as_they_are(run: RunDir) -> None:
    with pytest.raises(InputError, match=r"tag 'nice' is not known; choose from wrong_label"):
        Tags(run).toggle("0", "nice")
    for content in (["x"], {"train": {"0": "ambiguous"}}, {"train": {"0": [1]}}, {"train": []}):
        write_json(run.tags, content)
        with pytest.raises(InputError, match=r"tags.json does not hold tags"):
            Tags(run).toggle("0", "ambiguous")
        assert read_json(run.tags) == content


def toggle_many(root: Path, tag: str) -> None:
    for number in range(40):
        Tags(RunDir(root)).toggle(str(number), tag)


def test_two_writers_at_once_lose_nothing(run: RunDir) -> None:
    workers = [multiprocessing.Process(target=toggle_many, args=(run.root, tag)) for tag in TAGS[:2]]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert Tags(run).read() == {str(number): list(TAGS[:2]) for number in range(40)}

import pytest

from tests.support.tiny import ANSWERS, tiny_examples, write_pictures
from vqa_core.benchmarks.workloads import Questions


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Questions:
    """17 questions about 5 pictures."""
    root = tmp_path_factory.mktemp("data")
    examples = tiny_examples(14)
    write_pictures(root, examples)
    return Questions(root, examples, sorted(ANSWERS)).choose(5, 3.4)

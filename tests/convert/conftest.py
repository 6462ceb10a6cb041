import pytest

from tests.support.converting import clip_parts


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny CLIP tower and a tiny language model as folders, by the name of their setting."""
    return clip_parts(tmp_path_factory.mktemp("parts"))

"""The role of a file or split by its name: to train on, to validate with or to answer."""

import re
from pathlib import Path

ROLES = ("train", "val", "test")
_TEST = re.compile("(?<![a-z])test(dev|std|set|ing)?(?![a-z])")
_VAL = re.compile("(?<![a-z])((mini)?val|valid|validate|validation|dev|eval|evaluation)(set)?(?![a-z])")
_TRAIN = re.compile("(?<![a-z])train(set|ing)?(?![a-z])")


def role_of(name: str, source: str = "") -> str:
    """The role of a file or split by its name; `testdev` is a test, `train+val` is training data.

    A parquet file has no splits, and `datasets` calls its one `train`: there the file's name counts too.
    """
    words = name.lower()
    if source and "#" not in source and Path(source).suffix == ".parquet" and words == "train":
        words = Path(source).stem.lower()
        return "val" if _VAL.search(words) and not _TRAIN.search(words) else "train"
    if is_test_name(words):
        return "test"
    return "val" if _VAL.search(words) and not _TRAIN.search(words) else "train"


def is_test_name(name: str) -> bool:
    """Whether a split or file of that name holds test questions."""
    return _TEST.search(name.lower()) is not None


def pair_up(files: dict[str, list[Path]]) -> None:
    """Put the validation files back to the training files if only one of VQA's two files has `val` in its name."""

    def holds(word: str) -> bool:
        return any(word in path.name.lower() for path in files["val"])

    if holds("annotation") != holds("question"):
        other = "question" if holds("annotation") else "annotation"
        if any(other in path.name.lower() for path in files["train"]):
            files["train"] += files["val"]
            files["val"] = []

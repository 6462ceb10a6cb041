"""Join what the readers found in all sources, so that every question of an import has an id of its own."""

from collections.abc import Sequence

from vqa_core.commands import shell_word
from vqa_core.data.formats.roles import ROLES
from vqa_core.data.formats.split_data import SplitData
from vqa_core.files import InputError

UNANSWERED = {"train": "training questions without an answer", "val": "validation questions without an answer"}
ONLY_VAL = "validation questions that are trained on, since the sources have no others with answers"


def use_val_to_train(parts: dict[str, list[SplitData]], named: Sequence[str], given: Sequence[str]) -> None:
    """Make the validation questions the training questions if nothing else has answers and the user names them alone.

    Raises InputError if they come from a folder or dataset that the user named as a whole.
    """

    def has_answers(role: str) -> bool:
        return any(row.answer is not None for part in parts[role] for row in part.examples)

    if has_answers("train") or not has_answers("val"):
        return
    if not set(named) <= set(given):
        raise InputError(
            f"{', '.join(given)} has validation questions and none to train on. To train on some of those and hold out "
            f"the rest, name them by themselves: --data {' '.join(map(shell_word, named))}."
        )
    for part in parts["val"]:
        for row in part.examples:
            part.warn(ONLY_VAL, row.question_id)
    parts["train"] += parts["val"]
    parts["val"] = []


def join_parts(parts: dict[str, list[SplitData]]) -> dict[str, SplitData]:
    """The parts of each role as one, without the training and validation questions that lack an answer."""
    splits = {role: SplitData() for role in ROLES}
    for part in parts["test"]:
        splits["test"].add(part)
    every = [part for of_role in parts.values() for part in of_role]
    taken: set[str] = set()
    if any(says_more(part) for part in every):
        # test may number its questions as train does, but the references of both are kept by id in one file
        asked = {row.question_id for row in splits["test"].examples}
        taken = asked & {key for part in (*every, splits["test"]) for key in part.references}
    for role in ("train", "val"):
        data = splits[role]
        data.reserve(taken)
        for part in parts[role]:
            data.add(part)
        taken |= {row.question_id for row in data.examples}
        for row in [row for row in data.examples if row.answer is None]:
            data.leave_out(UNANSWERED[role], row.question_id, row.to_dict())
        data.examples = [row for row in data.examples if row.answer is not None]
    return splits


def says_more(data: SplitData) -> bool:
    """Whether the references hold anything but each question's one answer."""
    answered = {row.question_id: row.answer for row in data.examples}
    return any(answers != [answered.get(key)] for key, answers in data.references.items())

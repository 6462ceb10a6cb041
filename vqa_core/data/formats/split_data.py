"""SplitData: one split read from another format, with notes on what was changed or left out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vqa_core.runs.examples import Example, UniqueIds

SHOWN = 10
"""How many cases a note keeps, the same as a Finding."""
_NUMBERED = re.compile(r"(?P<stem>.*_)(?P<number>[0-9]+)(?P<turn>#[0-9]+)?", re.DOTALL)
"""An id that a reader made up: `train_7`, and of the third turn of a conversation `train_7#3`."""


@dataclass(slots=True)
class SplitData:
    """The `examples` of a split; their `image` is a path below the images folder, "" if there is none.

    `references` has all answers to questions with several. `notes` maps (severity, sentence) to the ids that it applies
    to; `left_out` has the records that fit no example, each with the reason; `made_up` the ids that the reader numbered
    for records without one. `pictures` has the bytes of pictures that were inside the source, by the name that their
    examples call them.
    """

    examples: list[Example] = field(default_factory=list)
    references: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    made_up: set[str] = field(default_factory=set)
    pictures: dict[str, bytes] = field(default_factory=dict)
    _ids: UniqueIds = field(default_factory=UniqueIds)

    def put(self, example: Example, answers: Sequence[str] = (), *, made_up: bool = False) -> None:
        """Add a question with all answers to it, and number it if another one has its id (`UniqueIds`).

        `made_up` says that the source has no id for it.
        """
        taken = example.question_id in self._ids
        example = example.with_id(self._ids.add(example.id_in_source if taken else example.question_id))
        if answers:
            self.references[example.question_id] = list(answers)
        if made_up:
            self.made_up.add(example.question_id)
        self.examples.append(example)

    def note(self, sentence: str, case: str) -> None:
        """Note that something was changed in the import."""
        self.notes.setdefault(("note", sentence), []).append(case)

    def warn(self, sentence: str, case: str) -> None:
        """Warn of something in the source."""
        self.notes.setdefault(("warning", sentence), []).append(case)

    def leave_out(self, why: str, case: str, record: Any) -> None:
        """Put a record that fits no example into left_out.json."""
        self.notes.setdefault(("warning", f"left out, kept in left_out.json: {why}"), []).append(case)
        self.left_out.append({"why": why, "record": record})

    def add(self, other: "SplitData") -> None:
        """Append the data of another source, under ids that no question here has yet.

        Ids that the reader made up are numbered on from those here. A question whose own id is taken gets `id#2` and
        keeps its own in `source_id`.
        """
        names = other._number_on(self._ids)
        for example in other.examples:
            made_up = example.question_id in other.made_up
            name = names.get(example.question_id, example.question_id)
            answers = other.references.get(example.question_id, ())
            self.put(replace(example, question_id=name) if made_up else example, answers, made_up=made_up)
        self.left_out += other.left_out
        self.pictures |= other.pictures
        for key, cases in other.notes.items():
            self.notes.setdefault(key, []).extend(names.get(case, case) for case in cases)

    def reserve(self, ids: Iterable[str]) -> None:
        """Let no question that is added from now on have one of these ids."""
        for question_id in ids:
            self._ids.add(question_id)

    def _number_on(self, taken: UniqueIds) -> dict[str, str]:
        """New names for the ids made up here: their numbers, past all that are taken with the same words before them.

        Empty if no id made up here is taken.
        """
        if not any(name in taken for name in self.made_up):
            return {}
        parts = {name: match for name in self.made_up if (match := _NUMBERED.fullmatch(name))}
        last = dict.fromkeys((match["stem"] for match in parts.values()), 0)
        for name in taken:
            match = _NUMBERED.fullmatch(name)
            if match and match["stem"] in last:
                last[match["stem"]] = max(last[match["stem"]], int(match["number"]))
        lowest = {stem: min(int(match["number"]) for match in parts.values() if match["stem"] == stem) for stem in last}
        return {
            name: f"{stem}{int(match['number']) - lowest[stem] + last[stem] + 1}{match['turn'] or ''}"
            for name, match in parts.items()
            for stem in [match["stem"]]
        }

    def findings(self) -> list[dict[str, Any]]:
        """The notes as fields of a Finding, JSON-ready."""
        return [
            {
                "severity": severity,
                "code": "import",
                "message": f"{sentence}: {len(cases):,}",
                "count": len(cases),
                "examples": cases[:SHOWN],
            }
            for (severity, sentence), cases in self.notes.items()
        ]

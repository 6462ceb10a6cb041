"""SplitData: one split read from another format, with notes on what was changed or left out."""

from dataclasses import dataclass, field
from typing import Any

from vqa_core.runs.examples import Example

SHOWN = 10
"""How many cases a note keeps, the same as a Finding."""


@dataclass(slots=True)
class SplitData:
    """The `examples` of a split; their `image` is a path below the images folder, "" if there is none.

    `references` has all answers to questions with several. `notes` maps (severity, sentence) to the ids that it applies
    to; `left_out` has the records that fit no example, each with the reason. `pictures` has the bytes of pictures that
    were inside the source, by the name that their examples call them.
    """

    examples: list[Example] = field(default_factory=list)
    references: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def note(self, sentence: str, case: str) -> None:
        """Note that something was changed in the import."""
        self.notes.setdefault(("note", sentence), []).append(case)

    def warn(self, sentence: str, case: str) -> None:
        """Note that something in the source looks wrong."""
        self.notes.setdefault(("warning", sentence), []).append(case)

    def leave_out(self, why: str, case: str, record: Any) -> None:
        """Put a record that fits no example into left_out.json."""
        self.notes.setdefault(("warning", f"left out, kept in left_out.json: {why}"), []).append(case)
        self.left_out.append({"why": why, "record": record})

    def add(self, other: "SplitData") -> None:
        """Append the data of another source of the same split."""
        self.examples += other.examples
        self.references |= other.references
        self.left_out += other.left_out
        self.pictures |= other.pictures
        for key, cases in other.notes.items():
            self.notes.setdefault(key, []).extend(cases)

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

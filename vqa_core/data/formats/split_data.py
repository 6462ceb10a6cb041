"""SplitData: one split as a reader of another format found it, and what it could not take as it was."""

from dataclasses import dataclass, field
from typing import Any

from vqa_core.runs.examples import Example

SHOWN = 10
"""How many cases a note keeps, as a Finding does."""


@dataclass(slots=True)
class SplitData:
    """`examples` whose `image` is a path below the images folder, "" where there is none.

    `references` has all answers of the questions that came with several. `notes` maps (severity, sentence) to the ids
    it holds for, `left_out` keeps the records that no example can hold, each with the reason.
    """

    examples: list[Example] = field(default_factory=list)
    references: dict[str, list[str]] = field(default_factory=dict)
    notes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)

    def note(self, sentence: str, case: str) -> None:
        """Something was changed on the way in."""
        self.notes.setdefault(("note", sentence), []).append(case)

    def leave_out(self, why: str, case: str, record: Any) -> None:
        """A record has no place in an example; it goes to left_out.json."""
        self.notes.setdefault(("warning", f"left out, kept in left_out.json: {why}"), []).append(case)
        self.left_out.append({"why": why, "record": record})

    def add(self, other: "SplitData") -> None:
        """Append what another source of the same split holds."""
        self.examples += other.examples
        self.references |= other.references
        self.left_out += other.left_out
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

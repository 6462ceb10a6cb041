"""Tags: what a person thinks of single questions, kept in the run's `tags.json`."""

from dataclasses import dataclass
from typing import Any

from vqa_core.files import InputError, locked, read_json, write_json
from vqa_core.runs.run_dir import RunDir

TAGS = ("wrong_label", "ambiguous", "bad_image", "model_error", "interesting")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one run's questions.

    `split` says whose ids are meant: those of train and val come from one table and are one, test's are apart, since a
    competition may count both from 0.
    """

    run: RunDir
    split: str = "train"

    def read(self) -> dict[str, list[str]]:
        """The tags of every tagged question by id; a list is never empty."""
        return dict(self._all().get(self._table, {}))

    def toggle(self, question_id: str, tag: str) -> list[str]:
        """Put the tag on the question, or take it off; returns the question's tags.

        Two windows may do so at once: each change is made under a lock to what is then in the file. Raises InputError
        for a tag that is not one of TAGS.
        """
        if tag not in TAGS:
            raise InputError(f"tag {tag!r} is not known; choose from {', '.join(TAGS)}.")
        with locked(self.run.root / ".tags.lock"):  # not the file itself, which every change replaces
            everything = self._all()
            mine = everything.setdefault(self._table, {})
            had = mine.get(question_id, [])
            now = [name for name in had if name != tag] if tag in had else sorted([*had, tag], key=_place)
            mine.pop(question_id, None)
            if now:
                mine[question_id] = now
            write_json(self.run.tags, everything)
        return now

    @property
    def _table(self) -> str:
        return "test" if self.split == "test" else "train"

    def _all(self) -> dict[str, dict[str, list[str]]]:
        if not self.run.tags.is_file():
            return {}
        content = read_json(self.run.tags)
        if not _sound(content):
            raise InputError(
                f'{self.run.tags} does not hold tags, {{"train": {{id: [tag]}}, "test": {{...}}}}. Correct it, or move '
                "it away to start anew."
            )
        return dict(content)


def _place(tag: str) -> int:
    """A tag's place in TAGS; one that is no longer among them stays, at the end."""
    return TAGS.index(tag) if tag in TAGS else len(TAGS)


def _sound(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(table, dict)
        and all(isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) for tags in table.values())
        for table in content.values()
    )

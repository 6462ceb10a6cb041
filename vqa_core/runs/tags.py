"""Tags: what a person thinks of single questions, stored in the run's `tags.json`."""

from dataclasses import dataclass
from typing import Any

from vqa_core.files import InputError, read_json, write_json
from vqa_core.locks import locked
from vqa_core.runs.run_dir import RunDir

TAGS = ("wrong_label", "ambiguous", "bad_image", "model_error", "interesting")


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one run's questions.

    `split` says which table the ids belong to: train and val share one, test has its own, since a competition may
    number both from 0.
    """

    run: RunDir
    split: str = "train"

    def read(self) -> dict[str, list[str]]:
        """The tags of every tagged question by id; a list is never empty."""
        return dict(self._read_tables().get(self._table, {}))

    def toggle(self, question_id: str, tag: str) -> list[str]:
        """Add the tag to the question, or remove it; return the question's tags.

        Two windows may do so at once: each change reads and writes the file under a lock. Raises InputError for a tag
        that is not in TAGS.
        """
        if tag not in TAGS:
            raise InputError(f"tag {tag!r} is not known; choose from {', '.join(TAGS)}.")
        with locked(self.run.root / ".tags.lock"):  # not the file itself, which every change replaces
            tables = self._read_tables()
            table = tables.setdefault(self._table, {})
            old = table.get(question_id, [])
            new = [name for name in old if name != tag] if tag in old else sorted([*old, tag], key=_place)
            table.pop(question_id, None)
            if new:
                table[question_id] = new
            write_json(self.run.tags, tables)
        return new

    @property
    def _table(self) -> str:
        return "test" if self.split == "test" else "train"

    def _read_tables(self) -> dict[str, dict[str, list[str]]]:
        if not self.run.tags.is_file():
            return {}
        content = read_json(self.run.tags)
        if not _is_valid(content):
            raise InputError(
                f'{self.run.tags} does not hold tags, {{"train": {{id: [tag]}}, "test": {{...}}}}. Correct it, or move '
                "it away to start over."
            )
        return dict(content)


def _place(tag: str) -> int:
    """A tag's place in TAGS; a tag that TAGS no longer has comes last."""
    return TAGS.index(tag) if tag in TAGS else len(TAGS)


def _is_valid(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(table, dict)
        and all(isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) for tags in table.values())
        for table in content.values()
    )

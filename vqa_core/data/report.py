"""DataReport: what a competition's data is like and what is wrong with it, known before anything long starts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from vqa_core.data.choices.facts import choice_facts, choice_lines, is_fit
from vqa_core.data.competition import Competition
from vqa_core.data.findings import Finding, exact_match_ceiling, find_all, repeated_questions
from vqa_core.data.pictures.copies import Copies
from vqa_core.runs.examples import Example, join_images
from vqa_core.tabulate import tabulate

TOP_ANSWERS = 20


@dataclass(frozen=True, slots=True)
class DataReport:
    """Facts about each split and about the training answers, collected by `examine`, and the findings, worst first."""

    root: str
    splits: dict[str, dict[str, Any]]
    answers: dict[str, Any]
    encodings: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop `prepare`."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)

    def text(self) -> str:
        """The report for a terminal: one column per split, the answers, one line per finding."""
        parts = [f"Data of {self.root}", tabulate(_split_rows(self.splits, self.encodings))]
        if self.answers["rows"]:
            parts.append(_answer_lines(self.answers))
        if "choices" in self.answers:
            parts.append(choice_lines(self.answers["choices"]))
        parts.append("\n".join(f"{finding.severity}: {finding}." for finding in self.findings))
        return "\n\n".join(part for part in parts if part) + "\n"


def usable(examples: Iterable[Example], problems: Mapping[str, str]) -> list[Example]:
    """The examples to train on: their image was found and has no problem, and they have an answer.

    Where a question has choices, its answer has to name one of two or more.
    """
    return [example for example in with_image(examples, problems) if (example.answer or "").strip() and is_fit(example)]


def with_image(examples: Iterable[Example], problems: Mapping[str, str]) -> list[Example]:
    """The examples whose image was found and has no problem."""
    return [example for example in examples if example.image and example.image not in problems]


def examine(competition: Competition, problems: Mapping[str, str], copies: Copies | None = None) -> DataReport:
    """The report on `competition`.

    `problems` maps image files to what is wrong with them, from `check_images`; `copies` is from `find_copies`.
    """
    copies = copies or Copies()
    repeated = repeated_questions(competition.train, copies)
    return DataReport(
        root=str(competition.root),
        splits={
            split: {"table": competition.table_of(split), "image_folder": competition.image_folders[split]}
            | _split_facts(rows, problems, copies)
            for split, rows in competition.splits.items()
            if split in competition.image_folders
        },
        answers=_answer_facts(competition.train)
        | choice_facts(competition.train)
        | {"exact_match_ceiling": exact_match_ceiling(repeated, len(competition.train))},
        encodings=dict(competition.encodings),
        findings=find_all(competition, problems, repeated, copies),
    )


def _split_facts(examples: Sequence[Example], problems: Mapping[str, str], copies: Copies) -> dict[str, Any]:
    joined = join_images(examples, copies.first) if copies.first else {}
    questions = Counter(joined.get(example.image_id, example.image_id) for example in examples)
    files = {example.image_id: example.image for example in examples}
    found = [name for name in files.values() if name]
    histogram = Counter(questions.values())
    return {
        "rows": len(examples),
        "images": len(files),
        "found": len(found),
        "missing": len(files) - len(found),
        "broken": sum(1 for name in found if name in problems),
        "copies": len(set(found)) - len(set(map(copies.picture, found))),
        "suffixes": dict(Counter(PurePosixPath(name).suffix for name in found).most_common()),
        "questions_per_image": {
            "mean": len(examples) / max(len(questions), 1),
            "max": max(histogram, default=0),
            "images": {str(count): histogram[count] for count in sorted(histogram)},
        },
    }


def _answer_facts(examples: Sequence[Example]) -> dict[str, Any]:
    answers = Counter(example.answer or "" for example in examples)
    words: Counter[int] = Counter()
    for answer, count in answers.items():
        words[len(answer.split())] += count
    return {
        "rows": len(examples),
        "distinct": len(answers),
        "only_once": sum(1 for count in answers.values() if count == 1),
        "top": dict(answers.most_common(TOP_ANSWERS)),
        "words": {str(length): words[length] for length in sorted(words)},
        "mean_words": sum(length * count for length, count in words.items()) / max(len(examples), 1),
        "longest_characters": max(map(len, answers), default=0),
    }


def _split_rows(splits: Mapping[str, Mapping[str, Any]], encodings: Mapping[str, str]) -> list[list[str]]:
    facts = splits.values()

    def numbers(label: str, key: str) -> list[str]:
        return [label, *(f"{split[key]:,}" for split in facts)]

    suffixes = (", ".join(f"{suffix or 'none'} {n:,}" for suffix, n in split["suffixes"].items()) for split in facts)
    return [
        ["", *splits],
        numbers("rows", "rows"),
        numbers("images named", "images"),
        numbers("  found", "found"),
        numbers("  missing", "missing"),
        numbers("  broken", "broken"),
        *([numbers("  copies", "copies")] if any(split["copies"] for split in facts) else []),
        ["  suffixes", *suffixes],
        ["questions per image", *(f"{split['questions_per_image']['mean']:.2f}" for split in facts)],
        ["  at most", *(f"{split['questions_per_image']['max']:,}" for split in facts)],
        ["encoding", *(encodings[split["table"]] for split in facts)],
    ]


def _answer_lines(answers: Mapping[str, Any]) -> str:
    shares = [f"{answer!r} {count / answers['rows']:.1%}" for answer, count in list(answers["top"].items())[:6]]
    most = max(map(int, answers["words"]))
    return (
        f"Answers: {answers['distinct']:,} distinct, {answers['only_once']:,} of them occur once; "
        f"{answers['mean_words']:.2f} words on average, at most {most}.\n"
        f"Most common: {', '.join(shares)}."
    )

"""Findings: what is wrong or odd in a competition's data, each with its number of cases and the first of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vqa_core.data.competition import SAMPLE, Competition
from vqa_core.runs.examples import Example

SEVERITIES = ("error", "warning", "note")
SHOWN = 10
"""How many cases a finding keeps; its sentence names three."""

Repeated = dict[tuple[str, str], Counter[str]]
"""(image, question) asked more than once -> how often each answer was given."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth telling. Of the SEVERITIES an error lets nothing start; `count` is the number of cases."""

    severity: str
    code: str
    message: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = [*self.examples[:3], *["..."] * (self.count > 3)]
        return self.message + (f" ({', '.join(named)})" if self.examples else "")


def find_all(competition: Competition, problems: Mapping[str, str], repeated: Repeated) -> tuple[Finding, ...]:
    """Every finding, worst first. `problems` is from `check_images`, `repeated` from `repeated_questions`."""
    found = [
        *(Finding(**case | {"examples": tuple(case["examples"])}) for case in competition.imported),
        *_rows(competition),
        *_images(competition, problems),
        *_ids(competition),
        *_texts(competition),
        *_repeated(competition, repeated),
        *_encodings(competition),
    ]
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def repeated_questions(examples: Sequence[Example]) -> Repeated:
    """The questions put to one image more than once, word for word."""
    first: dict[tuple[str, str], str] = {}
    repeated: Repeated = {}
    for example in examples:
        pair, answer = (example.image or example.image_id, example.question), example.answer or ""
        if pair in first:
            repeated.setdefault(pair, Counter([first[pair]]))[answer] += 1
        else:
            first[pair] = answer
    return repeated


def exact_match_ceiling(repeated: Repeated, rows: int) -> float:
    """The share of `rows` that is right when every question gets the commonest of the answers given to it."""
    lost = sum(answers.total() - max(answers.values()) for answers in repeated.values())
    return 1 - lost / rows if rows else 1.0


def _finding(severity: str, code: str, cases: Sequence[str], noun: str, rest: str) -> list[Finding]:
    """`12 NOUNs REST`, or nothing where there are no cases."""
    if not cases:
        return []
    message = f"{len(cases):,} {noun}{'s' if len(cases) > 1 else ''} {rest}"
    return [Finding(severity, code, message, len(cases), tuple(cases[:SHOWN]))]


def _rows(competition: Competition) -> list[Finding]:
    found = []
    for split, rows, severity in (("train", competition.train, "error"), ("test", competition.test, "warning")):
        if f"{split}.csv" in competition.encodings and not rows:
            found.append(Finding(severity, f"no-{split}-rows", f"{split}.csv has a header and no rows below it", 1))
    if "test.csv" not in competition.encodings:
        found.append(Finding("note", "no-test-csv", "there is no test.csv, so there is nothing to submit", 1))
    return found


def _images(competition: Competition, problems: Mapping[str, str]) -> list[Finding]:
    ambiguous = competition.ambiguous
    several = [" or ".join(files) for files in ambiguous.values()]
    found = _finding("error", "ambiguous-images", several, "image id", "with more than one file; keep one for each")
    for split, rows in (("train", competition.train), ("test", competition.test)):
        missing = [row.image_id for row in rows if not row.image and row.image_id not in ambiguous]
        broken = [row.image for row in rows if row.image in problems]
        told = [f"{name} {problems[name]}" for name in dict.fromkeys(broken)]
        lost = "the rows are left out" if split == "train" else "the questions get a fallback answer"
        noun = f"{split} image"
        found += _finding(
            "warning", f"missing-{split}-images", list(dict.fromkeys(missing)), noun, f"not found; {lost}"
        )
        found += _finding("warning", f"broken-{split}-images", told, noun, f"that cannot be used; {lost}")
        without = len(missing) + len(broken)
        if split == "train" and 2 * without > len(rows):
            folder = competition.root / competition.image_folders[split]
            message = (
                f"{without:,} of {len(rows):,} rows of train.csv have no usable image; images were sought in {folder}"
            )
            found.append(Finding("error", "most-images-missing", message, without))
    shared = {row.image for row in competition.train if row.image} & {row.image for row in competition.test}
    return found + _finding("note", "shared-images", sorted(shared), "image", "in both train and test")


def _ids(competition: Competition) -> list[Finding]:
    found: list[Finding] = []
    for split, rows, severity in (("train", competition.train, "warning"), ("test", competition.test, "error")):
        counts = Counter(row.question_id for row in rows)
        without = [f"row {number}" for number, row in enumerate(rows, start=1) if not row.question_id]
        twice = [question_id for question_id, count in counts.items() if count > 1 and question_id]
        found += _finding(severity, f"empty-{split}-ids", without, "row", f"of {split}.csv without an id")
        found += _finding(severity, f"duplicate-{split}-ids", twice, "id", f"more than once in {split}.csv")
    if competition.sample_ids:
        asked, sample = {row.question_id for row in competition.test}, set(competition.sample_ids)
        unasked = [question_id for question_id in competition.sample_ids if question_id not in asked]
        unlisted = [row.question_id for row in competition.test if row.question_id not in sample]
        rest = f"of {SAMPLE} that test.csv lacks, so no submission can be complete"
        found += _finding("warning", "sample-ids-not-in-test", unasked, "id", rest)
        found += _finding("warning", "test-ids-not-in-sample", unlisted, "id", f"of test.csv that {SAMPLE} lacks")
    return found


def _texts(competition: Competition) -> list[Finding]:
    found: list[Finding] = []
    for split, rows in (("train", competition.train), ("test", competition.test)):
        without = [row.question_id for row in rows if not row.question.strip()]
        found += _finding("warning", f"empty-{split}-questions", without, "question", f"of {split}.csv without text")
    empty = [row.question_id for row in competition.train if not (row.answer or "").strip()]
    answers = dict.fromkeys(row.answer for row in competition.train if (row.answer or "").strip())
    spaced = [repr(answer) for answer in answers if answer and answer != answer.strip()]
    found += _finding("warning", "empty-answers", empty, "row", "of train.csv without an answer, left out")
    return found + _finding(
        "note", "spaces-round-answers", spaced, "distinct answer", "with white space at an end, kept"
    )


def _repeated(competition: Competition, repeated: Repeated) -> list[Finding]:
    alike, otherwise = [], []
    for (image, question), answers in repeated.items():
        if len(answers) == 1:
            alike.append(f"{question!r} of {image}")
        else:
            otherwise.append(f"{question!r} of {image}: {' / '.join(map(repr, answers))}")
    ceiling = exact_match_ceiling(repeated, len(competition.train))
    rest = f"answered in two ways or more for one image, so exact match cannot pass {ceiling:.2%} on such data"
    found = _finding("warning", "conflicting-answers", otherwise, "question", rest)
    return found + _finding("note", "repeated-questions", alike, "question", "asked again of one image, answered alike")


def _encodings(competition: Competition) -> list[Finding]:
    other = [f"{name}: {encoding}" for name, encoding in competition.encodings.items() if encoding != "utf-8"]
    return _finding("note", "encodings", other, "CSV file", "in another encoding than plain UTF-8")

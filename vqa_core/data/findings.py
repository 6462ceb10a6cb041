"""Findings: what is wrong or odd in a competition's data, each with its number of cases and the first few."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vqa_core.data.choices.facts import choice_cases
from vqa_core.data.columns.ids import pairs_but_for_case, pairs_without_zeros, rounded_ids
from vqa_core.data.columns.table_reader import NUMBERS
from vqa_core.data.columns.table_reader import SAMPLE as OF_SAMPLE
from vqa_core.data.competition import SAMPLE, Competition
from vqa_core.data.images import ImageChecks
from vqa_core.data.pictures.copies import Copies
from vqa_core.files import named
from vqa_core.runs.choices import letter
from vqa_core.runs.examples import Example

SEVERITIES = ("error", "warning", "note")
OWN_VAL = "own-validation"
"""Code of the finding that the source has a validation split of its own."""
SHOWN = 10
"""How many cases a finding keeps; its sentence lists three."""

Repeated = dict[tuple[str, str], Counter[str]]
"""(image, question) that occurs more than once -> how often each answer was given."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to report. `severity` is one of SEVERITIES, and an error stops `prepare`; `count` counts the cases."""

    severity: str
    code: str
    message: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        cases = [*self.examples[:3], *["..."] * (self.count > 3)]
        return self.message + (f" ({', '.join(cases)})" if self.examples else "")


def find_all(
    competition: Competition, problems: Mapping[str, str], repeated: Repeated, copies: Copies
) -> tuple[Finding, ...]:
    """Every finding, worst first.

    `problems` is from `check_images`, `repeated` from `repeated_questions`, `copies` from `find_copies`.
    """
    findings = [
        *(Finding(**case | {"examples": tuple(case["examples"])}) for case in competition.imported),
        *_check_rows(competition, problems),
        *_check_images(competition, problems),
        *_check_copies(competition, copies),
        *_check_ids(competition),
        *_check_texts(competition),
        *_check_repeated(competition, repeated),
        *_check_choices(competition),
        *_check_encodings(competition),
        *_check_tables(competition),
        *_check_columns(competition),
        *_check_spreadsheet(competition),
    ]
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def repeated_questions(examples: Sequence[Example], copies: Copies | None = None) -> Repeated:
    """The questions that occur more than once for one picture, word for word, choices included."""
    copies = copies or Copies()
    first: dict[tuple[str, str], str] = {}
    repeated: Repeated = {}
    for example in examples:
        asked = " ".join([example.question, *(f"({letter(at)}) {text}" for at, text in enumerate(example.choices))])
        pair = copies.picture(example.image) or example.image_id, asked
        answer = example.answer or ""
        if pair in first:
            repeated.setdefault(pair, Counter([first[pair]]))[answer] += 1
        else:
            first[pair] = answer
    return repeated


def exact_match_ceiling(repeated: Repeated, rows: int) -> float:
    """The best possible exact match: the share of `rows` that is right if every question gets its commonest answer."""
    lost = sum(answers.total() - max(answers.values()) for answers in repeated.values())
    return 1 - lost / rows if rows else 1.0


def find_unusual_images(checks: ImageChecks) -> list[dict[str, Any]]:
    """What was done to decode some images, as fields of findings like those of an import."""
    smaller = [f"{name} at 1/{part}" for name, part in sorted(checks.parts.items())]
    fewer = [f"{name}: {bits} bits" for name, bits in sorted(checks.bits.items())]
    rest = "of 16 bits with samples of fewer, scaled by the range that these have"
    found = [
        *_make_finding("note", "reduced-images", smaller, "image", "above the pixel limit, decoded at a smaller size"),
        *_make_finding("note", "shallow-images", fewer, "image", rest),
    ]
    return [asdict(finding) for finding in found]


def _make_finding(severity: str, code: str, cases: Sequence[str], noun: str, rest: str) -> list[Finding]:
    """A finding `12 NOUNs REST`, or none if there are no cases."""
    if not cases:
        return []
    message = f"{len(cases):,} {noun}{'s' if len(cases) > 1 else ''} {rest}"
    return [Finding(severity, code, message, len(cases), tuple(cases[:SHOWN]))]


def rows_with_copies(competition: Competition, copies: Copies, split: str) -> list[Example]:
    """The training rows about a picture that `split` has too: the test split under another name, `val` under any."""
    others = {row.image for row in competition.splits.get(split, ()) if row.image}
    pictures = {copies.picture(image) for image in others}
    return [
        row
        for row in competition.train
        if row.image and copies.picture(row.image) in pictures and (split == "val" or row.image not in others)
    ]


def copied_images(examples: Sequence[Example], copies: Copies) -> list[tuple[str, str]]:
    """The picture files that copy another one of these examples, each with the first such."""
    first: dict[str, str] = {}
    images = sorted({row.image for row in examples if row.image})
    return [(image, first[name]) for image in images if first.setdefault(name := copies.picture(image), image) != image]


def _is_usable(row: Example, problems: Mapping[str, str]) -> bool:
    return bool(row.image) and row.image not in problems and bool((row.answer or "").strip())


def _check_rows(competition: Competition, problems: Mapping[str, str]) -> list[Finding]:
    findings = []
    for split, severity in (("train", "error"), ("val", "warning"), ("test", "warning")):
        table, rows = competition.table_of(split), competition.splits.get(split)
        if table in competition.encodings and not rows:
            findings.append(Finding(severity, f"no-{split}-rows", f"{table} has a header but no rows", 1))
    if "test.csv" not in competition.encodings:
        findings.append(Finding("note", "no-test-csv", "there is no test.csv, so there is nothing to submit", 1))
    held_out = [row for row in competition.val if _is_usable(row, problems)]
    if held_out:
        table = competition.table_of("val")
        message = f"{table} is the validation split, {len(held_out):,} rows: --val-fraction holds out no others"
        findings.append(Finding("note", OWN_VAL, message, len(held_out)))
    elif competition.val:
        table = competition.table_of("val")
        unused = f"no row of {table} has a usable image and an answer, so --val-fraction holds out others"
        findings.append(Finding("warning", "no-usable-val", unused, len(competition.val)))
    return findings


def _check_images(competition: Competition, problems: Mapping[str, str]) -> list[Finding]:
    ambiguous = competition.ambiguous
    several = [" or ".join(files) for files in ambiguous.values()]
    rest = "with more than one file; keep one for each"
    findings = _make_finding("error", "ambiguous-images", several, "image id", rest)
    for split, word, effect in (
        ("train", "train", "the rows are left out"),
        ("val", "validation", "the rows are left out"),
        ("test", "test", "the questions get a fallback answer"),
    ):
        rows, noun = competition.splits.get(split, []), f"{word} image"
        missing = [row.image_id for row in rows if not row.image and row.image_id not in ambiguous]
        broken = [row.image for row in rows if row.image in problems]
        reasons = [f"{name} {problems[name]}" for name in dict.fromkeys(broken)]
        findings += _make_finding(
            "warning", f"missing-{split}-images", list(dict.fromkeys(missing)), noun, f"not found; {effect}"
        )
        findings += _make_finding("warning", f"broken-{split}-images", reasons, noun, f"that cannot be used; {effect}")
        without = len(missing) + len(broken)
        if split == "train" and 2 * without > len(rows):
            folder = (competition.root / competition.image_folders[split]).resolve()
            message = (
                f"{without:,} of {len(rows):,} rows of train.csv have no usable image; images were looked for in "
                f"{folder}"
            )
            findings.append(Finding("error", "most-images-missing", message, without))
    shared = {row.image for row in competition.train if row.image} & {row.image for row in competition.test}
    return findings + _make_finding("note", "shared-images", sorted(shared), "image", "in both train and test")


def _check_copies(competition: Competition, copies: Copies) -> list[Finding]:
    findings: list[Finding] = []
    for split, word in (("val", "validation"), ("test", "test")):
        rows = [row.question_id for row in rows_with_copies(competition, copies, split)]
        rest = f"of train.csv about exactly the same picture as a {word} question"
        findings += _make_finding("warning", f"{split}-images-in-train", rows, "row", rest)
    pairs = [f"{image} = {first}" for image, first in copied_images(competition.train, copies)]
    together = "with the same content as another one; the split keeps them together"
    findings += _make_finding("note", "copied-train-images", pairs, "train image file", together)
    if not copies.by_pixels:
        message = (
            f"{copies.pictures:,} images were compared by their bytes, and by their pixels at most where their files "
            "end alike; --verify-images full compares all pixels"
        )
        findings.append(Finding("note", "copies-by-bytes", message, copies.pictures))
    return findings


def _check_ids(competition: Competition) -> list[Finding]:
    findings: list[Finding] = []
    for split, severity in (("train", "warning"), ("val", "warning"), ("test", "error")):
        table, rows = competition.table_of(split), competition.splits.get(split, [])
        counts = Counter(row.question_id if split == "test" else row.id_in_source for row in rows)
        without = [f"row {number}" for number, row in enumerate(rows, start=1) if not row.id_in_source]
        twice = [question_id for question_id, count in counts.items() if count > 1 and question_id]
        findings += _make_finding(severity, f"empty-{split}-ids", without, "row", f"of {table} without an id")
        findings += _make_finding(severity, f"duplicate-{split}-ids", twice, "id", f"more than once in {table}")
    if competition.sample_ids:
        asked, sample = {row.question_id for row in competition.test}, set(competition.sample_ids)
        unasked = [question_id for question_id in competition.sample_ids if question_id not in asked]
        unlisted = [row.question_id for row in competition.test if row.question_id not in sample]
        rest = f"of {SAMPLE} missing from test.csv, so no submission can be complete"
        findings += _make_finding("warning", "sample-ids-not-in-test", unasked, "id", rest)
        findings += _make_finding(
            "warning", "test-ids-not-in-sample", unlisted, "id", f"of test.csv missing from {SAMPLE}"
        )
    return findings


def _check_texts(competition: Competition) -> list[Finding]:
    findings: list[Finding] = []
    for split, rows in competition.splits.items():
        without = [row.question_id for row in rows if not row.question.strip()]
        table = competition.table_of(split)
        findings += _make_finding(
            "warning", f"empty-{split}-questions", without, "question", f"of {table} without text"
        )
    for code, split in (("empty-answers", "train"), ("empty-val-answers", "val")):
        empty = [row.question_id for row in competition.splits.get(split, []) if not (row.answer or "").strip()]
        table = competition.table_of(split)
        findings += _make_finding("warning", code, empty, "row", f"of {table} without an answer, left out")
    answers = dict.fromkeys(row.answer for row in competition.train if (row.answer or "").strip())
    spaced = [repr(answer) for answer in answers if answer and answer != answer.strip()]
    return findings + _make_finding(
        "note", "spaces-round-answers", spaced, "distinct answer", "with leading or trailing white space, kept"
    )


def _check_repeated(competition: Competition, repeated: Repeated) -> list[Finding]:
    alike, otherwise = [], []
    for (image, question), answers in repeated.items():
        if len(answers) == 1:
            alike.append(f"{question!r} of {image}")
        else:
            otherwise.append(f"{question!r} of {image}: {' / '.join(map(repr, answers))}")
    ceiling = exact_match_ceiling(repeated, len(competition.train))
    rest = f"with different answers for one image, so exact match cannot exceed {ceiling:.2%} on such data"
    findings = _make_finding("warning", "conflicting-answers", otherwise, "question", rest)
    return findings + _make_finding(
        "note", "repeated-questions", alike, "question", "repeated for one image with the same answer"
    )


def _check_choices(competition: Competition) -> list[Finding]:
    findings: list[Finding] = []
    for split, word, effect in (
        ("train", "train", "the rows are left out"),
        ("val", "validation", "the rows are left out"),
        ("test", "test", "they are asked all the same"),
    ):
        cases, noun = choice_cases(competition.splits.get(split, ())), f"{word} question"
        findings += _make_finding(
            "warning", f"few-{split}-choices", cases.few, noun, f"with fewer than two choices; {effect}"
        )
        findings += _make_finding(
            "warning", f"no-{split}-choice", cases.none, noun, f"whose answer names none of its choices; {effect}"
        )
        findings += _make_finding(
            "warning", f"repeated-{split}-choices", cases.twice, noun, "with the same choice twice"
        )
        findings += _make_finding(
            "note",
            f"blank-{split}-choices",
            cases.blank,
            noun,
            "with a blank choice between others, which keep their letters",
        )
        findings += _make_finding(
            "note",
            f"open-{split}-questions",
            cases.open,
            noun,
            "without choices beside others that have some; they are asked openly",
        )
    return findings


def _check_encodings(competition: Competition) -> list[Finding]:
    other = [
        f"{name}: {encoding}, read as {competition.samples[name]!r}"
        if competition.samples.get(name)
        else f"{name}: {encoding}"
        for name, encoding in competition.encodings.items()
        if encoding != "utf-8"
    ]
    return _make_finding("note", "encodings", other, "CSV file", "not encoded as plain UTF-8")


def _check_tables(competition: Competition) -> list[Finding]:
    """What was done to read a table: its separator, rows that were skipped, ids that were made up."""
    findings: list[Finding] = []
    for name, facts in competition.tables.items():
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
            if facts.separator == separator:
                findings.append(Finding("note", "separators", f"{name} is separated by {word}", 1))
        if facts.padded:
            message = f"the blank after each separator of {name} is no part of the fields"
            findings.append(Finding("note", "padded-fields", message, 1))
        if facts.blank_rows:
            count = facts.blank_rows
            message = f"{count:,} row{'s' if count > 1 else ''} of {name} with nothing but separators, skipped"
            findings.append(Finding("note", "blank-rows", message, count))
        if facts.ids == NUMBERS:
            message = f"{name} has no column of ids, so its rows were numbered"
            findings.append(Finding("note", "numbered-rows", message, 1))
        if facts.ids == OF_SAMPLE:
            message = f"{name} has no column of ids, so its rows got those of {SAMPLE}, in its order"
            findings.append(Finding("warning", "ids-of-sample", message, 1))
    return findings


def _check_columns(competition: Competition) -> list[Finding]:
    """Which columns were taken for what, if their names don't say it, and which are for nothing."""
    findings: list[Finding] = []
    for name, facts in competition.tables.items():
        if facts.renamed:
            listed = ", ".join(f"{column!r} as {field}" for column, field in facts.renamed.items())
            message = f"{name} has other names for its columns: {listed}"
            findings.append(Finding("note", "renamed-columns", message, len(facts.renamed)))
        if unused := competition.unused.get(name, ()):
            message = f"{name} has columns that nothing is read from: {named(unused, 12)}"
            findings.append(Finding("note", "unused-columns", message, len(unused)))
        if not facts.answers and name == SAMPLE:
            message = (
                f"{name} has no column for the answers, so no submission can be written; add one to it, or name it "
                "with --answer-column"
            )
            findings.append(Finding("warning", "no-sample-answers", message, 1))
        elif not facts.answers:
            message = f"{name} has no column of answers, so its questions validate nothing"
            findings.append(Finding("warning", "no-val-answers", message, 1))
    return findings


def _check_spreadsheet(competition: Competition) -> list[Finding]:
    """Ids that a spreadsheet has changed when it saved the file."""
    ids = {competition.table_of(split): [row.question_id for row in rows] for split, rows in competition.splits.items()}
    findings: list[Finding] = []
    for name, texts in (ids | {SAMPLE: competition.sample_ids}).items():
        rounded = f"of {name} rounded by a spreadsheet, so that different ids may be alike now; get that file again"
        findings += _make_finding("warning", "rounded-ids", rounded_ids(texts), "id", rounded)
    asked, listed = set(ids["test.csv"]), set(competition.sample_ids)
    unasked, unlisted = sorted(listed - asked), sorted(asked - listed)
    zeros = [f"{ours!r} for {theirs!r}" for ours, theirs in pairs_without_zeros(unasked, unlisted)]
    as_numbers = f"of {SAMPLE} with other leading zeros than in test.csv, as spreadsheets leave them; write both alike"
    findings += _make_finding("warning", "zeros-of-ids", zeros, "id", as_numbers)
    alike = [f"{ours!r} for {theirs!r}" for ours, theirs in pairs_but_for_case(unasked, unlisted)]
    as_texts = f"of {SAMPLE} with other blanks or capitals than in test.csv; write both alike"
    return findings + _make_finding("warning", "spelling-of-ids", alike, "id", as_texts)

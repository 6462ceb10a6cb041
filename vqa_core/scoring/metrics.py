"""METRICS: how right one answer is, between 0 and 1, by the name to print beside the number.

A metric takes the prediction and the reference answers of one question. The VQA metrics are those of the evaluation
tool (GT-Vision-Lab/VQA, vqaEval.py): they leave out each reference in turn, score the prediction min(1, matches / 3)
against the others, and take the mean; so k matches of 10 score 0, 0.3, 0.6, 0.9, 1 from k = 0 on. With a single
reference nothing is left to match, so these metrics refuse it rather than report 0.
"""

from collections.abc import Callable, Sequence

from vqa_core.answers import NORMALISERS, clean_spaces, m4c, process_digit_article, process_punctuation, vqa_2021
from vqa_core.files import InputError

Metric = Callable[[str, Sequence[str]], float]
DEFAULT_NORMALISER = "plain"


def exact(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction is one of the references, character for character, as an exact-match server counts."""
    return float(prediction in references)


def exact_normalised(prediction: str, references: Sequence[str], normaliser: str = DEFAULT_NORMALISER) -> float:
    """`exact` after the same normaliser, a name in NORMALISERS, on both sides. Print its name with the number."""
    normalise = NORMALISERS[normaliser]
    return exact(normalise(prediction), [normalise(reference) for reference in references])


def vqa_official_2021(prediction: str, references: Sequence[str]) -> float:
    """VQA accuracy as the tool has computed it since 2021-03-11: no normalisation if all references agree."""
    references = [clean_spaces(reference) for reference in references]
    prediction = clean_spaces(prediction)
    if len(set(references)) > 1:
        references = [vqa_2021(reference) for reference in references]
        prediction = vqa_2021(prediction)
    return _leave_one_out(prediction, references)


def vqa_official_pre2021(prediction: str, references: Sequence[str]) -> float:
    """VQA accuracy as the tool computed it before: normalises the prediction fully, references only in punctuation.

    So no prediction can match a reference `two` or `none`, or a unanimous `yes.`.
    """
    if len(set(references)) > 1:
        references = [process_punctuation(reference) for reference in references]
    return _leave_one_out(process_digit_article(process_punctuation(clean_spaces(prediction))), references)


def vqa_m4c(prediction: str, references: Sequence[str]) -> float:
    """TextVQA accuracy as LLaVA's m4c_evaluator.py computes it: always normalises both sides, needs ten references."""
    if len(references) != 10:
        raise InputError(
            f"vqa_m4c needs exactly 10 reference answers per question, not {len(references)}. Use `exact`."
        )
    return _leave_one_out(m4c(prediction), [m4c(reference) for reference in references])


def anls(prediction: str, references: Sequence[str]) -> float:
    """Normalised Levenshtein similarity to the nearest reference, 0 if below one half; ignores case and outer spaces.

    As in LLaVA's m4c_evaluator.py. Other implementations use the length of the raw texts and differ a little.
    """
    best = max(_similarity(prediction.lower().strip(), reference.lower().strip()) for reference in references)
    return best if best >= 0.5 else 0.0


METRICS: dict[str, Metric] = {
    "exact": exact,
    "exact_normalised": exact_normalised,
    "vqa_official_2021": vqa_official_2021,
    "vqa_official_pre2021": vqa_official_pre2021,
    "vqa_m4c": vqa_m4c,
    "anls": anls,
}


def _leave_one_out(prediction: str, references: Sequence[str]) -> float:
    """Mean over the references of min(1, matches among the others / 3); leaves references out by place, not content."""
    count = len(references)
    if count < 4:
        raise InputError(
            f"the VQA metric compares an answer with three others and leaves one out, so it needs at least 4 reference "
            f"answers per question (10 as designed), not {count}: with 1 every score would be 0. Use `--metric exact`."
        )
    matches = list(references).count(prediction)
    if_matching_is_left_out = min(1.0, (matches - 1) / 3)
    if_another_is_left_out = min(1.0, matches / 3)
    return (matches * if_matching_is_left_out + (count - matches) * if_another_is_left_out) / count


def _similarity(a: str, b: str) -> float:
    """1 - edit distance / length of the longer; 1 for two empty texts."""
    return 1.0 - _edit_distance(a, b) / max(len(a), len(b), 1)


def _edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: insertions, deletions and replacements of characters, row by row of the table."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        above_left, row[0] = row[0], i
        for j, other in enumerate(b, start=1):
            above_left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above_left + (letter != other))
    return row[-1]

"""The upper half of the Errors tab: the score, slices, the confusion matrix, and answers wrong in form alone."""

from typing import Any

import gradio as gr

from ui.components.words import Words
from ui.errors.scene import Scene
from vqa_core.analysis.errors import Answers, Slice
from vqa_core.analysis.paired import PairedErrors
from vqa_core.analysis.slicing import OF_CHOICES, OPEN, OTHER, UNKNOWN, answer_of
from vqa_core.scoring.intervals import Interval

OVERALL_DIGITS, DIGITS = 2, 1  # decimals of percentages


def percent(share: float, digits: int = DIGITS) -> str:
    """`99.8%`; a share below 1 that rounds to 100% is `>99.9%`."""
    text = f"{share:.{digits}%}"
    almost = f"{1 - 10 ** -(digits + 2):.{digits}%}"
    return f">{almost}" if share < 1 and text == f"{1:.{digits}%}" else text


def points(difference: float, digits: int = OVERALL_DIGITS) -> str:
    """`+0.31`: a difference of shares in percentage points."""
    return f"{100 * difference:+.{digits}f}"


def scored(t: Words, key: str, interval: Interval, digits: int = DIGITS, **values: Any) -> str:
    """The text of a score with its interval, by a key of errors.json."""
    shown = {name: f"{100 * getattr(interval, name):.{digits}f}" for name in ("low", "high")}
    return t(f"errors.{key}", score=f"{interval.value:.{digits}%}", **shown, **values)


def draw_panels(t: Words, scene: Scene) -> dict[str, Any]:
    """Headline, slices, confusion matrix, and near misses with the score that they would add."""
    answers = scene.answers
    if answers is None:
        return {
            "headline": {},
            "slices": {},
            "matrix": {},
            "matrix_note": gr.Markdown(visible=False),
            "near": {},
            "near_note": "",
        }
    return {
        "headline": headline(t, answers, scene.paired),
        "slices": slices(t, scene, answers),
        **_matrix(t, scene, answers),
        **_near(t, scene, answers),
    }


def headline(t: Words, answers: Answers, paired: PairedErrors | None = None) -> dict[str, Any]:
    """Bars: this run, the other one, and the question-only baseline."""
    images = f"{len(set(answers.images.tolist())):,}"
    if answers.overall is None:
        return {"rows": [], "title": t("errors.headline_unscored", n=f"{len(answers):,}", images=images)}
    rows = [_bar(t("errors.this_run"), answers.overall, scored(t, "score", answers.overall, OVERALL_DIGITS))]
    if paired and paired.comparison.paired:
        other = paired.comparison.paired.b
        rows.append(_bar(t("errors.other_run"), other, scored(t, "score", other, OVERALL_DIGITS)))
    if answers.baseline:
        guess, gain = answers.baseline
        text = scored(t, "gain", guess, OVERALL_DIGITS, gain=points(gain.value))
        rows.append(_bar(t("errors.baseline"), guess, text))
    return {"rows": rows, "title": t("errors.headline_n", n=f"{len(answers):,}", images=images)}


def slices(t: Words, scene: Scene, answers: Answers) -> dict[str, Any]:
    """Bars of one slicing; all question types stay when one is chosen."""
    by = scene.by
    types = by == "question_type"
    chosen = scene.view.get("type" if types else "slice", "")
    among = answers.select() if types else answers.select(kind=scene.view.get("type", ""))
    found, left = answers.slices(by, among)
    rows = []
    for item in found:
        row = _bar(slice_label(t, by, item.key), item.score, _slice_text(t, by, item), item.n / max(1, len(among)))
        rows.append(row | {"key": item.key, "chosen": item.key == chosen})
    if left:
        rows.append({"label": t("errors.more_slices", count=f"{left:,}"), "share": 0, "text": ""})
    return {"rows": rows, "empty": t("errors.none_here")}


def slice_label(t: Words, by: str, key: str) -> str:
    """The key of a slice as the reader sees it."""
    if by == "answer":
        return answer_label(t, key)
    if key == UNKNOWN:
        return t("errors.unknown")
    if key == OPEN and by in OF_CHOICES:
        return t("errors.open")
    if by == "confidence":
        low, _, high = key.partition("-")
        try:
            return f"{float(low):.0%}–{float(high):.0%}"
        except ValueError:  # an address may hold anything
            return key
    return key


def answer_label(t: Words, key: str) -> str:
    """An answer, by its key, as the reader sees it."""
    if key == OTHER:
        return t("errors.other")
    return answer_of(key) or t("errors.empty_answer")


def _slice_text(t: Words, by: str, item: Slice) -> str:
    n, confidence = f"{item.n:,}", percent(item.confidence) if item.confidence is not None else ""
    if item.score is None:
        return t("errors.slice_unscored", n=n, confidence=confidence) if confidence else t("errors.slice_plain", n=n)
    if by == "confidence" and confidence:
        return scored(t, "slice_confidence", item.score, n=n, confidence=confidence)
    return scored(t, "slice", item.score, n=n, wrong=f"{item.wrong:,}")


def _bar(label: str, interval: Interval | None, text: str, share: float = 0.0) -> dict[str, Any]:
    if interval is None:
        return {"label": label, "share": share, "text": text}
    return {"label": label, "share": interval.value, "low": interval.low, "high": interval.high, "text": text}


def _matrix(t: Words, scene: Scene, answers: Answers) -> dict[str, Any]:
    found = answers.confusion(scene.part)
    labels = [answer_label(t, key) for key in found.keys]
    drawn = {
        "rows": labels,
        "columns": labels,
        "cells": found.cells,
        "row_title": t("errors.wanted"),
        "column_title": t("errors.given"),
        "empty": t("errors.none_here"),
    }
    note = t("errors.other_note", count=f"{found.others:,}") if found.others else ""
    return {"matrix": drawn, "matrix_note": gr.Markdown(note, visible=bool(note))}


def _near(t: Words, scene: Scene, answers: Answers) -> dict[str, Any]:
    if answers.right is None:
        return {"near": {}, "near_note": ""}
    kinds = answers.near_misses(scene.part)
    count, n, wrong = sum(kinds.values()), len(scene.part), int((~answers.right[scene.part]).sum())
    rows = [
        {
            "key": kind,
            "label": t(f"errors.form_{kind}"),
            "share": found / wrong,
            "text": t("errors.near_bar", count=f"{found:,}", gain=f"{100 * found / n:.2f}"),
            "chosen": kind == scene.form,
        }
        for kind, found in kinds.items()
    ]
    if not count:
        return {"near": {}, "near_note": t("errors.near_none")}
    note = t("errors.near_sum", count=f"{count:,}", wrong=f"{wrong:,}", gain=f"{100 * count / n:.2f}")
    return {"near": {"rows": rows}, "near_note": note}

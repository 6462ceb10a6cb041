"""The comparison with another run on the Errors tab: which is better, where they differ, and in which settings."""

from typing import Any

import gradio as gr

from ui.components.words import Words
from ui.errors.panels import points
from ui.errors.scene import Scene
from vqa_core.analysis.paired import PAIRS, PairedErrors
from vqa_core.scoring.comparison import Paired

MOST = 40  # settings in the list


def draw_compare(t: Words, scene: Scene) -> dict[str, Any]:
    """The section itself, pairs of right and wrong, the test, the settings."""
    if scene.paired is None:
        empty: dict[str, Any] = {"rows": [], "empty": scene.unpaired}
        return {"compare": gr.Column(visible=bool(scene.unpaired)), "pairs": empty, "verdict": {}, "settings": {}}
    return {
        "compare": gr.Column(visible=True),
        "pairs": {"rows": pair_rows(t, scene.paired, scene.pair)},
        "verdict": {"rows": verdict_rows(t, scene.paired.comparison.paired)},
        "settings": settings(t, scene.paired),
    }


def pair_rows(t: Words, paired: PairedErrors, chosen: str) -> list[dict[str, Any]]:
    """Bars: the number of questions for each of PAIRS; without right answers, of those answered differently alone."""
    scored = paired.comparison.paired is not None
    rows = []
    for name in PAIRS if scored else ("differ",):
        count = int(paired.masks[name].sum())
        share = count / max(1, len(paired.a))
        text = f"{count:,} · {share:.1%}"
        rows.append(
            {"key": name, "label": t(f"errors.pair_{name}"), "share": share, "text": text, "chosen": name == chosen}
        )
    return rows


def verdict_rows(t: Words, paired: Paired | None) -> list[list[str]]:
    """Which run is better: the verdict, the difference with its interval, McNemar's test."""
    if paired is None:
        return [[t("errors.verdict"), t("errors.verdict_unknown")]]
    same = not paired.only_a + paired.only_b
    difference = paired.difference
    span = {"low": points(difference.low), "high": points(difference.high)}
    return [
        [t("errors.verdict"), t(f"errors.verdict_{'same' if same else paired.verdict}")],
        [t("errors.difference"), t("errors.difference_value", value=points(difference.value), **span)],
        [
            t("errors.mcnemar"),
            t("errors.mcnemar_value", p=f"= {p:.3g}" if (p := paired.p_value) >= 1e-6 else "< 0.000001"),
        ],
    ]


def settings(t: Words, paired: PairedErrors) -> dict[str, Any]:
    """The settings of the two runs that differ."""
    found = list(paired.comparison.settings.items())
    rows = [[name, *("–" if value is None else str(value) for value in pair)] for name, pair in found[:MOST]]
    if len(found) > MOST:
        rows.append([t("errors.more_settings", count=len(found) - MOST), "", ""])
    head = [t("errors.setting"), t("errors.this_run"), t("errors.other_run")]
    return {"head": head, "rows": rows, "empty": t("errors.settings_none")}

"""Past submissions of a run: the table, the public score of one, and what changed since another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from ui.components.parts import Drawn, Parts
from ui.components.sentences import translate
from ui.components.tab import Page, View, change_view
from ui.components.widgets import bars, facts
from ui.components.words import Words
from ui.workspace.workspace import Workspace
from vqa_core.files import InputError
from vqa_core.runs.run_dir import RunDir
from vqa_core.scoring.comparison import Comparison
from vqa_core.submission.history import KeptSubmission, difference, list_submissions, set_public_score

MOST = 12  # rows of a list
NO_DIFFERENCE: Drawn = {"changed": "", "types": {"rows": []}, "transitions": {"rows": []}, "settings": {"rows": []}}


@dataclass(frozen=True, slots=True)
class Past:
    """The section: `draw(name, view)` draws each of `parts` for the run `name`."""

    parts: Parts
    draw: Callable[[str, View], Drawn]


def past_section(page: Page, picked: Parts) -> Past:
    """Draw and wire the section.

    `picked` are the components of the view, the run, and `chosen`, the id of the submission that is drawn: a click is
    about what the reader sees.
    """
    t, workspace, view, run = page.t, page.workspace, picked["view"], picked["run"]
    parts = picked.only("chosen") | lay_out_past(t)
    outputs = parts | picked.only("view")
    draw = partial(draw_past, workspace, t)

    def go(view: View, name: str, id: str, before: str) -> Drawn:
        view = change_view(view, run=name, submission=id, **{"with": before})
        return {"view": view} | draw(name, view)

    def choose(view: View, name: str, event: gr.EventData) -> Drawn:
        return go(view, name, event.key, "")

    def save_score(view: View, name: str, id: str, score: str) -> Drawn:
        set_public_score(workspace.run(name), id, score)
        return {"view": view} | draw(name, view)

    chosen, other, public = (parts[name] for name in ("chosen", "with", "public"))
    page.wire(parts["past"].select, choose, [view, run], outputs)
    page.wire(other.input, go, [view, run, chosen, other], outputs)
    page.wire(public.submit, save_score, [view, run, chosen, public], outputs)
    return Past(parts, draw)


def lay_out_past(t: Words) -> Parts:
    """Draw the components of the section."""
    parts = Parts()
    gr.Markdown(f"## {t('submit.past')}")
    parts.add("past", facts("predict-past", t("submit.past")))
    with parts.add("one", gr.Column(visible=False, elem_id="predict-one")):
        parts.add("title", gr.Markdown())
        with gr.Row():
            public = gr.Textbox(
                label=t("submit.public"), info=t("submit.public_help"), submit_btn=t("submit.save"), min_width=260,
                elem_id="predict-public",
            )  # fmt: skip
            parts.add("public", public)
            parts.add("with", gr.Dropdown([], label=t("submit.with"), min_width=260, elem_id="predict-with"))
    parts.add("changed", gr.Markdown(elem_id="predict-changed"))
    with gr.Row():
        with gr.Column(min_width=280):
            parts.add("types", bars("predict-types", t("submit.by_type")))
        with gr.Column(min_width=280):
            parts.add("transitions", bars("predict-transitions", t("submit.transitions")))
    parts.add("settings", facts("predict-settings", t("submit.settings")))
    return parts


def draw_past(workspace: Workspace, t: Words, name: str, view: View) -> Drawn:
    """The table; of the submission that the view names, or the newest, the public score; what changed since another."""
    run = workspace.run(name)
    table: dict[str, Any] = {"rows": [], "empty": t("submit.none_yet")}
    past: list[KeptSubmission] = []
    try:
        past = list_submissions(run)
    except InputError as error:
        table = {"rows": [[translate(str(error), t)]]}
    chosen, before = choose_pair(past, view)
    if chosen is None:
        one: Drawn = {"chosen": "", "past": table, "one": gr.Column(visible=False)}
        return one | {"title": "", "public": "", "with": gr.skip()} | NO_DIFFERENCE
    others = [(_label(kept), kept.id) for kept in past if kept.id != chosen.id]
    return {
        "chosen": chosen.id,
        "past": _table(t, past, chosen),
        "one": gr.Column(visible=True),
        "title": f"### {t('submit.chosen', time=_time(chosen))}",
        "public": chosen.public_score,
        "with": gr.Dropdown(choices=others, value=before.id if before else None, visible=bool(others)),
        **_difference(t, run, before, chosen),
    }


def choose_pair(past: Sequence[KeptSubmission], view: View) -> tuple[KeptSubmission | None, KeptSubmission | None]:
    """The submission that the view names or else the newest, and the one to compare it with or else the one before."""
    by_id = {kept.id: kept for kept in past}
    chosen = by_id.get(view.get("submission", "")) or (past[0] if past else None)
    if chosen is None:
        return None, None
    named = by_id.get(view.get("with", ""))
    earlier = next((kept for kept in past if kept.id < chosen.id), None)
    return chosen, named if named and named.id != chosen.id else earlier


def _table(t: Words, past: Sequence[KeptSubmission], chosen: KeptSubmission) -> dict[str, Any]:
    head = [t(f"submit.{name}") for name in ("time", "rows", "validation", "public", "sha256")]
    rows = [
        [_time(kept), _rows(kept), _validation(t, kept.card), kept.public_score or "–", kept.id.rpartition("-")[2]]
        for kept in past
    ]
    return {"head": head, "rows": rows, "keys": [kept.id for kept in past],
            "marks": ["right" if kept is chosen else "" for kept in past]}  # fmt: skip


def _difference(t: Words, run: RunDir, before: KeptSubmission | None, chosen: KeptSubmission) -> Drawn:
    """What changed between the two: a sentence, by question type, the commonest transitions, the settings."""
    if before is None:
        return NO_DIFFERENCE
    try:
        return _draw_difference(t, difference(run, before.id, chosen.id))
    except InputError as error:  # the run was prepared again in between
        return NO_DIFFERENCE | {"settings": {"rows": [[translate(str(error), t)]]}}


def _draw_difference(t: Words, found: Comparison) -> Drawn:
    total = f"{found.questions:,}"
    if not found.changed:
        changed = t("submit.same", total=total)
    else:
        share = f"{100 * found.changed / found.questions:.1f}"
        changed = t("submit.changed", changed=f"{found.changed:,}", total=total, share=share)
    types = [
        {
            "label": kind,
            "share": count / found.types[kind],
            "text": t("submit.type_count", changed=f"{count:,}", total=f"{found.types[kind]:,}"),
        }
        for kind, count in found.changed_types.items()
    ]
    moves = [
        {"label": t("submit.transition", old=_shown(t, old), new=_shown(t, new)), "share": count / found.changed,
         "text": f"{count:,}"}
        for (old, new), count in found.transitions.items()
    ]  # fmt: skip
    settings = [[name, _value(old), _value(new)] for name, (old, new) in found.settings.items()]
    head = [t("submit.setting"), t("submit.before"), t("submit.after")]
    return {
        "changed": changed,
        "types": {"title": t("submit.by_type") if types else "", "rows": _first(t, types)},
        "transitions": {"title": t("submit.transitions") if moves else "", "rows": _first(t, moves)},
        "settings": {"head": head, "rows": settings, "empty": t("submit.no_settings")},
    }


def _first(t: Words, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    left = len(rows) - MOST
    return rows if left <= 0 else [*rows[:MOST], {"label": t("submit.more", more=left), "share": 0, "text": ""}]


def _label(kept: KeptSubmission) -> str:
    return " · ".join(filter(None, [_time(kept), kept.id.rpartition("-")[2], kept.public_score]))


def _time(kept: KeptSubmission) -> str:
    return f"{kept.created:%Y-%m-%d %H:%M:%S}"


def _rows(kept: KeptSubmission) -> str:
    section = kept.card.get("submission")
    rows = section.get("rows") if isinstance(section, Mapping) else None
    return f"{rows:,}" if isinstance(rows, int) else "–"


def _validation(t: Words, card: Mapping[str, Any]) -> str:
    """`94.70%`: the validation score that the card has noted."""
    try:
        score = card["validation"]
        value = float(score["overall"][score["metric"]]["value"])
        return t("submit.percent", value=f"{100 * value:.2f}")
    except (KeyError, TypeError, ValueError):
        return "–"


def _value(value: Any) -> str:
    return "–" if value is None else str(value)


def _shown(t: Words, answer: str) -> str:
    return answer or t("predict.empty_answer")

"""Scene: what a view of the Errors tab stands for, read from the files. Every address has one, whatever it says."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from ui.components.sentences import translate
from ui.components.tab import View
from ui.components.words import Words
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import SHOWN, SORTS, SPLITS, Answers, answers_of, predicted_splits
from vqa_core.analysis.near_misses import KINDS
from vqa_core.analysis.paired import PAIRS, PairedErrors, pair
from vqa_core.analysis.slicing import BY, OF_CHOICES, Ints
from vqa_core.files import InputError
from vqa_core.runs.run_dir import RunDir
from vqa_core.runs.tags import TAGS, Tags

PAGE = 24  # samples of a page
NONE: Ints = np.array([], dtype=np.int64)


@dataclass(frozen=True)
class Scene:
    """A view with what it leaves out filled in, and without what makes no sense.

    `part` are the places of the questions that the matrix is about, `found` of the samples in their order; `counts` has
    for each of SHOWN how many samples it would find.
    `notices` say what the reader should know; `answers` is None where there is nothing to show.
    """

    view: View
    names: tuple[str, ...] = ()
    run: RunDir | None = None
    splits: tuple[str, ...] = ()
    split: str = ""
    notices: tuple[str, ...] = ()
    answers: Answers | None = None
    paired: PairedErrors | None = None
    unpaired: str = ""
    tags: dict[str, list[str]] | None = None
    part: Ints = field(default_factory=lambda: NONE)
    found: Ints = field(default_factory=lambda: NONE)
    counts: dict[str, int] | None = None
    page: int = 1
    chosen: int | None = None

    @property
    def by(self) -> str:
        return one_of(self.view.get("by", ""), self.ways)

    @property
    def ways(self) -> tuple[str, ...]:
        """The ways to slice: those by choice only where questions have choices."""
        return tuple(self.answers.slicings) if self.answers else tuple(by for by in BY if by not in OF_CHOICES)

    @property
    def show(self) -> str:
        scored = self.answers is not None and self.answers.right is not None
        return one_of(self.view.get("show", ""), SHOWN) if scored else "all"

    @property
    def sort(self) -> str:
        return one_of(self.view.get("sort", ""), SORTS)

    @property
    def tag(self) -> str:
        return self.view["tag"] if self.view.get("tag") in TAGS else ""

    @property
    def form(self) -> str:
        return self.view["form"] if self.view.get("form") in KINDS else ""

    @property
    def pair(self) -> str:
        return self.view["pair"] if self.paired and self.view.get("pair") in PAIRS else ""

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.found) // PAGE))

    @property
    def on_page(self) -> Ints:
        return self.found[(self.page - 1) * PAGE : self.page * PAGE]


def one_of(name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`, else the first of them."""
    names = list(names)
    return name if name in names else names[0]


def read_scene(workspace: Workspace, t: Words, view: View) -> Scene:
    """The scene of a view."""
    names = tuple(workspace.run_names())
    if not names:
        return Scene(view, notices=(t("errors.no_run"),))
    notices = []
    name, split = view.get("run", ""), view.get("split", "")
    if name not in names:
        notices += [t("errors.no_such_run", run=name)] if name else []
        name = next((known for known in names if predicted_splits(workspace.run(known))), names[0])
    run = workspace.run(name)
    predicted = predicted_splits(run)
    there = [known for known in SPLITS if (run.root / f"{known}.jsonl").is_file()]
    splits = tuple(known for known in there if known != "train" or known in predicted) or ("val",)
    if split not in splits:
        notices += [t("errors.no_such_split", split=split)] if split else []
        split = one_of(predicted[0] if predicted else "", splits)
    scene = Scene(view, names, run, splits, split, tuple(notices))
    if split not in predicted:
        return replace(scene, notices=(*notices, t("errors.no_predictions")))
    try:
        answers = answers_of(run, split)
        tags = Tags(run, split).read()
    except InputError as error:
        return replace(scene, notices=(*notices, translate(str(error), t)))
    if answers.why:
        notices.append(t("errors.unscored_why", why=translate(answers.why, t)))
    elif answers.right is None:
        notices.append(t("errors.unscored"))
    answered = len(answers) + answers.unreferenced
    if answered < answers.asked:
        notices.append(t("errors.partial", n=f"{answered:,}", asked=f"{answers.asked:,}"))
    if answers.unreferenced:
        notices.append(t("errors.unreferenced", n=f"{answers.unreferenced:,}", asked=f"{answers.asked:,}"))
    paired, unpaired = _paired(workspace, t, answers, view.get("with", ""))
    scene = replace(scene, notices=tuple(notices), answers=answers, tags=tags, paired=paired, unpaired=unpaired)
    return _find(scene, answers)


def _paired(workspace: Workspace, t: Words, a: Answers, name: str) -> tuple[PairedErrors | None, str]:
    """The two runs side by side, or why they can't be."""
    if not name or name == a.run.root.name:
        return None, ""
    try:
        return pair(a, answers_of(workspace.run(name), a.split)), ""
    except InputError as error:
        return None, translate(str(error), t)


def _find(scene: Scene, answers: Answers) -> Scene:
    """The scene with the questions that its filters choose, its page and its sample."""
    view = scene.view
    narrowing = {"kind": view.get("type", ""), "by": scene.by, "part": view.get("slice", "")}
    part = answers.select(**narrowing)
    ids = [name for name, tags in (scene.tags or {}).items() if scene.tag in tags] if scene.tag else None
    every = answers.select(
        **narrowing, wanted=view.get("wanted", ""), given=view.get("given", ""), form=scene.form, ids=ids
    )
    if scene.paired and scene.pair:
        every = every[scene.paired.masks[scene.pair][every]]
    shown = {show: every[answers.shown(show)[every]] for show in SHOWN}
    found = shown[scene.show]
    found = answers.sort(found, scene.sort)
    chosen = answers.place.get(view.get("sample", ""))
    number = view.get("page", "")
    if number.isascii() and number.isdigit():
        page = int(number[:9])
    else:
        at = np.flatnonzero(found == chosen) if chosen is not None else NONE
        page = int(at[0]) // PAGE + 1 if len(at) else 1
    page = min(max(1, page), max(1, -(-len(found) // PAGE)))
    counts = {show: len(places) for show, places in shown.items()}
    if chosen is None and len(found):
        chosen = int(found[(page - 1) * PAGE])
    return replace(scene, part=part, found=found, counts=counts, page=page, chosen=chosen)

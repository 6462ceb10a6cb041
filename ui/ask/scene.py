"""What a view of the Ask tab stands for, read from the files: a picture, a model, one of the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ui.ask.examples import list_examples
from ui.components.sentences import translate
from ui.components.tab import View, change_view
from ui.components.words import Words
from ui.workspace.history import Answer, id_of
from ui.workspace.pictures import below
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import answers_of
from vqa_core.files import InputError

SOURCES = ("picture", "data", "sample", "of", "split", "example")  # entries of a view that name a picture


@dataclass(frozen=True, slots=True)
class Subject:
    """The picture that questions are asked about: its file, and the id under which its answers are kept."""

    path: Path
    key: str


def find_subject(workspace: Workspace, view: View) -> Subject | None:
    """The picture that a view names; None where it names none, an InputError where that is gone."""
    if "picture" in view:
        path = workspace.history.picture(view["picture"])
    elif "example" in view:
        examples = list_examples()
        if view["example"] not in examples:
            raise InputError(f"There is no example {view['example']!r}. Choose one of those shown.")
        path = examples[view["example"]].path
    elif "sample" in view and "of" in view:  # the Errors tab names a question of a run
        answers = answers_of(workspace.run(view["of"]), view.get("split", ""))
        if view["sample"] not in answers.place:
            raise InputError(f"There is no sample {view['sample']!r}. Choose one in the Errors tab.")
        name = answers.examples[answers.place[view["sample"]]].image
        found = below(answers.run.data_root(), name)
        if found is None:
            raise InputError(f"{name!r} is gone. Choose another picture.")
        path = found
    elif "sample" in view:
        number = _number(view["sample"])
        if number is None:
            raise InputError(f"There is no sample {view['sample']!r}. Choose one in the Explore tab.")
        path = workspace.datasets.image_path(view.get("data", ""), number)
    else:
        return None
    if not path.is_file():
        raise InputError(f"{path.name} is gone. Choose another picture.")
    return Subject(path, id_of(path))


def read_subject(workspace: Workspace, t: Words, view: View) -> tuple[Subject | None, list[str]]:
    """The picture that a view names, and a sentence for each thing that the view names and that is gone."""
    notices = []
    if view.get("run", "") not in ("", *workspace.models.names()):
        notices.append(t("ask.no_run", run=view["run"]))
    try:
        return find_subject(workspace, view), notices
    except InputError as error:
        return None, [*notices, translate(str(error), t)]


def keep_existing(workspace: Workspace, t: Words, view: View) -> View:
    """The view without a picture or a model that is gone."""
    subject, _ = read_subject(workspace, t, view)
    kept = view if subject else with_picture(view)
    return kept if kept.get("run") in workspace.models.names() else change_view(kept, run=None)


def with_picture(view: View, **source: str) -> View:
    """The view with another picture, which `source` names by entries of SOURCES, or without one."""
    return {name: value for name, value in view.items() if name not in (*SOURCES, "at")} | source


def choose_model(workspace: Workspace, view: View) -> str:
    """The model that the view names, or the first one; "" where there is none."""
    names = workspace.models.names()
    return view["run"] if view.get("run") in names else next(iter(names), "")


def choose_answer(view: View, answers: Sequence[Answer]) -> Answer | None:
    """The answer that the view names, or the first of those that were given last."""
    at = _number(view.get("at", ""))
    if at is not None and at < len(answers):
        return answers[at]
    return next((each for each in answers if each.asked == answers[-1].asked), None)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None

"""The scene of the Ask tab: what a view shows. Everything is read from disk, so a reload shows the same."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance

from ui.ask.examples import ask_examples
from ui.components.parts import View
from ui.components.widgets import Bar
from ui.components.words import Words
from ui.workspace.asked import Answered, id_of
from ui.workspace.pictures import DECODING, FULL, below
from ui.workspace.workspace import Workspace
from vqa_core.analysis.errors import answers_of
from vqa_core.data.images import open_image
from vqa_core.data.pixels import PixelTransform
from vqa_core.files import InputError
from vqa_core.runs.predictions import PartialAnswer

SHOWN = 30  # answers in the table
SIDE = 360  # pixels of the two pictures of what the model sees
SOURCES = ("picture", "data", "sample", "of", "split", "example")  # parts of a view that name a picture


@dataclass(frozen=True, slots=True)
class Subject:
    """The picture that questions are asked about: its file, and the id under which its answers are kept."""

    path: Path
    key: str


def subject_of(workspace: Workspace, view: View) -> Subject | None:
    """The picture that a view names; None where it names none, an InputError where that is gone."""
    if "picture" in view:
        path = workspace.asked.picture(view["picture"])
    elif "example" in view:
        examples = ask_examples()
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


def answer_table(
    t: Words, answers: Sequence[Answered], coming: Sequence[tuple[str, PartialAnswer]] = ()
) -> dict[str, Any]:
    """The answers about a picture, newest first, those of one time in their order; before them questions with `coming`
    answers."""
    rows = [
        [question, text or ("…" if probability is None else t("ask.empty")), percent(probability), ""]
        for question, (text, probability) in coming
    ]
    keys = [""] * len(rows)
    newest = sorted(enumerate(answers), key=lambda item: item[1].asked, reverse=True)
    for at, each in newest[:SHOWN]:
        rows.append([each.question, each.answer or t("ask.empty"), percent(each.probability), each.run])
        keys.append(str(at))
    head = [t("ask.question_column"), t("ask.answer_column"), t("ask.probability_column"), t("ask.model_column")]
    return {"head": head, "rows": rows, "keys": keys, "empty": t("ask.no_answers")}


def chosen_of(view: View, answers: Sequence[Answered]) -> Answered | None:
    """The answer that a view looks at: the one it names, else the first of those given last."""
    at = _number(view.get("at", ""))
    if at is not None and at < len(answers):
        return answers[at]
    return next((each for each in answers if each.asked == answers[-1].asked), None)


def likeliest_bars(t: Words, chosen: Answered | None) -> dict[str, Any]:
    """The likeliest answers of one question as bars from 0."""
    if chosen is None:
        return {"rows": []}
    rows: list[Bar] = [
        {
            "label": each["answer"] or t("ask.empty"),
            "share": each["probability"],
            "text": percent(each["probability"]),
            "chosen": each["answer"] == chosen.answer,
        }
        for each in chosen.likeliest
    ]
    return {
        "rows": rows,
        "title": t("ask.likeliest", question=chosen.question),
        "empty": t("ask.none_likely" if chosen.searched else "ask.not_searched"),
    }


def told(t: Words, chosen: Answered | None, answers: Sequence[Answered]) -> str:
    """How the answer came about, in our own words only."""
    if chosen is None:
        return ""
    together = sum(each.asked == chosen.asked for each in answers)
    parts = [t("ask.time" if together == 1 else "ask.time_together", seconds=chosen.seconds, questions=together)]
    if chosen.status == "empty":
        parts.append(t("ask.was_empty"))
    elif chosen.status != "ok":
        parts.append(t("ask.was_not_computed"))
    elif chosen.detail:
        parts.append(t("ask.was_cut"))
    return " ".join(parts)


def seen_pictures(
    workspace: Workspace, t: Words, subject: Subject, chosen: Answered
) -> tuple[dict[str, str], dict[str, str]]:
    """The whole picture with what is cut off in the dark, and the square that the model sees, or its tiles."""
    with DECODING:
        return _seen(workspace, t, subject, chosen, open_image(subject.path))


def _seen(
    workspace: Workspace, t: Words, subject: Subject, chosen: Answered, image: Image.Image
) -> tuple[dict[str, str], dict[str, str]]:
    if "side" not in chosen.pixels:  # a model with a processor of its own
        size = t("ask.size", width=image.width, height=image.height)
        tiles = _tiles(workspace, t, subject, chosen.pixels)
        caption = size if tiles else f"{size} {t('ask.not_shown')}"
        return {"src": _inline(fitted(image, SIDE)), "alt": t("ask.whole_alt"), "caption": caption}, tiles
    transform = PixelTransform(**chosen.pixels)
    left, top, right, bottom = transform.kept(image.size)
    share = 1 - (right - left) * (bottom - top) / (image.width * image.height)
    square = transform.square(image)
    whole = fitted(image, SIDE)
    scale = whole.width / image.width, whole.height / image.height
    box = (round(left * scale[0]), round(top * scale[1]), round(right * scale[0]), round(bottom * scale[1]))
    if share:
        bright = whole.crop(box)
        whole = ImageEnhance.Brightness(whole).enhance(0.35)
        whole.paste(bright, box[:2])
        ImageDraw.Draw(whole).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline="#f59e0b", width=2)
    how = "cut" if share else {"pad": "padded", "stretch": "stretched"}.get(transform.aspect, "not_cut")
    if how == "stretched" and image.width == image.height:
        how = "not_cut"
    caption = t("ask.size", width=image.width, height=image.height) + " " + t(f"ask.{how}", share=f"{100 * share:.0f}%")
    seen = t("ask.seen", side=transform.side)
    return (
        {"src": _inline(whole), "alt": t("ask.whole_alt"), "caption": caption},
        {"src": _inline(fitted(square, SIDE)), "alt": t("ask.seen_alt"), "caption": seen},
    )


def _tiles(workspace: Workspace, t: Words, subject: Subject, kept: dict[str, Any]) -> dict[str, str]:
    """What the model's own processor made of the picture; {} where nothing of it is kept."""
    if not kept:
        return {}
    path = workspace.asked.seen(subject.key, kept["seen"])
    facts = {name: kept[name] for name in ("tiles", "width", "height")}
    caption = t("ask.one_tile" if kept["tiles"] == 1 else "ask.several_tiles", **facts)
    return {"src": workspace.pictures.url(path, FULL), "alt": t("ask.seen_label"), "caption": caption}


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The picture at most `side` pixels long; a small one enlarged in whole steps, its pixels still to be seen."""
    times = side // max(image.size)
    if times:
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    small = image.copy()
    small.thumbnail((side, side))
    return small


def as_json(answers: Sequence[Answered]) -> str:
    """The answers as a reader may copy them."""
    return json.dumps([asdict(each) for each in answers], ensure_ascii=False, indent=2)


def percent(probability: float | None) -> str:
    """`99.97%`; of what is smaller than can be shown `< 0.01%`. The blank does not break a line."""
    if probability is None:
        return ""
    text = "< 0.01%" if 0 < probability < 0.0001 else f"{100 * probability:.2f}%"
    return text.replace(" ", "\u00a0")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _inline(image: Image.Image) -> str:
    """A small picture as an address that holds it."""
    bytes_ = io.BytesIO()
    image.save(bytes_, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(bytes_.getvalue()).decode()

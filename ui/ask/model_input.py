"""What the model was given for an answer: the whole picture, and the square or the tiles that the model sees of it."""

import base64
import io
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance

from ui.ask.scene import Subject
from ui.components.parts import Drawn
from ui.components.words import Words
from ui.workspace.history import Answer
from ui.workspace.pictures import DECODING, FULL
from ui.workspace.workspace import Workspace
from vqa_core.data.pixels import PixelTransform

SIDE = 360  # pixels of the longest side of either picture


def draw_input(workspace: Workspace, t: Words, subject: Subject, chosen: Answer) -> Drawn:
    """`whole`, darkened where it is cut off; `seen`, the square that the model sees, or its tiles."""
    with DECODING:
        image = workspace.open_image(subject.path)
        if "side" in chosen.pixels:
            return _draw_square(t, image, PixelTransform(**chosen.pixels))
        size = t("ask.size", width=image.width, height=image.height)  # a model with a processor of its own
        seen = _draw_tiles(workspace, t, subject, chosen.pixels)
        caption = size if seen else f"{size} {t('ask.not_shown')}"
        return {"whole": _picture(fit_image(image, SIDE), t("ask.whole_alt"), caption), "seen": seen}


def _draw_square(t: Words, image: Image.Image, transform: PixelTransform) -> Drawn:
    left, top, right, bottom = transform.kept(image.size)
    share = 1 - (right - left) * (bottom - top) / (image.width * image.height)
    whole, square = fit_image(image, SIDE), fit_image(transform.square(image), SIDE)
    if share:
        wide, high = whole.width / image.width, whole.height / image.height
        _darken(whole, (round(left * wide), round(top * high), round(right * wide), round(bottom * high)))
    how = "cut" if share else {"pad": "padded", "stretch": "stretched"}.get(transform.aspect, "not_cut")
    if how == "stretched" and image.width == image.height:
        how = "not_cut"
    size = t("ask.size", width=image.width, height=image.height)
    caption = f"{size} {t(f'ask.{how}', share=f'{100 * share:.0f}%')}"
    return {
        "whole": _picture(whole, t("ask.whole_alt"), caption),
        "seen": _picture(square, t("ask.seen_alt"), t("ask.seen", side=transform.side)),
    }


def _darken(image: Image.Image, kept: tuple[int, int, int, int]) -> None:
    """Darken the picture outside the box (left, top, right, bottom), and draw the box's edge."""
    bright = image.crop(kept)
    image.paste(ImageEnhance.Brightness(image).enhance(0.35))
    image.paste(bright, kept[:2])
    ImageDraw.Draw(image).rectangle((kept[0], kept[1], kept[2] - 1, kept[3] - 1), outline="#f59e0b", width=2)


def _draw_tiles(workspace: Workspace, t: Words, subject: Subject, kept: dict[str, Any]) -> dict[str, str]:
    """What the model's own processor made of the picture; {} where nothing of it is kept."""
    if not kept:
        return {}
    path = workspace.history.seen(subject.key, kept["seen"])
    facts = {name: kept[name] for name in ("tiles", "width", "height")}
    caption = t("ask.one_tile" if kept["tiles"] == 1 else "ask.several_tiles", **facts)
    return {"src": workspace.pictures.url(path, FULL), "alt": t("ask.seen_label"), "caption": caption}


def fit_image(image: Image.Image, side: int) -> Image.Image:
    """The picture at most `side` pixels long; a small one enlarged in whole steps, so that its pixels can be seen."""
    times = side // max(image.size)
    if times:
        return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    small = image.copy()
    small.thumbnail((side, side))
    return small


def _picture(image: Image.Image, alt: str, caption: str) -> dict[str, str]:
    """A small picture for the widget, as a data URL."""
    bytes_ = io.BytesIO()
    image.save(bytes_, "WEBP", quality=90)
    data = base64.b64encode(bytes_.getvalue()).decode()
    return {"src": f"data:image/webp;base64,{data}", "alt": alt, "caption": caption}

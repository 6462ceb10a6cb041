"""PictureInput: a gr.Image that hands over the file as it came. Only vqa_core.data.images decodes it."""

from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData


class _NoStub(type(gr.Image)):  # type: ignore[misc]
    """Gradio's metaclass would write a .pyi file beside this one."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        return ABCMeta.__new__(cls, name, bases, attributes)


class PictureInput(gr.Image, metaclass=_NoStub):
    """A picture to upload, paste or photograph; its value for a handler is the path of the file, or None.

    gr.Image itself opens the file with every format that Pillow has, and decodes a picture that a request carries in
    its address (`data:`) before anyone could ask how large it is.
    """

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload and not (payload.url or "").startswith("data:") else None

    def get_block_name(self) -> str:
        return "image"

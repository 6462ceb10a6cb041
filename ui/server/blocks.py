"""PageBlocks: Gradio's Blocks, whose every failure is one of our sentences, and which decodes no oversized picture.

`ui/components/wiring.py` explains what a handler raises. What Gradio itself raises before and after a handler, of a
field's value that can't be, would otherwise reach the reader in English, with paths of this machine in it.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like  # type: ignore[import-untyped]

from ui.components.sentences import translate
from ui.components.wiring import log_unexpected
from ui.components.words import Words
from ui.workspace.pictures import DECODING
from vqa_core.data.images import ImageError, check_image


class PageBlocks(gr.Blocks):
    """Blocks in the language of `t`; further options are Gradio's own."""

    def __init__(self, t: Words, **options: Any) -> None:
        super().__init__(**options)
        self.words = t

    def run_startup_events(self) -> None:
        super().run_startup_events()  # type: ignore[no-untyped-call]
        # Gradio sets this for apps that it serves itself. For a mounted one it does not, and would then take any path
        # that a client names for an upload, even /etc/passwd.
        self.has_launched = True

    async def process_api(self, *args: Any, **options: Any) -> dict[str, Any]:
        try:
            return await super().process_api(*args, **options)
        except gr.Error:
            raise
        except Exception as error:
            raise log_unexpected(error, self.words, "Gradio") from None

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any) -> Any:
        t = self.words
        try:
            for component, value in zip(block_fn.inputs, inputs):
                for path in uploads_in(value):
                    if isinstance(component, gr.Image):
                        await asyncio.to_thread(_check_picture, path)
            return await super().preprocess_data(block_fn, inputs, *args, **options)
        except ImageError as error:
            text = translate(f"The picture {error.problem}.", t)
            raise gr.Error(text, title=t("common.not_possible"), duration=15, print_exception=False) from None
        except Exception as error:
            raise log_unexpected(error, t, "a field", "common.field") from None


def uploads_in(value: Any) -> Iterator[Path]:
    """The uploaded files in what a client sends for a field; a PermissionError where it names any other file.

    Gradio would download the file of an address, asking a name server outside for it.
    """
    if is_file_obj_with_meta(value):
        path = Path(value["path"]).resolve()
        if is_http_url_like(value["path"]) or not path.is_relative_to(Path(get_upload_folder()).resolve()):
            raise PermissionError(f"{value['path']!r} was not uploaded")
        yield path
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from uploads_in(part)


def _check_picture(path: Path) -> None:
    with DECODING:  # a picture is decoded where its header is not enough
        problem = check_image(path)
    if problem:
        raise ImageError(path.name, problem)

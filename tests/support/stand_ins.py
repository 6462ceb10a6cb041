"""What processors of some models need and tests don't have: a font of the hub, and a program that reads words.

Importing this puts the stand-ins in place; what they replace is kept, for the tests of how it is missed.
"""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import ImageFont
from transformers.models.layoutlmv3 import image_processing_pil_layoutlmv3 as layoutlmv3
from transformers.models.pix2struct import image_processing_pil_pix2struct as pix2struct

KEPT = {
    "hf_api": (pix2struct, pix2struct.hf_api),
    "requires_backends": (layoutlmv3, layoutlmv3.requires_backends),
}


@cache
def font_file() -> str:
    """Pillow's own font as a file."""
    path = Path(mkdtemp()) / "font.ttf"
    path.write_bytes(ImageFont.load_default(20).font_bytes)  # type: ignore[union-attr]
    return str(path)


def read_words(image: Any, *_: Any, **__: Any) -> tuple[list[str], list[list[int]]]:
    """Words that depend on a picture (3, H, W), none in a dark one; their left, top, right and bottom of 1000."""
    brightness = int(np.asarray(image).mean())
    words = ["Total", str(brightness)] if brightness > 20 else []
    return words, [[100 * number, 50, 100 * number + 80, 90] for number in range(len(words))]


pix2struct.hf_api = lambda: SimpleNamespace(hf_hub_download=lambda *_: font_file())
layoutlmv3.requires_backends = lambda *_: None
layoutlmv3.apply_tesseract = read_words

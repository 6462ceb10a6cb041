"""Which attention backend computes: the one that `--attention` names, or the fastest that is exact."""

import torch
from transformers.utils import is_flash_attn_2_available

from vqa_core.files import InputError
from vqa_core.model.packing import FLASH, check_backend

_FORMATS = (torch.bfloat16, torch.float16)


def choose_attention(asked: str, *, plain: bool, device: torch.device, dtype: torch.dtype) -> str:
    """The backend that `--attention` names or, for `auto`, stands for.

    `auto` is FlashAttention 2 where that is installed and exact: for plain rows, each a picture and one question, on a
    CUDA device, in bf16 or fp16. Everywhere else it is SDPA.

    Args:
        asked: `auto` or a backend's name.
        plain: whether no row holds several questions.
        dtype: number format that attention computes in.

    Raises InputError for a backend that would be wrong, or that can't run here.
    """
    runs = device.type == "cuda" and dtype in _FORMATS
    if asked == "auto":
        return FLASH if plain and runs and is_flash_attn_2_available() else "sdpa"
    if asked != FLASH or not plain:
        check_backend(asked)
        return asked
    if not runs:
        raise InputError(
            f"--attention {FLASH} computes on a CUDA device in bf16 or fp16, and here it would be {device.type} in "
            f"{str(dtype).removeprefix('torch.')}. Use --attention auto."
        )
    if not is_flash_attn_2_available():
        raise InputError(
            f"--attention {FLASH} needs flash-attn 2.3.3 or later, which is not installed: pip install flash-attn "
            "--no-build-isolation. Or use --attention auto."
        )
    return FLASH

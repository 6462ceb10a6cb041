"""Capabilities: what the questions about one picture may share, for each architecture that transformers has.

Every row was read in transformers 5.23 and is held to `generate` by tests/model/hub/test_hub_model.py. A LLaVA of parts
shares the prefix where its language model can compute packed rows, else the encoding of the picture.
"""

import logging
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

logger = logging.getLogger("vqa")


class Sharing(Enum):
    """What the questions about one picture share."""

    PREFIX = "prefix"
    """The picture and the text before it go through the language model once, and the questions branch off."""
    VISION = "vision"
    """The picture is encoded once; each question is a row of its own, with the picture's tokens before it."""
    NOTHING = "nothing"
    """Each question is a call of the model's own `generate`, also for an architecture without a row here."""


@dataclass(frozen=True, slots=True)
class Capability:
    """What questions may share, and how.

    source: the file of transformers that says so.
    mrope: whether a token has three positions, and a picture advances them by its longer side, not by its tokens.
    chats: whether such models come with a chat template.
    answer_token_type: the value of an answer's tokens in `token_type_ids`.
    begins: whether `generate` itself drops a prompt's closing token and puts its own token first.
    marks: texts of its processor's own language, beside the tokens that are added to its vocabulary.
    """

    sharing: Sharing
    source: str = ""
    mrope: bool = False
    chats: bool = True
    answer_token_type: int = 0
    begins: bool = False
    marks: tuple[str, ...] = ()


_AS_IS = "forward hands inputs_embeds, attention_mask and position_ids to the language model as they are"

_FUYU = ("|SPEAKER|", "|NEWLINE|", "<s>", "<box>", "</box>", "<point>", "</point>", *(f"<0x0{n}>" for n in range(5)))
"""processing_fuyu.py: words of the vocabulary that stand for a picture, a place in it, and the answer's beginning."""

CAPABILITIES: dict[str, Capability] = {
    "llava": Capability(Sharing.PREFIX, f"modeling_llava.py, LlavaModel: {_AS_IS}"),
    "llava_next": Capability(
        Sharing.PREFIX, f"modeling_llava_next.py, LlavaNextModel: {_AS_IS}; tiles vary the length"
    ),
    "llava_onevision": Capability(Sharing.PREFIX, f"modeling_llava_onevision.py, LlavaOnevisionModel: {_AS_IS}"),
    "idefics3": Capability(
        Sharing.PREFIX, f"modeling_idefics3.py, Idefics3Model: {_AS_IS}; rows of tiles with text between"
    ),
    "smolvlm": Capability(
        Sharing.PREFIX, f"modeling_smolvlm.py, SmolVLMModel: {_AS_IS}; rows of tiles with text between"
    ),
    "internvl": Capability(Sharing.PREFIX, f"modeling_internvl.py, InternVLModel: {_AS_IS}"),
    "qwen2_vl": Capability(
        Sharing.PREFIX, "modeling_qwen2_vl.py: get_rope_index; (3, B, T) given are not made anew", mrope=True
    ),
    "qwen2_5_vl": Capability(Sharing.PREFIX, "modeling_qwen2_5_vl.py: get_rope_index, as in Qwen2-VL", mrope=True),
    "qwen3_vl": Capability(
        Sharing.VISION, "modeling_qwen3_vl.py: image features go into the first layers too (deepstack)", mrope=True
    ),
    "mllama": Capability(
        Sharing.NOTHING, "modeling_mllama.py: layers of cross-attention to the picture, a row of its mask a token"
    ),
    "gemma3": Capability(
        Sharing.VISION, "modeling_gemma3.py: image tokens see each other, layers alternate full and sliding"
    ),
    "paligemma": Capability(
        Sharing.NOTHING,
        "modeling_paligemma.py: picture and question see each other, an answer is of type 1",
        chats=False,
        answer_token_type=1,
    ),
    "blip-2": Capability(
        Sharing.NOTHING, "modeling_blip_2.py: `generate` of the language model within, which may be a T5", chats=False
    ),
    "instructblip": Capability(
        Sharing.NOTHING,
        "modeling_instructblip.py: the question goes into the Q-Former that reads the picture",
        chats=False,
    ),
    "florence2": Capability(
        Sharing.NOTHING, "modeling_florence2.py: picture and question go through an encoder together", chats=False
    ),
    "git": Capability(
        Sharing.NOTHING, "modeling_git.py: the picture's tokens are put before the text's by the model", chats=False
    ),
    "blip": Capability(
        Sharing.NOTHING,
        "modeling_blip.py: a text decoder with cross-attention to the picture",
        chats=False,
        begins=True,
    ),
    "kosmos-2": Capability(
        Sharing.NOTHING,
        "modeling_kosmos2.py: `generate` of the text model within, the picture where a mask over the tokens says",
        chats=False,
    ),
    "fuyu": Capability(
        Sharing.NOTHING,
        "modeling_fuyu.py: no vision side, patches of the picture go into the language model, a Persimmon",
        chats=False,
        marks=_FUYU,
    ),
    "pix2struct": Capability(
        Sharing.NOTHING,
        "modeling_pix2struct.py: an encoder of the picture, on which its processor has drawn the question",
        chats=False,
    ),
    "udop": Capability(
        Sharing.NOTHING,
        "modeling_udop.py: picture, question and the words read in it, with their places, go through one encoder",
        chats=False,
    ),
}

# Language models of plain causal attention over rotary positions, as packed rows need; a LLaVA may hold any other.
_CAUSAL = {"llama", "mistral", "qwen2", "qwen3", "qwen2_vl_text", "qwen2_5_vl_text"}
_GROWING = {"dynamic", "longrope"}  # rotary frequencies that depend on the longest row of a batch
ROOM = 1024  # tokens that a question and its answer never take: a window that leaves them is no window


def capability_of(config: Any) -> Capability:
    """The row of a model's config (a PreTrainedConfig); without a shared prefix where its language model forbids that.

    The log says why, and names an architecture that has no row.
    """
    known = CAPABILITIES.get(config.model_type)
    if known is None:
        logger.warning(
            "The architecture %r is not in the table of vqa_core/model/capabilities.py: each question is answered on "
            "its own, the picture encoded again for each.", config.model_type,
        )  # fmt: skip
        return Capability(Sharing.NOTHING, chats=False)
    if known.sharing is Sharing.PREFIX and not _can_pack_rows(config.model_type, config.get_text_config()):
        return replace(known, sharing=Sharing.VISION)
    return known


def sharing_of_parts(text: Any, prefix_tokens: int) -> Sharing:
    """What the questions share in a LLaVA of parts, from its language model's config.

    The log says why where that is not the prefix. `prefix_tokens` is their number before a question, the picture's
    among them.
    """
    return Sharing.PREFIX if _can_pack_rows("llava", text, prefix_tokens + ROOM) else Sharing.VISION


def _can_pack_rows(kind: str, text: Any, longest: int | None = None) -> bool:
    reason = _obstacle(text, longest)
    if reason:
        logger.warning(
            "The questions about a picture share its encoding only, each in a row of its own: the language model of "
            "this %s %s.", kind, reason,
        )  # fmt: skip
    return not reason


def _obstacle(text: Any, longest: int | None) -> str:
    """Why a language model can't compute packed rows, as a clause; "" where it can.

    `longest` is the most tokens that one question attends to; None where that depends on the picture.
    """
    if text.model_type not in _CAUSAL:
        return f"is of type {text.model_type!r}, which was never checked"
    layers = set(getattr(text, "layer_types", None) or ())
    if strange := sorted(layers - {"full_attention", "sliding_attention"}):
        return f"has layers of {strange[0]!r}, which were never checked"
    window = getattr(text, "sliding_window", None)
    if window and layers != {"full_attention"} and (longest is None or window < longest):
        return f"sees a sliding window of {window} tokens only"
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") in _GROWING:
        return f"has {rope['rope_type']} rotary positions, which depend on the batch"
    return ""

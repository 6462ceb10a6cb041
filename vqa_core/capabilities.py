"""Capabilities: what the questions about one picture may share, for each architecture that transformers has.

`kv`        the picture and the text before it go through the language model once, and the questions branch off
`vision`    the picture is encoded once; each question is a row of its own, with the picture's tokens before it
`nothing`   each question is a call of the model's own `generate`: also with an architecture nobody looked at

Every row was read in transformers 5.23 and is held to `generate` by tests/test_hub_model.py.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

logger = logging.getLogger("vqa")


@dataclass(frozen=True, slots=True)
class Capability:
    """What may be shared, and how.

    `positions` is "1d", or "mrope": three axes a token, a picture advancing them by its longer side, not by its tokens.
    `mask` is "tensor" where one mask of ours serves all layers, else "own": the model makes what its layers need.
    """

    share: str
    positions: str = "1d"
    mask: str = "tensor"
    source: str = ""


_AS_IS = "forward hands inputs_embeds, attention_mask and position_ids to the language model as they are"

CAPABILITIES: dict[str, Capability] = {
    "llava": Capability("kv", source=f"modeling_llava.py, LlavaModel: {_AS_IS}"),
    "llava_next": Capability("kv", source=f"modeling_llava_next.py, LlavaNextModel: {_AS_IS}; tiles vary the length"),
    "llava_onevision": Capability("kv", source=f"modeling_llava_onevision.py, LlavaOnevisionModel: {_AS_IS}"),
    "idefics3": Capability(
        "kv", source=f"modeling_idefics3.py, Idefics3Model: {_AS_IS}; rows of tiles with text between"
    ),
    "smolvlm": Capability("kv", source=f"modeling_smolvlm.py, SmolVLMModel: {_AS_IS}; rows of tiles with text between"),
    "internvl": Capability("kv", source=f"modeling_internvl.py, InternVLModel: {_AS_IS}"),
    "qwen2_vl": Capability(
        "kv", "mrope", source="modeling_qwen2_vl.py: get_rope_index; (3, B, T) given are not made anew"
    ),
    "qwen2_5_vl": Capability("kv", "mrope", source="modeling_qwen2_5_vl.py: get_rope_index, as in Qwen2-VL"),
    "qwen3_vl": Capability(
        "vision", "mrope", "own", "modeling_qwen3_vl.py: image features go into the first layers too (deepstack)"
    ),
    "mllama": Capability(
        "nothing",
        "1d",
        "own",
        "modeling_mllama.py: layers of cross-attention to the picture, a row of its mask a token",
    ),
    "gemma3": Capability(
        "vision", "1d", "own", "modeling_gemma3.py: image tokens see each other, layers alternate full and sliding"
    ),
}

# Language models of plain causal attention over rotary positions, as packed rows need; LLaVA's kind may hold any other.
_CAUSAL = {"llama", "mistral", "qwen2", "qwen3", "qwen2_vl_text", "qwen2_5_vl_text"}
_GROWING = {"dynamic", "longrope"}  # rotary frequencies that depend on the longest row of a batch


def capability_of(config: Any) -> Capability:
    """The row of a model's config (a PreTrainedConfig), less what its language model does not bear; said in the log."""
    known = CAPABILITIES.get(config.model_type)
    if known is None:
        logger.warning(
            "The architecture %r is not in the table of vqa_core/capabilities.py: each question is answered on its "
            "own, the picture encoded again for each.", config.model_type,
        )  # fmt: skip
        return Capability("nothing", mask="own")
    reason = _obstacle(config.get_text_config()) if known.share == "kv" else ""
    if reason:
        logger.warning(
            "The questions about a picture share its encoding only: the language model of this %s %s.",
            config.model_type, reason,
        )  # fmt: skip
        return replace(known, share="vision", mask="own")
    return known


def _obstacle(text: Any) -> str:
    """What keeps a language model from packed rows, as a clause; "" for nothing."""
    if text.model_type not in _CAUSAL:
        return f"is of type {text.model_type!r}, which was never checked"
    layers = getattr(text, "layer_types", None) or []
    if any(kind != "full_attention" for kind in layers) or getattr(text, "sliding_window", None):
        return "sees a sliding window only"
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") in _GROWING:
        return f"has {rope['rope_type']} rotary positions, which depend on the batch"
    return ""

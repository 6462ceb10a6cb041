"""The turns of a conversation as any chat format writes them: LLaVA, ShareGPT, OpenAI, Qwen, LLaMA-Factory.

A turn is an object with a role (`from`, `role`) and a text (`value`, `content`), or with a list of parts in place of
the text, each a text or a picture.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vqa_core.data.formats.conversations import IMAGE_TOKEN

HUMAN, GPT, SYSTEM = "human", "gpt", "system"
ROLES = (
    dict.fromkeys(("human", "user", "usr", "prompter", "questioner"), HUMAN)
    | dict.fromkeys(("gpt", "assistant", "model", "bot", "chatbot", "chatgpt", "answerer"), GPT)
    | dict.fromkeys(("system", "developer"), SYSTEM)
)
_LISTS = ("conversations", "conversation", "messages", "dialogue", "dialog", "turns")
_ROLE_KEYS = ("from", "role", "speaker", "author")
_TEXT_KEYS = ("value", "content", "text", "message")
_IMAGE_KEYS = ("image", "images", "image_path", "image_file", "img", "img_path", "picture")
_SOURCE_KEYS = ("image", "image_url", "url", "path", "source", "data")
_IN_TEXT = re.compile(r"(?:Picture \d+: ?)?<img>([^<>\n]+)</img>")  # Qwen-VL


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: a role of ROLES, or the source's own; its text, with `<image>` where a picture is; its pictures.

    `text` is the source's value where that is no text: a number, None, or something with no text in it.
    """

    role: str
    text: Any
    images: tuple[str, ...] = ()


def turns_of(record: Any) -> list[Turn] | None:
    """The turns of a record, system turns included; None if it is no conversation."""
    turns = next((record[key] for key in _LISTS if key in record), None) if isinstance(record, dict) else None
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return None
    return [_turn(turn) for turn in turns]


def pictures_of(record: Mapping[str, Any], turns: list[Turn]) -> list[str]:
    """The pictures that a record names beside its turns or in them, each once."""
    named = next((record[key] for key in _IMAGE_KEYS if record.get(key)), None)
    items = named if isinstance(named, list) else [named]
    sources = [source for item in items if (source := _source(item))]
    return list(dict.fromkeys([*sources, *(image for turn in turns for image in turn.images)]))


def _turn(turn: Mapping[str, Any]) -> Turn:
    name = str(_first(turn, _ROLE_KEYS) or "").strip()
    role = ROLES.get(name.casefold(), name)
    value = _first(turn, _TEXT_KEYS)
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        return _from_parts(role, value)
    if isinstance(value, str) and role == HUMAN and "<img>" in value:
        images = tuple(match.strip() for match in _IN_TEXT.findall(value))
        return Turn(role, _IN_TEXT.sub(IMAGE_TOKEN, value), images)
    return Turn(role, value)


def _first(turn: Mapping[str, Any], keys: Sequence[str]) -> Any:
    """The value of the first key that a turn has; None if it has none of them."""
    for key in keys:
        if key in turn:
            return turn[key]
    return None


def _from_parts(role: str, parts: list[Any]) -> Turn:
    texts: list[str] = []
    images: list[str] = []
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str) and (role == HUMAN or len(parts) == 1):
            texts.append(part)
        elif isinstance(part, dict) and _is_image(part):
            texts.append(IMAGE_TOKEN)
            images += [source for key in _SOURCE_KEYS if (source := _source(part.get(key)))][:1]
        else:  # a sound, a film, a tool's result; or several answers
            return Turn(role, parts)
    return Turn(role, "\n".join(texts), tuple(images))


def _is_image(part: Mapping[str, Any]) -> bool:
    """Whether a part is a picture: `image`, `image_url` or `input_image` by its type, or by its key without one."""
    return str(part.get("type") or next(iter(part), "")).removeprefix("input_").startswith("image")


def _source(value: Any) -> str:
    """A picture's path, address or base64, out of the objects that chat formats wrap it in; "" if there is none."""
    if isinstance(value, dict):
        if isinstance(value.get("data"), str):  # {"type": "base64", "media_type": "image/png", "data": ...}
            return f"data:{value.get('media_type', 'image')};base64,{value['data']}"
        value = next((value[key] for key in ("url", "path", "image", "bytes") if value.get(key)), None)
    return value if isinstance(value, str) else ""

"""Words: the page's own texts in one language. `texts/<part>.json` holds {key: {"en": ..., "ko": ...}}."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "ko")
FOLDER = Path(__file__).parent / "texts"


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Every text by `part.key` and language."""
    return {
        f"{path.stem}.{key}": texts
        for path in sorted(FOLDER.glob("*.json"))
        for key, texts in json.loads(path.read_text(encoding="utf-8")).items()
    }


@dataclass(frozen=True, slots=True)
class Words:
    """`t = Words("ko"); t("explore.found", images=12)`; a key that is not there is a KeyError, never an empty label."""

    language: str

    def __call__(self, key: str, /, **values: Any) -> str:
        text = catalogue()[key][self.language]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        return key in catalogue()

"""Near-misses: wrong answers that differ from the right one only in form, by the rule that makes the two equal.

An exact-match server counts them as wrong, so the count of each kind shows what a better spelling would gain. The rules
compare forms, not meanings, and say no in doubtful cases: `news` is not the plural of `new`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

from vqa_core.answers import ARTICLES, NUMBER_WORDS, casefold, strip

Texts = Callable[[str], str]
Pairs = Callable[[str, str], bool]

_DIGITS = {word: digit for word, digit in NUMBER_WORDS.items() if word != "none"}  # `none` is an answer of its own
_KOREAN_COUNTING = "하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열"
_KOREAN_DIGITS = {word: str(number) for number, word in enumerate(_KOREAN_COUNTING.split(), start=1)}
_KOREAN_DIGITS |= {"한": "1", "두": "2", "세": "3", "네": "4"}  # before a counter
_COUNTERS = "개|명|마리|대|장|권|살|층|번|시|분|원|잔|병|채|송이|그루|켤레|사람"
_COUNTED = re.compile(rf"(하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉|열|한|두|세|네|\d+)\s*({_COUNTERS})?")

_MARKS = re.compile(r"""[.,;:!?'"‘’“”`´()\[\]{}<>_/\\·…、。«»‐‑–—-]""")
_APOSTROPHES = "'’"
_KEPT = re.compile(r"(?<=\d)(?!,\d{3}(?!\d))\S(?=\d)|(?:(?<=\s)|^)[-.](?=\.?\d)")  # 1.5, 12:30, 2/3, -5, .5; not 1,000
_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")

_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "teeth": "tooth",
    "mice": "mouse", "geese": "goose", "knives": "knife", "wives": "wife", "lives": "life", "wolves": "wolf",
    "leaves": "leaf", "shelves": "shelf", "halves": "half", "loaves": "loaf", "thieves": "thief", "calves": "calf",
    "scarves": "scarf", "hooves": "hoof", "elves": "elf",
}  # fmt: skip
_NEVER_PLURAL = """
    news lens yes this does plus tennis christmas canvas atlas series species always perhaps texas paris means physics
    mathematics thus mars chaos virus bonus cactus circus octopus walrus campus iris
"""  # end in s but are no plurals, even if the rest is a word

_PARTICLES = {"은": True, "는": False, "이": True, "가": False, "을": True, "를": False, "으로": True, "로": False}
_PARTICLES_OF_ANY = ("에서", "에", "의")
_COPULA = re.compile(r"(?<=[가-힣])(?:입니다|이에요|이예요|예요|에요|이야|이다|이요|요)$")
_VERB = re.compile(r"(?:습니다|어요|아요|다|음)$")
_HA = re.compile(r"(?<=[가-힣])(?:합니다|해요|하다|한다|함)$")


def near_miss(answer: str, reference: str) -> str:
    """The kind of near-miss, a name in RULES or `combined`; "" if the answer is right or a real error.

    It is the first rule that alone makes the two equal, or `combined` if it takes several. An empty text is never near.
    """
    return _near_miss(strip(answer), strip(reference)) if answer != reference else ""


def count_near_misses(kinds: Iterable[str]) -> dict[str, int]:
    """The number of each kind that occurs, in the order of KINDS."""
    counts = Counter(kinds)
    return {kind: counts[kind] for kind in KINDS if counts[kind]}


@lru_cache(maxsize=2**14)
def _near_miss(answer: str, reference: str) -> str:
    if not _join(answer) or not _join(reference):
        return ""
    if answer == reference:  # they differed only in what `strip` changes: white space or Unicode form
        return "spelling"
    for kind, rule in RULES.items():
        if rule(answer, reference):
            return kind
    answer, reference = (_simplify(text) for text in (answer, reference))
    return "combined" if any(rule(answer, reference) for rule in RULES.values()) else ""


def _simplify(text: str) -> str:
    """Apply all rules that change one text; words and white space stay."""
    return " ".join(_write_digits(_drop_articles(_drop_marks(casefold(text), " "))).split())


def _drop_marks(text: str, gap: str = "") -> str:
    """Replace punctuation by `gap` (apostrophes by nothing), except in numbers: `1.5`, `-5`, `12:30`."""
    kept = {match.start() for match in _KEPT.finditer(text)}
    return _MARKS.sub(
        lambda match: match[0] if match.start() in kept else "" if match[0] in _APOSTROPHES else gap, text
    )


def _join(text: str) -> str:
    """Drop punctuation and spaces, except spaces between digits."""
    return _SPACE.sub("", _drop_marks(text).strip())


def _drop_articles(text: str) -> str:
    """Drop `a`, `an`, `the` before a word of two letters or more: `vitamin a` and the choice `a b` keep theirs."""
    words = text.split()
    return " ".join(
        word
        for word, following in zip(words, [*words[1:], ""])
        if not (word.casefold() in ARTICLES and len(following) > 1)
    )


def _write_digits(text: str) -> str:
    """`two` -> `2`, `두 마리` -> `2마리`."""
    counted = _COUNTED.fullmatch(text)
    if counted:
        return _KOREAN_DIGITS.get(counted[1], counted[1]) + (counted[2] or "")
    return " ".join(_DIGITS.get(word.casefold(), word) for word in text.split())


def _same_number(a: str, b: str) -> bool:
    """Whether two texts are equal after `_write_digits`, or like `3` and `3개`; `3시` and `3분` are not."""
    a, b = _write_digits(a), _write_digits(b)
    return a == b or any(
        re.fullmatch(rf"\d+({_COUNTERS})", x) and re.sub(r"\D", "", x) == y for x, y in ((a, b), (b, a))
    )


def _differ_in_plurals(a: str, b: str) -> bool:
    """Whether two texts have the same words, with some of them in the plural in one text."""
    left, right = a.split(), b.split()
    return len(left) == len(right) and all(x == y or _is_plural(x, y) or _is_plural(y, x) for x, y in zip(left, right))


def _is_plural(many: str, one: str) -> bool:
    many, one = many.casefold(), one.casefold()
    if _IRREGULAR.get(many) == one:
        return True
    if many in _NEVER_PLURAL.split() or len(one) < 3 or not (one.isascii() and one.isalpha()):
        return False
    if re.search("(s|x|z|ch|sh)$", one):
        return many == one + "es"
    if re.search("[^aeiou]y$", one):
        return many == one[:-1] + "ies"
    return many == one + "s" or (one.endswith("o") and many == one + "es")


def _differ_in_particle(a: str, b: str) -> bool:
    """Whether one text is the other plus a Korean particle that fits its last syllable.

    The word must have two syllables: `강의` is not `강`. The particles `도`, `만`, `와` and `과` add meaning, and may
    belong to the word (`제주도`), so they don't count.
    """
    long, short = (a, b) if len(a) > len(b) else (b, a)
    if not re.search("[가-힣]{2}$", short) or not long.startswith(short):
        return False
    particle = long.removeprefix(short)
    if particle == "로" and _final_consonant(short) == 8:
        return True
    return particle in _PARTICLES_OF_ANY or _PARTICLES.get(particle) == (_final_consonant(short) > 0)


def _drop_ending(text: str) -> str:
    """Drop a Korean sentence ending: `의자입니다` -> `의자`; `없어요` and `없다` -> `없-`, which is no noun."""
    if text in ("아니오", "아니요"):
        return "아니오"
    if _HA.search(text):
        return _HA.sub("하-", text)
    verb = _VERB.sub("", text)
    if verb != text and re.search("[가-힣]$", verb) and _final_consonant(verb):
        return verb + "-"
    noun = _COPULA.sub("", text)
    return noun if len(noun) >= 2 else text


def _final_consonant(text: str) -> int:
    """The final consonant of a Korean text's last syllable in Unicode's numbering: 0 for none, 8 for ㄹ."""
    return (ord(text[-1]) - 0xAC00) % 28


def _equal_after(change: Texts) -> Pairs:
    return lambda a, b: change(a) == change(b)


RULES: dict[str, Pairs] = {
    "case": _equal_after(casefold),
    "spelling": _equal_after(_join),
    "article": _equal_after(_drop_articles),
    "number": _same_number,
    "plural": _differ_in_plurals,
    "particle": _differ_in_particle,
    "ending": _equal_after(_drop_ending),
}
"""Kinds by name: upper and lower case; punctuation and spaces; articles; number words and counters; English plurals;
Korean particles; Korean sentence endings."""
KINDS = (*RULES, "combined")

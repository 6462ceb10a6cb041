"""Near-misses: wrong answers that differ from the right one in form only, by the rule that makes the two one.

An exact-match server counts them as wrong, so each kind says how much a better spelling would give; a real error stays
one. The rules go by form, not by meaning, and where a form is doubtful they say no: `news` is not the plural of `new`.
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
"""  # end in s and are no plurals, whatever word the rest may be

_PARTICLES = {"은": True, "는": False, "이": True, "가": False, "을": True, "를": False, "으로": True, "로": False}
_PARTICLES_OF_ANY = ("에서", "에", "의")
_COPULA = re.compile(r"(?<=[가-힣])(?:입니다|이에요|이예요|예요|에요|이야|이다|이요|요)$")
_VERB = re.compile(r"(?:습니다|어요|아요|다|음)$")
_HA = re.compile(r"(?<=[가-힣])(?:합니다|해요|하다|한다|함)$")


def near_miss(answer: str, reference: str) -> str:
    """The kind, a name in RULES or `combined`, by which a wrong answer is the right one in another form; "" if none is.

    The first rule that alone makes the two one gives its name; `combined` needs several. An empty text is near none.
    """
    return _near_miss(strip(answer), strip(reference)) if answer != reference else ""


def count_near_misses(kinds: Iterable[str]) -> dict[str, int]:
    """How many there are of each kind, in the order of KINDS, those that do not occur left out."""
    found = Counter(kinds)
    return {kind: found[kind] for kind in KINDS if found[kind]}


@lru_cache(maxsize=2**14)
def _near_miss(answer: str, reference: str) -> str:
    if not _joined(answer) or not _joined(reference):
        return ""
    if answer == reference:  # until a moment ago they differed in white space or Unicode form
        return "spelling"
    for kind, rule in RULES.items():
        if rule(answer, reference):
            return kind
    answer, reference = (_simple(text) for text in (answer, reference))
    return "combined" if any(rule(answer, reference) for rule in RULES.values()) else ""


def _simple(text: str) -> str:
    """Every rule that works on one text alone, one after the other; white space and words are left."""
    return " ".join(_number(_without_articles(_without_marks(casefold(text), " "))).split())


def _without_marks(text: str, gap: str = "") -> str:
    """Punctuation made `gap` (an apostrophe nothing), but for what belongs to a number: `1.5`, `-5`, `12:30`."""
    kept = {match.start() for match in _KEPT.finditer(text)}
    return _MARKS.sub(
        lambda match: match[0] if match.start() in kept else "" if match[0] in _APOSTROPHES else gap, text
    )


def _joined(text: str) -> str:
    """Without punctuation and spaces; digits apart stay apart."""
    return _SPACE.sub("", _without_marks(text).strip())


def _without_articles(text: str) -> str:
    """`a`, `an`, `the` dropped before a word of two letters or more: `vitamin a` and the choice `a b` keep theirs."""
    words = text.split()
    return " ".join(
        word
        for word, following in zip(words, [*words[1:], ""])
        if not (word.casefold() in ARTICLES and len(following) > 1)
    )


def _number(text: str) -> str:
    """`two` -> `2`, `두 마리` -> `2마리`."""
    counted = _COUNTED.fullmatch(text)
    if counted:
        return _KOREAN_DIGITS.get(counted[1], counted[1]) + (counted[2] or "")
    return " ".join(_DIGITS.get(word.casefold(), word) for word in text.split())


def _same_number(a: str, b: str) -> bool:
    """The same after `_number`, or `3` and `3개`; `3시` and `3분` are not."""
    a, b = _number(a), _number(b)
    return a == b or any(
        re.fullmatch(rf"\d+({_COUNTERS})", x) and re.sub(r"\D", "", x) == y for x, y in ((a, b), (b, a))
    )


def _plurals(a: str, b: str) -> bool:
    """The same words, some of them in the plural on one side."""
    left, right = a.split(), b.split()
    return len(left) == len(right) and all(x == y or _plural(x, y) or _plural(y, x) for x, y in zip(left, right))


def _plural(many: str, one: str) -> bool:
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


def _particles(a: str, b: str) -> bool:
    """One is the other with a Korean particle that fits its last syllable; `강의` is not `강`: two syllables at least.

    `도`, `만`, `와` and `과` say more than the word (`제주도`), so they are not among them.
    """
    long, short = (a, b) if len(a) > len(b) else (b, a)
    if not re.search("[가-힣]{2}$", short) or not long.startswith(short):
        return False
    particle = long.removeprefix(short)
    if particle == "로" and _final(short) == 8:
        return True
    return particle in _PARTICLES_OF_ANY or _PARTICLES.get(particle) == (_final(short) > 0)


def _stem(text: str) -> str:
    """Without a Korean sentence ending: `의자입니다` -> `의자`; `없어요` and `없다` -> `없-`, which is no noun."""
    if text in ("아니오", "아니요"):
        return "아니오"
    if _HA.search(text):
        return _HA.sub("하-", text)
    verb = _VERB.sub("", text)
    if verb != text and re.search("[가-힣]$", verb) and _final(verb):
        return verb + "-"
    noun = _COPULA.sub("", text)
    return noun if len(noun) >= 2 else text


def _final(text: str) -> int:
    """The final consonant of a Korean text's last syllable: 0 for none, 8 for ㄹ, as Unicode composes syllables."""
    return (ord(text[-1]) - 0xAC00) % 28


def _after(change: Texts) -> Pairs:
    return lambda a, b: change(a) == change(b)


RULES: dict[str, Pairs] = {
    "case": _after(casefold),
    "spelling": _after(_joined),
    "article": _after(_without_articles),
    "number": _same_number,
    "plural": _plurals,
    "particle": _particles,
    "ending": _after(_stem),
}
"""Kinds by name: upper and lower case; punctuation and spaces; articles; number words and counters; English plurals;
Korean particles; Korean sentence endings."""
KINDS = (*RULES, "combined")

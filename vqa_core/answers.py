"""Normalisers of answers by name, and the types of questions and answers.

Normalisers are for comparing only. A submitted answer is never normalised: in an exact-match competition `none` and
`0` are two answers, which the VQA evaluation tool treats as one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COUNTING = "zero one two three four five six seven eight nine ten"
NUMBER_WORDS = {word: str(number) for number, word in enumerate(_COUNTING.split())} | {"none": "0"}
ARTICLES = {"a", "an", "the"}

# Contractions in which the VQA evaluation tool restores the apostrophe. Its 120 entries follow one rule: one apostrophe
# is missing, each in turn if there are several (`couldnt've`, `couldn'tve`); three entries do not.
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's I'd've I'm I've isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've
    needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll
    somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd
    there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll
    what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
    would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    word[:at] + word[at + 1 :]: word for word in _CONTRACTED.split() for at, letter in enumerate(word) if letter == "'"
} | {"let's": "let's", "she's": "she's", "somebody'd": "somebodyd"}


def strip(text: str) -> str:
    """Unicode NFC, no white space at the ends, single spaces inside."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def casefold(text: str) -> str:
    """`strip`, then fold upper and lower case."""
    return strip(text).casefold()


def plain(text: str) -> str:
    """`casefold` without a full stop at the end: equal for answers that a person would call the same."""
    return casefold(text).removesuffix(".").rstrip()


def process_punctuation(text: str) -> str:
    """Treat punctuation as VQA's vqaEval.py does: replace a mark by a space, or delete it if one is next to a space.

    Quirks kept: a number such as `1,000` anywhere in the text deletes every mark; a full stop is deleted unless a digit
    follows (`2.` -> `2`, `a.b` -> `ab`), but only the first 32 are.
    """
    delete_all = re.search(r"\d,\d", text) is not None
    out = text
    for mark in PUNCTUATION:
        out = out.replace(mark, "" if delete_all or f"{mark} " in text or f" {mark}" in text else " ")
    return re.sub(r"\.(?!\d)", "", out, count=32)


def process_digit_article(text: str) -> str:
    """Treat words as VQA's vqaEval.py does: lower case, `two` -> `2`, `none` -> `0`, no articles, `dont` -> `don't`."""
    words = [NUMBER_WORDS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def clean_spaces(text: str) -> str:
    """The first step of every VQA scorer: line ends and tabs become spaces, the ends are stripped."""
    return text.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=2**16)  # a benchmark's references are few and repeat
def vqa_2021(text: str) -> str:
    """The VQA evaluation tool's normalisation of 2021-03-11 (GT-Vision-Lab/VQA, vqaEval.py)."""
    return process_digit_article(process_punctuation(clean_spaces(text)))


@lru_cache(maxsize=2**16)
def m4c(text: str) -> str:
    """As LLaVA's TextVQA scorer normalises (llava/eval/m4c_evaluator.py): also deletes `,` and `?`, splits off `'s`."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return process_digit_article(process_punctuation(clean_spaces(text)))


NORMALISERS: dict[str, Callable[[str], str]] = {
    "none": str,
    "strip": strip,
    "casefold": casefold,
    "plain": plain,
    "vqa_2021": vqa_2021,
    "m4c": m4c,
}

# The 64 phrases of VQA's mscoco_question_types.txt by their first word; "" is the first word alone. (The tool's 65th
# type is "none of the above".)
_ENGLISH_TYPES = {
    "are": ["", "the", "there", "there any", "these", "they"],
    "can": ["you"],
    "could": [""],
    "do": ["", "you"],
    "does": ["the", "this"],
    "has": [""],
    "how": ["", "many", "many people are", "many people are in"],
    "is": [
        *["", "he", "it", "that a", "the", "the man", "the person", "the woman", "there", "there a"],
        *["this", "this a", "this an", "this person"],
    ],
    "was": [""],
    "what": [
        *["", "animal is", "are", "are the", "brand", "color", "color are the", "color is", "color is the", "does the"],
        *["is", "is in the", "is on the", "is the", "is the color of the", "is the man", "is the name"],
        *["is the person", "is the woman", "is this", "kind of", "number is", "room is", "sport is", "time", "type of"],
    ],
    "where": ["are the", "is the"],
    "which": [""],
    "who": ["is"],
    "why": ["", "is the"],
}
ENGLISH_QUESTION_TYPES = frozenset(
    f"{first} {rest}".strip() for first, endings in _ENGLISH_TYPES.items() for rest in endings
)

_KOREAN_TYPES = {
    "무엇": "무엇|무얼|뭐|뭘|뭔",
    "무슨": "무슨",
    "어디": "어디|어딜|어딨",
    "몇": "몇|며칠",
    "얼마": "얼마",
    "누구": "누구|누가|누굴",
    "언제": "언제",
    "왜": "왜(?![가-힣])|왜요",
    "어떤": "어떤|어떠",
    "어떻게": "어떻|어떡",
    "어느": "어느",
}
# An interrogative opens a word: `배우가 누구` but not `전어디기`.
_KOREAN = re.compile(
    "(?<![가-힣])(?:" + "|".join(f"(?P<t{i}>{forms})" for i, forms in enumerate(_KOREAN_TYPES.values())) + ")"
)
_HANGUL = re.compile("[가-힣]")


def question_type(question: str) -> str:
    """The type of a question, as a short label.

    English: the longest of VQA's 64 opening phrases, else the first two words. Korean: the interrogative (`무엇`,
    `어디`, `몇` ...), anywhere in the question, else `other`.
    """
    text = casefold(question)
    if _HANGUL.search(text):
        match = _KOREAN.search(text)
        return list(_KOREAN_TYPES)[int(str(match.lastgroup)[1:])] if match else "other"
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)*", text)
    for count in range(min(6, len(words)), 0, -1):
        if " ".join(words[:count]) in ENGLISH_QUESTION_TYPES:
            return " ".join(words[:count])
    return " ".join(words[:2]) or "other"


_YES_NO = {"yes", "no", "예", "네", "아니오", "아니요"}
_NUMBER = re.compile(
    r"[-+]?\d+(?:[.,]\d+)*\s*(?:%|개|명|마리|대|장|권|살|층|번|시|분|원|잔|병|채|송이|그루|켤레|사람)?"
)


def answer_type(answer: str) -> str:
    """`yes/no`, `number` or `other`, as in VQA's annotations; knows Korean 예, 아니오 and `3개` too.

    `none`, clock times and fractions are `other`.
    """
    text = plain(answer)
    if text in _YES_NO:
        return "yes/no"
    if _NUMBER.fullmatch(text) or (text in NUMBER_WORDS and text != "none"):
        return "number"
    return "other"


def question_length(question: str) -> str:
    """The question's length in words, as one of five buckets: `1-4`, `5-6`, `7-8`, `9-12`, `13+`."""
    count = len(question.split())
    return next((f"{low}-{high}" for low, high in ((1, 4), (5, 6), (7, 8), (9, 12)) if count <= high), "13+")


def commonest(answers: Iterable[str]) -> str:
    """The most frequent answer; of several, the first. Raises IndexError if there is none."""
    return Counter(answers).most_common(1)[0][0]

"""The core's sentences in Korean: none is missing, none is left of what is no longer said, no value is lost."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.support.said import Template, said
from ui.components.sentences import FOLDER, translate
from ui.components.words import Words
from vqa_core.config import SECTIONS, DataSettings, TrainSettings
from vqa_core.data.competition import read_competition
from vqa_core.data.images import ImageError
from vqa_core.data.report import examine
from vqa_core.data.tables import read_table
from vqa_core.files import InputError, named
from vqa_core.runs.predictions import Prediction
from vqa_core.settings import resolve
from vqa_core.submission.submission import build_submission, diagnose

KO, EN = Words("ko"), Words("en")
SAID = said()
KOREAN = json.loads((FOLDER / "sentences.ko.json").read_text(encoding="utf-8"))
PAIRS = [
    (module, english, korean)
    for module, texts in KOREAN.items()
    for english, korean in texts.items()
    if module not in ("words", "earlier")
]
EARLIER = KOREAN["earlier"]
"""What version 0.1.0 wrote into data_report.json and into cards, which the page still shows."""

HANGUL = re.compile("[가-힣]")


def holes(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\d+)[#*]?\}", text))


def rendered(template: str, values: dict[int, str]) -> str:
    text = re.sub(r"\{([^{}|]*)\|[^{}|]*\}", r"\1", template)
    return re.sub(r"\{(\d+)\}", lambda hole: values[int(hole[1])], text).replace("{{", "{").replace("}}", "}")


def translatable(text: str) -> bool:
    """Whether a part is to be translated: names and file endings are not."""
    return " " in text.strip()


def test_the_source_is_read() -> None:
    """The counterpart: an extraction that found nothing would let everything pass."""
    assert sum(map(len, SAID.values())) > 200
    assert {"{0} does not exist.", "{0} is not valid JSON: {1}."} <= SAID["vqa_core.files"].keys()
    assert SAID["vqa_core.data.tables"]["{0} has no column {1}; it has {2}.{3}"].parts[3] == {
        " Did you mean {0}?",
        " Name the right one with {0}.",
    }
    assert "{0} {1} image{s|} not found; {2}" in SAID["vqa_core.data.findings"]
    assert "{0} is cut short." in SAID["vqa_core.data.images"]


def test_all_that_the_source_says_has_a_translation() -> None:
    everywhere = {english for texts in KOREAN.values() for english in texts}
    missing = []
    for module, texts in SAID.items():
        parts = {part for template in texts.values() for some in template.parts.values() for part in some}
        missing += [(module, text) for text in texts if text not in KOREAN.get(module, {}) and text not in parts]
        missing += [(module, text) for text in parts if translatable(text) and text not in everywhere]
    assert not missing


def test_no_translation_is_left_of_what_is_no_longer_said() -> None:
    assert not [(module, text) for module, text, _ in PAIRS if text not in SAID.get(module, {})]


def test_what_earlier_versions_wrote_is_not_what_this_one_says() -> None:
    assert not EARLIER.keys() & {text for texts in SAID.values() for text in texts}
    assert HANGUL.search(translate("3 ids of test.csv that sample_submission.csv lacks", KO))


def test_a_translation_is_korean_and_has_every_value() -> None:
    for _, english, korean in [*PAIRS, *(("earlier", *pair) for pair in EARLIER.items())]:
        assert holes(korean) == holes(english), english
        assert HANGUL.search(korean) or english == "ids", english
        if english.endswith(".") and not english.startswith(" "):
            assert korean.endswith("."), english
        for command in re.findall(r"`[^`]+`|--[a-z-]+", english):
            assert command in korean, english


def test_what_the_core_adds_to_a_sentence_is_translated_in_it() -> None:
    for module, english, korean in PAIRS:
        for number, parts in SAID.get(module, {}).get(english, Template("")).parts.items():
            assert f"{{{number}*}}" in korean or not any(map(translatable, parts)), english


def test_a_sentence_is_recognised_whatever_its_values_hold() -> None:
    for module, english, korean in PAIRS:
        template = SAID.get(module, {}).get(english)
        if template is None or not english.endswith("."):
            continue
        values = {number: f"값{number}\n<b>{{x}}</b> 'a', \"b\"" for number in range(10)}
        translated = set(map(int, re.findall(r"\{(\d+)\*\}", korean)))
        for number in map(int, re.findall(r"\{(\d+)#\}", korean)):
            values[number] = f"1,23{number}"
        for number in translated & template.parts.keys():
            values[number] = rendered(min(template.parts[number]), dict.fromkeys(range(10), "123"))
        text = rendered(english, values)
        translated_text = translate(text, KO)
        assert HANGUL.search(re.sub(r"값\d", "", translated_text)), english
        assert translate(text, EN) == text
        assert all(values[number] in translated_text for number in set(map(int, holes(english))) - translated), english


def test_words_of_settings_have_a_translation() -> None:
    units = {item.metadata["unit"] for kind in SECTIONS.values() for item in kind.__dataclass_fields__.values()} - {""}
    assert {f"{{0}} {unit}" for unit in units} <= KOREAN["words"].keys()


def caught(call: object, *args: object, **options: object) -> str:
    with pytest.raises(InputError) as error:
        call(*args, **options)  # type: ignore[operator]
    return translate(str(error.value), KO)


def test_errors_as_the_core_raises_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,anser\n1,x\n", encoding="utf-8")
    translated_text = caught(read_table(tmp_path / "a.csv").column, "answer", "--answer-column")
    assert translated_text.endswith(
        "있는 열: 'id', 'anser'. 비슷한 이름: 'anser'. 올바른 열은 --answer-column 옵션으로 지정하십시오."
    )
    assert (
        caught(resolve, TrainSettings, {"epoch": 1}, {})
        == "TrainSettings에 설정 'epoch'이(가) 없습니다. 비슷한 이름: 'epochs'."
    )
    assert caught(TrainSettings, batch_questions=0).endswith("허용되는 가장 작은 값은 1개 질문입니다.")
    assert caught(DataSettings, val_fraction=1.0) == "--val-fraction 값이 1.0입니다. 허용되는 가장 큰 값은 0.9입니다."
    sample = read_table(tmp_path / "a.csv")
    translated_text = caught(build_submission, sample, {})
    assert "id 1개 중 1개에 예측이 없습니다: '1'." in translated_text


def test_a_list_that_is_cut_says_so_in_korean() -> None:
    text = f"no reference answer for 9 of 10 questions: {named(list('abcdefghi'))}."
    assert translate(text, KO) == "질문 10개 중 9개에 정답이 없습니다: 'a', 'b', 'c' 외 6개."


def test_an_answer_is_never_translated() -> None:
    """Words that the core says too, and counts that look like its own, are the reader's where they are values."""
    assert "'missing'" in translate("metric 'missing' is not known; choose from exact.", KO)
    assert "'first and 4 more'" in translate("no reference answer for 1 of 1 questions: 'first and 4 more'.", KO)
    assert translate("all 5 answers are the same: 'never seen in training'.", KO).endswith("'never seen in training'.")


def test_the_doctors_advice(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("ID,answer\n" + "".join(f"{i},0\n" for i in range(7)), encoding="utf-8")
    answers = ["yes ", "no\nno", "NA", "NA", "", "Red", "x" * 40]
    predictions = {str(i): Prediction(str(i), text, text, 0.5) for i, text in enumerate(answers)}
    predictions["0"] = Prediction("0", "yes ", "", None, "bad_image", "gone")
    found = diagnose(build_submission(read_table(tmp_path / "s.csv"), predictions), ["yes", "red"])
    translated_text = [translate(text, KO) for text in found]
    assert len(translated_text) > 6
    assert not [text for text in translated_text if not HANGUL.search(text) or "times" in text or " answers " in text]
    assert any("'Red' ('red' in training)" in text or "'Red'" in text for text in translated_text)
    assert "앞이나 뒤에 공백이 있는 답이 1개입니다: 'yes '." in translated_text


def test_findings_with_and_without_their_cases(tmp_path: Path) -> None:
    (tmp_path / "image" / "train").mkdir(parents=True)
    (tmp_path / "train.csv").write_text("ID,image_id,question,answer\n1,a,q?,x\n1,b,q?,\n", encoding="utf-8")
    (tmp_path / "test.csv").write_text("ID,image_id,question\n", encoding="utf-8")
    (tmp_path / "sample_submission.csv").write_text("ID,answer\n9,0\n", encoding="utf-8")
    report = examine(read_competition(tmp_path), {})
    assert len(report.findings) > 3
    for finding in report.findings:
        assert HANGUL.search(translate(finding.message, KO)), finding.message
        assert translate(f"{finding}.", KO).removesuffix(".") == translate(str(finding), KO)
    missing = next(finding for finding in report.findings if finding.code == "missing-train-images")
    assert translate(str(missing), KO) == "학습 이미지 2장을 찾을 수 없어 해당 행을 제외합니다 (a, b)"
    both = "\n".join(f"{finding}." for finding in report.findings)
    assert translate(both, KO).count("\n") == both.count("\n")


def test_a_pictures_problem_as_sentence_and_as_clause() -> None:
    assert (
        translate(str(ImageError("한글 이름.png", "is cut short")), KO)
        == "한글 이름.png: 이미지 파일이 중간에 끊겼습니다."
    )
    assert translate("The picture is cut short.", KO) == "이미지 파일이 중간에 끊겼습니다."
    assert translate("image/a.png is cut short", KO) == "image/a.png: 이미지 파일이 중간에 끊겼습니다"


def test_what_is_not_known_stays_as_it_is() -> None:
    for text in ("", "Bonjour.", "there are no answers", "{0}", "네", "a\nb", "x" * 50_000):
        assert translate(text, KO) == text


def test_a_commands_last_line_is_recognised() -> None:
    assert translate("error: there are no questions to compare answers to.", KO) == "답을 비교할 질문이 없습니다."


def test_no_text_makes_it_slow() -> None:
    started = time.monotonic()
    for text in (": entry " * 2000, " is " * 5000, "', 'a" * 4000, "\n" * 300, " has no " * 2000 + "."):
        translate(text, KO)
    assert time.monotonic() - started < 5

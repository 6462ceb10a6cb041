"""Legacy encodings: read as the language they hold, or refused with what the bytes may mean; never another text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa_core.data.competition import read_competition
from vqa_core.data.report import examine
from vqa_core.data.texts.encodings import decode
from vqa_core.files import InputError
from vqa_core.runs.examples import ColumnMap

KOREAN = "이 그림에 고양이가 몇 마리 있나요?|자동차는 무슨 색입니까?|남자가 손에 든 것은?|두 마리|빨간색|우산|아니요|네"
SIMPLIFIED = "图中有几只猫？|这辆汽车是什么颜色？|男人手里拿着什么？|两只|红色|雨伞|不是|是"
TRADITIONAL = "圖中有幾隻貓？|這輛汽車是什麼顏色？|男人手裡拿著什麼？|兩隻|紅色|雨傘|不是|是"
JAPANESE = "猫は何匹いますか？|この車は何色ですか？|男性は手に何を持っていますか？|二匹|赤|傘|いいえ|はい"
FRENCH = "Combien de chats y a-t-il à côté ?|Où est la voiture garée ?|Que tient le garçon ?|forêt|très âgé|vélo|été"
GERMAN = "Wie viele Vögel sind auf dem Bild?|Welche Farbe hat die Tür?|Trägt das Mädchen einen Hut?|grün|weiß|zwölf"
RUSSIAN = "Сколько кошек на картинке?|Какого цвета машина?|Что держит мужчина?|две|красный|зонт|нет|да"
POLISH = "Ile kotów jest na zdjęciu?|Co mężczyzna trzyma w ręce?|Gdzie świeci słońce?|żółty|różowy|łódź|książka|pięć"
GREEK = "Πόσες γάτες υπάρχουν στην εικόνα;|Τι χρώμα είναι το αυτοκίνητο;|κόκκινο|ομπρέλα|όχι|ναι"
TURKISH = (
    "Resimde kaç kedi var?|Masanın üzerinde tabak var mı?|Kadın şapka takıyor mu?|kırmızı|yeşil|güneşli|şemsiye|ağaç"
)
ENGLISH = "What color is the car?|How many cats are there?|Is the man wearing a hat?|yes|red|frisbee"

LANGUAGES = [
    ("cp949", KOREAN),
    ("gbk", SIMPLIFIED),
    ("big5", TRADITIONAL),
    ("cp932", JAPANESE),
    ("euc_jp", JAPANESE),
    ("cp1252", FRENCH),
    ("mac-roman", FRENCH),
    ("cp1252", GERMAN),
    ("cp1251", RUSSIAN),
    ("koi8-r", RUSSIAN),
    ("cp866", RUSSIAN),
    ("cp1250", POLISH),
    ("cp1253", GREEK),
    ("cp1254", TURKISH),
]


def as_csv(*texts: str) -> str:
    return "ID,question\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(texts))


@pytest.mark.parametrize(("encoding", "texts"), LANGUAGES)
def test_a_table_in_the_usual_encoding_of_a_language_is_read_as_it_was(encoding: str, texts: str) -> None:
    for mixed in ([], ENGLISH.split("|")):
        text = as_csv(*texts.split("|"), *mixed)
        assert decode(text.encode(encoding))[0] == text


@given(data=st.data())
def test_a_few_words_are_read_right_or_refused_but_never_as_others(data: st.DataObject) -> None:
    encoding, texts = data.draw(st.sampled_from(LANGUAGES))
    kept = data.draw(st.lists(st.sampled_from(texts.split("|")), min_size=1, max_size=8))
    text = as_csv(*kept, *data.draw(st.lists(st.sampled_from(ENGLISH.split("|")), max_size=8)))
    try:
        assert decode(text.encode(encoding))[0] == text
    except InputError as error:
        assert "--encoding" in str(error)  # noqa: PT017


def test_a_short_korean_header_in_cp949_is_read() -> None:
    assert decode("아이디,정답\nTEST_0000,\nTEST_0001,\n".encode("cp949"))[1] == "cp949"


def test_hangul_of_ks_x_1001_that_spells_no_korean_is_not_taken_for_it() -> None:
    chinese = as_csv("图中有猫吗？", "没有").encode("gbk")
    assert "몸" in as_csv("图中有几个人？").encode("gbk").decode("cp949")
    assert decode(chinese)[1] == "gb18030"


@pytest.mark.parametrize("word", ["café au lait", "Äpfel", "naïve", "Århus", "Ça va", "20 °C"])
def test_a_word_of_the_west_is_read_or_shown_but_never_hangul(word: str) -> None:
    data = as_csv(word).encode("latin-1")
    try:
        assert decode(data)[0] == as_csv(word)
    except InputError as error:
        assert "--encoding" in str(error)  # noqa: PT017
        assert "several ways" not in str(error) or f"cp1252 gives '0,\"{word}\"'" in str(error)  # noqa: PT017


def test_a_close_call_shows_a_line_where_the_readings_differ_and_the_flag_decides() -> None:
    data = as_csv(*ENGLISH.split("|"), "Łódź").encode("iso8859-2")
    with pytest.raises(
        InputError, match=r"not UTF-8 \(line 8: byte 0xa3\) and can be read in several ways.*--encoding"
    ):
        decode(data, "train.csv")
    assert decode(data, "train.csv", "latin2") == (as_csv(*ENGLISH.split("|"), "Łódź"), "iso8859-2")


def test_a_wrong_name_for_the_encoding_is_refused() -> None:
    data = as_csv("고양이").encode("cp949")
    with pytest.raises(InputError, match="--encoding 'klingon' is not known"):
        decode(data, encoding="klingon")
    with pytest.raises(InputError, match=r"train.csv is neither UTF-8 nor ascii \(line 2: byte 0xb0\)"):
        decode(data, "train.csv", "ascii")
    with pytest.raises(InputError, match="--encoding 'rot13' is not known"):
        decode(data, encoding="rot13")


def test_utf_8_stays_utf_8_whatever_the_flag_says() -> None:
    assert decode("고양이".encode(), encoding="cp949") == ("고양이", "utf-8")
    assert decode("고양이".encode("utf-8-sig"), encoding="cp949") == ("고양이", "utf-8-sig")
    assert decode("고양이".encode("utf-16"), encoding="cp949") == ("고양이", "utf-16-le")


def test_utf_8_with_a_damaged_line_is_no_other_encoding() -> None:
    whole = as_csv(*KOREAN.split("|")).encode()
    for tail in ("고양이".encode("cp949"), "고".encode()[:-1]):
        with pytest.raises(InputError, match=r"is UTF-8 but for line 10 \(byte 0x\w\w\)"):
            decode(whole + tail)


def test_bytes_of_no_language_are_refused() -> None:
    with pytest.raises(InputError, match="do not tell its encoding"):
        decode(bytes((number * 89) % 223 + 33 for number in range(223)))


def test_utf_32_and_iso_2022_jp_are_told_by_their_marks() -> None:
    assert decode("고양이".encode("utf-32")) == ("고양이", "utf-32-le")
    assert decode("何色ですか".encode("iso2022_jp")) == ("何色ですか", "iso2022_jp")


def test_the_report_names_the_encoding_with_a_row_as_it_was_read(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number},{text},{text}\n" for number, text in enumerate(SIMPLIFIED.split("|")))
    (tmp_path / "train.csv").write_bytes(f"ID,image_id,question,answer\n{rows}".encode("gbk"))
    competition = read_competition(tmp_path)
    found = {finding.code: str(finding) for finding in examine(competition, {}).findings}
    assert "train.csv: gb18030, read as '0, 0, 图中有几只猫？, 图中有几只猫？'" in found["encodings"]


def test_the_setting_reaches_every_table_of_a_competition(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes("ID,image_id,question,answer\n1,1,Stadt?,Łódź\n".encode("iso8859-2"))
    (tmp_path / "test.csv").write_text("ID,image_id,question\n2,1,Stadt Łódź?\n")
    with pytest.raises(InputError, match="several ways"):
        read_competition(tmp_path)
    competition = read_competition(tmp_path, ColumnMap(encoding="iso8859-2"))
    assert competition.train[0].answer == "Łódź"
    assert competition.test[0].question == "Stadt Łódź?"
    assert competition.encodings == {"train.csv": "iso8859-2", "test.csv": "utf-8"}


@pytest.mark.parametrize("word", ["图片", "几个"])
def test_a_word_that_is_valid_utf_8_by_chance_is_refused_until_told(word: str) -> None:
    data = as_csv(word).encode("gbk")
    if word == "图片":
        assert data.decode() == as_csv("ͼƬ")
        with pytest.raises(InputError, match=r"utf-8 gives '0,\"ͼƬ\"'; gb18030 gives '0,\"图片\"'.*--encoding"):
            decode(data)
    assert decode(data, encoding="gbk") == (as_csv(word), "gbk")


@pytest.mark.parametrize("word", ["é", "ß", "да", "ναι", "±", "ա", "ʃ", "İ", "×", "½", "Ո՞ւր է շունը", "שלום", "نعم"])
def test_a_short_word_in_utf_8_stays_itself(word: str) -> None:
    assert decode(as_csv(word).encode()) == (as_csv(word), "utf-8")

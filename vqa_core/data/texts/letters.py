"""How often the letters of a language are, in bits: what a decoded text costs tells how likely its encoding is right.

The lists hold the commonest letters of everyday text, most frequent first; the shares are rough. A wrong encoding gives
letters that no language has in such company, and costs far more, so rough is enough.
"""

import math
import unicodedata
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from functools import cache

ASCII_BITS = 5.0  # of any ASCII character, in every language
_FOREIGN_BITS = 24.0  # of a letter of another alphabet
_BORROWED_BITS = 13.0  # of a Latin letter that only other languages have, as in a name
_SYMBOL_BITS = 14.0
_CAPITAL_BITS = 3.0  # on top of the small letter
_TURN_BITS = 7.0  # on top, for a capital right after a small letter
_MIXED_BITS = 14.0  # on top, for letters of two alphabets side by side
_INSIDE_BITS = 6.0  # on top, for a symbol right after a letter
_TYPOGRAPHY = dict.fromkeys("’“”‘–—…°«»„·•€£×²½¿¡ºª\u00a0", 7.0)
_WIDE = dict.fromkeys("。，、？！：；（）「」《》“”‘’…・『』【】～—　", 6.0)

_HANS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家"
    "种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十"
    "民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯"
    "月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女"
    "变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基"
    "眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今"
    "切院让识候带导争运图红绿蓝黄黑片颜猫狗吗哪谁圆形状灰橙紫粉棕车树花鸟鱼桌椅衣帽男孩球穿拿站坐哪左右旁杯"
)
_HANT = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行所然家"
    "種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十"
    "民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或新己制身果加西斯"
    "月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走義各入幾口認條平系氣題活爾更別打女"
    "變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基"
    "眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今"
    "切院讓識候帶導爭運圖紅綠藍黃黑片顏貓狗嗎哪誰圓形狀灰橙紫粉棕車樹花鳥魚桌椅衣帽男孩球穿拿站坐左右旁杯"
)
_KANA = (
    "のいるにをたとはしがでてなうれかすこりっもらんきくさあまどそけつえめおみせわよろじだちねばぐぞげひへほむやゆぶべぼふ"
    "びずずごぎざぜづぬぱぴぷぺぽゃゅょぁぃぇぉー"
)
_KATAKANA = (
    "ンスルトーリイラクアッドシフレロジマプタテコバムメカオサキデグナパニハウチミセネャブソワボペビホュノケモヤガポダツ"
    "ズヨピギゴザエヒユィェョァベゼゲヘヌォゾ"
)
_KANJI = (
    "日一人年大十二本中長出三時行見月分後前生五間上東四今金九入学高円子外八六下来気小七山話女北午百書先名川千水半男西"
    "電校語土木聞食車何南万毎白天母火右読友左休父雨会同事自社発者地業方新場員立開手力問代明動京目通言理体田主題意不作"
    "用度強公持野以思家世多正安院心界教文元重近考画海売知道集別物使品計死特私始朝運終台広住真有口少町料工建空急止送切"
    "転研足究楽起着店病質待試族銀早映親験英医仕去味写字答夜音注帰古歌買悪図週室歩風紙黒花春赤青館屋色走秋夏習駅洋旅服"
    "夕借曜飲肉貸堂鳥飯勉冬昼茶弟牛魚兄犬妹姉漢緑黄猫形丸数全部取表定化最対当成経無回実内性関現法所"
)
_HANGUL = (
    "이다는의에을가고하지를은로한사기도자있대들서리어나시해인그수정부일과아으장만보상원제있전주여구것라공선동스성국조무관"
    "적경소신교했안문생연세비오개유면위진기화방학중회물미심산계요마당행발내용할되년였금분명데영단실없출치모민재설체번우모"
    "두군호작간반현통품배색무슨무엇몇람여까빨간파란노란초록검흰강돌개고양동물사람있습니까입습니차림질답강물버거때각남던"
    "트레드프르러타토포크키터워카코속같많않좋못받른른째등중음집손눈머얼굴옷책날식말길운하늘름직추살순역열영외욕야약애"
)
_LATIN = {
    "English": "éèñïüöáçêóôàäåí",
    "French": "éèàêçùôîûâïëœü",
    "German": "üäöß",
    "Spanish": "óíáéñúü",
    "Portuguese": "ãçáéíóêúâõàôü",
    "Italian": "èàùòìé",
    "Swedish": "åäöé",
    "Danish": "åøæé",
    "Finnish": "äöå",
    "Dutch": "ëéïèöü",
    "Icelandic": "íáðéóþöúæý",
    "Polish": "łąężóśćńź",
    "Czech": "íáéěýřžščůúťďňóäô",
    "Hungarian": "áéőöóüíúű",
    "Romanian": "ăîâțșţş",
    "Croatian": "čšžćđ",
    "Turkish": "ıüşğçöİâîû",
    "Estonian": "äõüöšž",
    "Latvian": "āīšēūžņļģķč",
    "Lithuanian": "ėšųžįąčūę",
}
_WORDS = {  # frequent ones in ASCII; those of English are few, as it stands beside any language
    "English": "the is",
    "French": "le la les des est une dans sur quel quelle combien que qui avec pour il elle sont et du au",
    "German": "der das ist ein eine und auf wie viele welche mit nicht wo wer hat dem im sind",
    "Spanish": "el los las una en que es hay cuantos del con por la de quien",
    "Portuguese": "os uma que em na da qual cor com quantos de um",
    "Italian": "il lo gli una di che sono quanti nella sul quale colore del con",
    "Swedish": "och en ett hur vad vilken som har med av det finns",
    "Danish": "og er en et hvor hvad der har med af det",
    "Finnish": "ja ei kuinka monta onko",
    "Dutch": "de het een van hoeveel wat welke op zijn en met waar",
    "Icelandic": "og er eru hvar",
    "Polish": "jest na czy co jaki jakiego ile nie tak gdzie kto od ma po",
    "Czech": "je na co jak kde kolik ne ano kdo ve jakou",
    "Hungarian": "van az egy milyen hol ki nem igen mit hogy",
    "Romanian": "este un pe ce cu sunt unde culoare la de",
    "Croatian": "je na koliko gdje tko da ne koje",
    "Turkish": "ne var bir ve kim kadar nerede mi ile",
    "Estonian": "ja ei kas mis kus",
    "Latvian": "ir un kas cik kur",
    "Lithuanian": "ir yra kas kiek kur",
}
_WORD_BITS, _MOST_WORDS = 3.0, 5  # what each of them speaks for its language, and how many count
_ALPHABETS = {
    "Russian": "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
    "Ukrainian": "оаинвітреслкумдпязьбгйчхцжюшїщєфґ",
    "Bulgarian": "аиоетнрсвлкдпмзгяъбучцжшщхйфюьѝ",
    "Greek": "αοιετσνηυρπκμλςωδγχθφβξζψάίόέήύώϊΐϋΰ",
    "Hebrew": "יוהלאתרמבשנםדקחפעגכטסזצךןףץ",
    "Arabic": "اليمنوترةبعدسفهكقحجشطصخأىضزذغثإءئظآؤ،؟",
    "Thai": "านรอกเงมยลวดทตสตะปบคหแจพชขใไโผธณฐศซภถฟฤษญฉฝฎฏฬฆฮ่้ัิี์ืุู็ึำๆ",
}
_LATIN_RATE = 0.06  # share of letters with a mark in a text


@dataclass(frozen=True)
class Language:
    """What each letter of a language costs; `other` gives the bits of a letter that is not in `bits`.

    `words` are frequent ones in ASCII, if the language has any.
    """

    name: str
    bits: dict[str, float]
    other: Callable[[str], float]
    words: frozenset[str] = frozenset()

    def cost(self, text: str, beside: Set[str] = frozenset()) -> float:
        """The bits of `text`: of its letters, and of those that stand where no word has them.

        `beside` are the words in ASCII of the same file: frequent words of the language make it likelier.
        """
        bits, other = self.bits, self.other
        total, before = 0.0, ""
        for letter in text:
            if letter.isascii():
                total += ASCII_BITS
            else:
                known = bits.get(letter)
                if known is None:
                    known = bits[letter] = other(letter)
                total += known
            if before and not (before.isascii() and letter.isascii()):
                total += _join(before, letter)
            before = letter
        return total - _WORD_BITS * min(_MOST_WORDS, len(self.words & beside))


@cache
def _join(before: str, after: str) -> float:
    scripts = _script(before), _script(after)
    if "" in scripts:
        odd = scripts[0] and not after.isascii() and (unicodedata.category(after)[0] == "S" or after in "½¼¾")
        return _INSIDE_BITS if odd else 0.0
    if scripts[0] != scripts[1]:
        return _MIXED_BITS
    return _TURN_BITS if before.islower() and after.isupper() else 0.0


def _script(letter: str) -> str:
    """The alphabet of a letter or mark; "" for what stands beside any letter, as those of East Asia do."""
    if unicodedata.category(letter)[0] not in "LM":
        return ""
    name = unicodedata.name(letter, "").split(" ")[0]
    return name if name in ("LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI") else ""


def _ranked(letters: str, share: float, flat: float) -> dict[str, float]:
    """Bits of letters whose share falls with rank r as 1 / (r + flat); together they have `share`."""
    once = list(dict.fromkeys(letters))
    weights = [1 / (rank + flat) for rank in range(len(once))]
    return {letter: math.log2(sum(weights) / weight / share) for letter, weight in zip(once, weights)}


def _common(letter: str) -> float:
    """Bits of what may stand in any text."""
    if letter in _TYPOGRAPHY:
        return _TYPOGRAPHY[letter]
    kind = unicodedata.category(letter)
    return _FOREIGN_BITS if kind[0] in "LMC" else _SYMBOL_BITS


def _latin(letter: str) -> float:
    """Bits of a letter that is not the language's own, if its own are Latin."""
    if _script(letter) != "LATIN":
        return _common(letter)
    return _BORROWED_BITS + (_CAPITAL_BITS if letter.isupper() else 0)


def _alphabet(
    name: str, letters: str, share: float, other: Callable[[str], float] = _common, words: str = ""
) -> Language:
    small = _ranked(letters, share, 3.0)
    large = {
        letter.upper(): cost + _CAPITAL_BITS
        for letter, cost in small.items()
        if letter.upper() not in small and len(letter.upper()) == 1
    }
    return Language(name, small | large, other, frozenset(words.split()))


def _east_asian(name: str, parts: Iterable[dict[str, float]], levels: Callable[[str], float]) -> Language:
    bits: dict[str, float] = dict(_WIDE)
    for part in parts:
        bits |= part
    return Language(name, bits, levels)


def _level(letter: str, codec: str, first: int, last: int) -> bool:
    """Whether the two bytes of `letter` in `codec` start with one from `first` to `last`: its everyday part."""
    try:
        coded = letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return len(coded) == 2 and first <= coded[0] <= last


def _han(codec: str, first: int, last: int, everyday: float, rare: float) -> Callable[[str], float]:
    def bits(letter: str) -> float:
        if "\u4e00" <= letter <= "\u9fff":
            return everyday if _level(letter, codec, first, last) else rare
        if "\uff61" <= letter <= "\uff9f":  # half-width katakana, which a wrong encoding gives by the dozen
            return 15.0
        if "\u3040" <= letter <= "\u30ff" or "\uac00" <= letter <= "\ud7a3":
            return 18.0
        return 10.0 if "\uff01" <= letter <= "\uff5e" else _common(letter)

    return bits


def _korean(letter: str) -> float:
    if "\uac00" <= letter <= "\ud7a3":
        return 13.5 if _level(letter, "euc_kr", 0xB0, 0xC8) else 17.0
    return 18.0 if "\u4e00" <= letter <= "\u9fff" or "\u3040" <= letter <= "\u30ff" else _common(letter)


LANGUAGES: dict[str, Language] = {
    "Chinese": _east_asian("Chinese", [_ranked(_HANS, 0.78, 12)], _han("gb2312", 0xB0, 0xD7, 14.0, 19.0)),
    "traditional Chinese": _east_asian(
        "traditional Chinese", [_ranked(_HANT, 0.78, 12)], _han("big5", 0xA4, 0xC6, 14.5, 19.0)
    ),
    "Japanese": _east_asian(
        "Japanese",
        [_ranked(_KANJI, 0.24, 25), _ranked(_KATAKANA, 0.12, 12), _ranked(_KANA, 0.5, 6)],
        _han("shift_jis", 0x88, 0x97, 14.0, 19.0),
    ),
    "Korean": _east_asian("Korean", [_ranked(_HANGUL, 0.85, 12)], _korean),
    **{name: _alphabet(name, letters, _LATIN_RATE, _latin, _WORDS[name]) for name, letters in _LATIN.items()},
    **{name: _alphabet(name, letters, 0.97) for name, letters in _ALPHABETS.items()},
}

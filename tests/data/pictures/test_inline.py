"""Pictures in base64 are told from paths, decoded however they are written, and a broken one is said to be so."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from vqa_core.data.pictures.inline import decode_picture, has_inline_pictures, split_pictures


def picture(kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.effect_noise((16, 16), 90).convert("RGB").save(file, kind)
    return file.getvalue()


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_pictures_of_every_format_are_known_in_every_way_of_writing(kind: str) -> None:
    data = picture(kind)
    text = coded(data)
    assert decode_picture(text) == data
    assert decode_picture(f"data:image/{kind.lower()};base64,{text}") == data
    assert decode_picture(f" {text}\n") == data
    assert decode_picture(base64.encodebytes(data).decode()) == data  # lines of 76, as in mails
    assert decode_picture(base64.urlsafe_b64encode(data).decode().rstrip("=")) == data
    assert decode_picture(str(text.encode())) == data  # b'...', as pandas writes bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.png",
        "train/COCO_train2014_000000000009",
        "7",
        "iVBORw0KGg",
        "x" * 400,
        "Qk0" + "a" * 97,
        "A" * 100,
        "/9/j" * 40,
    ],
)
def test_other_texts_are_no_pictures(text: str) -> None:
    assert decode_picture(text) is None


@pytest.mark.parametrize(
    "damage", [lambda text: text[:200] + "!" + text[200:], lambda text: f"data:image/png,{text[1:9]}!"]
)
def test_what_begins_as_a_picture_and_breaks_is_said_to_be_broken(damage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_picture(damage(coded(picture())))


def test_a_list_in_a_field_is_split() -> None:
    assert split_pictures("['a', 'b']") == ["a", "b"]
    assert split_pictures('["a"]') == ["a"]
    for other in ("[a", "[1, 2]", "a", "[]x", "[a]"):
        assert split_pictures(other) == [other]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ID,image\n1,{}\n", True),
        ('ID,image\n1,"data:image/png;base64,{}"\n', True),
        ("ID\timage\n1\t['{}']\n", True),
        ("ID,image\n1,a.png\n", False),
        ("ID,image\n", False),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_with_pictures_is_known_by_its_first_rows(
    text: str, found: bool, encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text.format(coded(picture())), encoding=encoding)
    assert has_inline_pictures(tmp_path / "a.csv") is found
    assert not has_inline_pictures(tmp_path / "gone.csv")

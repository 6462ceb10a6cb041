"""Zips from anywhere: the good ones unpack once and exactly, the evil ones leave nothing behind."""

import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from vqa_core.data import archives
from vqa_core.data.archives import ZipLimits, extract_zip
from vqa_core.data.competition import read_competition
from vqa_core.data.sources import data_folder
from vqa_core.files import InputError


def zipped(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def special(path: Path, mode: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.csv", "ID\n")
        info = zipfile.ZipInfo("image")
        info.external_attr = mode << 16
        archive.writestr(info, "/etc")
    return path


def twice(path: Path, first: str, second: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(first, "one")
        archive.writestr("x" * len(second), "two")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"x" * len(second), second.encode()))
    return path


def encrypted(path: Path) -> Path:
    data = bytearray(zipped(path, {"train.csv": b"ID\n"}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    return path


def lying_bomb(path: Path) -> Path:
    """Both headers claim 10 bytes for an entry that unpacks to 100 MB."""
    data = zipped(path, {"train.csv": bytes(100 << 20)}).read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 100 << 20), struct.pack("<I", 10)))
    return path


def damaged(path: Path) -> Path:
    content = os.urandom(5000)
    data = bytearray(zipped(path, {"a.csv": b"ID\n", "train.csv": content}, zipfile.ZIP_STORED).read_bytes())
    data[data.index(content) + 2500] ^= 1
    path.write_bytes(data)
    return path


EVIL: dict[str, tuple[Callable[[Path], Path], str]] = {
    "traversal": (lambda p: zipped(p, {"a.csv": b"", "../evil": b"x"}), "outside"),
    "traversal inside": (lambda p: zipped(p, {"image/../../evil": b"x"}), "outside"),
    "traversal by backslash": (lambda p: zipped(p, {"image\\..\\..\\evil": b"x"}), "outside"),
    "absolute": (lambda p: zipped(p, {"/evil": b"x"}), "outside"),
    "drive": (lambda p: zipped(p, {"C:/evil": b"x"}), "outside"),
    "link": (lambda p: special(p, stat.S_IFLNK | 0o777), "link or a device"),
    "device": (lambda p: special(p, stat.S_IFCHR | 0o666), "link or a device"),
    "fifo": (lambda p: special(p, stat.S_IFIFO | 0o666), "link or a device"),
    "encrypted": (encrypted, "encrypted"),
    "bomb": (lambda p: zipped(p, {"train.csv": bytes(100 << 20)}), "zip bomb"),
    "lying bomb": (lying_bomb, "cannot be unpacked|zip bomb"),
    "twice the same": (lambda p: twice(p, "train.csv", "train.csv"), "same"),
    "same but for case": (lambda p: zipped(p, {"a/Train.csv": b"1", "a/train.CSV": b"2"}), "same"),
    "folders same but for case": (lambda p: zipped(p, {"A/1.png": b"1", "a/2.png": b"2"}), "the same on some systems"),
    "same in NFC": (lambda p: zipped(p, {unicodedata.normalize(f, "사과"): b"" for f in ("NFC", "NFD")}), "same"),
    "a file and a folder": (lambda p: zipped(p, {"image": b"1", "image/1.png": b"2"}), "the same on some systems"),
    "a folder and a file": (lambda p: zipped(p, {"image/1.png": b"2", "image": b"1"}), "same"),
    "damaged": (damaged, "Bad CRC"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", EVIL)
def test_an_evil_zip_is_refused_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    make, message = EVIL[kind]
    path = make(tmp_path / "open.zip")
    with pytest.raises(InputError, match=rf"open\.zip.*({message})"):
        extract_zip(path)
    assert os.listdir(tmp_path) == ["open.zip"]
    assert not (tmp_path.parent / "evil").exists()


def test_the_bounds_on_entries_and_bytes_hold(tmp_path: Path) -> None:
    path = zipped(tmp_path / "open.zip", {f"{n}.png": b"12345" for n in range(10)})
    with pytest.raises(InputError, match="10 entries, more than the 9 allowed"):
        extract_zip(path, limits=ZipLimits(entries=9))
    with pytest.raises(InputError, match="more than the 49 bytes"):
        extract_zip(path, limits=ZipLimits(total_bytes=49))
    assert extract_zip(path, limits=ZipLimits(entries=10, total_bytes=50)).is_dir()


def test_bytes_are_counted_while_unpacking_not_only_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "open.zip", {"a.png": b"1" * 100, "b.png": b"2" * 100})
    calls: list[int] = []
    monkeypatch.setattr(archives, "_refuse_size", lambda size, _path, _limits: calls.append(size))
    extract_zip(path)
    assert calls == [200, 100, 200]


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "open.zip", {"a.png": b"1" * 100})
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=99))
    with pytest.raises(InputError, match=r"unpacks to 100 bytes, but .* has only 99 free.*--data-dir"):
        extract_zip(path)


def test_files_come_out_exactly_and_junk_stays_in(tmp_path: Path) -> None:
    content = {"open/train.csv": b"ID\r\n", "open/image/train/1.PNG": bytes(range(256)) * 9000, "open/empty/": b""}
    path = zipped(tmp_path / "open.zip", content | {"__MACOSX/open/._train.csv": b"junk", "open/.DS_Store": b"junk"})
    steps: list[tuple[int, int]] = []
    target = extract_zip(path, tmp_path / "there", progress=lambda done, declared: steps.append((done, declared)))
    assert target == tmp_path / "there"
    files = {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}
    files.pop(".extracted.json")
    assert files == {name: body for name, body in content.items() if not name.endswith("/")}
    assert steps[-1] == (4 + 256 * 9000, 4 + 256 * 9000)


def packed_in(path: Path, encoding: str, entries: dict[str, bytes]) -> Path:
    """A zip whose names are in an encoding that nothing tells, as Windows writes them."""
    raws = {number: name.encode(encoding) for number, name in enumerate(entries)}
    stand_ins = {number: f"{number:03}".rjust(len(raw), "x") for number, raw in raws.items()}
    zipped(path, {stand_ins[number]: body for number, body in enumerate(entries.values())}, zipfile.ZIP_STORED)
    data = path.read_bytes()
    for number, raw in raws.items():
        data = data.replace(stand_ins[number].encode(), raw)
    path.write_bytes(data)
    return path


NAMES = {
    "cp949": ["사과 사진", "강아지", "학습"],
    "gbk": ["图片", "苹果照片", "训练"],
    "big5": ["蘋果的照片", "狗與貓的圖片", "學校"],
    "cp932": ["りんご", "犬の写真", "テスト"],
    "cp1251": ["яблоко", "собака", "картинка"],
    "cp1252": ["pomme de forêt", "été à la mer", "chien âgé"],
}


@pytest.mark.parametrize("encoding", NAMES)
def test_names_without_a_mark_are_read_in_the_encoding_that_is_likeliest_for_all(encoding: str, tmp_path: Path) -> None:
    entries = {f"image/{name}_{number:04}.png": name.encode() for number, name in enumerate(NAMES[encoding])}
    target = extract_zip(packed_in(tmp_path / "open.zip", encoding, entries))
    assert {f"image/{file.name}": file.read_bytes() for file in (target / "image").iterdir()} == entries


@pytest.mark.parametrize(("encoding", "name"), [("gbk", "红"), ("cp932", "赤"), ("cp949", "뷁"), ("big5", "紅")])
def test_where_that_is_a_close_call_the_names_in_the_tables_decide(encoding: str, name: str, tmp_path: Path) -> None:
    table = f"ID,image_id,question,answer\n1,{name},?,?\n".encode()
    target = extract_zip(packed_in(tmp_path / "open.zip", encoding, {f"a/{name}.png": b"1", "train.csv": table}))
    assert (target / f"a/{name}.png").is_file()


def test_names_in_gbk_that_are_valid_utf_8_by_chance_are_read_as_gbk(tmp_path: Path) -> None:
    assert "图片".encode("gbk").decode() == "ͼƬ"
    entries = {f"image/图片_{number}.png": b"1" for number in range(4)}
    target = extract_zip(packed_in(tmp_path / "open.zip", "gbk", entries))
    assert {f"image/{file.name}" for file in (target / "image").iterdir()} == set(entries)


@pytest.mark.parametrize("name", ["é", "사과", "да", "图片", "ա", "½"])
def test_names_in_utf_8_without_the_flag_stay_themselves(name: str, tmp_path: Path) -> None:
    target = extract_zip(packed_in(tmp_path / "open.zip", "utf-8", {f"image/{name}.png": b"1"}))
    assert (target / f"image/{name}.png").is_file()


def test_a_name_in_the_field_for_unicode_wins(tmp_path: Path) -> None:
    plain = "사과.png".encode("cp949")
    field = struct.pack("<BI", 1, zlib.crc32(plain)) + "사과.png".encode()
    path = tmp_path / "open.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x" * len(plain))
        info.extra = struct.pack("<HH", 0x7075, len(field)) + field
        archive.writestr(info, b"1")
    path.write_bytes(path.read_bytes().replace(b"x" * len(plain), plain))
    assert (extract_zip(path) / "사과.png").is_file()


def test_a_method_that_python_cannot_unpack_is_named_with_a_way_out(tmp_path: Path) -> None:
    path = zipped(tmp_path / "open.zip", {"train.csv": b"ID\n"}, zipfile.ZIP_STORED)
    data = path.read_bytes().replace(struct.pack("<HHH", 20, 0, 0), struct.pack("<HHH", 20, 0, 9))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"'train.csv' is packed with Deflate64.*`unzip .*open\.zip -d FOLDER`"):
        extract_zip(path)
    assert os.listdir(tmp_path) == ["open.zip"]


@pytest.mark.parametrize("inside", ["", "image/"])
def test_images_packed_beside_the_tables_are_unpacked_in_their_place(inside: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("ID,image_id,question,answer\n1,a,?,x\n")
    zipped(tmp_path / "image.zip", {f"{inside}train/a.png": b"1", f"{inside}test/b.png": b"2"})
    assert data_folder(str(tmp_path)) == tmp_path
    assert (tmp_path / "image/train/a.png").read_bytes() == b"1"
    assert read_competition(tmp_path).train[0].image == "image/train/a.png"
    before = (tmp_path / "image").stat().st_ino
    data_folder(str(tmp_path))
    assert (tmp_path / "image").stat().st_ino == before


def test_images_packed_inside_a_zip_are_unpacked_too_and_the_result_counts_as_unchanged(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "train.zip", {"a.png": b"1"}).read_bytes()
    (tmp_path / "train.zip").unlink()
    table = b"ID,image_id,question,answer\n1,a,?,x\n"
    path = zipped(tmp_path / "open.zip", {"open/train.csv": table, "open/train.zip": inner})
    target = extract_zip(path)
    assert read_competition(target).train[0].image == "train/a.png"
    assert extract_zip(path) == target


def test_images_that_are_unpacked_already_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("ID\n")
    (tmp_path / "images").mkdir()
    zipped(tmp_path / "image.zip", {"a.png": b"1"})
    data_folder(str(tmp_path))
    assert not (tmp_path / "image").exists()


def test_an_evil_zip_of_images_is_refused_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("ID\n")
    zipped(tmp_path / "image.zip", {"../evil": b"x"})
    with pytest.raises(InputError, match="outside"):
        data_folder(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["image.zip", "train.csv"]


@pytest.mark.parametrize("encoding", ["cp949", "utf-8"])
def test_korean_names_without_the_utf_8_flag_are_read(encoding: str, tmp_path: Path) -> None:
    raw = "사과 (1).png".encode(encoding)
    path = zipped(tmp_path / "open.zip", {"x" * len(raw): b"1"})
    path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    assert (extract_zip(path) / "사과 (1).png").read_bytes() == b"1"


def test_decomposed_names_come_out_composed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "open.zip", {unicodedata.normalize("NFD", "사과.png"): b"1"})
    assert unicodedata.normalize("NFC", "사과.png") in os.listdir(extract_zip(path))


def test_the_same_bytes_are_unpacked_once_and_new_bytes_anew(tmp_path: Path) -> None:
    path = zipped(tmp_path / "open.zip", {"train.csv": b"ID\n1\n"})
    target = extract_zip(path)
    before = target.stat().st_ino
    assert extract_zip(path).stat().st_ino == before
    zipped(path, {"train.csv": b"ID\n1\n2\n"})
    assert (extract_zip(path) / "train.csv").read_bytes() == b"ID\n1\n2\n"
    assert sorted(os.listdir(tmp_path)) == ["open.extracted", "open.zip"]


def test_an_edited_or_foreign_folder_is_never_overwritten(tmp_path: Path) -> None:
    path = zipped(tmp_path / "open.zip", {"train.csv": b"ID\n1\n"})
    (extract_zip(path) / "train.csv").write_bytes(b"ID\n1\nmine\n")
    with pytest.raises(InputError, match=r"was changed.*--data .*open\.extracted"):
        extract_zip(path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="was not unpacked from"):
        extract_zip(path, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="was not unpacked from"):
        extract_zip(path, tmp_path / "own")
    assert (tmp_path / "open.extracted/train.csv").read_bytes() == b"ID\n1\nmine\n"
    assert (tmp_path / "own/notes.txt").read_text() == "mine"


def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written: File name too long"):
        extract_zip(zipped(tmp_path / "open.zip", {"a.png": b"", "x" * 300: b""}))
    assert os.listdir(tmp_path) == ["open.zip"]


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="is not a zip file"):
        extract_zip(tmp_path / "open.zip")
    with pytest.raises(InputError, match="does not exist"):
        extract_zip(tmp_path / "gone.zip")

"""Names that Windows refuses, or takes for something else."""

import os
import zipfile
from pathlib import Path

import pytest

from vqa_core.data.archives import extract_zip
from vqa_core.data.texts.file_names import is_refused, windows_refuses
from vqa_core.files import InputError


@pytest.mark.parametrize(
    "name",
    ["CON", "con.jpg", "nul.tar.gz", "Aux .png", "COM1.csv", "lpt9", "COM¹", "CONIN$", "a.", "a ", "12:30.png", "a?b",
     "x\x1f", 'say "hi".png', "a|b", "<a>"],
)  # fmt: skip
def test_windows_refuses(name: str) -> None:
    assert windows_refuses(name)


@pytest.mark.parametrize(
    "name", ["console", "com10", "a.b", "고양이 1.png", "null.jpg", ".hidden", "a,b;c.png", "aux1"]
)
def test_windows_takes(name: str) -> None:
    assert not windows_refuses(name)


@pytest.mark.parametrize("name", ["image/train/aux.jpg", "image/12:30.png", "image/train./1.png"])
def test_a_zip_with_such_a_name_is_refused_on_windows_only(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("train.csv", "a\n")
        archive.writestr(name, b"picture")
    assert not is_refused(name)
    assert (extract_zip(tmp_path / "data.zip", tmp_path / "out") / name).is_file()
    monkeypatch.setattr("vqa_core.data.texts.file_names.os", _Windows())
    with pytest.raises(InputError, match="a name that Windows refuses"):
        extract_zip(tmp_path / "data.zip", tmp_path / "again")
    assert not (tmp_path / "again").exists()


class _Windows:
    name = "nt"


def test_this_system_is_asked() -> None:
    assert is_refused("CON") == (os.name == "nt")

"""What a model folder says about itself, read without torch: a damaged one is named before anything is loaded."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.damage import DAMAGES, to_half
from vqa_core import ROOT
from vqa_core.files import InputError, read_json, write_json
from vqa_core.runs.hub_folder import check_model
from vqa_core.runs.model_folder import check_parts_are_here, describe_model_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "demo/model", tmp_path / "model"))


def said_of(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        describe_model_folder(folder)
    return str(error.value)


def change(folder: Path, **values: Any) -> None:
    write_json(folder / "vqa.json", read_json(folder / "vqa.json") | values)


@pytest.mark.parametrize("file", ["vqa.json", "trained.safetensors"])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_named(kind: str, file: str, folder: Path) -> None:
    damage, says = DAMAGES[kind]
    damage(folder / file)
    said = said_of(folder)
    assert said.startswith(f"{folder / file} ")
    assert re.search(says, said)


def test_a_file_that_is_gone_or_half_is_named(folder: Path) -> None:
    to_half(folder / "trained.safetensors")
    assert "trained.safetensors is cut short" in said_of(folder)
    (folder / "trained.safetensors").unlink()
    describe_model_folder(folder)
    with pytest.raises(InputError, match=r"trained\.safetensors is missing\. Copy the whole folder"):
        check_model(str(folder))
    to_half(folder / "vqa.json")
    assert "vqa.json is not valid JSON" in said_of(folder)
    (folder / "vqa.json").unlink()
    assert "holds no trained model (no vqa.json)" in said_of(folder)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stage": None}, "its `model` or `stage` can't be read"),
        ({"stage": {"name": "lora"}}, "its `model` or `stage` can't be read"),
        ({"stage": {"name": "lora", "lora_targets": 5}}, "its `model` or `stage` can't be read"),
        ({"stage": {"name": "lora", "lora_targets": [], "of_tomorrow": 1}}, "its `model` or `stage` can't be read"),
        ({"model": "embedded"}, "was written by another version, or changed by hand"),
        ({"model": None}, "its `model` or `stage` can't be read"),
        ({"model": {"of_tomorrow": 1}}, "was written by another version, or changed by hand: .*of_tomorrow"),
        ({"model": {"image_side_px": "wide"}}, "was written by another version, or changed by hand"),
        ({"format": 2}, "has format 2; this version reads 1"),
    ],
)
def test_a_description_that_can_not_be_read_is_said(values: dict[str, Any], says: str, folder: Path) -> None:
    change(folder, **values)
    assert re.search(says, said_of(folder))


def test_a_description_that_is_no_object_is_said(folder: Path) -> None:
    (folder / "vqa.json").write_text(json.dumps(["model"]))
    assert "has to hold a JSON object, found list" in said_of(folder)


@pytest.mark.parametrize("part", ["/home/kim/models/vicuna", "../no/such", "C:\\models\\vicuna"])
def test_parts_of_another_machine_are_said_with_the_place_that_names_them(part: str, folder: Path) -> None:
    for name in ("language_model", "vision_tower"):
        described = read_json(folder / "vqa.json")
        change(folder, model=described["model"] | {name: part})
        with pytest.raises(
            InputError, match=r"vqa\.json names the (language model|vision tower) .* not on this machine"
        ) as error:
            check_parts_are_here(describe_model_folder(folder))
        assert repr(part) in str(error.value)
        write_json(folder / "vqa.json", described)
    check_parts_are_here(describe_model_folder(folder))
    change(folder, model=described["model"] | {"language_model": "org/name"})
    check_parts_are_here(describe_model_folder(folder))

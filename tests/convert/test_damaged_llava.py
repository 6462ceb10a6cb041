"""Folders of LLaVA as they come: pointers, halves, paths of somebody else's disk, settings that nobody foresaw."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.support.converting import checkpoint
from tests.support.damage import DAMAGES, to_half, to_pointer
from tests.support.llava_files import llava_projector, write_llava
from vqa_core.convert.convert import convert
from vqa_core.convert.llava_checkpoint import read_llava
from vqa_core.files import InputError, read_json, write_json


def said_of(source: Path, out: Path, **settings: Any) -> str:
    with pytest.raises(InputError) as error:
        convert(source, out, "model", settings, "fp32")
    assert not out.exists()
    return str(error.value)


@pytest.mark.parametrize("file", ["config.json", "mm_projector.bin"])
def test_a_damaged_file_is_named(file: str, parts: dict[str, str], tmp_path: Path) -> None:
    sound = checkpoint(tmp_path / "sound", parts, boundaries=False)
    for kind, (damage, says) in DAMAGES.items():
        folder = Path(shutil.copytree(sound, tmp_path / kind))
        damage(folder / file)
        said = said_of(folder, tmp_path / "out")
        assert f"{folder / file} " in said, kind
        assert re.search(says, said), kind
    to_half(sound / file)
    assert f"{sound / file} " in said_of(sound, tmp_path / "out")


def test_every_file_of_lora_is_looked_at(parts: dict[str, str], tmp_path: Path) -> None:
    def lora() -> Path:
        folder = tmp_path / "lora"
        shutil.rmtree(folder, ignore_errors=True)
        write_llava(folder, llava_projector("linear"), "non_lora_trainables.bin", "base_model.model.model.", **parts)
        layer = "base_model.model.model.layers.0.self_attn.q_proj"
        torch.save({f"{layer}.lora_{side}.weight": torch.ones(2, 2) for side in "AB"}, folder / "adapter_model.bin")
        write_json(folder / "adapter_config.json", {"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "peft_type": "LORA"})
        return folder

    for file in ("adapter_model.bin", "adapter_config.json", "non_lora_trainables.bin"):
        for kind, (damage, says) in DAMAGES.items():
            folder = lora()
            damage(folder / file)
            said = said_of(folder, tmp_path / "out")
            assert f"{folder / file} " in said, (file, kind)
            assert re.search(says, said), (file, kind)
    for config in ({"peft_type": "LORA"}, {"r": "8", "lora_alpha": 16}, {"r": 8}):
        folder = lora()
        write_json(folder / "adapter_config.json", config)
        assert "r, lora_alpha and lora_dropout have to be numbers" in said_of(folder, tmp_path / "out")


def test_a_projector_is_read_whatever_its_file_is_called(tmp_path: Path) -> None:
    tensors = llava_projector("linear")
    folder = write_llava(tmp_path, tensors)
    save_file({f"model.{name}": tensor for name, tensor in tensors.items()}, folder / "mm_projector.bin")
    assert torch.equal(read_llava(folder).projector["weight"], tensors["mm_projector.weight"])


def test_a_checkpoint_of_deepspeed_is_named_with_the_way_out(tmp_path: Path) -> None:
    folder = write_llava(tmp_path, llava_projector("linear"))
    (folder / "mm_projector.bin").unlink()
    (folder / "global_step100").mkdir()
    (folder / "zero_to_fp32.py").write_text("")
    said = said_of(folder, tmp_path / "out")
    assert "is a checkpoint of DeepSpeed" in said
    assert f"python {folder / 'zero_to_fp32.py'} {folder} DIR" in said


@pytest.mark.parametrize(("key", "flag"), [("mm_vision_tower", "--vision-tower"), ("_name_or_path", "--base")])
@pytest.mark.parametrize("name", ["/home/kim/models/part", "./checkpoints/part", "no-such-org/no-such-model"])
def test_a_part_that_is_not_here_is_said_with_the_flag_that_names_another(
    key: str, flag: str, name: str, parts: dict[str, str], tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "llava", parts | {key: name}, boundaries=False)
    said = said_of(folder, tmp_path / "out")
    assert said.startswith(f"{folder / 'config.json'} names {name!r} as {key}")
    assert f"Say with {flag} where it lies" in said
    setting = {"--base": "language_model", "--vision-tower": "vision_tower"}[flag]
    convert(folder, tmp_path / "out", "model", {setting: parts[key]}, "fp32")


def test_a_part_of_the_folder_that_is_damaged_is_named(parts: dict[str, str], tmp_path: Path) -> None:
    tower = Path(shutil.copytree(parts["mm_vision_tower"], tmp_path / "tower"))
    to_pointer(tower / "preprocessor_config.json")
    folder = checkpoint(tmp_path / "llava", parts | {"mm_vision_tower": str(tower)}, boundaries=False)
    assert f"{tower / 'preprocessor_config.json'} is a Git LFS pointer" in said_of(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"mm_vision_select_layer": 99}, "has mm_vision_select_layer 99, and the vision tower .* has 3 layers"),
        ({"mm_vision_select_layer": [-2, -5]}, r"mm_vision_select_layer has to be a whole number, found \[-2, -5\]"),
        ({"mm_vision_select_layer": "-2"}, "mm_vision_select_layer has to be a whole number, found '-2'"),
        ({"mm_vision_select_layer": None}, "mm_vision_select_layer has to be a whole number, found None"),
        ({"mm_projector_type": "qformer"}, "mm_projector_type 'qformer', the tensors are 'linear'"),
        ({"mm_hidden_size": 1024}, "from 24 to 32, config.json says from 1024 to 32"),
        ({"hidden_size": 4096}, "from 24 to 32, config.json says from 24 to 4096"),
        ({"num_hidden_layers": 32}, "was trained with another model than .*: its num_hidden_layers is 32"),
        ({"mm_vision_tower": 5}, "mm_vision_tower"),
        ({"model_type": "llava_qwen"}, "'llava_qwen' is not known"),
    ],
)
def test_settings_that_are_not_known_are_said(
    config: dict[str, Any], says: str, parts: dict[str, str], tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path / "llava", parts, boundaries=False)
    write_json(folder / "config.json", read_json(folder / "config.json") | config)
    assert re.search(says, said_of(folder, tmp_path / "out"))

"""Models as they come: whatever is wrong with a folder, loading it says so in a sentence, or gives the same model."""

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.damage import DAMAGES, to_half, to_pointer
from tests.support.tiny import TINY_MODEL, tiny_language_model, tiny_parts, tiny_tokenizer
from tests.support.tiny_hub import tiny_hub
from vqa_core.config import ModelSettings
from vqa_core.files import InputError, read_json, write_json
from vqa_core.model.build import build_any
from vqa_core.model.parts import language_config, load_language_model, load_tokenizer, load_tower, preprocessor_of

FP32 = torch.float32


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that nothing is wrong with: tower, language-model, hub."""
    folder = tmp_path_factory.mktemp("sound")
    tiny_parts(folder)
    tiny_hub("llava", folder / "hub")
    return folder


@pytest.fixture
def models(sound: Path, tmp_path: Path) -> Path:
    """A copy of them to damage."""
    return Path(shutil.copytree(sound, tmp_path / "models"))


def load_language(folder: Path) -> None:
    load_language_model(str(folder), FP32)
    load_tokenizer(str(folder))


def load_eyes(folder: Path) -> None:
    load_tower(str(folder), FP32)
    preprocessor_of(str(folder))


def load_hub(folder: Path) -> None:
    build_any(ModelSettings(base_model=str(folder)))


LOADERS: dict[str, Callable[[Path], None]] = {"language-model": load_language, "tower": load_eyes, "hub": load_hub}
FILES = {
    "language-model": (
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
    ),
    "tower": ("config.json", "model.safetensors", "preprocessor_config.json"),
    "hub": (
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
        "processor_config.json", "chat_template.jinja",
    ),
}  # fmt: skip


def said_of(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 900
    return said


@pytest.mark.slow(seconds=4)
@pytest.mark.parametrize("part", LOADERS)
def test_every_file_that_is_loaded_is_looked_at(part: str, sound: Path, tmp_path: Path) -> None:
    assert {path.name for path in (sound / part).iterdir()} == set(FILES[part])
    for file in FILES[part]:
        for kind, (damage, says) in DAMAGES.items():
            folder = Path(shutil.copytree(sound / part, tmp_path / file / kind))
            damage(folder / file)
            said = said_of(partial(LOADERS[part], folder))
            assert f"{folder / file} " in said, (file, kind)
            assert re.search(says, said), (file, kind)


@pytest.mark.parametrize("part", LOADERS)
def test_half_a_file_and_none_at_all_are_said(part: str, sound: Path, tmp_path: Path) -> None:
    for file in FILES[part]:
        folder = Path(shutil.copytree(sound / part, tmp_path / f"{file}-half"))
        to_half(folder / file)
        assert (file if file != "chat_template.jinja" else "chat template") in said_of(partial(LOADERS[part], folder))
        folder = Path(shutil.copytree(sound / part, tmp_path / f"{file}-gone"))
        (folder / file).unlink()
        if file in ("generation_config.json", "tokenizer_config.json"):
            continue  # may be missing
        assert said_of(partial(LOADERS[part], folder))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("part", "name"), [("language-model", "norm"), ("tower", "projection"), ("hub", "layers.1")])
def test_no_model_with_numbers_that_are_not_finite_is_loaded(part: str, name: str, bad: float, models: Path) -> None:
    def spoil(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        key = next(key for key in tensors if name in key and key.endswith("weight"))
        tensors[key].view(-1)[-1] = bad
        return tensors

    change_weights(models / part, spoil)
    assert "holds numbers that are not finite" in said_of(lambda: LOADERS[part](models / part))


def test_a_weight_whose_sum_is_too_large_is_a_finite_one(models: Path) -> None:
    def enlarge(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors["model.embed_tokens.weight"].fill_(3e38)
        return tensors

    change_weights(models / "language-model", enlarge)
    load_language(models / "language-model")


def test_weights_of_another_shape_are_named_with_both_shapes(models: Path) -> None:
    folder = models / "language-model"
    write_json(folder / "config.json", read_json(folder / "config.json") | {"intermediate_size": 40})
    said = said_of(lambda: load_language(folder))
    assert (
        "has 9 weights of another shape than its config.json says, such as model.layers.0.mlp.down_proj.weight" in said
    )
    assert "(32, 48) in the file, (32, 40) by config.json" in said


def test_layers_that_the_config_does_not_tell_of_are_not_left_out(models: Path) -> None:
    for part in ("language-model", "hub"):
        config = read_json(models / part / "config.json")
        (config if part != "hub" else config["text_config"])["num_hidden_layers"] = 2
        write_json(models / part / "config.json", config)
        said = said_of(partial(LOADERS[part], models / part))
        assert "has more layers than its config.json tells of" in said
        assert "layers.2." in said


def test_a_pickle_runs_nothing_and_is_said(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (Path("evil-ran"),)

    monkeypatch.chdir(models)
    folder = models / "language-model"
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    load_language(folder)  # as trainers before safetensors wrote it
    torch.save(tensors | {"a": Evil()}, folder / "pytorch_model.bin")
    assert "Nothing in it was run" in said_of(lambda: load_language(folder))
    assert not Path("evil-ran").exists()
    torch.save([1, 2], folder / "pytorch_model.bin")
    assert said_of(lambda: load_language(folder))


ADDED = {"id": 320, "content": "<new>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}  # fmt: skip


def test_a_tokeniser_larger_than_the_embedding_is_found_when_loaded(models: Path) -> None:
    tower, language = models / "tower", models / "language-model"
    settings = ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language))
    build_any(settings)
    for folder, how in ((language, settings), (models / "hub", ModelSettings(base_model=str(models / "hub")))):
        content = read_json(folder / "tokenizer.json")
        content["added_tokens"].append(ADDED | {"id": 330})
        (folder / "tokenizer.json").write_text(json.dumps(content))
        said = said_of(partial(build_any, how))
        assert "tokens that its embedding of 32" in said
        assert "'<new>'" in said


def test_a_smaller_tokeniser_is_fine(tmp_path: Path) -> None:
    tower, language = tiny_parts(tmp_path)
    model = tiny_language_model(tiny_tokenizer())
    model.resize_token_embeddings(384, mean_resizing=False)
    model.save_pretrained(language)
    build_any(ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language)))


@pytest.mark.parametrize("index", [5000, -1])
def test_a_picture_token_beyond_the_embedding_is_said(index: int, models: Path) -> None:
    config = read_json(models / "hub/config.json")
    write_json(models / "hub/config.json", config | {"image_token_index": index, "image_token_id": index})
    assert "as the token of the picture" in said_of(lambda: load_hub(models / "hub"))


def test_a_picture_token_that_the_processor_does_not_write_is_said(models: Path) -> None:
    config = read_json(models / "hub/config.json")
    write_json(models / "hub/config.json", config | {"image_token_index": 7, "image_token_id": 7})
    assert "its processor writes token 320 for the picture, config.json says 7" in said_of(
        lambda: load_hub(models / "hub")
    )


@pytest.mark.parametrize("layer", [99, -9])
def test_a_layer_that_the_tower_does_not_have_is_said(layer: int, models: Path) -> None:
    settings = ModelSettings(
        **TINY_MODEL, vision_tower=str(models / "tower"), language_model=str(models / "language-model"),
        vision_feature_layer=layer,
    )  # fmt: skip
    said = said_of(lambda: build_any(settings))
    assert f"--vision-feature-layer {layer}" in said
    assert "has 3 layers. Choose from -4 to 3" in said


def test_the_file_is_looked_at_again_where_loading_failed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the hub is there only once it was loaded: what came may be a page."""
    folder = models / "language-model"

    def fetch(*_: Any, **__: Any) -> None:
        to_pointer(folder / "config.json")
        raise OSError("It looks like the config file is not a valid JSON file.")

    monkeypatch.setattr("vqa_core.model.parts.AutoConfig.from_pretrained", fetch)
    assert "config.json is a Git LFS pointer" in said_of(lambda: language_config(str(folder)))


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"])
def test_a_list_in_the_place_of_settings_is_said(name: str, models: Path) -> None:
    (models / "language-model" / name).write_text("[]")
    assert f"{name} has to hold a JSON object, found list" in said_of(lambda: load_language(models / "language-model"))


@pytest.mark.parametrize(
    "settings",
    [{"image_mean": None}, {"image_mean": 0.5}, {"image_std": ["a", "b", "c"]}, {"image_std": [0, 0, 0]},
     {"image_mean": [float("nan")] * 3}, {"image_mean": [0.5, 0.5]}],
)  # fmt: skip
def test_a_preprocessor_without_three_numbers_is_said(settings: dict[str, Any], models: Path) -> None:
    path = models / "tower/preprocessor_config.json"
    write_json(path, read_json(path) | settings)
    how = ModelSettings(
        **TINY_MODEL, vision_tower=str(models / "tower"), language_model=str(models / "language-model")
    )  # fmt: skip
    assert "has to have three numbers as image_mean" in said_of(lambda: build_any(how))


def test_a_processor_that_does_not_fit_its_model_is_said(models: Path) -> None:
    path = models / "hub/processor_config.json"
    write_json(path, read_json(path) | {"patch_size": None})
    assert "A model of type 'llava' can't be asked with a picture" in said_of(lambda: load_hub(models / "hub"))


def test_brackets_without_end_are_said(models: Path) -> None:
    (models / "language-model/config.json").write_text("[" * 100_000)
    assert "nests brackets too deeply" in said_of(lambda: load_language(models / "language-model"))

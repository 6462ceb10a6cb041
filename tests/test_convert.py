"""LLaVA's checkpoints in, on tiny parts and folders in LLaVA's layout; tests/parity/ has LLaVA itself."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from eval.predict import main as predict
from tests.converting import VOCABULARY, checkpoint, clip_parts, model_folder, round_trip, tensors_of
from tests.tiny import tiny_run
from train.convert import main as convert
from vqa_core import llava_import
from vqa_core.config import ModelSettings
from vqa_core.files import InputError, read_json, write_json
from vqa_core.parts import load_tower
from vqa_core.stages import describe_model_folder, load_model_folder
from vqa_core.vlm import build_vlm


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return clip_parts(tmp_path_factory.mktemp("parts"))


@pytest.mark.parametrize("boundaries", [False, True])
def test_a_projector_of_llava_s_predicts_trains_on_and_comes_back(
    boundaries: bool, parts: dict[str, str], tmp_path: Path
) -> None:
    round_trip(checkpoint(tmp_path / "llava", parts, boundaries), tmp_path)


def test_settings_come_from_the_checkpoint_and_flags_win(parts: dict[str, str], tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "a", parts, False, image_aspect_ratio="pad", mm_vision_select_layer=-1)
    convert(["--model-path", str(source), "--to", str(tmp_path / "one")])
    settings = describe_model_folder(tmp_path / "one").settings
    assert (settings.vision_tower, settings.language_model) == (parts["mm_vision_tower"], parts["_name_or_path"])
    assert (settings.image_aspect, settings.image_side_px, settings.vision_feature_layer) == ("pad", 32, -1)
    assert (settings.projector, settings.prompt_style) == ("linear", "vicuna_v1")
    source = checkpoint(tmp_path / "b", parts, False, _name_or_path="/no/such")
    flags = ["--model-base", parts["_name_or_path"], "--prompt-style", "plain", "--image-aspect", "square"]
    convert(["--model-path", str(source), *flags, "--to", str(tmp_path / "two")])
    settings = describe_model_folder(tmp_path / "two").settings
    assert (settings.language_model, settings.prompt_style) == (parts["_name_or_path"], "plain")


@pytest.mark.parametrize(
    ("version", "boundaries", "style"),
    [
        ("4.31.0", True, "vicuna_v1_start_end"),  # the Dacon team's
        ("4.31.0", False, "vicuna_v1"),
        ("4.34.0", True, "vicuna_v1"),
        ("4.37.2", True, "vicuna_v1"),
        ("", True, "vicuna_v1"),
    ],
)
def test_the_prompt_is_that_of_the_tokenisers_of_its_day(
    version: str, boundaries: bool, style: str, parts: dict[str, str], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "llava", parts, boundaries, transformers_version=version)
    convert(["--from", str(source), "--to", str(tmp_path / "model")])
    assert describe_model_folder(tmp_path / "model").settings.prompt_style == style


def test_the_bases_own_chat_template_is_written_out(parts: dict[str, str], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(parts["_name_or_path"], base)
    (base / "chat_template.jinja").write_text("Q: {{ messages[0]['content'] }} A:")
    source = checkpoint(tmp_path / "llava", parts | {"_name_or_path": str(base)}, False)
    convert(["--from", str(source), "--prompt-style", "template", "--to", str(tmp_path / "model")])
    assert describe_model_folder(tmp_path / "model").settings.prompt_style == "Q: <image>\n<question> A:<answer>"


def whole_checkpoint(folder: Path, parts: dict[str, str], eyes: dict[str, Tensor]) -> Path:
    """A whole model: the language model's weights halved, and those of its tower; without a tokeniser."""
    language = Path(parts["_name_or_path"])
    checkpoint(folder, parts, False)
    config = read_json(language / "config.json") | read_json(folder / "config.json") | {"vocab_size": VOCABULARY}
    write_json(folder / "config.json", config | {"model_type": "llava", "dtype": "float32"})
    whole = {name: tensor * 0.5 for name, tensor in load_file(language / "model.safetensors").items()}
    of_llava = {f"model.vision_tower.vision_tower.{name}": tensor for name, tensor in eyes.items()}
    save_file(whole | of_llava | tensors_of(folder), folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("trained_tower", [False, True])
def test_a_whole_model_becomes_a_model_folder_and_its_parts(
    trained_tower: bool, parts: dict[str, str], tmp_path: Path
) -> None:
    language, tower = Path(parts["_name_or_path"]), Path(parts["mm_vision_tower"])
    eyes = load_file(tower / "model.safetensors")
    eyes = {
        name: tensor * 0.5 if trained_tower else tensor.half() for name, tensor in eyes.items()
    }  # rounded is no news
    source = whole_checkpoint(tmp_path / "source", parts, eyes)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (source / name).write_bytes((language / name).read_bytes())
    convert(["--from", str(source), "--to", str(tmp_path / "out")])
    settings = describe_model_folder(tmp_path / "out").settings
    assert settings.language_model == str(tmp_path / "out-language-model")
    assert settings.vision_tower == str(tmp_path / "out-vision-tower" if trained_tower else tower)
    vlm = load_model_folder(tmp_path / "out")
    embeddings = load_file(language / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(vlm.language_model.embed_tokens.weight, embeddings * 0.5)
    for name, tensor in load_tower(str(tower), torch.float32).named_parameters():
        assert torch.equal(vlm.vision_tower.get_parameter(name), tensor * 0.5 if trained_tower else tensor)


def test_the_base_s_tokeniser_is_of_the_revision_asked_for(
    parts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = whole_checkpoint(tmp_path / "source", parts, {})
    asked = set()

    def cached(name: str, file: str, revision: str | None = None, **_: object) -> str | None:
        path = Path(parts["_name_or_path"] if name == "lmsys/vicuna-7b-v1.3" else name, file)
        asked.add((name, revision))
        return str(path) if path.is_file() else None

    monkeypatch.setattr(llava_import, "cached_file", cached)
    base = ["--base", "lmsys/vicuna-7b-v1.3", "--revision", "lmsys/vicuna-7b-v1.3@v1"]
    convert(["--from", str(source), *base, "--to", str(tmp_path / "out")])
    assert asked == {(str(source), None), ("lmsys/vicuna-7b-v1.3", "v1")}
    assert (tmp_path / "out-language-model/tokenizer.json").is_file()


def test_a_model_s_parts_are_not_written_over_what_lies_beside_it(parts: dict[str, str], tmp_path: Path) -> None:
    tower = load_file(Path(parts["mm_vision_tower"]) / "model.safetensors")
    trained = {name: tensor * 0.5 for name, tensor in tower.items()}
    source = whole_checkpoint(tmp_path / "source", parts, trained)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(parts["_name_or_path"]) / name, source)
    for what in ("language-model", "vision-tower"):
        own = tmp_path / f"out-{what}/config.json"
        write_json(own, {"mine": True})
        with pytest.raises(InputError, match=f"out-{what} is there already and is not empty. Name another folder"):
            convert(["--from", str(source), "--to", str(tmp_path / "out")])
        assert read_json(own) == {"mine": True}
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"out-{what}", "source"]
        shutil.rmtree(own.parent)
    (tmp_path / "out-language-model").mkdir()  # empty, as mkdir leaves it
    convert(["--from", str(source), "--to", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"num_hidden_layers": 32}, "its num_hidden_layers is 32, that one's is 3"),
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio 'anyres' is not supported, only square or pad is"),
        ({"mm_vision_select_feature": "cls_patch"}, "'cls_patch' is not supported, only patch is"),
        ({"_name_or_path": None}, "Name it with --base"),
        ({"mm_vision_tower": None}, "Name the tower with --vision-tower"),
        ({"mm_vision_tower": "/no/such"}, "The vision tower '/no/such' can't be loaded"),
    ],
)
def test_a_checkpoint_that_can_t_be_had_here_is_refused_in_a_sentence(
    config: dict[str, Any], says: str, parts: dict[str, str], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "source", parts | config, False)
    with pytest.raises(InputError) as error:
        convert(["--from", str(source), "--to", str(tmp_path / "out")])
    assert says in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_is_there_already_is_not_written_over(parts: dict[str, str], tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "llava", parts, False)
    with pytest.raises(InputError, match="is there already and is not empty"):
        convert(["--from", str(source), "--to", str(source)])
    with pytest.raises(InputError, match="is LLaVA's already"):
        convert(["--from", str(source), "--to-llava", str(tmp_path / "out")])
    with pytest.raises(InputError, match="is neither a folder of LLaVA"):
        convert(["--from", parts["_name_or_path"], "--to", str(tmp_path / "out")])
    model_folder(tmp_path / "ours", parts)
    with pytest.raises(InputError, match="is a model folder of this workbench already"):
        convert(["--from", str(tmp_path / "ours"), "--to", str(tmp_path / "out")])


def test_a_checkpoint_of_llava_s_given_as_a_part_is_answered_with_the_command_that_converts_it(
    parts: dict[str, str], tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "llava", parts, False, model_type="llava", mm_projector_type=None)
    with pytest.raises(InputError, match=r"an original LLaVA checkpoint.*train\.convert --from"):
        build_vlm(ModelSettings(vision_tower=parts["mm_vision_tower"], language_model=str(source)))
    run = tiny_run(tmp_path)
    with pytest.raises(InputError, match=r"no vqa\.json.*train\.convert --from"):
        predict(["--run", str(run.root), "--model", str(source)])

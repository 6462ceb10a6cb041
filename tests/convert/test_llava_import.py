"""LLaVA's checkpoints in, on tiny parts and folders in LLaVA's layout; tests/parity/ has LLaVA itself."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from eval.predict import main as predict
from tests.support.converting import VOCABULARY, checkpoint, clip_parts, model_folder, round_trip, tensors_of
from tests.support.tiny import tiny_run
from train.convert import main as convert
from vqa_core.config import ModelSettings
from vqa_core.convert import llava_parts
from vqa_core.files import InputError, read_json, write_json
from vqa_core.model.folder import load_model_folder
from vqa_core.model.parts import load_tower
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage, describe_model_folder

pytestmark = pytest.mark.slow


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

    monkeypatch.setattr(llava_parts, "cached_file", cached)
    base = ["--base", "lmsys/vicuna-7b-v1.3", "--revision", "lmsys/vicuna-7b-v1.3@v1"]
    convert(["--from", str(source), *base, "--to", str(tmp_path / "out")])
    assert asked == {(str(source), None), ("lmsys/vicuna-7b-v1.3", "v1")}
    assert (tmp_path / "out-language-model/tokenizer.json").is_file()


MATRICES = {"embeddings": "model.embed_tokens.weight", "head": "lm_head.weight"}


def lora_checkpoint(folder: Path, parts: dict[str, str], **matrices: Tensor) -> Path:
    """LoRA with these matrices of the language model beside it; `<im_patch>`, `<im_start>`, `<im_end>` were added."""
    model_folder(folder / "ours", parts, Stage("lora", 2, 4.0), projector="linear")
    convert(["--from", str(folder / "ours"), "--to-llava", str(folder / "llava-lora")])
    source = folder / "llava-lora"
    config = read_json(source / "config.json") | {"mm_use_im_start_end": True, "vocab_size": VOCABULARY + 3}
    write_json(source / "config.json", config)
    saved = torch.load(source / "non_lora_trainables.bin", weights_only=True)
    saved |= {f"base_model.model.{MATRICES.get(name, name)}": tensor for name, tensor in matrices.items()}
    torch.save(saved, source / "non_lora_trainables.bin")
    return source


def matrices_of(parts: dict[str, str]) -> dict[str, Tensor]:
    """The language model's embeddings and head (V + 3, D), as LLaVA grows them, in bf16."""
    own = load_file(Path(parts["_name_or_path"]) / "model.safetensors")
    return {short: torch.cat([own[name], torch.randn(3, 32)]).bfloat16() for short, name in MATRICES.items()}


def test_rows_that_llava_added_beside_lora_are_no_new_language_model(parts: dict[str, str], tmp_path: Path) -> None:
    matrices = matrices_of(parts)
    source = lora_checkpoint(tmp_path, parts, **matrices)
    convert(["--from", str(source), "--to", str(tmp_path / "out")])
    assert not (tmp_path / "out-language-model").exists()
    assert describe_model_folder(tmp_path / "out").settings.language_model == parts["_name_or_path"]
    projector = load_model_folder(tmp_path / "out").projector
    assert torch.equal(torch.stack([projector.start, projector.end]), matrices["embeddings"][-2:].float())


@pytest.mark.parametrize("trained", ["embeddings", "head"])
def test_a_language_model_that_was_trained_beside_lora_is_written_beside_it(
    trained: str, parts: dict[str, str], tmp_path: Path
) -> None:
    matrices = matrices_of(parts)
    matrices[trained][7] += 1
    source = lora_checkpoint(tmp_path, parts, **matrices)
    convert(["--from", str(source), "--to", str(tmp_path / "out")])
    settings = describe_model_folder(tmp_path / "out").settings
    assert settings.language_model == str(tmp_path / "out-language-model")
    found, own = (
        load_file(Path(folder) / "model.safetensors") for folder in (settings.language_model, parts["_name_or_path"])
    )
    changed = MATRICES[trained]
    assert torch.equal(found.pop(changed), matrices[trained][:VOCABULARY])
    assert found.keys() == own.keys() - {changed}
    assert all(torch.equal(tensor, own[name]) for name, tensor in found.items())
    vlm = load_model_folder(tmp_path / "out")
    layer = vlm.language_model.embed_tokens if trained == "embeddings" else vlm.model.lm_head
    assert torch.equal(layer.weight[7], matrices[trained][7].float())
    assert len(layer.weight) == VOCABULARY


@pytest.mark.parametrize(
    ("matrices", "says"),
    [
        ({"embeddings": torch.ones(VOCABULARY + 9, 32)}, r"has shape \(329, 32\), and '.*' has \(320, 32\)"),
        (
            {"embeddings": torch.ones(VOCABULARY, 32), "head": torch.ones(30, 32)},
            r"lm_head\.weight has shape \(30, 32\)",
        ),
        ({"model.norm.weight": torch.ones(33)}, r"model\.norm\.weight has shape \(33,\), and '.*' has \(32,\)"),
        ({"model.layers.9.norm.weight": torch.ones(2)}, r"and '.*' has none\. Name the language model .* --base"),
    ],
)
def test_weights_beside_lora_that_the_base_has_no_place_for_are_refused(
    matrices: dict[str, Tensor], says: str, parts: dict[str, str], tmp_path: Path
) -> None:
    source = lora_checkpoint(tmp_path, parts, **matrices)
    config = read_json(source / "config.json")
    rows = len(matrices.get("embeddings", ()))
    write_json(source / "config.json", config | {"mm_use_im_start_end": bool(rows), "vocab_size": rows})
    with pytest.raises(InputError, match=says):
        convert(["--from", str(source), "--to", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_head_that_differs_from_the_embeddings_is_not_put_into_one_matrix(
    parts: dict[str, str], tmp_path: Path
) -> None:
    tied = tmp_path / "tied"
    shutil.copytree(parts["_name_or_path"], tied)
    write_json(tied / "config.json", read_json(tied / "config.json") | {"tie_word_embeddings": True})
    weights = load_file(tied / "model.safetensors")
    weights.pop("lm_head.weight", None)
    save_file(weights, tied / "model.safetensors", metadata={"format": "pt"})
    grown = torch.cat([weights["model.embed_tokens.weight"], torch.randn(3, 32)])
    base = parts | {"_name_or_path": str(tied)}
    source = lora_checkpoint(tmp_path / "same", base, embeddings=grown + 1, head=grown + 1)
    convert(["--from", str(source), "--to", str(tmp_path / "one")])
    assert torch.equal(load_model_folder(tmp_path / "one").model.lm_head.weight, grown[:VOCABULARY] + 1)
    source = lora_checkpoint(tmp_path / "other", base, embeddings=grown, head=grown + 1)
    with pytest.raises(
        InputError, match=r"'lm_head\.weight' differs from model\.embed_tokens\.weight, and .* one matrix"
    ):
        convert(["--from", str(source), "--to", str(tmp_path / "two")])


def test_a_model_s_parts_are_not_written_over_what_lies_beside_it(parts: dict[str, str], tmp_path: Path) -> None:
    tower = load_file(Path(parts["mm_vision_tower"]) / "model.safetensors")
    trained = {name: tensor * 0.5 for name, tensor in tower.items()}
    source = whole_checkpoint(tmp_path / "source", parts, trained)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(parts["_name_or_path"]) / name, source)
    for what in ("language-model", "vision-tower"):
        own = tmp_path / f"out-{what}/config.json"
        write_json(own, {"mine": True})
        with pytest.raises(InputError, match=f"out-{what} already exists and is not empty. Name another folder"):
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
    with pytest.raises(InputError, match="already exists and is not empty"):
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

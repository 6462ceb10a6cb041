"""What is put together fits, or is said not to: tokeniser, tower, projector, stage, sizes."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.damage import to_half, to_pointer
from tests.support.tiny import TINY_MODEL, tiny_parts, tiny_run, tiny_vlm
from tests.support.tiny_hub import tiny_hub
from vqa_core.config import ModelSettings
from vqa_core.files import InputError, read_json, write_json
from vqa_core.inference.adopt import adopt_model
from vqa_core.model import embedded
from vqa_core.model.build import build_any
from vqa_core.model.folder import load_model_folder, save_model_folder, start_from
from vqa_core.model.parts import language_config, load_language_model
from vqa_core.model.reading.fit import check_size
from vqa_core.model.stages import prepare_stage
from vqa_core.model.vlm import build_vlm
from vqa_core.runs.model_folder import Stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder, between parts that lie in `tmp_path`."""
    tower, language = tiny_parts(tmp_path)
    settings = ModelSettings(**TINY_MODEL, vision_tower=str(tower), language_model=str(language))
    vlm = build_vlm(settings)
    prepare_stage(vlm, Stage("align"))
    save_model_folder(tmp_path / "model", vlm, Stage("align"), about={})
    load_model_folder(tmp_path / "model")
    return tmp_path / "model"


def test_a_projector_between_other_sizes_is_said_with_both_parts(folder: Path) -> None:
    path = folder / "trained.safetensors"
    wide = {
        name: tensor.repeat(2, 1) if "linear_2.weight" in name else tensor for name, tensor in load_file(path).items()
    }
    save_file(wide, path)
    with pytest.raises(InputError, match=r"its projector leads from 24 numbers to 64, .* from 24 to 32") as error:
        load_model_folder(folder)
    for part in ("tower", "language-model"):
        assert repr(str(folder.parent / part)) in str(error.value)
    vlm = build_vlm(ModelSettings(**read_json(folder / "vqa.json")["model"]))
    prepare_stage(vlm, Stage("align"))
    with pytest.raises(InputError, match="its projector leads from 24 numbers to 64"):
        start_from(vlm, folder)


def test_a_part_that_is_gone_is_said_with_the_file_that_names_it(folder: Path) -> None:
    (folder.parent / "tower").rename(folder.parent / "elsewhere")
    with pytest.raises(InputError, match=r"vqa\.json names the vision tower .*/tower', which is not on this machine"):
        load_model_folder(folder)
    described = read_json(folder / "vqa.json")
    described["model"]["vision_tower"] = str(folder.parent / "elsewhere")
    write_json(folder / "vqa.json", described)
    load_model_folder(folder)


def test_a_damaged_model_folder_is_not_adopted_and_harms_nothing(folder: Path) -> None:
    run = tiny_run(folder.parent / "data", train_images=3, test_images=2)
    for file in ("vqa.json", "trained.safetensors"):
        for damage in (to_pointer, to_half):
            copy = Path(shutil.copytree(folder, folder.parent / f"{file}-{damage.__name__}"))
            damage(copy / file)
            with pytest.raises(InputError, match=file):
                adopt_model(run, str(copy))
            assert not run.model.exists()
    (copy / "trained.safetensors").unlink()
    with pytest.raises(InputError, match=r"trained\.safetensors is missing"):
        adopt_model(run, str(copy))
    for other, says in ((folder.parent / "language-model", "answers no questions"), (run.root, "is a run of this")):
        with pytest.raises(InputError, match=says):
            adopt_model(run, str(other))
    (folder.parent / "adapter").mkdir()
    (folder.parent / "adapter/adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="is an adapter of PEFT"):
        adopt_model(run, str(folder.parent / "adapter"))


@pytest.mark.parametrize("stage", [Stage("lora", lora_rank=2), Stage("full")])
@pytest.mark.parametrize("method", ["gptq", "awq", "fp8"])
def test_a_quantised_language_model_is_not_trained_as_if_it_were_none(method: str, stage: Stage) -> None:
    vlm = tiny_vlm()
    vlm.language_model.config.quantization_config = {"quant_method": method, "bits": 4}
    with pytest.raises(InputError, match=rf"--stage {stage.name} .*{method}"):
        prepare_stage(vlm, stage)
    prepare_stage(vlm, Stage("align"))


def test_bitsandbytes_takes_lora_and_no_full_training() -> None:
    vlm = tiny_vlm()
    vlm.language_model.config.quantization_config = {"load_in_4bit": True, "quant_method": "bitsandbytes"}
    with pytest.raises(InputError, match=r"--stage full trains the language model, .*bitsandbytes"):
        prepare_stage(vlm, Stage("full"))
    prepare_stage(vlm, Stage("lora", lora_rank=2))


def test_a_config_of_a_far_larger_model_is_said_before_memory_is_taken(tmp_path: Path) -> None:
    hub = tiny_hub("llava", tmp_path / "hub")
    check_size("model", hub)
    config = read_json(hub / "config.json")
    write_json(hub / "config.json", config | {"text_config": None})
    with pytest.raises(InputError, match=r"its config\.json tells of 6,7.* a part of it is missing"):
        build_any(ModelSettings(base_model=str(hub)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "llamaa"}, r"is of type 'llamaa' .* Did you mean 'llama'\?"),
        ({"model_type": "Llama"}, r"is of type 'Llama' .* Did you mean 'llama'\?"),
        ({"model_type": "t5"}, "is a T5Config, which AutoModelForCausalLM does not take"),
        ({"attn_implementation": "of_tomorrow"}, "asks in its config.json for a way to compute attention"),
        ({"hidden_act": "of_tomorrow"}, "a name that is missing or not known, 'of_tomorrow'"),
        ({"vocab_size": "320"}, "Field 'vocab_size' expected int, got str"),
        ({"rope_scaling": {"type": "linear"}, "rope_parameters": None}, "Missing required keys in `rope_parameters`"),
        ({"pad_token_id": 999}, "Padding_idx must be within num_embeddings"),
        ({"num_hidden_layers": 0}, "has more layers than its config.json tells of"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "is quantised by 'gptq'"),
    ],
)
def test_settings_that_transformers_does_not_take_are_said(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    _, language = tiny_parts(tmp_path)
    write_json(language / "config.json", read_json(language / "config.json") | change)
    with pytest.raises(InputError, match=says):
        load_language_model(str(language), torch.float32)


@pytest.mark.parametrize(
    "change",
    [
        {"torch_dtype": "float16", "dtype": None}, {"architectures": None}, {"architectures": ["OfTomorrow"]},
        {"transformers_version": "99.0.0"}, {"rope_parameters": None, "rope_scaling": None, "rope_theta": 10000},
        {"pad_token_id": None}, {"_name_or_path": "/home/kim/llama"}, {"of_tomorrow": {"a": [1]}},
    ],
)  # fmt: skip
def test_settings_as_peoples_tools_write_them_give_the_same_model(change: dict[str, object], tmp_path: Path) -> None:
    _, language = tiny_parts(tmp_path)
    before = load_language_model(str(language), torch.float32)
    write_json(language / "config.json", read_json(language / "config.json") | change)
    after = load_language_model(str(language), torch.float32)
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(before(ids).logits, after(ids).logits)
    assert language_config(str(language)).hidden_size == 32


def test_an_embedded_part_that_lost_a_file_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VQA_CACHE", str(tmp_path))
    built = []

    def write(_source: Path, folder: Path) -> None:
        built.append(folder)
        for name in ("config.json", "preprocessor_config.json"):
            (folder / name).write_text("{}")
        save_file({}, folder / "model.safetensors")

    folder = embedded._built(embedded._VISION_TOWER, write)
    assert folder == embedded._built(embedded._VISION_TOWER, write)
    assert len(built) == 1
    for spoil in (lambda: to_half(folder / "model.safetensors"), lambda: (folder / "config.json").unlink()):
        caplog.clear()
        spoil()
        assert embedded._built(embedded._VISION_TOWER, write) == folder
        assert "The embedded vision tower is built anew" in caplog.text
        assert (folder / "config.json").is_file()
    assert len(built) == 3
